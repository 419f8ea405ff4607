"""The real window: open it, use the widget as a person does, and keep pictures of it.

    python window.py SCAN FOLDER

Whatever is not as it should be is an AssertionError. SCAN has thick slices.
"""

import sys
import time
import warnings
from collections.abc import Callable
from importlib.resources import files
from multiprocessing import active_children
from pathlib import Path

import napari
import numpy as np
from napari.layers import Labels
from npe2 import PluginManager, PluginManifest
from qtpy.QtWidgets import QApplication

import arssr
from arssr.integrations.napari import asked
from arssr.integrations.napari.running import Run
from arssr.integrations.napari.widget import SuperResolve
from arssr.volume import Volume

scan, folder = sys.argv[1], Path(sys.argv[2])
warnings.filterwarnings("ignore", "Non-orthogonal slicing")
PluginManager.instance().discover()
where = Path(arssr.__file__).parents[1]
if "arssr" in PluginManager.instance():
    print(f"discovered in {where}")
else:  # not installed, but on the path
    print(f"registered in {where}")
    manifest = files("arssr.integrations.napari") / "napari.yaml"
    PluginManager.instance().register(PluginManifest.from_file(str(manifest)))
viewer = napari.Viewer()
viewer.window.resize(1280, 760)
widget = viewer.window.add_plugin_dock_widget("arssr", "Super-resolve")[1]


def spin(seconds: float = 0.2) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not what():
        assert time.monotonic() < end
        spin()


def picture(name: str) -> np.ndarray:
    spin(0.5)
    return viewer.screenshot(str(folder / f"{name}.png"), canvas_only=False, flash=False)


spin()
assert not widget.button.isEnabled() and widget.message.text() == "Open a 3D image first."

(layer,) = viewer.open(scan, plugin="arssr")
spin()
assert widget.button.isEnabled() and widget.layer.currentData() is layer
assert widget.target.currentData() == asked.THICK and not widget.numbers.isVisible()

widget.target.setCurrentIndex(widget.target.findData(asked.SCALE))
widget.numbers.setText("two")
widget.button.click()
assert "ne number or three" in widget.message.text() and not widget._runs
picture("error")

widget.numbers.setText("12")  # long enough to be cancelled
widget.button.click()
assert widget.button.text() == "Cancel"
wait_for(lambda: widget._runs[0].what not in ("starting", "loading the model"))
picture("running")
widget.button.click()
assert widget.message.text().startswith("Cancelled") and len(viewer.layers) == 1

widget.target.setCurrentIndex(widget.target.findData(asked.THICK))
widget.button.click()
wait_for(lambda: not widget._runs)
assert len(viewer.layers) == 2, widget.message.text()
result = viewer.layers[1]
assert result.data.shape[0] > 2 * layer.data.shape[0]
np.testing.assert_allclose(result.contrast_limits, layer.contrast_limits)
extents = [np.array(each.extent.world) for each in (layer, result)]
slice_mm = np.linalg.norm(np.subtract(*(layer.data_to_world(p) for p in ((1, 0, 0), (0, 0, 0)))))
assert np.abs(extents[0] - extents[1]).max() < slice_mm

saved = result.save(str(folder / "saved.nii.gz"), plugin="arssr")
assert Volume.read(saved[0]).grid.spacing_mm.max() < slice_mm / 2

viewer.dims.order = (1, 0, 2)  # coronal: across the slices
viewer.camera.orientation2d = ("down", "right")
viewer.grid.enabled = True
viewer.reset_view()
shown = picture("done")
middle = shown[100:-100, 350:900, :3]
assert middle.std() > 10  # the canvas is not empty

mask = np.asarray(layer.data > np.median(layer.data)).astype(np.uint8)
viewer.add_layer(Labels(mask, scale=layer.scale, affine=layer.affine, units=layer.units))
widget.layer.setCurrentIndex(widget.layer.count() - 1)
spin()
assert not widget.model.isVisible() and not widget.acquisition.isVisible()
widget.button.click()
wait_for(lambda: not widget._runs)
assert isinstance(viewer.layers[-1], Labels) and len(viewer.layers) == 4, widget.message.text()


def busy() -> tuple[SuperResolve, Run]:
    """A widget that is opened anew, and what it will do for long."""
    opened = viewer.window.add_plugin_dock_widget("arssr", "Super-resolve")[1]
    opened.layer.setCurrentIndex(opened.layer.findData(layer))
    opened.target.setCurrentIndex(opened.target.findData(asked.SCALE))
    opened.numbers.setText("12")
    opened.button.click()
    wait_for(lambda: bool(active_children()))
    return opened, opened._runs[0]


viewer.window.remove_dock_widget(widget)
widget, run = busy()
viewer.window.remove_dock_widget(widget)
wait_for(lambda: run.is_over and not active_children())
assert run.made is None and run.error == "", run.error
viewer.layers.pop()  # nobody who is gone hears of it

widget, run = busy()
viewer.close()
wait_for(lambda: run.is_over and not active_children())
assert run.made is None and run.error == "", run.error
