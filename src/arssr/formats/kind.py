"""What the samples of an image are, as headers, names and sidecars say it: intensities, labels,
probabilities, or phase. Only intensities are for a network.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.files import stem
from arssr.formats.bids import BIDSName, metadata

INTENSITIES, LABELS, PROBABILITIES, PHASE = "intensities", "labels", "probabilities", "phase"

_LABEL_INTENTS = {1002: "label", 1003: "NeuroNames"}  # nifti1.h
# How names end by BIDS Derivatives, in a data set or not; `.seg` is 3D Slicer's.
_BY_ENDING = {"dseg": LABELS, "mask": LABELS, ".seg": LABELS, "probseg": PROBABILITIES}
# Only in names of BIDS: elsewhere a phase may be that of a contrast agent (`venous_phase`).
_PHASE_SUFFIXES = ("phase", "phase1", "phase2", "phasediff")
# ImageType and ComplexImageComponent, in DICOM and in dcm2niix's JSON
_PHASE_TYPES = ("P", "PHASE", "PHASE MAP")
_MAGNITUDE_TYPES = ("M", "MAGNITUDE")
_ANGLES = ("rad", "radian", "radians", "deg", "degree", "degrees")

_LOOKED_AT = 2**22  # voxels
# Of the neighbours in an object as many are alike: 2 to 12 % in the scans of shared/data.
_ALIKE_IN_LABELS = 0.4
_CIRCLES = ((-np.pi, np.pi), (0.0, 2 * np.pi), (-4096.0, 4095.0))  # radians; Siemens' units
_ALL_ROUND = 2e-3  # of the circle, at either end


@dataclass(frozen=True)
class Kind:
    """What samples are: INTENSITIES, LABELS, PROBABILITIES or PHASE, and what says so, if
    anything does.
    """

    what: str = INTENSITIES
    because: str = ""

    def taken(self) -> str:
        """That it is taken for what it is, in words."""
        return f"was taken for {self.what}, because {self.because}"

    def require_intensities(self, label: object) -> None:
        """Refuse all else where a network is to see it. Raises ArSSRError, naming `label`."""
        if self.what != INTENSITIES:
            raise ArSSRError(f"{label}: holds {self.what}, not intensities ({self.because})")

    def require_interpolable(self, label: object) -> None:
        """Refuse what no way of resampling is right for. Raises ArSSRError, naming `label`."""
        if self.what == PHASE:
            raise ArSSRError(
                f"{label}: holds phase ({self.because}), and values that wrap around cannot be "
                "interpolated; give the magnitude image, or real and imaginary part"
            )


NOT_SAID = Kind()  # then they are intensities


def kind_of(path: Path | None, header: nib.Nifti1Header | None = None) -> Kind:
    """What an image holds by its NIfTI header, its name (see BIDS), and what `bids.metadata` finds.

    Sidecars that cannot be read say nothing.

    >>> kind_of(Path("sub-01_label-GM_probseg.nii.gz"))
    Kind(what='probabilities', because='its name ends in probseg')
    """
    intent = 0 if header is None else int(header["intent_code"])
    if intent in _LABEL_INTENTS:
        return Kind(LABELS, f"its NIfTI intent is {intent}, {_LABEL_INTENTS[intent]}")
    if path is None:
        return NOT_SAID
    if (named := kind_named(path)).because:
        return named
    with suppress(ArSSRError, OSError):
        return kind_described(metadata(path))
    return NOT_SAID


def kind_named(path: Path) -> Kind:
    """The same from the name alone.

    >>> kind_named(Path("tumour.seg.nrrd")).what, kind_named(Path("T1w.nii.gz")).what
    ('labels', 'intensities')
    """
    if ending := telling_ending(path):
        return Kind(_BY_ENDING[ending], f"its name ends in {ending}")
    name = BIDSName.parse(path.name)
    if name is not None and name.entities.get("part") == "phase":
        return Kind(PHASE, "its name has part-phase")
    if name is not None and "sub" in name.entities and name.suffix in _PHASE_SUFFIXES:
        return Kind(PHASE, f"its name ends in {name.suffix}")
    return NOT_SAID


def telling_ending(path: Path) -> str:
    """The ending of a name that says labels or probabilities; "" where none does.

    >>> telling_ending(Path("sub-01_dseg.nii.gz")), telling_ending(Path("mask.nii"))
    ('dseg', 'mask')
    """
    last = stem(path).lower().rpartition("_")[2]
    matches = (e for e in _BY_ENDING if last == e or (e[0] == "." and last.endswith(e)))
    return next(matches, "")


def kind_described(described: Mapping[str, Any]) -> Kind:
    """The same from what DICOM headers or sidecars say: ImageType, ComplexImageComponent, Units.

    >>> kind_described({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}).what
    'phase'
    """
    types = described.get("ImageType")
    listed = types if isinstance(types, Iterable) and not isinstance(types, str) else ()
    words = (*listed, described.get("ComplexImageComponent"))
    for word in words:
        if str(word).upper() in _PHASE_TYPES:
            return Kind(PHASE, f"its image type is {word}")
    units = described.get("Units")
    if isinstance(units, str) and units.lower() in _ANGLES:
        return Kind(PHASE, f"its units are {units}")
    for word in words:
        if str(word).upper() in _MAGNITUDE_TYPES:
            return Kind(INTENSITIES, f"its image type is {word}")
    return NOT_SAID


def unlike_intensities(data: NDArray[np.float32], kind: Kind = NOT_SAID) -> list[str]:
    """What intensities (I, J, K) look like, if not like any: a sentence, or none.

    kind: what is said of them; what is said to be intensities, though of values that phase has
    (Siemens stores differences of magnitudes so), is no phase.
    """
    planes = max(2, _LOOKED_AT // (data.shape[0] * data.shape[1]))
    middle = max(0, (data.shape[2] - planes) // 2)
    part = data[..., middle : middle + planes]
    if _alike(part) > _ALIKE_IN_LABELS:
        return [
            "it looks like a label map, whole numbers that are mostly alike side by side, and was "
            "taken for intensities; if it is one, name --labels"
        ]
    lowest, highest = float(data.min()), float(data.max())
    for start, end in () if kind.because else _CIRCLES:
        near = _ALL_ROUND * (end - start)
        if abs(lowest - start) < near and abs(highest - end) < near:
            return [
                f"its values go from {lowest:.5g} to {highest:.5g}, as phase does, and were taken "
                "for intensities; phase wraps around and cannot be interpolated"
            ]
    return []


def _alike(part: NDArray[np.float32]) -> float:
    """The share of neighbours in an object that are equal; 0 where values are not whole."""
    if not np.array_equal(part, np.rint(part)) or min(part.shape[:2]) < 2:
        return 0.0
    drawn = part != part.min()
    shares = []
    for axis in (0, 1):
        value, in_object = np.moveaxis(part, axis, 0), np.moveaxis(drawn, axis, 0)
        pairs = in_object[1:] | in_object[:-1]
        shares.append(float((value[1:] == value[:-1])[pairs].mean()) if pairs.any() else 0.0)
    return min(shares)
