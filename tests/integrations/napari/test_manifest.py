"""What napari is told of the plugin, and what it need not load for that."""

import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from importlib.resources import files
from pathlib import Path

from npe2 import PluginManifest

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MANIFEST = files("arssr.integrations.napari") / "napari.yaml"


def test_the_manifest_is_where_napari_looks_for_it() -> None:
    value = PROJECT["entry-points"]["napari.manifest"]["arssr"]
    module, _, name = value.partition(":")
    assert files(module) / name == MANIFEST


def test_everything_in_the_manifest_is_there() -> None:
    manifest = PluginManifest.from_file(str(MANIFEST))
    contributed = manifest.contributions
    assert contributed.readers and contributed.writers and contributed.widgets
    for command in contributed.commands or []:
        if "widget" not in str(command.python_name):  # needs Qt, see test_widget.py
            assert callable(EntryPoint("", str(command.python_name), "").load())


def test_every_format_that_is_read_is_offered() -> None:
    from arssr.files import image_suffixes

    manifest = PluginManifest.from_file(str(MANIFEST))
    patterns = {
        p for reader in manifest.contributions.readers or [] for p in reader.filename_patterns
    }
    assert {f"*{suffix}" for suffix in image_suffixes()} <= patterns


def test_no_qt_is_among_the_needs() -> None:
    needs = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["napari"]
    assert not [need for need in needs if "qt" in need.lower() or "pyside" in need.lower()]


def test_layers_need_neither_qt_nor_torch() -> None:
    """PyTorch is loaded by the process that works; beside Qt its libraries can clash."""
    modules = ("asked", "files", "layers", "running")
    code = "import sys\n" + "".join(f"import arssr.integrations.napari.{m}\n" for m in modules)
    code += (
        "print([name for name in ('torch', 'qtpy.QtWidgets', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
