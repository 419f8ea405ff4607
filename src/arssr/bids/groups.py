"""Which scans of a data set show the same and are merged: `arssr bids --merge`.

Source: BIDS specification 1.11, "Entities". `run` counts repetitions, and `acq` is a label of one's
own for other parameters of the same modality, such as the direction of slices. All other entities
keep scans apart: they say another contrast (`ce`, `echo`, `flip`, `inv`, `mod`, `mt`, `part`),
other distortions (`dir`), another reconstruction of the same measurement, whose noise would count
twice (`rec`), another part of the body (`chunk`), or something that was made of a scan (`space`,
`res`, `desc`, …).
"""

from collections.abc import Hashable, Iterable
from pathlib import Path

import numpy as np

from arssr.bids.dataset import Scan
from arssr.errors import ArSSRError
from arssr.formats.bids import BIDSName
from arssr.formats.kind import INTENSITIES, kind_of
from arssr.volume import doubtful_grid_of

_OF_ONE_CONTRAST = ("acq", "run")


def grouped(scans: Iterable[Scan]) -> list[Scan]:
    """The scans of each session and contrast as one, in the order of their first.

    A scan that is alone stays as it is, as do labels, probabilities and phase. Raises ArSSRError
    for two files of one name.
    """
    groups: dict[Hashable, list[Scan]] = {}
    for scan in scans:
        key: Hashable = scan.path
        if kind_of(scan.path).what == INTENSITIES:
            entities = scan.name.entities.items()
            same = frozenset(each for each in entities if each[0] not in _OF_ONE_CONTRAST)
            key = (scan.path.parent, scan.name.suffix, same)
        groups.setdefault(key, []).append(scan)
    return [_as_one(group) for group in groups.values()]


def _as_one(group: list[Scan]) -> Scan:
    """What becomes one image; the first is that with the finest pixels, of equals that by name."""
    if len(group) == 1:
        return group[0]
    known: dict[frozenset[tuple[str, str]], Path] = {}
    for scan in group:
        twin = known.setdefault(frozenset(scan.name.entities.items()), scan.path)
        if twin != scan.path:
            raise ArSSRError(f"{twin} and {scan.path.name} are one scan in two files; remove one")
    first, *others = sorted(group, key=lambda scan: (_pixel_mm(scan), scan.path))
    common = frozenset.intersection(*known)
    name = BIDSName(dict(common), first.name.suffix, first.name.extension)
    return Scan(first.path, name, tuple(scan.path for scan in others))


def _pixel_mm(scan: Scan) -> float:
    """The side of a pixel, to two digits: headers round; last what cannot be read."""
    try:
        grid, _ = doubtful_grid_of(scan.path)
    except ArSSRError:
        return float("inf")  # whoever reads it says why
    return float(f"{np.sqrt(np.sort(grid.spacing_mm)[:2].prod()):.2g}")
