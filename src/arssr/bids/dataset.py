"""A BIDS data set to read from, and its scans.

Of the libraries that do this, pybids brings an SQL engine and bids2table a table engine, each far
more than a search by file name needs, and ancpbids 0.4 passes over the sidecars at the root.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from arssr.bids.filters import EVERYTHING, Filter
from arssr.errors import ArSSRError
from arssr.files import is_image
from arssr.formats.bids import DESCRIPTION, BIDSName, read_json

_POINTERS = (b"/annex/objects/", b"version https://git-lfs")  # how such text files begin


@dataclass(frozen=True)
class Scan:
    """An anatomical image of a data set, or several that shall become one.

    name: of several what their names have in common. others: beside the first, which is the frame.
    """

    path: Path
    name: BIDSName
    others: tuple[Path, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them, the first one first."""
        return (self.path, *self.others)

    @property
    def subject(self) -> str:
        """Whose it is: the label after `sub-`."""
        return self.name.entities["sub"]


@dataclass(frozen=True)
class Others:
    """How many images lie beside those that were chosen: of other suffixes, without a name of BIDS
    (of whichever subjects), and left out by a filter.
    """

    suffixes: Counter[str]
    nameless: int
    filtered: int


class Dataset:
    """A BIDS data set, raw or derived. Raises ArSSRError where `root` is none."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if not (root / DESCRIPTION).is_file():
            raise ArSSRError(f"{root} is no BIDS data set: it has no {DESCRIPTION}")
        self.description = read_json(root / DESCRIPTION)

    @property
    def is_raw(self) -> bool:
        """Whether it holds images as the scanner gave them."""
        return self.description.get("DatasetType", "raw") == "raw"

    def scans(
        self,
        suffixes: Collection[str],
        subjects: Collection[str] = (),
        sessions: Collection[str] = (),
        chosen: Filter = EVERYTHING,
    ) -> list[Scan]:
        """Every `sub-*/[ses-*/]anat` image with one of these suffixes, sorted by path.

        subjects, sessions: labels, without `sub-` and `ses-`; none for all.
        Raises ArSSRError for labels that are not there and where nothing is left.
        """
        for key, labels in (("sub", subjects), ("ses", sessions)):
            pattern = f"{key}-*" if key == "sub" else f"sub-*/{key}-*"
            there = {p.name.removeprefix(f"{key}-") for p in self.root.glob(pattern) if p.is_dir()}
            if missing := sorted(set(labels) - there):
                raise ArSSRError(f"no {key}-{missing[0]} in {self.root}")
        of_suffix = [s for s in self._anatomies(subjects, sessions) if s.name.suffix in suffixes]
        found = [scan for scan in of_suffix if chosen.takes(scan.name)]
        if not found:
            kinds = " or ".join(sorted(suffixes))
            by_whom = "that --bids-filter-file takes" if of_suffix else "to work on"
            raise ArSSRError(f"no {kinds} image in sub-*/[ses-*/]anat of {self.root} {by_whom}")
        return found

    def others(
        self,
        suffixes: Collection[str],
        subjects: Collection[str] = (),
        sessions: Collection[str] = (),
        chosen: Filter = EVERYTHING,
    ) -> Others:
        """What lies there besides the images that `scans` returns."""
        names = [scan.name for scan in self._anatomies(subjects, sessions)]
        return Others(
            Counter(name.suffix for name in names if name.suffix not in suffixes),
            sum(name is None for _, name in self._images()),
            sum(name.suffix in suffixes and not chosen.takes(name) for name in names),
        )

    def _anatomies(self, subjects: Collection[str], sessions: Collection[str]) -> Iterator[Scan]:
        wanted = {"sub": subjects, "ses": sessions}
        for path, name in self._images():
            if name is None:
                continue
            if all(not of or name.entities.get(key) in of for key, of in wanted.items()):
                yield Scan(path, name)

    def _images(self) -> Iterator[tuple[Path, BIDSName | None]]:
        """Every image in sub-*/[ses-*/]anat, by path; None for a name that says no subject."""
        folders = [*self.root.glob("sub-*/anat"), *self.root.glob("sub-*/ses-*/anat")]
        for path in sorted(path for folder in folders for path in folder.iterdir()):
            if is_image(path):
                name = BIDSName.parse(path.name)
                yield path, name if name and "sub" in name.entities else None

    def uri(self, path: Path, name: str) -> str:
        """The BIDS URI of a file, where this data set goes by `name`."""
        return f"bids:{name}:{path.relative_to(self.root).as_posix()}"


def require_fetched(path: Path) -> None:
    """Refuse a file whose content is elsewhere yet. Raises ArSSRError.

    Source: https://git-annex.branchable.com/internals/pointer_file, Git LFS "Specification".
    """
    if not path.exists():
        raise ArSSRError(f"{path} links to nothing; fetch it first (datalad get)")
    with suppress(OSError), path.open("rb") as file:
        if file.read(32).startswith(_POINTERS):
            raise ArSSRError(
                f"{path} only points to an image; fetch it first (datalad get, git lfs pull)"
            )


def relative(path: Path, start: Path) -> Path:
    """`path` as seen from the folder `start`."""
    return Path(os.path.relpath(path.resolve(), start.resolve()))
