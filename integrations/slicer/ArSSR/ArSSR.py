"""A module of 3D Slicer that super-resolves volumes with the `arssr` command (docs/viewers.md).

Slicer writes the volume, the command works beside it, and Slicer reads the result: so Slicer stays
usable meanwhile, and IJK and RAS stay its own business. Without Python 3.11 in Slicer (before 5.10)
the command is one that is installed elsewhere.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import ctk
import qt
import slicer
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)

TARGETS = (
    ("Thick slices as fine as their plane", ""),
    ("All axes as fine as the finest", "--isotropic"),
    ("Finer by a factor", "--scale"),
    ("To a voxel size in mm", "--spacing"),
    ("On the grid of another volume", "--like"),
)
ACQUISITIONS = (("As the scan says", "auto"), ("3D", "3D"), ("2D slices", "2D"))
MODELS = ("light", "rdn", "rescnn", "srresnet")
LABEL_MAP = "vtkMRMLLabelMapVolumeNode"
LOOKS_MS = 200


class ArSSR(ScriptedLoadableModule):
    """What Slicer's menu says."""

    def __init__(self, parent):
        super().__init__(parent)
        self.parent.title = "Super-resolve (ArSSR)"
        self.parent.categories = ["Filtering"]
        self.parent.dependencies = []
        self.parent.contributors = ["The ArSSR developers"]
        self.parent.helpText = (
            "Makes 3D MR images finer: thick slices, or all axes by any factor. For research: a "
            "network fills in what is plausible, and what was not measured it cannot bring back."
        )
        self.parent.acknowledgementText = (
            "Wu et al. 2022, doi:10.1109/JBHI.2022.3223106; please cite it."
        )


class ArSSRWidget(ScriptedLoadableModuleWidget):
    """Chooses a volume and what becomes of it, runs, and shows the result."""

    def setup(self):
        super().setup()
        self.logic = ArSSRLogic()
        self.run = None
        self.timer = qt.QTimer()
        self.timer.setInterval(LOOKS_MS)
        self.timer.connect("timeout()", self.look)
        self.volume, self.like = self.chooser(), self.chooser()
        self.target, self.numbers = qt.QComboBox(), qt.QLineEdit("2")
        self.numbers.toolTip = "One number, or three for i, j and k, such as 1 1 4"
        self.model, self.acquisition = qt.QComboBox(), qt.QComboBox()
        for words, _ in TARGETS:
            self.target.addItem(words)
        for words, _ in ACQUISITIONS:
            self.acquisition.addItem(words)
        for name in MODELS:
            self.model.addItem(name)
        self.model.editable = True
        self.model.toolTip = "Shipped weights by name, or the path of a .safetensors file"
        self.command = qt.QLineEdit()
        self.command.toolTip = "An arssr installed elsewhere; empty: that of Slicer's Python"
        self.button, self.busy, self.message = qt.QPushButton(), qt.QProgressBar(), qt.QLabel()
        self.busy.setRange(0, 0)
        self.message.wordWrap = True
        box = ctk.ctkCollapsibleButton()
        box.text = "Super-resolve"
        self.layout.addWidget(box)
        form = qt.QFormLayout(box)
        form.addRow("Volume", self.volume)
        form.addRow("Target", self.target)
        form.addRow("Numbers", self.numbers)
        form.addRow("Grid of", self.like)
        form.addRow("Model", self.model)
        form.addRow("Acquisition", self.acquisition)
        form.addRow("Command", self.command)
        for widget in (self.button, self.busy, self.message):
            form.addRow(widget)
        self.layout.addStretch(1)
        self.target.connect("currentIndexChanged(int)", self.show_what_counts)
        self.button.connect("clicked(bool)", self.run_or_cancel)
        self.show_what_counts()
        self.end("")

    def chooser(self):
        made = slicer.qMRMLNodeComboBox()
        made.nodeTypes = ["vtkMRMLScalarVolumeNode", LABEL_MAP]
        made.addEnabled = made.removeEnabled = made.noneEnabled = False
        made.setMRMLScene(slicer.mrmlScene)
        return made

    def show_what_counts(self, *_):
        option = TARGETS[self.target.currentIndex][1]
        self.numbers.enabled = option in ("--scale", "--spacing")
        self.like.enabled = option == "--like"

    def run_or_cancel(self, *_):
        if self.run is not None:
            self.run.cancel()
            self.end("Cancelled; nothing of it was kept.")
            return
        command = self.command.text.strip()
        try:
            if not command and not self.logic.is_installed():
                question = "ArSSR is not in Slicer's Python yet. Install it with PyTorch (minutes)?"
                if not slicer.util.confirmOkCancelDisplay(question):
                    return
                slicer.util.pip_install("arssr")
            self.run = self.logic.start(
                self.volume.currentNode(),
                TARGETS[self.target.currentIndex][1],
                self.numbers.text,
                self.like.currentNode(),
                self.model.currentText,
                ACQUISITIONS[self.acquisition.currentIndex][1],
                command,
            )
        except (RuntimeError, subprocess.CalledProcessError) as error:
            self.end(str(error))
            return
        self.button.text, self.busy.visible, self.message.text = "Cancel", True, ""
        self.timer.start()

    def look(self):
        if self.run is None or self.run.is_running():
            return
        try:
            result = self.run.result()
        except RuntimeError as error:
            self.end(str(error))
            return
        shown = "label" if result.IsA(LABEL_MAP) else "background"
        slicer.util.setSliceViewerLayers(**{shown: result})
        self.end(self.run.said)

    def end(self, sentence):
        self.timer.stop()
        self.run = None
        self.button.text, self.busy.visible = "Super-resolve", False
        self.message.text = sentence

    def cleanup(self):
        if self.run is not None:
            self.run.cancel()


class ArSSRLogic(ScriptedLoadableModuleLogic):
    """What is done, without any window."""

    def is_installed(self):
        """Whether Slicer's Python has ArSSR. Raises RuntimeError where it cannot have it."""
        if sys.version_info < (3, 11):  # noqa: UP036 - Slicer's, not ours
            raise RuntimeError(
                "Slicer 5.10 or newer is needed for ArSSR in its own Python; else install ArSSR "
                "in another one, and name that one's arssr under Command."
            )
        return importlib.util.find_spec("arssr") is not None

    def start(
        self,
        volume,
        target="",
        numbers="",
        like=None,
        model="light",
        acquisition="auto",
        command="",
    ):
        """Begin with a volume node; returns the run.

        target: an option of `arssr upsample`, or empty. numbers: those of --scale and --spacing.
        like: the node for --like. command: an `arssr`; empty: that of Slicer's Python.
        Raises RuntimeError, with a sentence.
        """
        if volume is None:
            raise RuntimeError("Choose a volume.")
        folder = Path(tempfile.mkdtemp(prefix="arssr-"))
        try:
            arguments = ["upsample", _written(volume, folder / "scan.nii"), "-o", "result.nii"]
            if target == "--like":
                if like is None:
                    raise RuntimeError("Choose the volume whose grid the result shall have.")
                if like.GetTransformNodeID() != volume.GetTransformNodeID():
                    raise RuntimeError("Both volumes must lie below the same transform, or none.")
                arguments += [target, _written(like, folder / "like.nii")]
            elif target:
                arguments += [target, *numbers.replace(",", " ").split()] if numbers else [target]
            is_labels = volume.IsA(LABEL_MAP)
            network = ["--model", model, "--acquisition", acquisition]
            arguments += ["--labels"] if is_labels else network
            program, environment = _program(command)
            return Run(volume, folder, [*program, *arguments], environment)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


class Run:
    """The command at work on one volume, in a folder of its own.

    said: what it tells of a result.
    """

    def __init__(self, volume, folder, command, environment):
        self.volume, self.folder, self.said = volume, folder, ""
        hidden = {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {}
        with (folder / "said.txt").open("wb") as said:
            try:
                self.process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=environment,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    **hidden,
                )
            except OSError as error:
                raise RuntimeError(f"{command[0]} cannot be started: {error.strerror}.") from None

    def is_running(self):
        return self.process.poll() is None

    def result(self):
        """The result as a node that overlays the volume. Raises RuntimeError, with a sentence."""
        text = (self.folder / "said.txt").read_text(encoding="utf-8", errors="replace")
        name = f"{self.volume.GetName()} (ArSSR)"
        text = text.replace("scan.nii", self.volume.GetName()).replace("result.nii", name)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        path = str(self.folder / "result.nii")
        try:
            if self.process.returncode != 0:
                raise RuntimeError(_refusal(lines))
            if self.volume.IsA(LABEL_MAP):
                node = slicer.util.loadLabelVolume(path, {"name": name})
            else:
                node = slicer.util.loadVolume(path, {"name": name})
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        node.SetAndObserveTransformNodeID(self.volume.GetTransformNodeID())
        self.said = "\n".join(lines)
        return node

    def cancel(self):
        """End it and all that it started: PythonSlicer is a launcher, and works in a child."""
        if os.name == "nt":
            kill = ["taskkill", "/F", "/T", "/PID", str(self.process.pid)]
            subprocess.run(kill, capture_output=True, check=False)
        elif self.is_running():
            os.killpg(self.process.pid, 9)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _program(command):
    """What to call, and in which environment: that of Slicer's Python, or the system's."""
    if command:
        return [command], slicer.util.startupEnvironment()
    python = shutil.which("PythonSlicer")
    if python is None:
        raise RuntimeError("PythonSlicer was not found; name an arssr under Command.")
    return [python, "-m", "arssr"], None


def _written(node, path):
    """The name of the file that a node was written to, as NIfTI, where it lies in its own space."""
    if not slicer.util.exportNode(node, str(path), {}):
        raise RuntimeError(f"{node.GetName()} cannot be written to {path}.")
    return path.name


def _refusal(lines):
    """The sentence among what a command said that failed."""
    errors = [line for line in lines if line.startswith("error: ")]
    framed = [line.strip("│ ") for line in lines if line.startswith("│")]
    said = errors[-1:] or framed or lines[-1:] or ["The command ended without a word."]
    return " ".join(said).replace("error: ", "").replace("Invalid value: ", "")
