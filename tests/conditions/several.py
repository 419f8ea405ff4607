"""Files of several images, or of what is no image of slices."""

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from pydicom.uid import generate_uid
from tests.conditions.files import GRID, STORED, dicom, nifti, nrrd_with_axis, write
from tests.conditions.table import FAMILIES, Condition, Seen, Table
from tests.conditions.trying import read, unlike, upsample
from tests.formats.enhanced import frames_of, write_enhanced
from tests.formats.series import write_series
from tests.phantoms import smooth

from arssr.errors import ArSSRError
from arssr.volume import open_frames

_FILES = tuple(v for family in list(FAMILIES)[:4] for v in FAMILIES[family])
_FRAMES = np.stack([STORED, STORED + 1000, STORED + 2000], axis=-1)


def _frames(variant: str, folder: Path) -> Path | None:
    """Three images at the same places; a DICOM series has them one after the other."""
    if variant not in FAMILIES["DICOM"]:
        return write(variant, folder, _FRAMES)

    def edit(_: list[Path]) -> None:
        for number in (1, 2):
            part = folder / "series" / str(number)
            for path in write_series(part, _FRAMES[..., number], GRID):
                image = pydicom.dcmread(path)
                image.SOPInstanceUID = generate_uid()
                image.InstanceNumber += 100 * number
                image.save_as(path)

    return dicom(variant, folder, edit=edit)


def _one_wanted(variant: str, folder: Path) -> Seen | None:
    return read(_frames(variant, folder), stored=None)


def _all_wanted(variant: str, folder: Path) -> Seen | None:
    path = _frames(variant, folder)
    assert path is not None
    return _each(path, _FRAMES)


def _each(path: Path, wanted: np.ndarray) -> Seen:
    """What is seen of (I, J, K, frames), each at its place and in its turn."""
    try:
        with open_frames(path) as frames:
            found = list(frames)
    except ArSSRError as error:
        return Seen(str(error))
    if len(found) != wanted.shape[3]:
        return Seen(fault=f"it has {len(found)} frames")
    faults = [unlike(frame, wanted[..., n]) for n, frame in enumerate(found)]
    return Seen(warnings=found[-1].warnings, fault=next(filter(None, faults), ""))


def _five(variant: str, folder: Path) -> Seen | None:
    stored = np.stack([_FRAMES, _FRAMES], axis=-1)
    return read(write(variant, folder, stored), stored=None)


def _of_one_frame(variant: str, folder: Path) -> Seen | None:
    return read(write(variant, folder, STORED[..., None]))


def _axis_first(kind: str) -> Callable[[str, Path], Seen | None]:
    """Frames side by side, voxel by voxel."""

    def attempt(variant: str, folder: Path) -> Seen | None:
        return _each(nrrd_with_axis(variant, folder, np.moveaxis(_FRAMES, -1, 0), kind), _FRAMES)

    return attempt


def _axis_last(kind: str) -> Callable[[str, Path], Seen | None]:
    def attempt(variant: str, folder: Path) -> Seen | None:
        return _each(nrrd_with_axis(variant, folder, _FRAMES, kind, at=3), _FRAMES)

    return attempt


def _flat(variant: str, folder: Path) -> Seen | None:
    return read(nifti(variant, folder, STORED[..., 0]), stored=None)


def _constant_frame(variant: str, folder: Path) -> Seen | None:
    """The one in the middle; the others shall not suffer."""
    scan = (1000 * smooth((6, 5, 4), sigma=1)).astype(np.int16)
    path = write(variant, folder, np.stack([scan, 0 * scan + 7, scan], axis=-1))

    def fault(out: Path) -> str:
        made = np.asarray(nib.load(out).dataobj)
        if not (made[..., 1] == 7).all():
            return "the constant frame is no longer constant"
        alike = np.array_equal(made[..., 0], made[..., 2]) and np.ptp(made[..., 0])
        return "" if alike else "the other frames are not as alike as they were"

    return upsample(path, "--scale", 2, "--frames", fault=fault)


def _twice(variant: str, folder: Path) -> Seen | None:
    def edit(paths: list[Path]) -> None:
        for path in paths:
            shutil.copy(path, path.with_name(f"{path.name} (1)"))

    return read(dicom(variant, folder, edit=edit))


def _copies(variant: str, folder: Path) -> Seen | None:
    return read(_with_another(variant, folder, SOPInstanceUID=generate_uid()), must_tell=True)


def _two_of_one_name(variant: str, folder: Path) -> Seen | None:
    return read(_with_another(variant, folder, PixelData=bytes(60)), stored=None)


def _with_another(variant: str, folder: Path, **tags: object) -> Path:
    """A series, and one of its images once more with other tags."""

    def edit(paths: list[Path]) -> None:
        image = pydicom.dcmread(paths[1])
        for keyword, value in tags.items():
            setattr(image, keyword, value)
        image.save_as(paths[1].with_name("0013.5"))

    return dicom(variant, folder, edit=edit)


def _tagged(**tags: object) -> Callable[[str, Path], Seen | None]:
    return lambda variant, folder: read(dicom(variant, folder, **tags), stored=None)


def _two_series(variant: str, folder: Path) -> Seen | None:
    def edit(_: list[Path]) -> None:
        write_series(folder / "series" / "other", STORED, GRID, number=6)

    return read(dicom(variant, folder, edit=edit), stored=None)


def _localizer(variant: str, folder: Path) -> Seen | None:
    def edit(paths: list[Path]) -> None:
        image = pydicom.dcmread(paths[0])
        image.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]
        image.save_as(paths[0])

    return read(dicom(variant, folder, edit=edit), stored=None)


def _enhanced(variant: str, folder: Path) -> Seen | None:
    def edit(paths: list[Path]) -> None:
        for path in paths:
            path.unlink()
        write_enhanced(paths[0], frames_of(STORED, GRID))

    return read(dicom(variant, folder, edit=edit))


TABLE = Table(
    "Several images in one",
    (
        Condition(
            "4D, where one image is wanted",
            "Take all frames with `--frames`, or give one of them; of DICOM, name one with "
            "`--series 'frame 1'`.",
            _one_wanted,
        ),
        Condition(
            "4D, with `--frames`",
            "Nothing to do: each frame is read in its turn; they keep the time between them.",
            _all_wanted,
        ),
        Condition(
            "a fourth axis of length 1", "Nothing to do: it is a 3D image.", _of_one_frame, _FILES
        ),
        Condition("5D", "Give one of the channels as a 3D or 4D image.", _five, _FILES),
        Condition(
            "2D", "Three axes are needed; give the whole stack of slices.", _flat, FAMILIES["NIfTI"]
        ),
        *(
            Condition(
                f"an axis of kind {kind} that comes {where}",
                "A fourth axis is read as frames where it is the last and belongs to the space "
                "(`space: right-anterior-superior-time`); of others make a 4D NIfTI first.",
                axis(kind),
                FAMILIES["NRRD"],
            )
            for kind in ("time", "list")
            for where, axis in (("last", _axis_last), ("first", _axis_first))
        ),
        Condition(
            "a frame that is constant",
            "A dummy or a frame that was lost: it stays constant, and the others are done.",
            _constant_frame,
            (".nii.gz", ".mgz", ".nrrd", ".mha"),
        ),
        Condition(
            "the same DICOM instance twice",
            "Nothing to do: archives export so, and each counts once.",
            _twice,
            FAMILIES["DICOM"],
        ),
        Condition(
            "copies under other instance UIDs",
            "Each place counts once; see that no image was lost in the copying.",
            _copies,
            FAMILIES["DICOM"],
        ),
        Condition(
            "two images under one instance UID",
            "Take away the one that is wrong; the message names both.",
            _two_of_one_name,
            FAMILIES["DICOM"],
        ),
        Condition(
            "a mosaic without the header of its maker",
            "Nobody can tell its tiles; get the images as the scanner wrote them. With that header "
            "dcm2niix reads it, where it is installed.",
            _tagged(ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]),
            FAMILIES["DICOM"],
        ),
        Condition(
            "an enhanced file of many frames",
            "Nothing to do: each frame is a slice.",
            _enhanced,
            FAMILIES["DICOM"],
        ),
        Condition(
            "a multi-frame file without functional groups",
            "It does not say where its frames lie; export it again as enhanced or classic MR.",
            _tagged(NumberOfFrames=4),
            FAMILIES["DICOM"],
        ),
        Condition(
            "several series",
            "Name the one you mean with `--series`; the message lists them.",
            _two_series,
            FAMILIES["DICOM"],
        ),
        Condition(
            "a localizer",
            "Its images lie in several directions; the message lists them, and `--series` takes "
            "those of one.",
            _localizer,
            FAMILIES["DICOM"],
        ),
    ),
    FAMILIES,
)
