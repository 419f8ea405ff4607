"""The module of 3D Slicer, without Slicer: what Slicer does is done by a stand-in that knows nodes,
and files as Slicer writes and reads them, and nothing else.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from tests.phantoms import smooth
from tests.serving.conftest import wait_for

from arssr import Grid, Volume

MODULE = Path(__file__).parents[2] / "integrations" / "slicer" / "ArSSR" / "ArSSR.py"
TILT = nib.eulerangles.euler2mat(0.2, -0.3, 0.4)


class Node:
    """A volume node: samples (k, j, i), IJK → RAS, a parent transform."""

    def __init__(
        self, samples: np.ndarray, ijk_to_ras: np.ndarray, name: str = "T1", labels: bool = False
    ) -> None:
        self.samples, self.ijk_to_ras, self.name = samples, ijk_to_ras, name
        self.kind = "vtkMRMLLabelMapVolumeNode" if labels else "vtkMRMLScalarVolumeNode"
        self.transform: str | None = None

    def GetName(self) -> str:  # noqa: N802
        return self.name

    def IsA(self, kind: str) -> bool:  # noqa: N802
        return kind == self.kind

    def GetTransformNodeID(self) -> str | None:  # noqa: N802
        return self.transform

    def SetAndObserveTransformNodeID(self, transform: str | None) -> None:  # noqa: N802
        self.transform = transform


def save(node: Node, path: str, _properties: dict[str, str]) -> bool:
    """As ITK writes NIfTI: qform and sform of one matrix."""
    image = nib.Nifti1Image(node.samples.T, node.ijk_to_ras)
    image.set_qform(node.ijk_to_ras, code=1)
    image.set_sform(node.ijk_to_ras, code=1)
    nib.save(image, path)
    return True


def load(path: str, properties: dict[str, str], labels: bool = False) -> Node:
    """As ITK reads NIfTI, by the quaternion, which holds rotations only."""
    image: Any = nib.load(path)
    samples = np.asarray(image.dataobj).T
    return Node(samples, image.get_qform(), properties["name"], labels)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    slicer, loadable = ModuleType("slicer"), ModuleType("slicer.ScriptedLoadableModule")
    slicer.util = SimpleNamespace(  # type: ignore[attr-defined]
        exportNode=save,
        loadVolume=load,
        loadLabelVolume=lambda path, named: load(path, named, labels=True),
        startupEnvironment=lambda: None,
    )
    for name in ("", "Logic", "Widget"):
        setattr(loadable, f"ScriptedLoadableModule{name}", type(f"Base{name}", (), {}))
    stubs = {"slicer": slicer, "slicer.ScriptedLoadableModule": loadable}
    for name, stub in (stubs | {"qt": ModuleType("qt"), "ctk": ModuleType("ctk")}).items():
        monkeypatch.setitem(sys.modules, name, stub)
    (tmp_path / "bin").mkdir()
    launcher = tmp_path / "bin" / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\n{sys.executable} "$@"\n')
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spec = importlib.util.spec_from_file_location("ArSSR", MODULE)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def done(run: Any) -> Any:
    wait_for(lambda: not run.is_running())
    return run.result()


def node(mirrored: int = 1, labels: bool = False) -> Node:
    """Oblique slices of 3 mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = TILT @ np.diag([mirrored, 1, 3.0])
    matrix[:3, 3] = (11, -30, 4.5)
    samples = 100 * smooth((5, 11, 12))
    if labels:
        samples = np.where(samples > 50, 7, 0).astype(np.int16)
    return Node(samples, matrix, "T1 after", labels)


@pytest.mark.slow
@pytest.mark.parametrize("mirrored", [1, -1])
def test_a_result_overlays_its_volume(module: Any, mirrored: int, tmp_path: Path) -> None:
    volume = node(mirrored)
    volume.transform = "vtkMRMLLinearTransformNode1"
    result = done(run := module.ArSSRLogic().start(volume))
    assert result.samples.shape == (15, 11, 12)
    for ijk in ((0, 0, 0), (11, 10, 4), (3, 0, 2)):
        there = (np.add(ijk, 0.5)) * (1, 1, 3) - 0.5
        apart = nib.affines.apply_affine(volume.ijk_to_ras, ijk) - nib.affines.apply_affine(
            result.ijk_to_ras, there
        )
        assert np.abs(apart).max() < 1e-3
    assert result.transform == volume.transform
    assert result.name == "T1 after (ArSSR)" and "slices of 3 mm along k become 1 mm" in run.said
    assert not list(tmp_path.glob("arssr-*"))


@pytest.mark.slow
def test_label_maps_stay_label_maps_on_the_grid_of_another(module: Any) -> None:
    like = Node(np.zeros((8, 9, 10), np.float32), node().ijk_to_ras @ np.diag([1, 1, 0.5, 1]))
    result = done(module.ArSSRLogic().start(node(labels=True), "--like", like=like))
    assert result.kind == "vtkMRMLLabelMapVolumeNode" and result.samples.shape == (8, 9, 10)
    np.testing.assert_allclose(result.ijk_to_ras, like.ijk_to_ras, atol=1e-4)
    assert set(np.unique(result.samples)) == {0, 7}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"target": "--scale", "numbers": "-2"}, "T1 after: a scale must be greater than 0"),
        ({"target": "--scale", "numbers": "two"}, "two"),
        ({"model": "lighter"}, "no weights 'lighter'"),
    ],
)
def test_what_the_command_refuses_is_a_sentence(module: Any, asked: Any, sentence: str) -> None:
    with pytest.raises(RuntimeError, match=sentence) as refused:
        done(module.ArSSRLogic().start(node(), **asked))
    assert "\n" not in str(refused.value) and "error:" not in str(refused.value)


def test_what_is_missing_is_a_sentence(module: Any, tmp_path: Path) -> None:
    logic = module.ArSSRLogic()
    moved = node()
    moved.transform = "vtkMRMLLinearTransformNode1"
    for asked, sentence in (
        ({"volume": None}, "Choose a volume"),
        ({"volume": node(), "target": "--like"}, "whose grid"),
        ({"volume": node(), "target": "--like", "like": moved}, "the same transform"),
        ({"volume": node(), "command": "/nowhere/arssr"}, "cannot be started"),
    ):
        with pytest.raises(RuntimeError, match=sentence):
            logic.start(**asked)
    assert not list(tmp_path.glob("arssr-*"))
    assert logic.is_installed()


def test_a_cancelled_run_ends_with_all_that_it_started(module: Any, tmp_path: Path) -> None:
    """PythonSlicer is a launcher: the work is done by its child."""
    launcher = tmp_path / "arssr"
    launcher.write_text("#!/bin/sh\nsleep 60 &\necho $! > child\nwait\n")
    launcher.chmod(0o755)
    run = module.ArSSRLogic().start(node(), command=str(launcher))
    started = run.folder / "child"
    wait_for(lambda: started.exists() and started.read_text().endswith("\n"))
    child = Path("/proc") / started.read_text().strip()
    assert child.exists()
    run.cancel()
    wait_for(lambda: not child.exists() or "Z" in (child / "stat").read_text().split()[2])
    assert not list(tmp_path.glob("arssr-*"))


def test_models_are_those_that_ship(module: Any) -> None:
    from arssr.weights.names import shipped

    assert set(module.MODELS) == set(shipped())


def test_volumes_in_the_stand_in_lie_where_arssr_reads_them(tmp_path: Path) -> None:
    volume = node(-1)
    save(volume, str(tmp_path / "a.nii"), {})
    grid = Grid(volume.samples.T.shape, volume.ijk_to_ras)
    assert Volume.read(tmp_path / "a.nii").grid.matches(grid)
