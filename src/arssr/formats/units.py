"""Units of length and time, by the names and codes that headers have for them."""

import math

import nibabel as nib

_MM_PER_UNIT = {"unknown": 1.0, "mm": 1.0, "meter": 1e3, "micron": 1e-3}
_MM_PER_NAME = {
    **{"m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "µm": 1e-3, "nm": 1e-6},
    **{"meter": 1e3, "centimeter": 10.0, "millimeter": 1.0, "micrometer": 1e-3, "micron": 1e-3},
    **{"metre": 1e3, "centimetre": 10.0, "millimetre": 1.0, "micrometre": 1e-3},
}
_SECONDS_PER_UNIT = {"unknown": 1.0, "sec": 1.0, "msec": 1e-3, "usec": 1e-6}


def names(header: nib.Nifti1Header) -> tuple[str, str]:
    """Of the units of space and time; "unknown" for codes that the standard has not."""
    try:
        space, time = header.get_xyzt_units()
    except KeyError:
        return "unknown", "unknown"
    return space, time


def millimetres_per(name: str) -> float | None:
    """Millimetres in a unit of length; None for what is none.

    >>> millimetres_per("um"), millimetres_per("Millimeters"), millimetres_per("ms")
    (0.001, 1.0, None)
    """
    word = name.strip().lower().replace("\N{GREEK SMALL LETTER MU}", "\N{MICRO SIGN}")
    return _MM_PER_NAME.get(word, _MM_PER_NAME.get(word.removesuffix("s") if len(word) > 2 else ""))


def mm_per_unit(header: nib.Nifti1Header | None) -> float:
    """Millimetres in the header's unit of length."""
    return 1.0 if header is None else _MM_PER_UNIT[names(header)[0]]


def repetition_s(header: nib.Nifti1Header | None) -> float | None:
    """Seconds from frame to frame; None where the header does not say so."""
    if header is None:
        return None
    return seconds(float(header["pixdim"][4]) * _SECONDS_PER_UNIT.get(names(header)[1], math.nan))


def seconds(stated: float | None) -> float | None:
    """A time between frames as headers have it; None for what is none."""
    return stated if stated is not None and math.isfinite(stated) and stated > 0 else None
