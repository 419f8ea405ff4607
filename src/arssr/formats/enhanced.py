"""Multi-frame DICOM (PS3.3 C.7.6.16): each frame as the classic image that it would be.

Enhanced files say once what is true of all frames, and in functional groups what is true of each.
Here every frame gets a header as classic files have it, so that nothing else need know of groups.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

SHARED, PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
DIMENSIONS = "DimensionIndexSequence"
MAPPING = "RealWorldValueMappingSequence"
# What enhanced images say in other words than classic ones.
_CLASSIC = {
    "EffectiveEchoTime": "EchoTime",
    "FrameType": "ImageType",
    "InversionTimes": "InversionTime",
    "TemporalPositionIndex": "TemporalPositionIdentifier",
    "FrameAcquisitionNumber": "AcquisitionNumber",
    "FrameAcquisitionDateTime": "AcquisitionDateTime",
}


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
    all share.
    """
    import pydicom

    flat = pydicom.Dataset()
    flat.file_meta = header.file_meta
    for element in header:
        if element.keyword not in (SHARED, PER_FRAME):
            flat[element.tag] = element
    for groups in (*header.get(SHARED, ())[:1], header[PER_FRAME].value[number]):
        for group in groups:
            if group.VR != "SQ" or group.tag.is_private or not group.value:
                continue
            if group.keyword == MAPPING:
                flat[group.tag] = group
            for element in group.value[0]:
                if element.VR != "SQ" and not element.tag.is_private:
                    _add(flat, element)
    return flat


def _add(flat: Any, element: Any) -> None:
    """Add an element that says something, under its classic name; of several values there the
    first, but for the words of an image type.
    """
    keyword, value = _CLASSIC.get(element.keyword), element.value
    if value in (None, ""):
        return
    if keyword is None:
        flat[element.tag] = copy.copy(element)
    else:
        single = keyword == "ImageType" or element.VM < 2
        setattr(flat, keyword, value if single else value[0])
