"""What a scan says of itself: how it was acquired along each axis, how noisy it is, and on which
voxels it was really measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from arssr.degradation import acquisition_names
from arssr.errors import ArSSRError
from arssr.formats.slices import Slices
from arssr.grid import CLEARLY_THICKER, SAME_STEP, Grid, spacing_in_words
from arssr.intensity import Normalisation, beyond
from arssr.networks import NATIVE, UNKNOWN
from arssr.noise import estimate_noise
from arssr.resolution import Resolution, cut_to_band, measure_resolution
from arssr.volume import Volume
from arssr.weights.limits import told_of_slices

# What clinicians call an acquisition, and what the network does.
_CLINICAL = {"2d": "slice", "3d": "kspace"}
_IN_WORDS = {name: word.upper() for word, name in _CLINICAL.items()}
# Scans of isotropic and of twice as long voxels are made in every way: told `unknown` they are 0.1
# to 0.4 dB behind the right name, told a wrong one 0.4 to 1.0 (benchmarks/resolution.py, `told`).
_SURELY_SLICES = 2.5
# What folded anatomy (`spline`) alone adds to a noise estimate, in normalised intensity:
# 0.015 to 0.053 on noise-free images at 2x (benchmarks/noise.py, `clean`). Told as noise it would
# be smoothed away.
_FOLDED_ANATOMY = 0.05
# What is found in scans of training images to which no noise was added, and which networks were
# taught to call noise-free: in the median 0.010 to 0.022 after a cut in k-space, up to 0.013 in
# slices, 0.027 where anatomy folds (benchmarks/noise.py, `taught`), which it may where it is not
# known how a scan was made. Told all of it, they smooth away details that are as fine.
_OF_TRAINING, _OF_TRAINING_FOLDED = 0.015, 0.027


@dataclass(frozen=True)
class Measured:
    """A scan on the voxels that were measured, and what its spectrum told."""

    volume: Volume
    resolution: Resolution

    @property
    def cut_ijk(self) -> tuple[bool, bool, bool]:
        """Along which axes it was stored finer."""
        i, j, k = (axis.is_zero_filled for axis in self.resolution.axes)
        return i, j, k

    def acquisition(
        self, asked: str | Sequence[str], towards: Grid, card: Mapping[str, Any]
    ) -> str | Sequence[str]:
        """What was asked for, or for auto: what a network with this card is told of each axis.

        An axis that was zero-filled is k-space, one much thicker than the others is that of
        slices. The spectra of what was made otherwise look alike, so where no axis is so thick
        and none was zero-filled, and `towards` refines others too, those are told to be unknown: a
        wrong name costs more than none. Where spectra tell nothing at all, `acquisition_ijk`
        decides.
        """
        if asked != "auto":
            return asked
        grid = self.volume.grid
        told = acquisition_ijk("auto", grid, self.volume.slices, card)
        slices = (
            self.volume.slices or (grid.spacing_mm > _SURELY_SLICES * grid.spacing_mm.min()).any()
        )
        measured = any(axis.ending != "unknown" for axis in self.resolution.axes)
        careful = refined_axes(UNKNOWN, grid, towards)
        others = any(c == UNKNOWN and t == NATIVE for c, t in zip(careful, told, strict=True))
        if measured and others and not slices and not any(self.cut_ijk):
            told = careful
        return tuple(NATIVE if c else t for c, t in zip(self.cut_ijk, told, strict=True))

    def describe(self) -> dict[str, Any]:
        """What was done to the scan, as plain values for a sidecar; empty where nothing was."""
        if not any(self.cut_ijk):
            return {}
        grid, axes = self.volume.grid, zip("ijk", self.resolution.axes, strict=True)
        measured = ", ".join(
            f"{axis.measured_mm:.3g} mm along {name}" for name, axis in axes if axis.is_zero_filled
        )
        in_words = (
            f"zero-filled, measured on about {measured}: super-resolved from voxels of "
            f"{spacing_in_words(grid.spacing_mm)}, which surely hold all of that (--as-stored, "
            "as_stored=True: from what is stored)"
        )
        described = {"in_words": in_words, **grid.describe(), **self.resolution.describe()}
        return {"cut_to_band": described}


def as_measured(scan: Volume, resolution: Resolution | None = None) -> Measured:
    """The scan cut to its own band along the axes where that surely ends sharply.

    Scanners fill k-space with zeros, in the planes of 2D scans most of all. A network that is
    given such a scan takes the blur for anatomy. Sure is what `AxisResolution.is_zero_filled` says.
    resolution: of the scan, where it is known.
    """
    known = resolution or measure_resolution(scan)
    return Measured(cut_to_band(scan, known), known)


def acquisition_ijk(
    acquisition: str | Sequence[str],
    grid: Grid,
    slices: Slices | None,
    card: Mapping[str, Any],
) -> tuple[str, ...]:
    """What to tell a network with this card about each axis; see `Model.field`."""
    require_acquisition(acquisition)
    if not isinstance(acquisition, str):
        return tuple(acquisition)
    if acquisition != "auto":
        return (acquisition,) * 3
    thick = grid.spacing_mm > CLEARLY_THICKER * grid.spacing_mm.min()
    told = ["slice" if t else NATIVE for t in thick]
    if slices is not None and (answer := told_of_slices(card, slices)):
        told[slices.axis] = answer[0]
    return tuple(told)


def refined_axes(acquisition: str, source: Grid, target: Grid) -> tuple[str, ...]:
    """The acquisition on the source axes that `target` samples more finely, NATIVE elsewhere."""
    cell = target.cell_in(source)
    return tuple(acquisition if c < 1 - SAME_STEP else NATIVE for c in cell)


def noise_level(
    noise: float | str | None,
    volume: Volume,
    norm: Normalisation,
    told: Sequence[str],
    resolution: Resolution | None = None,
    samples: Tensor | None = None,
) -> float | None:
    """The noise of a scan, in normalised intensity; see `Model.field`.

    told: the acquisition of each axis. resolution, samples: see `estimate_noise`.
    """
    if noise is None or noise == UNKNOWN:
        return None
    if noise == "auto":
        estimate = estimate_noise(volume, resolution, samples) / norm.scale
        return beyond(estimate, _FOLDED_ANATOMY if "spline" in told else 0.0)
    require_noise(noise)
    return float(noise) / norm.scale


def usual_noise(noise: float | str | None, told: Sequence[str]) -> float:
    """What of `noise_level` a network is not told, as its training images have it by themselves.

    A level that somebody names is told as it is.
    """
    if noise != "auto" or "spline" in told:  # of which `noise_level` has taken off more
        return 0.0
    return _OF_TRAINING_FOLDED if UNKNOWN in told else _OF_TRAINING


def untold_noise(level: float | None, usual: float, most: float) -> float:
    """What a network is not told of a noise level, so that the rest (`beyond`) is `most` at most.

    usual: what it is not told anyhow, see `usual_noise`.

    >>> untold_noise(0.1, 0.015, most=0.12)
    0.015
    >>> round(beyond(0.5, untold_noise(0.5, 0.015, most=0.12)), 9)
    0.12
    """
    if level is None or beyond(level, usual) <= most:
        return usual
    return beyond(level, most)


def require_noise(noise: float | str | None) -> None:
    """Refuse what is no noise level: neither a number of at least 0, nor auto, unknown or None."""
    if noise is None or noise in ("auto", UNKNOWN):
        return
    try:
        sigma = float(noise)
    except (TypeError, ValueError):
        raise ArSSRError(f"noise is a number, auto or unknown, not {noise!r}") from None
    if not (np.isfinite(sigma) and sigma >= 0):
        raise ArSSRError(f"noise must be at least 0 and finite, not {noise}")


def as_acquisition(given: str | Sequence[str]) -> str | tuple[str, ...]:
    """The names that the network knows, of what may be a clinician's.

    >>> as_acquisition("2D"), as_acquisition(("3D", "3D", "spline"))
    ('slice', ('kspace', 'kspace', 'spline'))
    """
    if isinstance(given, str):
        return _CLINICAL.get(given.lower(), given)
    return tuple(_CLINICAL.get(name.lower(), name) for name in given)


def require_acquisition(acquisition: str | Sequence[str]) -> None:
    """Refuse what is no acquisition: neither one name, nor three, nor auto."""
    if acquisition == "auto":
        return
    names = [acquisition] if isinstance(acquisition, str) else acquisition
    if not isinstance(acquisition, str) and len(names) != 3:
        raise ArSSRError(f"an acquisition is one name or three, not {len(names)}")
    known = (*acquisition_names(), UNKNOWN)
    words = [f"{_IN_WORDS[name]} ({name})" if name in _IN_WORDS else name for name in known]
    for name in names:
        if name not in known:
            raise ArSSRError(f"unknown acquisition {name!r}; known are auto, {', '.join(words)}")
