"""A small scan as a file of every format, built without the code that is tried."""

import gzip
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from tests.formats.series import write_series

from arssr.formats.streams import open_writing
from arssr.grid import Grid

SHAPE = (6, 5, 4)
AFFINE = np.array([[-1.0, 0, 0, 20], [0, 1, 0, -30], [0, 0, 3, 10], [0, 0, 0, 1]])
GRID = Grid(SHAPE, AFFINE)
STORED = np.random.default_rng(0).permutation(120).astype(np.int16).reshape(SHAPE)
_LPS = np.diag([-1.0, -1, 1, 1])
_NAMES = {  # of types, in NRRD and in MetaImage
    "u1": ("uchar", "MET_UCHAR"),
    "i2": ("short", "MET_SHORT"),
    "i4": ("int", "MET_INT"),
    "f4": ("float", "MET_FLOAT"),
}
Edit = Callable[[list[Path]], object]


def write(
    variant: str,
    folder: Path,
    stored: np.ndarray = STORED,
    affine: np.ndarray = AFFINE,
    name: str = "scan",
    compressed: bool = False,
) -> Path | None:
    """An image (I, J, K) or (I, J, K, frames); None where the format has not such samples.

    compressed: inside formats that may be; names of others say it.
    """
    if "nii" in variant or variant == "NIfTI-2":
        return nifti(variant, folder, stored, affine, name=name)
    if stored.dtype.str[1:] not in _NAMES:
        return None
    if variant in (".mgh", ".mgz"):
        if stored.ndim > 4 or stored.shape[3:] == (1,):
            return None
        return mgh(variant, folder, stored, affine, name=name)
    if variant in (".nrrd", ".nhdr"):
        if stored.ndim > 4:
            return None
        encoding = {"encoding": "gzip"} if compressed else {}
        return nrrd(variant, folder, stored, affine, name=name, **encoding)
    if variant in (".mha", ".mhd"):
        packed = {"CompressedData": "True"} if compressed else {}
        return meta(variant, folder, stored, affine, name=name, **packed)
    return dicom(variant, folder, stored, affine) if stored.dtype.kind in "iu" else None


def samples_of(path: Path) -> Path:
    """The file in which the last samples lie."""
    if path.is_dir():
        return max(path.iterdir())
    return path.with_suffix(".raw") if path.suffix in (".nhdr", ".mhd") else path


def nifti(
    variant: str,
    folder: Path,
    stored: np.ndarray = STORED,
    affine: np.ndarray | None = AFFINE,
    qform: np.ndarray | None = None,
    name: str = "scan",
    more: bytes = b"",
    **fields: object,
) -> Path:
    """fields: of the header, as they are, whether they make sense or not. more: behind the samples.

    affine is the sform; where it is None, qform alone is there.
    """
    kind = nib.Nifti2Image if variant == "NIfTI-2" else nib.Nifti1Image
    image = kind(stored, None, dtype=stored.dtype)
    image.set_sform(affine, int(affine is not None))
    image.set_qform(qform, int(qform is not None))
    header = image.header
    header["pixdim"][1:4] = nib.affines.voxel_sizes(AFFINE if affine is None else affine)
    header["vox_offset"] = header.single_vox_offset
    for field, value in fields.items():
        header[field] = value
    path = folder / f"{name}{'.nii' if variant == 'NIfTI-2' else variant}"
    with open_writing(path) as file:
        file.write(header.binaryblock + bytes(4) + stored.tobytes(order="F") + more)
    return path


def mgh(
    variant: str,
    folder: Path,
    stored: np.ndarray = STORED,
    affine: np.ndarray = AFFINE,
    name: str = "scan",
    more: bytes = b"",
    edits: dict[int, bytes] | None = None,
) -> Path:
    """edits: what comes where in the file."""
    content = bytearray(nib.MGHImage(stored, affine).to_bytes())
    for at, part in (edits or {}).items():
        content[at : at + len(part)] = part
    path = folder / f"{name}{variant}"
    with open_writing(path) as file:
        file.write(bytes(content) + more)
    return path


def nrrd(
    variant: str,
    folder: Path,
    stored: np.ndarray = STORED,
    affine: np.ndarray = AFFINE,
    name: str = "scan",
    more: bytes = b"",
    **fields: str | None,
) -> Path:
    """fields: lines of the header, with _ for blanks; None takes one away."""
    n = stored.ndim
    axes, origin = np.eye(n), np.zeros(n)
    axes[:3, :3], origin[:3] = affine[:3, :3].T, affine[:3, 3]
    known: dict[str, str | None] = {
        "type": _NAMES[stored.dtype.str[1:]][0],
        "dimension": str(n),
        "space": "right-anterior-superior" + ("-time" if n > 3 else ""),
        "sizes": _words(stored.shape),
        "space directions": " ".join(map(_vector, axes)),
        "space origin": _vector(origin),
        "endian": "little",
        "encoding": "raw",
    }
    known |= {field.replace("_", " "): value for field, value in fields.items()}
    content = stored.tobytes(order="F") + more
    if known["encoding"] == "gzip":
        content = gzip.compress(content, mtime=0)
    path = folder / f"{name}{variant}"
    if variant == ".nhdr":
        known["data file"] = f"{name}.raw"
        path.with_suffix(".raw").write_bytes(content)
        content = b""
    lines = (f"{field}: {value}\n" for field, value in known.items() if value is not None)
    path.write_bytes(b"NRRD0005\n" + "".join(lines).encode() + b"\n" + content)
    return path


def nrrd_with_axis(
    variant: str,
    folder: Path,
    stored: np.ndarray,
    kind: str,
    at: int = 0,
    affine: np.ndarray = AFFINE,
) -> Path:
    """A NRRD with one axis that is none of space, of this kind and at this position."""
    kinds, directions = ["domain"] * 3, [*map(_vector, affine[:3, :3].T)]
    kinds.insert(at, kind)
    directions.insert(at, "none")
    return nrrd(
        variant,
        folder,
        stored,
        space="right-anterior-superior",
        space_directions=" ".join(directions),
        space_origin=_vector(affine[:3, 3]),
        kinds=" ".join(kinds),
    )


def coloured(
    variant: str, folder: Path, affine: np.ndarray = AFFINE, shape: tuple[int, int, int] = SHAPE
) -> Path | None:
    """Red, green and blue for each voxel."""
    rgb = np.zeros((3, *shape), np.uint8)
    if "nii" in variant or variant == "NIfTI-2":
        together = np.zeros(shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
        return nifti(variant, folder, together, affine)
    if variant in (".nrrd", ".nhdr"):
        return nrrd_with_axis(variant, folder, rgb, "RGB-color", affine=affine)
    if variant in (".mha", ".mhd"):
        more = bytes(2 * rgb[0].size)
        return meta(variant, folder, rgb[0], affine, more=more, ElementNumberOfChannels="3")
    if variant in (".mgh", ".mgz"):
        return None
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    return dicom(variant, folder, rgb, affine, **tags)


def meta(
    variant: str,
    folder: Path,
    stored: np.ndarray = STORED,
    affine: np.ndarray = AFFINE,
    name: str = "scan",
    more: bytes = b"",
    **fields: str | None,
) -> Path:
    """fields: lines of the header; None takes one away."""
    lps, n = _LPS @ affine, stored.ndim
    spacing = np.ones(n)
    spacing[:3] = nib.affines.voxel_sizes(affine)
    directions, origin = np.eye(n), np.zeros(n)
    directions[:3, :3] = (lps[:3, :3] / spacing[:3]).T
    origin[:3] = lps[:3, 3]
    content = stored.tobytes(order="F") + more
    if fields.get("CompressedData"):
        content = zlib.compress(content)
    known: dict[str, str | None] = {
        "ObjectType": "Image",
        "NDims": str(n),
        "BinaryData": "True",
        "TransformMatrix": _words(directions.ravel()),
        "Offset": _words(origin),
        "ElementSpacing": _words(spacing),
        "DimSize": _words(stored.shape),
    }
    known |= fields | {"ElementType": _NAMES[stored.dtype.str[1:]][1]}
    path = folder / f"{name}{variant}"
    known["ElementDataFile"] = f"{name}.raw" if variant == ".mhd" else "LOCAL"
    if variant == ".mhd":
        path.with_suffix(".raw").write_bytes(content)
        content = b""
    lines = (f"{field} = {value}\n" for field, value in known.items() if value is not None)
    path.write_bytes("".join(lines).encode() + content)
    return path


def dicom(
    variant: str,
    folder: Path,
    stored: np.ndarray = STORED,
    affine: np.ndarray = AFFINE,
    edit: Edit = len,
    **tags: object,
) -> Path:
    """A series in a folder or in a .zip. edit: what to do with its files, by k, before."""
    grid = Grid(stored.shape[-3:], affine)
    edit(write_series(folder / "series", stored, grid, **tags))
    if variant == "folder":
        return folder / "series"
    return Path(shutil.make_archive(str(folder / "series"), "zip", folder / "series"))


def _vector(numbers: np.ndarray) -> str:
    """As NRRD writes it."""
    return "(" + ",".join(f"{number:.10g}" for number in numbers) + ")"


def _words(numbers: Sequence[float] | np.ndarray) -> str:
    return " ".join(f"{number:.10g}" for number in numbers)
