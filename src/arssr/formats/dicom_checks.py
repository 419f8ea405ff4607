"""What the images of a DICOM series say that cannot be so: pictures that are no slices, images that
are there twice, places that contradict one another.
"""

import filecmp
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arssr.errors import ArSSRError
from arssr.formats.dicom_pixels import read_pixels
from arssr.grid import Grid

if TYPE_CHECKING:
    from arssr.formats.dicom_header import Slice

# Tags of mosaics, many slices as the tiles of one picture: how many, and whose tag it is.
_TILES = ((0x0019100A, 0x00190010, "SIEMENS MR HEADER"), (0x00651050, 0x00650010, "UIH"))
_TILED = ("MOSAIC", "VFRAME")  # in ImageType
TAGS: tuple[str | int, ...] = (
    *("SOPClassUID", "FrameOfReferenceUID", "ImageType", "PhotometricInterpretation"),
    "ModalityLUTSequence",
    *(tag for count, owner, _ in _TILES for tag in (count, owner)),
)
_DICOM = "1.2.840.10008."  # what UIDs begin with that the standard gives; makers have others
PAGES = (".htm", ".html")
_PREAMBLE = 132  # bytes; with the last four, a file says that it is DICOM
_SAME_DISTANCE = 0.1  # of the distance of slices
_UNIT = 0.01  # scanners write directions with some six digits


def is_mosaic(header: Any) -> bool:
    """Whether a picture has many slices as its tiles, by what Siemens and UIH write."""
    if any(word in str(header.get("ImageType", "")).upper() for word in _TILED):
        return True
    return any(
        tiles in header
        and maker in str(header.get(owner, "")).upper()
        and str(header[tiles].value).strip() not in ("", "0", "1")
        for tiles, owner, maker in _TILES
    )


def is_image(header: Any) -> bool:
    """Whether a file should have pixels, by the class that it gives itself (PS3.6 A); a file that
    gives none, or the beginning of one, is itself but a beginning.
    """
    from pydicom.config import IGNORE
    from pydicom.uid import UID

    given = (header.get("SOPClassUID"), header.file_meta.get("MediaStorageSOPClassUID"))
    classes = [UID(uid, IGNORE) for uid in given if uid]
    if known := [uid.name for uid in classes if uid.name != uid]:
        return any(name.endswith("Image Storage") for name in known)
    return not classes or any(f"{uid}.".startswith(_DICOM[: len(uid)]) for uid in classes)


def doubts_of(header: Any) -> list[str]:
    """Sentences about what one image says."""
    found = []
    if header.get("RescaleSlope") is not None and header.RescaleSlope == 0:
        found.append("RescaleSlope is 0, and taken for 1")
    if "ModalityLUTSequence" in header:
        found.append(
            "values pass through a table (ModalityLUTSequence), which is not applied: the result "
            "has stored values"
        )
    if header.get("ImageOrientationPatient"):
        pair = np.array(header.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
        if np.abs(pair @ pair.T - np.eye(2)).max() > _UNIT:
            found.append(
                "ImageOrientationPatient is not two unit vectors at right angles; their directions "
                "are used"
            )
    return found


def each_once(slices: "Sequence[Slice]", label: Path) -> "tuple[list[Slice], list[str]]":
    """The slices without copies: the same instance twice, as archives export it, counts once, and
    so do images of the same samples in the same place, with a sentence about them.

    Images that differ in the same place are all kept. Raises ArSSRError where two differ that
    go by the same SOP instance UID, and ValueError where they cannot be compared.
    """
    instances: dict[tuple[str, int], Slice] = {}
    for image in slices:
        other = instances.setdefault((image.uid or str(image.path), image.frame), image)
        if other is not image and not _alike(other, image):
            raise ArSSRError(
                f"{label}: {other.path.name} and {image.path.name} go by the same SOP instance UID "
                "but differ; take away the one that is wrong"
            )
    if any(image.frames > 1 for image in slices):
        return list(instances.values()), []
    places: dict[Any, Slice] = {}
    copies = 0
    for image in instances.values():
        other = places.setdefault(_key(image), image)
        if other is not image:
            if not _alike(other, image):
                return list(instances.values()), []
            copies += 1
    words = f"{copies} images are copies of others in the same place, and count once"
    return list(places.values()), [words] if copies else []


def _key(image: "Slice") -> Any:
    """The same for images of one place, to 1 µm; of no place, for itself alone."""
    if image.place is None:
        return image.path
    numbers = np.concatenate([image.place.position, image.place.directions.ravel()])
    return (image.shape_ij, *(np.round(numbers, 3) + 0.0).tolist())


def _alike(one: "Slice", other: "Slice") -> bool:
    if filecmp.cmp(one.path, other.path, shallow=False):
        return True
    said, also_said = ((_key(image), image.frames, image.storage) for image in (one, other))
    if said != also_said or one.frames > 1 or one.colours > 1:
        return False
    return np.array_equal(read_pixels(one.path)[0], read_pixels(other.path)[0])


def doubts_among(slices: "Sequence[Slice]", grid: Grid) -> list[str]:
    """Sentences about what slices, in their order on the grid, say of one another."""
    found = list(dict.fromkeys(doubt for image in slices for doubt in image.doubts))
    frames = {image.frame_of_reference for image in slices}
    if len(frames) > 1:
        found.append(
            f"its slices have {len(frames)} frames of reference (FrameOfReferenceUID): their "
            "positions may not be comparable"
        )
    parts: dict[tuple[str, float], set[Path]] = {}
    for image in slices:
        parts.setdefault(image.concatenation, set()).add(image.path)
    for (_, total), there in parts.items():
        if len(there) < total:
            found.append(
                f"{len(there)} of the {total:g} files are there that an image was split into "
                "(InConcatenationTotalNumber): slices or frames may be missing"
            )
    distance = float(1 / np.linalg.norm(np.linalg.inv(grid.affine[:3, :3])[2]))
    stated = [image.spacing_mm for image in slices if image.spacing_mm]
    wrong = [mm for mm in stated if abs(mm - distance) > _SAME_DISTANCE * distance]
    if wrong and len(slices) > 1:
        found.append(
            f"its slices lie {distance:.4g} mm apart, but SpacingBetweenSlices is {wrong[0]:.4g} "
            "mm: slices may be missing; where they lie is used"
        )
    return found


def cut_off(folder: Path) -> list[str]:
    """A sentence where files in a folder end before they could say that they are DICOM, or have
    become what a server answers instead of them.
    """
    names = [
        path.name
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and (_is_stub(path) or _is_page(path))
    ]
    if not names:
        return []
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return [
        f"left out, as empty, broken off or a page of HTML: {names[0]}{others}; slices may be "
        "missing"
    ]


def _is_stub(path: Path) -> bool:
    return path.stat().st_size < _PREAMBLE and b"DICM".startswith(path.read_bytes().strip(b"\0"))


def _is_page(path: Path) -> bool:
    """A page of HTML that is not called one, as those of viewers are, which come with scans."""
    if path.suffix.lower() in PAGES:
        return False
    with path.open("rb") as file:
        return file.read(_PREAMBLE).lstrip().lower().startswith((b"<!doctype html", b"<html"))
