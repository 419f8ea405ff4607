"""Which scans of a data set show the same and are merged: `arssr bids --merge`.

Source: BIDS specification 1.11, "Entities". `run` counts repetitions, and `acq` is a label of one's
own for other parameters of the same modality, such as the direction of slices. All other entities
keep scans apart: they say another contrast (`ce`, `echo`, `flip`, `inv`, `mod`, `mt`, `part`),
other distortions (`dir`), another reconstruction of the same measurement, whose noise would count
twice (`rec`), another part of the body (`chunk`), or something that was made of a scan (`space`,
`res`, `desc`, …). Real and imaginary parts stay alone: how a signal is shared among them changes
from scan to scan.
"""

from collections.abc import Hashable, Iterable
from pathlib import Path

import numpy as np

from arssr.bids.dataset import Scan
from arssr.errors import ArSSRError
from arssr.formats.bids import BIDSName, same_label
from arssr.formats.kind import INTENSITIES, kind_of
from arssr.volume import doubtful_grid_of

_OF_ONE_CONTRAST = ("acq", "run")
_PARTS = ("real", "imag")

Said = frozenset[tuple[str, str]]  # entities and labels, as they are compared


def grouped(scans: Iterable[Scan]) -> list[Scan]:
    """The scans of each session and contrast as one, in the order of their first.

    A scan that is alone stays as it is, as do labels, probabilities, phase, real and imaginary
    parts.
    """
    groups: dict[Hashable, list[Scan]] = {}
    for scan in scans:
        key: Hashable = scan.path
        is_part = scan.name.entities.get("part") in _PARTS
        if kind_of(scan.path).what == INTENSITIES and not is_part:
            same = frozenset(each for each in _said(scan.name) if each[0] not in _OF_ONE_CONTRAST)
            key = (scan.path.parent, scan.name.suffix, same)
        groups.setdefault(key, []).append(scan)
    return [_as_one(group) for group in groups.values()]


def require_each_once(scan: Scan) -> None:
    """Refuse files of which two say that they are the same scan of a group. Raises ArSSRError."""
    known: dict[Said, Path] = {}
    for path in sorted(scan.paths):
        name = BIDSName.parse(path.name)
        twin = known.setdefault(_said(name), path) if name else path
        if twin != path:
            raise ArSSRError(f"{twin} and {path.name} are one scan in two files; remove one")


def _as_one(group: list[Scan]) -> Scan:
    """What becomes one image; the first is that with the finest pixels, of equals that by name."""
    if len(group) == 1:
        return group[0]
    first, *others = sorted(group, key=lambda scan: (_pixel_mm(scan), scan.path))
    common = frozenset.intersection(*(_said(scan.name) for scan in group))
    labels = {key: first.name.entities[key] for key, _ in common}
    name = BIDSName(labels, first.name.suffix, first.name.extension)
    return Scan(first.path, name, tuple(scan.path for scan in others))


def _said(name: BIDSName) -> Said:
    return frozenset((key, same_label(key, label)) for key, label in name.entities.items())


def _pixel_mm(scan: Scan) -> float:
    """The side of a pixel, to two digits: headers round; last what cannot be read."""
    try:
        grid, _ = doubtful_grid_of(scan.path)
    except ArSSRError:
        return float("inf")  # whoever reads it says why
    return float(f"{np.sqrt(np.sort(grid.spacing_mm)[:2].prod()):.2g}")
