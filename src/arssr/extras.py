"""What a plain installation leaves out, and the sentence that says how to get it.

`pip install arssr` brings what super-resolution of NIfTI, MGH and DICOM takes; everything else is
an extra of pyproject.toml. Whatever needs one says so before it begins.
"""

from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from arssr.errors import ArSSRError

EXTRAS = {
    "cluster": ("distributed", "dask_jobqueue"),
    "bids": ("matplotlib", "skimage"),
    "demo": ("nilearn",),
    "dicom": ("dcm2niix",),
    "formats": ("SimpleITK", "nitransforms"),
    "mrd": ("ismrmrd",),
    "napari": ("napari",),
    "notebook": ("ipyniivue",),
    "onnx": ("onnx",),
    "pipelines": ("nipype",),
    "report": ("matplotlib", "skimage", "yaml"),
    "train": ("lightning", "tensorboard", "yaml"),
    "view": ("starlette", "uvicorn", "matplotlib", "skimage"),
}
"""The modules of each extra that our code imports."""

_PACKAGES = {
    "dask_jobqueue": "dask-jobqueue",
    "skimage": "scikit-image",
    "yaml": "PyYAML",
}
"""What the registry calls them, where that differs."""


def require(extra: str, what: str, *modules: str) -> None:
    """Nothing, where the modules (if none are named, all of the extra) can be imported.

    what: needs them, such as "arssr train". Raises ArSSRError that says what is missing, and how
    to install it.

    >>> require("formats", "reading scan.nrrd", "SimpleITK")
    """
    wanted = modules or EXTRAS[extra]
    missing = [_PACKAGES.get(name, name) for name in wanted if find_spec(name) is None]
    if missing:
        names = " and ".join(filter(None, (", ".join(missing[:-1]), missing[-1])))
        raise ArSSRError(f"{what} needs {names}: {how_to_install(extra)}")


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of those packages that are installed: one of an extra may not be."""
    found = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def how_to_install(extra: str) -> str:
    """The command that does."""
    return f"pip install 'arssr[{extra}]'"
