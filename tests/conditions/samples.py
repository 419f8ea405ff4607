"""What the samples are: intensities of any kind, labels, probabilities, phase, or colours."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from tests.conditions.files import (
    SHAPE,
    STORED,
    coloured,
    dicom,
    meta,
    nifti,
    nrrd_with_axis,
    write,
)
from tests.conditions.table import FAMILIES, ONE_OF_EACH, Condition, Seen, Table
from tests.conditions.trying import UNTOLD, read, result_on, upsample
from tests.phantoms import smooth

_FILES = ONE_OF_EACH[:4]
_LABELS = np.kron(
    np.random.default_rng(0).choice([0, 3, 17, 42], (4, 4, 3)), np.ones((2, 2, 2))
).astype(np.int16)
_SCAN = (1000 * smooth((24, 24, 16))).astype(np.float32)
_FACTOR = 3  # odd: then every sample of the scan lies in the middle of a voxel of the result


def _never(stored: np.ndarray) -> Callable[[str, Path], Seen | None]:
    """Samples that are no intensities."""
    return lambda variant, folder: read(write(variant, folder, stored), stored=None)


def _colours(variant: str, folder: Path) -> Seen | None:
    return read(coloured(variant, folder), stored=None)


def _complex(variant: str, folder: Path) -> Seen | None:
    if variant in FAMILIES["NRRD"]:  # real and imaginary parts side by side
        pairs = np.stack([STORED, STORED])
        return read(nrrd_with_axis(variant, folder, pairs, "complex"), stored=None)
    return read(write(variant, folder, STORED.astype(np.complex64)), stored=None)


def _scaled(variant: str, folder: Path) -> Seen | None:
    """Slope 0.5, intercept -3."""
    if variant in FAMILIES["NIfTI"]:
        path = nifti(variant, folder, scl_slope=0.5, scl_inter=-3)
    elif variant in FAMILIES["MetaImage"]:
        slope = {"ElementToIntensityFunctionSlope": "0.5", "ElementToIntensityFunctionOffset": "-3"}
        path = meta(variant, folder, **slope)
    elif variant in FAMILIES["DICOM"]:
        path = dicom(variant, folder, slope=0.5, inter=-3)
    else:
        return None
    return read(path, STORED * 0.5 - 3)


def _slope_of_zero(variant: str, folder: Path) -> Seen | None:
    if variant in FAMILIES["NIfTI"]:  # where it says that there is none
        return read(nifti(variant, folder, scl_slope=0, scl_inter=5))
    return read(dicom(variant, folder, slope=0), stored=None)


def _negative_film(variant: str, folder: Path) -> Seen | None:
    return read(dicom(variant, folder, PhotometricInterpretation="MONOCHROME1"))


def _table_of_values(variant: str, folder: Path) -> Seen | None:
    return read(dicom(variant, folder, ModalityLUTSequence=[pydicom.Dataset()]), stored=None)


# --- what is not for a network -------------------------------------------------------------------


def _kept(stored: np.ndarray, in_between: bool = False) -> Callable[[Path], str]:
    """In the middles of voxels the values of the scan, and elsewhere none but such, or such as lie
    between them.
    """

    def fault(out: Path) -> str:
        made = result_on(out, (_FACTOR,) * 3, stored)
        one = slice(_FACTOR // 2, None, _FACTOR)
        if not np.allclose(made[one, one, one], stored, rtol=0, atol=1e-4 * np.ptp(stored)):
            return "values are not those of the image"
        others = made < stored.min() if in_between else ~np.isin(made, stored)
        return "it has values that the image has not" if others.any() else ""

    return fault


def _told(_: Path) -> str:
    return UNTOLD


def _named(
    name: str, stored: np.ndarray, fault: Callable[[Path], str], *words: str
) -> Callable[[str, Path], Seen | None]:
    """An image of this name, super-resolved with no more said."""

    def attempt(variant: str, folder: Path) -> Seen | None:
        scan = write(variant, folder, stored, name=name)
        return upsample(scan, "--scale", _FACTOR, *words, fault=fault)

    return attempt


def _by_intent(variant: str, folder: Path) -> Seen | None:
    scan = nifti(variant, folder, _LABELS, intent_code=1002)
    return upsample(scan, "--scale", _FACTOR, fault=_kept(_LABELS))


def _phase_by_type(variant: str, folder: Path) -> Seen | None:
    types = ["ORIGINAL", "PRIMARY", "P", "ND"]
    if variant in FAMILIES["DICOM"]:
        scan = dicom(variant, folder, ImageType=types)
    else:
        written = write(variant, folder)
        assert written is not None
        scan = written
        (folder / "scan.json").write_text(json.dumps({"ImageType": types}))
    return upsample(scan, "--scale", _FACTOR, fault=_told)


_SHARES = _SCAN[:8, :8, :6] / np.float32(1000)
_PHASE = np.linspace(-np.pi, np.pi, 384).reshape(8, 8, 6).astype(np.float32)
_BIG = np.where(_LABELS > 10, 2**24 + 1, _LABELS.astype(np.int32))


def _nan(value: float) -> np.ndarray:
    stored = STORED.astype(np.float32)
    stored[1, 2, 3] = value
    return stored


# --- intensities ---------------------------------------------------------------------------------


def _as_without(
    change: Callable[[np.ndarray], np.ndarray],
    undo: Callable[[np.ndarray], np.ndarray],
    where: tuple[slice, ...] = (slice(None),) * 3,
) -> Callable[[str, Path], Seen | None]:
    """The result of a changed scan, undone, is that of the scan: to 5 % of its range."""

    def attempt(variant: str, folder: Path) -> Seen | None:
        made: list[np.ndarray] = []

        def fault(out: Path) -> str:
            made.append(result_on(out, (1, 1, 2), _SCAN))
            return ""

        for part, stored in (("a", _SCAN), ("b", change(_SCAN))):
            (folder / part).mkdir()
            scan = write(variant, folder / part, stored)
            seen = upsample(scan, "--scale", 1, 1, 2, fault=fault)
            if seen is None or seen.refusal:
                return seen
        far = np.abs(undo(made[1]) - made[0])[where].max() / np.ptp(_SCAN)
        if far > 0.05:
            return Seen(
                warnings=seen.warnings, fault=f"it differs by {100 * far:.0f} % of the range"
            )
        return seen

    return attempt


def _hurt(image: np.ndarray) -> np.ndarray:
    """0.13 % of the voxels 20 times as bright as the brightest."""
    hurt = image.copy()
    hurt[1:3, 1:3, 1:4] = 20 * image.max()
    return hurt


def _bounded(stored: np.ndarray) -> Callable[[str, Path], Seen | None]:
    """The result has nothing that is farther from the scan than the scan's own range."""

    def attempt(variant: str, folder: Path) -> Seen | None:
        def fault(out: Path) -> str:
            made = result_on(out, (1, 1, 2), stored)
            low, high = float(stored.min()), float(stored.max())
            reach = max(high - low, 1e-3 * abs(high))
            is_near = low - reach <= made.min() and made.max() <= high + reach
            return "" if is_near else f"it has values from {made.min():g} to {made.max():g}"

        return upsample(write(variant, folder, stored), "--scale", 1, 1, 2, fault=fault)

    return attempt


_NEAR = np.float32(1000) + np.float32(1e-3) * smooth((12, 10, 8))
_CONSTANT = np.full(SHAPE, 7, np.int16)

TABLE = Table(
    "What the samples are",
    (
        Condition(
            "slope and intercept",
            "Nothing to do: results are in the units of the image, and stored as it was where the "
            "format can.",
            _scaled,
        ),
        Condition(
            "a slope of 0",
            "In NIfTI it says that there is none. In DICOM it is a mistake.",
            _slope_of_zero,
            FAMILIES["NIfTI"] + FAMILIES["DICOM"],
        ),
        Condition(
            "MONOCHROME1",
            "Nothing to do: it is shown in negative, the values are as they are.",
            _negative_film,
            FAMILIES["DICOM"],
        ),
        Condition(
            "values behind a table",
            "A ModalityLUTSequence is not applied: the result has stored values.",
            _table_of_values,
            FAMILIES["DICOM"],
        ),
        Condition("colours (RGB)", "Give one channel, or a grey image.", _colours),
        Condition(
            "complex numbers",
            "Give the magnitude image; real and imaginary part are done one by one.",
            _complex,
            FAMILIES["NIfTI"] + FAMILIES["NRRD"],
        ),
        Condition(
            "NaN",
            "Replace them first, for example with `numpy.nan_to_num`.",
            _never(_nan(np.nan)),
        ),
        Condition("infinite values", "Replace them first.", _never(_nan(np.inf))),
        Condition(
            "labels, by the NIfTI intent",
            "Nothing to do: they are taken for labels, and none is invented.",
            _by_intent,
            (".nii.gz",),
        ),
        Condition(
            "labels, by the name `_dseg`",
            "Nothing to do: they are taken for labels, and none is invented.",
            _named("sub-01_dseg", _LABELS, _kept(_LABELS)),
            _FILES,
        ),
        Condition(
            "labels of which nothing speaks",
            "If it is a label map, say `--labels`.",
            _named("scan", _LABELS, _kept(_LABELS)),
            ONE_OF_EACH,
        ),
        Condition(
            "labels, with `--labels`",
            "Nothing to do: no label is invented.",
            _named("scan", _LABELS, _kept(_LABELS), "--labels"),
            ONE_OF_EACH,
        ),
        Condition(
            "labels above 2²⁴, with `--labels`",
            "Single precision takes neighbouring ones for one: renumber them.",
            _named("scan", _BIG, _kept(_BIG), "--labels"),
            _FILES,
        ),
        Condition(
            "probabilities, by the name `_probseg`",
            "Nothing to do: they are interpolated linearly.",
            _named("sub-01_probseg", _SHARES, _kept(_SHARES, in_between=True)),
            _FILES,
        ),
        Condition(
            "phase, by the name `part-phase`",
            "Phase wraps around and cannot be interpolated: give the magnitude image, or real and "
            "imaginary part.",
            _named("sub-01_part-phase_bold", _PHASE, _told),
            _FILES,
        ),
        Condition(
            "phase, by ImageType",
            "As DICOM headers and dcm2niix's sidecars say it. Give the magnitude image, or real "
            "and imaginary part.",
            _phase_by_type,
            ONE_OF_EACH,
        ),
        Condition(
            "phase of which nothing speaks",
            "Values all round the circle, from −π to π: if it is phase, do not use the result.",
            _named("scan", _PHASE, _told),
            _FILES,
        ),
        Condition(
            "constant", "There is nothing to be super-resolved.", _bounded(_CONSTANT), ONE_OF_EACH
        ),
        Condition(
            "almost constant",
            "Nothing to do: the result is as constant.",
            _bounded(_NEAR),
            _FILES,
        ),
        Condition(
            "a large offset",
            "Nothing to do: results have the same.",
            _as_without(lambda image: image + 5000, lambda image: image - 5000),
            _FILES,
        ),
        Condition(
            "all negative",
            "Nothing to do: results are negative too.",
            _as_without(lambda image: image - 5000, lambda image: image + 5000),
            _FILES,
        ),
        Condition(
            "outliers, 20 times as bright",
            "Metal, or a fit that ran away in a map. What is far from them shall be as without "
            "them; where it is warned, cut them off first.",
            _as_without(_hurt, lambda image: image, (slice(12, None),) * 3),
            _FILES,
        ),
    ),
    FAMILIES,
)
