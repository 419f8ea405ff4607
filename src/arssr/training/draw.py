"""The random choices of a training sample: a few numbers, drawn on the host."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from arssr.degradation import Degradation, KSpace, Slice, named_degradation
from arssr.training.config import SamplingConfig


@dataclass(frozen=True)
class Contrast:
    """Another contrast for an image in about [0, 1]; the defaults change nothing.

    First an intensity x becomes 1.05 - x where `inverted` (air stays air), then x**gamma, then
    x + x (1 - x) (bend + skew (1 - 2x)). Then a bias field multiplies it: along each axis
    1 + slope u + curve u² for u from -1 to 1 over the region, all of it times `gain`.
    """

    inverted: bool = False
    gamma: float = 1.0
    bend: float = 0.0
    skew: float = 0.0
    shading: np.ndarray = field(default_factory=lambda: np.zeros((3, 2)))  # slope, curve per axis
    gain: float = 1.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Contrast":
        """A random one."""
        return cls(
            inverted=rng.random() < 0.25,
            gamma=float(np.exp(rng.uniform(-0.35, 0.35))) if rng.random() < 0.5 else 1.0,
            bend=rng.uniform(-0.6, 0.6),
            skew=rng.uniform(-0.4, 0.4),
            shading=rng.uniform(-1, 1, (3, 2)) * (0.15, 0.1),
            gain=rng.uniform(0.7, 1.2),
        )


@dataclass(frozen=True)
class Turn:
    """Axis a of the turned sample is axis `order[a]` of the image, reversed where `flipped[a]`."""

    order: tuple[int, int, int] = (0, 1, 2)
    flipped: tuple[bool, bool, bool] = (False, False, False)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Turn":
        """One of the 48 there are."""
        i, j, k = map(int, rng.permutation(3))
        a, b, c = map(bool, rng.random(3) < 0.5)
        return cls((i, j, k), (a, b, c))


@dataclass(frozen=True)
class Draw:
    """What kind of scan one sample is.

    stripped: skull-stripped after the noise, so that air has none.
    """

    degradation: Degradation
    scale_ijk: np.ndarray
    noise: float = 0.0
    stripped: bool = False
    told_acquisition: bool = True
    told_noise: bool = True
    own_view: bool = False
    contrast: Contrast | None = None
    turn: Turn = Turn()


def draw(config: SamplingConfig, rng: np.random.Generator, axes: Sequence[int] = (0, 1, 2)) -> Draw:
    """Choose an acquisition, a scale per axis, a noise level, a contrast and a turn.

    axes: those of which a single one may become the thick one.
    """
    names = list(config.acquisitions)
    shares = np.array([config.acquisitions[name] for name in names], float)
    name = names[rng.choice(len(names), p=shares / shares.sum())]
    return Draw(
        scale_ijk=_draw_scale(config, rng, axes),
        noise=config.noise * rng.random() if rng.random() < config.noisy else 0.0,
        stripped=rng.random() < 0.5,
        told_acquisition=rng.random() >= config.unknown,
        told_noise=rng.random() >= config.unknown,
        own_view=rng.random() < config.own_view,
        contrast=Contrast.draw(rng) if rng.random() < config.contrast else None,
        turn=Turn.draw(rng) if rng.random() < config.turned else Turn(),
        degradation=_draw_degradation(config, rng, name),
    )


def _draw_degradation(config: SamplingConfig, rng: np.random.Generator, name: str) -> Degradation:
    """`slice` and `kspace` with the profile, gap and apodisation of some scanner."""
    if name == "slice":
        return Slice(
            profile="gaussian" if rng.random() < config.gaussian else "trapezoid",
            gap=rng.uniform(*config.gap) if rng.random() < config.gapped else 0.0,
            ramp=rng.uniform(*config.ramp),
        )
    if name == "kspace":
        apodised = rng.random() < config.apodised
        return KSpace(rng.uniform(*config.apodisation) if apodised else 0.0)
    return named_degradation(name)


def _draw_scale(
    config: SamplingConfig, rng: np.random.Generator, axes: Sequence[int]
) -> np.ndarray:
    low, high = config.scale

    def one(top: float = high) -> float:
        if config.scale_step is None:
            return rng.uniform(low, top)
        return low + config.scale_step * rng.integers(round((top - low) / config.scale_step) + 1)

    kind = rng.random()
    if kind < config.thick:
        scale = np.ones(3)
        scale[rng.choice(axes)] = one(config.thick_scale)
        return scale
    if kind < config.thick + config.anisotropic:
        scale = np.array([one() if rng.random() < 0.75 else 1.0 for _ in range(3)])
        scale[rng.integers(3)] = one()
        return scale
    return np.full(3, one())
