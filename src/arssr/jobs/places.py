"""Which scans are meant by files and folders, and where the result of each goes."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from arssr.errors import ArSSRError, NothingMatchesError
from arssr.files import (
    find_images_below,
    format_named,
    output_suffix,
    sidecar,
    stem,
)
from arssr.formats.dicom import asked_for, series_begun_in


@dataclass(frozen=True)
class Places:
    """What is read and where its result goes; what is passed over, and why."""

    pairs: Sequence[tuple[Path, Path]]
    passed_over: dict[Path, str] = field(default_factory=dict)


def places(named: Sequence[Path], out: str, series: str | None = None) -> Places:
    """The scans that are named, or lie in folders that are named, and the places of the results.

    out: as it was typed. A file name is that of one result; the scan may be a folder then, of DICOM
        files in whatever subfolders. Anything else is a folder, one that is there or, for a single
        scan, ends in a slash: subfolders are searched and mirrored there, but neither hidden ones
        nor the folder of results. Each folder that holds DICOM files is one scan.
    series: of which DICOM series; folders of DICOM files that have none of that name are passed
        over, if others have.

    Raises ArSSRError where there are no scans, where they have no places of their own, and where
    a DICOM series lies in several folders.
    """
    target = Path(out)
    if not _is_folder(named, out):
        found = Places([(_only(named[0], target), target)])
    else:
        if format_named(target) or target.is_file():
            raise ArSSRError(
                f"several scans, and those of a folder, need a folder to be written to, not {out}"
            )
        found = _into_folder(named, target, series)
    scans = {source.resolve() for source, _ in found.pairs}
    for _, destination in found.pairs:
        if destination.resolve() in scans:
            raise ArSSRError(f"{destination} is the scan itself; name another place to write to")
    return found


def _is_folder(named: Sequence[Path], out: str) -> bool:
    target = Path(out)
    kind = format_named(target)
    if kind is not None and kind.is_folder and len(named) == 1:
        return False
    if len(named) > 1 or target.is_dir() or out.endswith(("/", os.sep)):
        return True
    return named[0].is_dir() and kind is None


def _only(named: Path, target: Path) -> Path:
    """The one scan that is named."""
    found = find_images_below([named])
    if len(found) > 1 and not all(path.is_dir() for path in found):
        raise ArSSRError(f"several scans need a folder to be written to, not the file {target}")
    return named if found[0].is_dir() else found[0]


def _into_folder(named: Sequence[Path], target: Path, series: str | None) -> Places:
    below: dict[Path, Path] = {}  # of each scan, the folder that it lies in, as it is mirrored
    are_several = sum(path.is_dir() for path in named) > 1
    for path in named:
        root = Path(_name(path)) if are_several else Path()
        for scan in find_images_below([path], but=target):
            below.setdefault(scan, root / scan.parent.relative_to(path) if scan != path else Path())
    passed_over = _mixed([scan for scan in below if scan.is_dir()])
    folders = [scan for scan in below if scan.is_dir() and scan not in passed_over]
    _refuse_parts(folders)
    if series is not None and len(folders) > 1:
        unlike = {folder: why for folder in folders if (why := _unlike(folder, series))}
        if len(unlike) < len(folders):
            passed_over |= unlike
    pairs = [
        (scan, target / folder / f"{_name(scan)}_SR{output_suffix(scan)}")
        for scan, folder in below.items()
        if scan not in passed_over
    ]
    counts = Counter(sidecar(destination) for _, destination in pairs)
    if twice := [name for name, count in counts.items() if count > 1]:
        both = min(twice).with_suffix("")  # a.nii and a.nii.gz share a sidecar
        raise ArSSRError(f"two scans would both be written to {both}; rename one")
    return Places(pairs, passed_over)


def _name(scan: Path) -> str:
    return stem(scan if scan.name not in ("", "..") else scan.resolve())  # of `.` as well


def _mixed(folders: Sequence[Path]) -> dict[Path, str]:
    """Folders of DICOM files with others below them, and what becomes of their own files."""
    above = {parent for folder in folders for parent in folder.parents}
    return {
        folder: f"{folder}: its own DICOM files were left out, only those of its subfolders are "
        "taken; move them to a subfolder"
        for folder in folders
        if folder in above
    }


def _refuse_parts(folders: Iterable[Path]) -> None:
    """Refuse a series whose files lie in several folders, as far as their first files tell."""
    known: dict[tuple[str, ...], Path] = {}
    for folder in folders:
        series = series_begun_in(folder)
        if series and (other := known.setdefault(series, folder)) != folder:
            above = os.path.commonpath([folder.parent, other.parent]) or "."
            raise ArSSRError(
                f"{other} and {folder} hold one DICOM series; name the folder above, {above}, and "
                f"a file for the result (-o NAME.nii.gz --series {series[0]})"
            )


def _unlike(folder: Path, series: str) -> str:
    """Why a folder has no such series, in words; "" where it has, or where more is wrong."""
    try:
        asked_for(folder, series)
    except NothingMatchesError as error:
        return str(error)
    except ArSSRError:
        pass  # will be said when its turn comes
    return ""
