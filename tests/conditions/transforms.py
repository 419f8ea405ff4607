"""What registration programs write, whole and not."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from tests.conditions.table import Condition, Seen, Table
from tests.conditions.trying import UNTOLD, upsample
from tests.phantoms import smooth, volume
from tests.registrations import MOVING, POINTS, REFERENCE, STRETCHED, moved, sitk_vectors
from tests.transforms.test_registration import WRITERS, XFM, lta
from tests.transforms.test_warp import GRID, INSIDE, MARKS, five_d, nifti, places_of

from arssr.errors import ArSSRError
from arssr.transforms.registration import load_transform

_LINEAR = {
    "ITK, ANTs": ("itk.txt", "itk.mat", "sitk.tfm", "sitk.h5", "sitk.mat"),
    "FSL": ("flirt.mat",),
    "FreeSurfer": ("ras.lta", "vox.LTA"),
}
_LPS = {"intent": 1007}
_DISPLACEMENTS = {  # the program that marks NIfTI files so, or the format; and the mark
    "ITK, ANTs (NIfTI)": _LPS,
    "Slicer (NIfTI)": {"intent": 1006},
    "NiftyReg (NIfTI)": {"name": "NREG_TRANS", "p1": 1},
    ".nrrd": None,
    ".mha": None,
}
FAMILIES = {
    **_LINEAR,
    "MNI": (".xfm",),
    "Displacements": tuple(_DISPLACEMENTS),
    "Places": tuple(MARKS),
}
_ALL = tuple(kind for kinds in FAMILIES.values() for kind in kinds)
_OF_VECTORS = FAMILIES["Displacements"] + FAMILIES["Places"]
_FAR_MM = 1e-2


def _write(kind: str, folder: Path, matrix: np.ndarray = STRETCHED) -> Path:
    """A file that leads by this matrix, in the pull direction."""
    if kind == ".xfm":
        path = folder / "talairach.xfm"
        path.write_bytes(XFM)
        return path
    if kind in WRITERS:
        WRITERS[kind](matrix, folder / kind)
        return folder / kind
    places = places_of(matrix)
    return _field(kind, folder, places if kind in MARKS else places - places_of(np.eye(4)))


def _field(kind: str, folder: Path, vectors_ras: np.ndarray) -> Path:
    """Vectors (I, J, K, 3), marked as what programs of this kind write."""
    if kind in MARKS:
        return nifti(folder / "field.nii", five_d(vectors_ras), **MARKS[kind])
    lps = vectors_ras * [-1, -1, 1]
    if kind in (".nrrd", ".mha"):
        path = folder / f"field{kind}"
        sitk.WriteImage(sitk_vectors(lps.astype(np.float32), GRID), str(path))
        return path
    mark = _DISPLACEMENTS[kind]
    return nifti(folder / "field.nii", five_d(lps if mark == _LPS else vectors_ras), **mark)


def _read(path: Path, must_tell: bool = False) -> Seen:
    """It leads where the matrix does."""
    try:
        transform = load_transform(path, MOVING, REFERENCE)
    except ArSSRError as error:
        return Seen(str(error))
    points = POINTS if transform.matrix is not None else INSIDE
    far = np.abs(transform.map(points) - moved(STRETCHED, points)).max()
    astray = f"it leads {far:.3g} mm astray" if far > _FAR_MM else ""
    return Seen(fault=UNTOLD if must_tell else astray)


def _whole(kind: str, folder: Path) -> Seen | None:
    return _read(_write(kind, folder))


def _cut(kind: str, folder: Path) -> Seen | None:
    path = _write(kind, folder)
    content = path.read_bytes()
    path.write_bytes(content[: 3 * len(content) // 4])
    return _read(path)


def _unknown_vectors(kind: str, folder: Path) -> Seen | None:
    """One that is NaN."""
    vectors = places_of(STRETCHED)
    if kind not in MARKS:
        vectors = vectors - places_of(np.eye(4))
    vectors[7, 8, 9, 0] = np.nan
    return _read(_field(kind, folder, vectors), must_tell=kind not in MARKS)


def _other_mark(kind: str, folder: Path) -> Seen | None:
    """Places marked as displacements, and displacements marked as places."""
    vectors = places_of(STRETCHED)
    if kind in MARKS:
        vectors = vectors - places_of(np.eye(4))
    return _read(_field(kind, folder, vectors), must_tell=True)


def _no_mark(kind: str, folder: Path) -> Seen | None:
    path = nifti(folder / "field.nii", five_d(places_of(STRETCHED)), intent=0)
    return _read(path, must_tell=True)


def _other_way(kind: str, folder: Path) -> Seen | None:
    path = folder / kind
    path.write_text(lta(1, STRETCHED, REFERENCE, MOVING))
    return _read(path, must_tell=True)


def _leads_beside(kind: str, folder: Path) -> Seen | None:
    """As one may that leads the other way: by 300 mm."""
    away = np.eye(4)
    away[:3, 3] = 300
    transform = _write(kind, folder, away)
    moving, reference = (MOVING, REFERENCE) if kind in WRITERS else (GRID, GRID)
    (folder / "scan").mkdir()
    scan = volume(smooth(moving.shape), moving.affine).write(folder / "scan" / "scan.nii")
    like = volume(smooth(reference.shape), reference.affine).write(folder / "scan" / "like.nii")
    return upsample(scan, "--like", like, "--transform", transform, fault=lambda _: UNTOLD)


TABLE = Table(
    "Registrations",
    (
        Condition(
            "a whole file",
            "Nothing to do: every point is led where the program would, to 0.01 mm. An MNI .xfm "
            "is converted with `lta_convert --inmni` first. See [transforms](transforms.md).",
            _whole,
            _ALL,
        ),
        Condition(
            "cut short",
            "Copy the file again.",
            _cut,
            tuple(kind for kind in _ALL if kind not in ("sitk.h5", ".xfm")),
        ),
        Condition(
            "the other way round",
            "An .lta names its two images: turn it round with `lta_convert --invert`. No other "
            "file does; one that leads beside the scan is refused all the same.",
            _other_way,
            ("ras.lta",),
        ),
        Condition(
            "leads beside the scan",
            "Nothing but air would come of it: it may lead the other way, or belong to other "
            "images.",
            _leads_beside,
            tuple(kind for kind in _ALL if kind != ".xfm"),
        ),
        Condition(
            "vectors that are NaN",
            "In fields of places they are where nothing is known, and there lies air in the "
            "result. Elsewhere the file is damaged.",
            _unknown_vectors,
            _OF_VECTORS,
        ),
        Condition(
            "vectors marked as what they are not",
            "Places that the header calls displacements, or the other way round: convert the "
            "field with the program that made it.",
            _other_mark,
            _OF_VECTORS,
        ),
        Condition(
            "vectors that are not marked",
            "Say what they are by the NIfTI intent, see [transforms](transforms.md).",
            _no_mark,
            ("Slicer (NIfTI)",),
        ),
    ),
    FAMILIES,
)
