"""What is fuzzed: small valid files of every format, and reading them with anything changed.

Reading must end in a volume or in an ArSSRError, whatever the bytes are.
"""

import io
import tempfile
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
from tests.formats.series import write_series

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.volume import Storage, Volume, open_frames, open_writer

FORMATS = ("nii", "nii.gz", "nii.zst", "mgh", "mgz", "nrrd", "mha", "dicom", "zip")
_GRID = Grid((5, 4, 3), np.array([[0, -2.0, 0, 10], [1.5, 0, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]]))
_STORED = np.arange(60, dtype=np.int16).reshape(5, 4, 3)


def seeds(kind: str) -> list[bytes]:
    """A few valid files: 3D and 4D, integers and floating point."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if kind == "dicom":
            paths = write_series(folder, _STORED, _GRID, slope=0.5, inter=3)
            return [paths[0].read_bytes()]
        if kind == "zip":
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
                for number, path in enumerate(write_series(folder, _STORED, _GRID)):
                    archive.write(path, str(number))
            return [content.getvalue()]
        path = folder / f"a.{kind}"
        found = []
        for storage in (np.dtype("i2"), None):
            for frames in (1, 2):
                header = nib.Nifti2Header() if storage else nib.Nifti1Header()
                like = Volume(_STORED, _GRID, Storage(storage, header=header))
                with open_writer(path, like, _GRID, overwrite=True, frames=frames) as writer:
                    for _ in range(frames):
                        writer.put(_STORED)
                found.append(path.read_bytes())
        return found


def read(kind: str, content: bytes, folder: Path) -> Volume | None:
    """The first frame of a file with this content, or None where it was refused in words."""
    source = folder / ("a" if kind == "dicom" else f"a.{kind}")
    if kind == "dicom":
        source.mkdir(exist_ok=True)
        (source / "1").write_bytes(content)
    else:
        source.write_bytes(content)
    try:
        with open_frames(source) as frames:
            return frames.frame(0)
    except ArSSRError as error:
        assert str(error).startswith(str(folder)) and "\n" not in str(error), str(error)
        return None
