"""Models with their hashes, and what a whole scan says of itself to one who needs a part of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from arssr.api import Model
from arssr.evaluation.methods import network_sha256
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.noise import estimate_noise
from arssr.scan import Measured, as_measured
from arssr.volume import Volume
from arssr.weights.registry import load


def models_with_sha256(names: Iterable[str]) -> dict[Model, str]:
    """Models on the CPU, and the hashes of their parameters as stored: rounded they have others."""
    found = {}
    for name in names:
        weights = load(name)
        sha = network_sha256(weights.network)  # before a model rounds them to its precision
        found[Model(weights, "cpu")] = sha
    return found


@dataclass(frozen=True)
class Whole:
    """Range, noise and measured band of a scan.

    A small part, or one with many lesions, would say something else: in 21 × 18 × 6 voxels of a
    FLAIR the noise was estimated at 18.6, in all of it at 11.3.
    """

    scan: Measured
    units: Normalisation
    noise: float

    @classmethod
    def of(cls, scan: Volume) -> "Whole":
        """What is found in it."""
        measured = as_measured(scan)
        known = None if any(measured.cut_ijk) else measured.resolution
        noise = estimate_noise(measured.volume, known)
        return cls(measured, Normalisation.fit(measured.volume.data), noise)

    def upsample(self, model: Model, part: Volume, grid: Grid, told: str | Sequence[str]) -> Volume:
        """A part of the scan on a grid, as the whole of it would be."""
        field = model.field(
            as_measured(part, self.scan.resolution),
            towards=grid,
            acquisition=told,
            normalisation=self.units,
            noise=self.noise,
        )
        return field.on(grid)
