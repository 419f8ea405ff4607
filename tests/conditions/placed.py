"""What headers say of where an image lies: in any order and unit, against themselves, or not."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from pydicom.uid import generate_uid
from tests.conditions.files import AFFINE, GRID, SHAPE, STORED, dicom, meta, mgh, nifti, nrrd, write
from tests.conditions.table import FAMILIES, Condition, Seen, Table
from tests.conditions.trying import read, upsample
from tests.phantoms import rotated, smooth

from arssr.formats.place import apart_mm

_WITH_HEADERS = tuple(v for family in list(FAMILIES)[:4] for v in FAMILIES[family])
SHEARED = AFFINE.copy()
SHEARED[1, 2] = 0.8  # 15°, a gantry that is tilted
FLAT = AFFINE.copy()
FLAT[1, 2] = 20


def _moved(mm: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 3] += mm
    return affine


def _on(affine: np.ndarray, must_tell: bool = False) -> Callable[[str, Path], Seen | None]:
    return lambda variant, folder: read(
        write(variant, folder, affine=affine), affine=affine, must_tell=must_tell
    )


def _sform_against_qform(variant: str, folder: Path) -> Seen | None:
    return read(nifti(variant, folder, qform=_moved(9)), must_tell=True)


def _qform_alone(variant: str, folder: Path) -> Seen | None:
    return read(nifti(variant, folder, affine=None, qform=AFFINE))


def _unknown_code(variant: str, folder: Path) -> Seen | None:
    return read(nifti(variant, folder, qform=AFFINE, sform_code=77), must_tell=True)


def _no_quaternion(variant: str, folder: Path) -> Seen | None:
    return read(nifti(variant, folder, affine=None, qform=AFFINE, quatern_b=2), stored=None)


def _sizes(factor: float) -> Callable[[str, Path], Seen | None]:
    """The sizes of voxels stated as so many times what the axes say."""

    def attempt(variant: str, folder: Path) -> Seen | None:
        sizes = factor * GRID.spacing_mm
        if variant in FAMILIES["NIfTI"]:
            pixdim = np.ones(8)
            pixdim[1:4] = sizes
            return read(nifti(variant, folder, pixdim=pixdim), must_tell=True)
        if variant in FAMILIES["MGH"]:  # the axes are not of length 1
            axes = struct.pack(">9f", *(AFFINE[:3, :3] / GRID.spacing_mm / factor).T.ravel())
            return read(mgh(variant, folder, edits={42: axes}), stored=None)
        if variant in FAMILIES["MetaImage"]:
            lps = np.diag([-1, -1, 1]) @ AFFINE[:3, :3] / GRID.spacing_mm / factor
            words = " ".join(map(str, lps.T.ravel()))
            return read(meta(variant, folder, TransformMatrix=words), stored=None)
        if variant in FAMILIES["DICOM"]:
            stated = str(3 * factor)
            return read(dicom(variant, folder, SpacingBetweenSlices=stated), must_tell=True)
        return None

    return attempt


def _no_size(size: float) -> Callable[[str, Path], Seen | None]:
    """A voxel that is 0 or negative along the first axis."""

    def attempt(variant: str, folder: Path) -> Seen | None:
        if variant in FAMILIES["NIfTI"]:
            pixdim = np.array([1, size, 1, 3, 0, 0, 0, 0.0])
            path = nifti(variant, folder, affine=None, qform=AFFINE, pixdim=pixdim)
            return read(path, stored=None)
        if variant in FAMILIES["MGH"]:
            path = mgh(variant, folder, edits={30: struct.pack(">f", size)})
        elif variant in FAMILIES["NRRD"]:
            spacings = {"space": None, "space_directions": None, "space_origin": None}
            path = nrrd(variant, folder, **spacings, spacings=f"{size} 1 3")
        elif variant in FAMILIES["MetaImage"]:
            path = meta(variant, folder, ElementSpacing=f"{size} 1 3")
        else:
            path = dicom(variant, folder, PixelSpacing=[1, size])
        return read(path, stored=None)

    return attempt


def _not_said(variant: str, folder: Path) -> Seen | None:
    if variant in FAMILIES["NIfTI"]:
        return read(nifti(variant, folder, sform_code=0), stored=None)
    if variant in FAMILIES["MGH"]:
        return read(mgh(variant, folder, edits={28: bytes(2)}), stored=None)
    if variant in FAMILIES["NRRD"]:
        fields = {"space": None, "space_directions": None, "space_origin": None}
        return read(nrrd(variant, folder, **fields, spacings="1 1 3"), stored=None)
    if variant in FAMILIES["MetaImage"]:
        return read(meta(variant, folder, TransformMatrix=None, Offset=None), stored=None)
    return read(_dicom_without(variant, folder, "ImagePositionPatient"), stored=None)


def _size_not_said(variant: str, folder: Path) -> Seen | None:
    if variant in FAMILIES["NRRD"]:
        fields = {"space": None, "space_directions": None, "space_origin": None}
        return read(nrrd(variant, folder, **fields), stored=None)
    if variant in FAMILIES["MetaImage"]:
        return read(meta(variant, folder, ElementSpacing=None), stored=None)
    return read(_dicom_without(variant, folder, "PixelSpacing"), stored=None)


def _dicom_without(variant: str, folder: Path, keyword: str) -> Path:
    def edit(paths: list[Path]) -> None:
        for path in paths:
            image = pydicom.dcmread(path)
            delattr(image, keyword)
            image.save_as(path)

    return dicom(variant, folder, edit=edit)


def _in_unit(code: int, word: str, per_mm: float) -> Callable[[str, Path], Path | None]:
    """A head in another unit, which NIfTI has a code for, and other formats a word."""

    def path(variant: str, folder: Path) -> Path | None:
        affine = AFFINE.copy()
        affine[:3] *= per_mm
        if variant in FAMILIES["NIfTI"]:
            return nifti(variant, folder, affine=affine, xyzt_units=code)
        if variant in FAMILIES["NRRD"]:
            words = " ".join([f'"{word}"'] * 3)
            return nrrd(variant, folder, affine=affine, space_units=words)
        if variant in FAMILIES["MetaImage"]:
            return meta(variant, folder, affine=affine, DistanceUnits=word)
        return None

    return path


def _other_units(variant: str, folder: Path) -> Seen | None:
    return read(_in_unit(3, "um", 1e3)(variant, folder))


def _wrong_unit(variant: str, folder: Path) -> Seen | None:
    return read(_in_unit(1, "m", 1)(variant, folder), stored=None)


def _no_length(variant: str, folder: Path) -> Seen | None:
    return read(_in_unit(0, "s", 1)(variant, folder), stored=None)


def _json_against_voxels(variant: str, folder: Path) -> Seen | None:
    path = write(variant, folder)
    (folder / "scan.json").write_text(json.dumps({"SpacingBetweenSlices": 6}))
    return read(path, must_tell=True)


def _two_frames_of_reference(variant: str, folder: Path) -> Seen | None:
    def edit(paths: list[Path]) -> None:
        image = pydicom.dcmread(paths[2])
        image.FrameOfReferenceUID = generate_uid()
        image.save_as(paths[2])

    return read(dicom(variant, folder, edit=edit), must_tell=True)


def _one_slice(variant: str, folder: Path) -> Seen | None:
    return read(write(variant, folder, STORED[..., :1]), STORED[..., :1])


def _written_sheared(variant: str, folder: Path) -> Seen | None:
    """The result of a sheared scan is where it should be, whichever form is read."""

    def fault(out: Path) -> str:
        made = nib.load(out)
        header, grid = made.header, GRID.scaled((1, 1, 3))
        wanted = SHEARED @ np.linalg.inv(AFFINE) @ grid.affine
        forms = [header.get_sform(coded=True), header.get_qform(coded=True)]
        used = [form for form, code in forms if code]
        apart = max(apart_mm(form, wanted, made.shape) for form in used)
        return f"it is up to {apart:.3g} mm away" if apart > 0.5 else ""

    stored = (1000 * smooth(SHAPE, sigma=1)).astype(np.int16)
    scan = write(variant, folder, stored, SHEARED)
    return upsample(scan, "--isotropic", fault=fault)


_TURNED = rotated(GRID, (20, -10, 35)).affine
_SWAPPED = AFFINE[:, [2, 0, 1, 3]] * [-1, 1, -1, 1]

TABLE = Table(
    "Where the scan lies",
    (
        Condition("axes that are oblique", "Nothing to do: every direction is read.", _on(_TURNED)),
        Condition(
            "axes in any order and direction",
            "Nothing to do: the axes may be swapped, reversed, left- or right-handed.",
            _on(_SWAPPED),
        ),
        Condition(
            "a shear",
            "As of a gantry that was tilted, or of a registration with 12 parameters. Nothing to "
            "do: the axes need not be at right angles.",
            _on(SHEARED),
        ),
        Condition(
            "a result of a sheared scan",
            "A qform cannot hold a shear: the result has its sform, and a qform only where that "
            "agrees to half a voxel.",
            _written_sheared,
            (".nii.gz",),
        ),
        Condition("a qform alone", "Nothing to do: it is used.", _qform_alone, FAMILIES["NIfTI"]),
        Condition(
            "sform and qform differ",
            "They put the scan in different places; the sform is used, as most programs do. Find "
            "out which is right, and set both (`fslorient -copysform2qform`).",
            _sform_against_qform,
            FAMILIES["NIfTI"],
        ),
        Condition(
            "an sform of unknown code",
            "Its code is none of the standard's, so it is not used. If it is right, set its code "
            "to 1 (`fslorient -setsformcode 1`).",
            _unknown_code,
            FAMILIES["NIfTI"],
        ),
        Condition(
            "a qform that is no rotation",
            "The header is damaged; write it anew from the original image.",
            _no_quaternion,
            FAMILIES["NIfTI"],
        ),
        Condition(
            "voxel sizes unlike the axes",
            "The header gives two sizes for a voxel (NIfTI: pixdim and sform; MGH: delta and Mdc; "
            "MetaImage: ElementSpacing and TransformMatrix; DICOM: SpacingBetweenSlices and where "
            "slices lie). The message says which is used; find out which is right.",
            _sizes(2),
        ),
        Condition(
            "a sidecar unlike the voxels",
            "The JSON beside the image tells of another distance of slices: the image may have "
            "been resampled, or the sidecar is another scan's.",
            _json_against_voxels,
            _WITH_HEADERS,
        ),
        Condition(
            "it is not said where the scan lies",
            "Left and right may be swapped. Take the original image, or write a header that says "
            "so once you know.",
            _not_said,
        ),
        Condition(
            "it is not said how large voxels are",
            "Take the original image; a size of 1 mm is hardly true.",
            _size_not_said,
            FAMILIES["NRRD"] + FAMILIES["MetaImage"] + FAMILIES["DICOM"],
        ),
        Condition("voxels of size 0", "Mend the header, or take the original image.", _no_size(0)),
        Condition(
            "voxels of negative size",
            "Directions say which way an axis runs, sizes do not: mend the header.",
            _no_size(-1),
        ),
        Condition(
            "units other than mm",
            "Nothing to do: micrometres and others are read, and results are in the same unit "
            "where the format has it. MGH and DICOM are in millimetres always.",
            _other_units,
        ),
        Condition(
            "a unit that cannot be right",
            "A head in metres is one in millimetres whose header is wrong: set the unit.",
            _wrong_unit,
        ),
        Condition(
            "a unit that is no length",
            "Mend the units in the header.",
            _no_length,
            FAMILIES["NRRD"] + FAMILIES["MetaImage"],
        ),
        Condition(
            "axes almost in one plane",
            "No scanner measures so: the affine is likely wrong.",
            _on(FLAT, must_tell=True),
        ),
        Condition(
            "slices of two frames of reference",
            "The patient was moved or registered anew in between: positions may not be comparable.",
            _two_frames_of_reference,
            FAMILIES["DICOM"],
        ),
        Condition(
            "a single slice",
            "It is read; along its normal there is nothing to be super-resolved from.",
            _one_slice,
        ),
    ),
    FAMILIES,
)
