"""Files that are cut short, damaged, or hold more than they say."""

from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom.uid import RLELossless
from tests.conditions.files import STORED, dicom, meta, nifti, nrrd, samples_of, write
from tests.conditions.table import FAMILIES, Condition, Seen, Table
from tests.conditions.trying import read

_PACKED_BY_NAME = (".nii.gz", ".nii.zst", ".mgz", ".zip")
_TEXT = (".nhdr", ".mhd")  # headers of their own


def _changed(
    change: Callable[[bytes], bytes], compressed: bool = False, header: bool = False
) -> Callable[[str, Path], Seen | None]:
    """Reading a file after a change to its header or to its samples, packed or not."""

    def attempt(variant: str, folder: Path) -> Seen | None:
        if compressed and variant in (".nii", "NIfTI-2", ".mgh"):
            return None
        path = write(variant, folder, compressed=compressed)
        assert path is not None
        if compressed and variant == "folder":
            _compress(samples_of(path))
        target = path if header and variant in _TEXT else samples_of(path)
        target.write_bytes(change(target.read_bytes()))
        return read(path)

    return attempt


def _compress(path: Path) -> None:
    image = pydicom.dcmread(path)
    image.compress(RLELossless, generate_instance_uid=False)
    image.save_as(path)


def _flipped(variant: str, folder: Path) -> Seen | None:
    """Here and there; of all that is seen, the worst."""
    path = write(variant, folder, compressed=True)
    assert path is not None
    content = bytearray(samples_of(path).read_bytes())
    start = max(content.find(end) + len(end) for end in (b"", b"\n\n", b"LOCAL\n"))
    found = []
    end = content.find(b"PK\1\2") if variant == ".zip" else len(content)  # its list of files
    for at in range(start, end, 3 if variant != ".zip" else 31):
        content[at] ^= 16
        samples_of(path).write_bytes(content)
        found.append(read(path))
        content[at] ^= 16
    return max(found, key=lambda seen: (bool(seen.fault), bool(seen.refusal)))


def _more(variant: str, folder: Path) -> Seen | None:
    more = STORED[..., 0].tobytes()
    if variant in FAMILIES["NIfTI"]:
        path = nifti(variant, folder, more=more)
    elif variant in FAMILIES["MGH"]:  # which says more behind the samples
        return None
    elif variant in FAMILIES["NRRD"]:
        path = nrrd(variant, folder, more=more)
    elif variant in FAMILIES["MetaImage"]:
        path = meta(variant, folder, more=more)
    else:
        path = dicom(variant, folder, Rows=4)  # of 5
    return read(path, stored=None)


def _wrong_start(variant: str, folder: Path) -> Seen | None:
    return read(nifti(variant, folder, vox_offset=0))


def _no_samples_beside(variant: str, folder: Path) -> Seen | None:
    path = write(variant, folder)
    assert path is not None
    samples_of(path).unlink()
    return read(path)


def _missing_slice(variant: str, folder: Path) -> Seen | None:
    return read(dicom(variant, folder, edit=lambda paths: paths[1].unlink()))


def _pair(variant: str, folder: Path) -> Seen | None:
    path = nifti(".nii", folder).rename(folder / "scan.hdr")
    path.with_suffix(".img").write_bytes(STORED.tobytes(order="F"))
    return read(path)


TABLE = Table(
    "Files that are damaged",
    (
        Condition(
            "cut in the header",
            "The file ends before its header does. Copy or download it again.",
            _changed(lambda content: content[:100], header=True),
        ),
        Condition(
            "cut in the samples",
            "The file ends before its last voxel, as after a copy that broke off; in DICOM the "
            "last slice does. Copy or download it again.",
            _changed(lambda content: content[:-40]),
        ),
        Condition(
            "cut in a compressed stream",
            "Compressed samples end early, by as little as their check sum. Copy or download the "
            "file again.",
            _changed(lambda content: content[:-6], compressed=True),
        ),
        Condition(
            "a flipped bit in a compressed stream",
            "The check sum does not fit the samples. Copy or download the file again. (DICOM's "
            "compressed pixels have no check sum, so that only an archive can tell.)",
            _flipped,
            (".nii.gz", ".nii.zst", ".mgz", ".nrrd", ".nhdr", ".mha", ".mhd", ".zip"),
        ),
        Condition(
            "an empty file",
            "There is nothing in the file; in DICOM, in one of the files. Copy or download it "
            "again.",
            _changed(lambda _: b"", header=True),
        ),
        Condition(
            "a page instead of an image",
            "A download that failed leaves a page of HTML under the name of an image. Download it "
            "again. In a folder of DICOM it is left out, and a slice with it.",
            _changed(lambda _: b"<!DOCTYPE html><html>404</html>\n" * 9, header=True),
        ),
        Condition(
            "more samples than the header says",
            "Size or type in the header may be wrong. Look at the image before you use the result.",
            _more,
        ),
        Condition(
            "samples said to begin inside the header",
            "The field vox_offset is wrong; write the file anew with another program.",
            _wrong_start,
            FAMILIES["NIfTI"],
        ),
        Condition(
            "no file of samples beside the header",
            "Put the file that the header names where it is named.",
            _no_samples_beside,
            _TEXT,
        ),
        Condition(
            "a slice is missing",
            "Export the series again, whole.",
            _missing_slice,
            FAMILIES["DICOM"],
        ),
        Condition(
            "a pair of .hdr and .img",
            "Pairs of Analyze or NIfTI are not read; make one .nii of it, with nibabel for one.",
            _pair,
            (".nii",),
        ),
    ),
    FAMILIES,
)
