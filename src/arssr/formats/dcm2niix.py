"""Mosaics, read by dcm2niix (https://github.com/rordenlab/dcm2niix), if it is there."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from arssr.errors import ArSSRError
from arssr.extras import how_to_install
from arssr.formats import nifti
from arssr.formats.kind import kind_of
from arssr.formats.opened import Opened
from arssr.formats.slices import slices_beside

_SECONDS = 3600
_OPTIONS = ("-b", "y", "-z", "n", "-f", "%s_%e_%t", "-v", "0")


def open_mosaic(files: Sequence[Path], picture_ij: tuple[int, int], label: Path) -> Opened:
    """The image that dcm2niix makes of mosaics, many slices as the tiles of one picture.

    picture_ij: the size of a picture. The files are copied for it; what it makes goes when the
    image is closed.

    Raises ArSSRError where dcm2niix is not there or fails, where it makes several images, and
    where it takes the picture for a slice, for want of what only the maker's own header says.
    """
    why = "the image is a mosaic, many slices as the tiles of one picture"
    program = find_program()
    if program is None:
        raise ArSSRError(
            f"{label}: {why}, which dcm2niix can read; install it ({how_to_install('dicom')}, or "
            "a program of that name) and try again"
        )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="arssr-")))
        for name in ("in", "out"):
            (folder / name).mkdir()
        for number, path in enumerate(dict.fromkeys(files)):
            shutil.copyfile(path, folder / "in" / f"{number:06d}.dcm")
        command = [program, *_OPTIONS, "-o", str(folder / "out"), str(folder / "in")]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ArSSRError(f"{label}: {why}, and dcm2niix fails ({error})") from error
        images = sorted((folder / "out").glob("*.nii"))
        if not images:
            last = (done.stdout + done.stderr).strip().rpartition("\n")[2]
            raise ArSSRError(f"{label}: {why}, and dcm2niix makes no image of it ({last})")
        if len(images) > 1:
            raise ArSSRError(
                f"{label}: {why}, and dcm2niix makes {len(images)} images of it "
                f"({', '.join(path.stem for path in images)}); make them yourself, and name one"
            )
        opened = stack.enter_context(nifti.open_image(images[0]))
        if opened.grid.shape[:2] == picture_ij:
            raise ArSSRError(
                f"{label}: {why}, and does not say how many (the header of its maker is missing)"
            )
        slices, doubts = slices_beside(images[0], opened.grid, opened.storage.header)
        opened.warnings.extend(doubts)
        return replace(
            opened,
            slices=slices,
            kind=kind_of(images[0], opened.storage.header),
            close=stack.pop_all().close,
        )


def find_program() -> str | None:
    """The program of the user's path, else that of the Python package."""
    found = shutil.which("dcm2niix")
    if found is None and find_spec("dcm2niix"):
        import dcm2niix

        return str(dcm2niix.bin)
    return found
