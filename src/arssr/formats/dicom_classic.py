"""A frame of an enhanced MR image as the header of a classic one (PS3.3 A.4), for new slices."""

from typing import Any

import numpy as np

from arssr.formats.enhanced import PER_FRAME, frame_header

# The standard gave elements from 9000 on, in these groups, to enhanced images.
_ENHANCED, _GROUPS = 0x9000, (0x0008, 0x0018, 0x0020)
_KEPT = ("DiffusionBValue",)  # which classic images have as well
# What is not true of all frames.
_OF_FRAMES = (
    *("WindowCenter", "WindowWidth", "TemporalPositionIdentifier", "NumberOfTemporalPositions"),
    "AcquisitionContextSequence",
)
_ECHOES = {"SPIN": ["SE"], "GRADIENT": ["GR"], "BOTH": ["SE", "GR"]}
# What a sequence can have besides, how enhanced images call it, and what says that it has not.
_VARIANTS = {
    "SK": ("SegmentedKSpaceTraversal", "SINGLE"),
    "MTC": ("MagnetizationTransfer", "NONE"),
    "SS": ("SteadyStatePulseSequence", "NONE"),
    "SP": ("Spoiling", "NONE"),
    "MP": ("InversionRecovery", "NO"),
    "OSP": ("OversamplingPhase", "NONE"),
}


def is_enhanced(header: Any) -> bool:
    """Whether it has functional groups."""
    return PER_FRAME in header


def classic_header(header: Any, number: int) -> Any:
    """What one frame of an enhanced image says, as the header of a classic MR image.

    Raises ValueError for what is no MR image.
    """
    from pydicom.uid import MRImageStorage
    from pydicom.valuerep import format_number_as_ds

    if header.get("Modality") != "MR":
        raise ValueError("only enhanced images of MR become classic ones")
    flat = frame_header(header, number)
    echoes = _ECHOES.get(flat.get("EchoPulseSequence"), [])
    planar = ["EP"] if flat.get("EchoPlanarPulseSequence") == "YES" else []
    inverted = ["IR"] if flat.get("InversionRecovery") == "YES" else []
    variants = [
        name
        for name, (keyword, without) in _VARIANTS.items()
        if flat.get(keyword, "") not in ("", without)
    ]
    flat.SOPClassUID = MRImageStorage
    flat.ScanningSequence = [*echoes, *inverted, *planar] or ["RM"]  # a research mode
    flat.SequenceVariant = variants or ["NONE"]
    flat.ScanOptions = ""
    flat.SequenceName = flat.get("PulseSequenceName")
    flat.ImagedNucleus = flat.get("ResonantNucleus")
    trains = (flat.get(name) for name in ("GradientEchoTrainLength", "RFEchoTrainLength"))
    flat.setdefault("EchoTrainLength", next(filter(None, trains), None))
    if flat.get("InPlanePhaseEncodingDirection") == "COLUMN":
        flat.InPlanePhaseEncodingDirection = "COL"
    for keyword in ("MRAcquisitionType", "RepetitionTime", "EchoTime", "InversionTime"):
        flat.setdefault(keyword, None)
    if not inverted:
        del flat.InversionTime
    for keyword in ("EchoTime", "InversionTime"):  # of classic images one, in 16 characters
        if (times := np.ravel(flat.get(keyword) or ())).size:
            setattr(flat, keyword, format_number_as_ds(float(times[0])))
    for element in list(flat):
        enhanced = element.tag.group in _GROUPS and element.tag.element >= _ENHANCED
        if (enhanced and element.keyword not in _KEPT) or element.keyword in _OF_FRAMES:
            del flat[element.tag]
    return flat
