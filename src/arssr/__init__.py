"""ArSSR: sharper 3D MR scans at any scale.

>>> import arssr
>>> arssr.Grid((10, 10, 10), [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
Grid(10×10×10 voxels of 1×1×1 mm, RAS)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arssr.api import Model, load_model, upsample
    from arssr.differentiable import DifferentiableField
    from arssr.errors import ArSSRError, ArSSRWarning
    from arssr.field import VoxelField
    from arssr.grid import Grid
    from arssr.merging.merge import merge
    from arssr.notebook import view
    from arssr.volume import Storage, Volume

    __version__: str

_HOMES = {
    "ArSSRError": "arssr.errors",
    "ArSSRWarning": "arssr.errors",
    "DifferentiableField": "arssr.differentiable",
    "Grid": "arssr.grid",
    "Model": "arssr.api",
    "Storage": "arssr.volume",
    "Volume": "arssr.volume",
    "VoxelField": "arssr.field",
    "load_model": "arssr.api",
    "merge": "arssr.merging.merge",
    "upsample": "arssr.api",
    "view": "arssr.notebook",
}
__all__ = [
    "ArSSRError",
    "ArSSRWarning",
    "DifferentiableField",
    "Grid",
    "Model",
    "Storage",
    "Volume",
    "VoxelField",
    "__version__",
    "load_model",
    "merge",
    "upsample",
    "view",
]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: `import arssr` stays instant."""
    if name == "__version__":
        return import_module("importlib.metadata").version("arssr")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'arssr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
