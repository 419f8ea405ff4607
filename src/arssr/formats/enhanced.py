"""Multi-frame DICOM (PS3.3 C.7.6.16): each frame as the classic image that it would be.

Enhanced files say once what is true of all frames, and in functional groups what is true of each.
Here every frame gets a header as classic files have it, so that nothing else need know of groups.
"""

from collections.abc import Iterator
from typing import Any

SHARED, PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
DIMENSIONS = "DimensionIndexSequence"
MAPPING = "RealWorldValueMappingSequence"
# What enhanced images say in other words than classic ones: the tag of these, and how it is held.
_CLASSIC = {
    "EffectiveEchoTime": (0x00180081, "DS"),  # EchoTime
    "FrameType": (0x00080008, "CS"),  # ImageType
    "InversionTimes": (0x00180082, "DS"),  # InversionTime
    "TemporalPositionIndex": (0x00200100, "IS"),  # TemporalPositionIdentifier
    "FrameAcquisitionNumber": (0x00200012, "IS"),  # AcquisitionNumber
    "FrameLaterality": (0x00200062, "CS"),  # ImageLaterality
    "FrameAcquisitionDateTime": (0x0008002A, "DT"),  # AcquisitionDateTime
}
_REFERENCES = 0x0008  # the group of tags of what refers to other images


def frame_headers(header: Any) -> Iterator[Any]:
    """A header for each frame of a multi-frame file; of a classic file its own.

    Raises ValueError where there are not as many descriptions as frames.
    """
    if PER_FRAME not in header:
        yield header
        return
    frames, described = int(header.get("NumberOfFrames") or 1), len(header[PER_FRAME].value)
    if frames != described:
        raise ValueError(f"it has {frames} frames and describes {described}")
    yield from (frame_header(header, number) for number in range(frames))


def frame_header(header: Any, number: int) -> Any:
    """What one frame, counted from 0, has to say, under the names of classic images.

    Of the functional groups, elements of the first item count; what a frame says goes before what
    all share. Elements are the header's own, not copies.
    """
    import pydicom

    flat = pydicom.Dataset()
    flat.file_meta = header.file_meta
    for element in header:
        if element.keyword not in (SHARED, PER_FRAME):
            flat[element.tag] = element
    for groups in (*header.get(SHARED, ())[:1], header[PER_FRAME].value[number]):
        for group in _public(groups):
            if group.VR != "SQ" or not group.value or group.tag.group == _REFERENCES:
                continue
            if group.keyword == MAPPING:
                flat[group.tag] = group
                continue
            for element in _public(group.value[0]):
                if element.keyword in _CLASSIC and element.value not in (None, ""):
                    flat.add_new(*_CLASSIC[element.keyword], element.value)
                elif element.VR != "SQ":
                    flat[element.tag] = element
    return flat


def _public(elements: Any) -> Iterator[Any]:
    """Elements of the standard; those of makers, of which there are many, are not even decoded."""
    return (elements[tag] for tag in elements.keys() if not tag.is_private)  # noqa: SIM118
