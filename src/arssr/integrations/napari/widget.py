"""The dock widget; what it does is done by `asked`, `running` and `layers`."""

from functools import partial
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels, Layer
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from arssr.errors import ArSSRError
from arssr.grid import shape_in_words, spacing_in_words
from arssr.integrations.napari import asked
from arssr.integrations.napari.layers import is_volume, overlaid, volume_of
from arssr.integrations.napari.running import Made, Run
from arssr.weights.names import shipped

_LOOKS = 100  # ms between two looks at a run
_A_FILE = "From a file …"
_EXAMPLES = {asked.SCALE: "2", asked.SPACING: "1"}


class SuperResolve(QWidget):
    """Chooses a layer and what becomes of it, runs, tells how far it is, and adds the result."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._runs: list[Run] = []  # that under way, if one is
        self._of: tuple[Any, Any] | None = None  # the layers of the run: scan and frame
        self._suggested: Any = None  # the layer that the target was last suggested for
        self.destroyed.connect(partial(_cancel, self._runs))  # with the window; `self` is gone then
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._make()
        self._list_layers()
        for event in ("inserted", "removed", "reordered"):
            getattr(viewer.layers.events, event).connect(self._list_layers)

    def _make(self) -> None:
        self.layer, self.like = QComboBox(), QComboBox()
        self.target, self.numbers = _choice(asked.TARGETS), QLineEdit(_EXAMPLES[asked.SCALE])
        self.numbers.setToolTip("One number, or three in the order of the layer's axes.")
        self.model = _choice({name: name for name in shipped()} | {_A_FILE: _A_FILE})
        self.acquisition = _choice(asked.ACQUISITIONS)
        self.acquisition.setToolTip("How the scan was made, where its file does not say so.")
        self.button, self.progress = QPushButton("Super-resolve"), QProgressBar()
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._form = form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Layer", self.layer)
        form.addRow("Target", self.target)
        form.addRow("", self.numbers)
        form.addRow("", self.like)
        form.addRow("Model", self.model)
        form.addRow("Acquisition", self.acquisition)
        self.progress.hide()
        row = QHBoxLayout()
        row.addWidget(self.progress, 1)
        row.addStretch(0)
        row.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addLayout(row)
        layout.addWidget(self.message)
        layout.addStretch(1)
        for combo in (self.layer, self.like):
            combo.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
        self.layer.currentIndexChanged.connect(self._suggest)
        self.target.currentIndexChanged.connect(self._show_what_counts)
        self.model.activated.connect(self._choose_file)
        self.button.clicked.connect(self._run_or_cancel)

    def _list_layers(self, *_: Any) -> None:
        """The layers there are, the chosen ones still chosen."""
        layers = [layer for layer in self._viewer.layers if is_volume(layer)]
        for layer in layers:
            layer.events.name.connect(self._list_layers)  # once, however often it is asked for
        for combo in (self.layer, self.like):
            chosen = combo.currentData()
            if chosen not in layers:
                active = self._viewer.layers.selection.active
                chosen = active if active in layers else next(iter(reversed(layers)), None)
            combo.blockSignals(True)
            combo.clear()
            for layer in layers:
                combo.addItem(layer.name, layer)
            combo.setCurrentIndex(layers.index(chosen) if chosen in layers else -1)
            combo.blockSignals(False)
        if not self._runs:
            self.button.setEnabled(bool(layers))
            if not layers:
                self._say("Open a 3D image first.")
        self._suggest()

    def _suggest(self, *_: Any) -> None:
        layer = self.layer.currentData()
        if layer is not None and layer is not self._suggested:
            self._suggested = layer
            try:
                target = asked.usual_target(layer)
                self._say("")
            except ArSSRError as error:
                target = asked.THICK
                self._say(str(error), is_error=True)
            self.target.setCurrentIndex(self.target.findData(target))
        self._show_what_counts()

    def _show_what_counts(self, *_: Any) -> None:
        target, layer = self.target.currentData(), self.layer.currentData()
        if target in _EXAMPLES and not self.numbers.text():
            self.numbers.setText(_EXAMPLES[target])
        self._form.setRowVisible(self.numbers, target in _EXAMPLES)
        self._form.setRowVisible(self.like, target == asked.LIKE)
        for combo in (self.model, self.acquisition):  # label maps need no network
            self._form.setRowVisible(combo, not isinstance(layer, Labels))

    def _choose_file(self, *_: Any) -> None:
        if self.model.currentData() != _A_FILE:
            return
        path, _kind = QFileDialog.getOpenFileName(
            self, "Weights", "", "Weights (*.safetensors *.pkl)"
        )
        if path:
            self.model.insertItem(0, path.rpartition("/")[2], path)
        self.model.setCurrentIndex(0)

    def _run_or_cancel(self, *_: Any) -> None:
        if self._runs:
            _cancel(self._runs)
            self._end("Cancelled; nothing of it was kept.")
            return
        layer, target = self.layer.currentData(), self.target.currentData()
        like = self.like.currentData() if target == asked.LIKE else None
        try:
            options = asked.options_of(
                layer, target, self.numbers.text(), like, self.acquisition.currentData()
            )
            scan = volume_of(layer)
        except ArSSRError as error:
            self._say(str(error), is_error=True)
            return
        self._of = (layer, like or layer)
        self._runs.append(Run(self.model.currentData(), scan, options))
        self.button.setText("Cancel")
        self.progress.show()
        self._say("")
        self._timer.start(_LOOKS)

    def _look(self) -> None:
        """How far the run is; what came of it."""
        (run,) = self._runs
        self.progress.setValue(round(100 * run.share))
        self.progress.setFormat(f"{run.what} %p %" if run.share else run.what)
        if run.is_over and run.made is not None:
            self._add(run.made)
        elif run.is_over:
            self._end(run.error, is_error=True)

    def _add(self, made: Made) -> None:
        layer, frame = self._of or (None, None)
        result = Layer.create(*overlaid(made.volume, layer, frame))
        self._viewer.add_layer(result)
        grid = made.volume.grid
        size = f"{shape_in_words(grid.shape)} voxels of {spacing_in_words(grid.spacing_mm)}"
        self._end("\n\n".join([f"{result.name}: {size}.", *made.told]))

    def _end(self, sentence: str, *, is_error: bool = False) -> None:
        self._timer.stop()
        self._runs.clear()
        self._of = None
        self.progress.reset()
        self.progress.hide()
        self.button.setText("Super-resolve")
        self.button.setEnabled(self.layer.count() > 0)
        self._say(sentence, is_error=is_error)

    def _say(self, sentence: str, *, is_error: bool = False) -> None:
        self.message.setStyleSheet("color: #e5534b" if is_error else "")
        self.message.setText(sentence[:1].upper() + sentence[1:] if is_error else sentence)

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """End what is under way where this is taken out of the window."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None and self._runs:
            _cancel(self._runs)
            self._end("")
        super().changeEvent(event)


def _cancel(runs: list[Run], *_: Any) -> None:
    for run in runs:
        run.cancel()


def _choice(named: dict[str, str]) -> Any:
    """A combo box: what is chosen, by how it is called."""
    combo = QComboBox()
    for value, name in named.items():
        combo.addItem(name, value)
    return combo
