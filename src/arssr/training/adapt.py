"""Weights for one scan, taught by the scan itself.

A stack of thick slices is sharp within its slices: one of those directions, made as thick as the
slices are, is a low-resolution scan whose high-resolution truth is known. What is learnt there
holds across the slices too, for anatomy has no preferred axis and the network is told which axis
is thick (Zhao et al. 2021, SMORE, doi:10.1109/TMI.2020.3037187). An isotropic scan is degraded
once more by the factor that it is to be refined by (Shocher et al. 2018, arXiv 1712.06087).
"""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arssr.degradation import degrade, named_degradation
from arssr.errors import ArSSRError
from arssr.field import VoxelField
from arssr.files import sha256
from arssr.grid import shape_in_words
from arssr.intensity import Normalisation, beyond
from arssr.interpolation import resample
from arssr.networks import NATIVE, ImplicitVoxelNetwork
from arssr.scan import acquisition_ijk, as_measured, noise_level, usual_noise
from arssr.survey import described
from arssr.training.config import SamplingConfig, TrainConfig
from arssr.training.data import Item
from arssr.training.images import Resident
from arssr.training.loop import Progress, Trainer
from arssr.training.records import describe_weights, describe_work
from arssr.volume import Volume
from arssr.weights.files import save_weights
from arssr.weights.registry import Weights

if TYPE_CHECKING:
    from lightning.fabric import Fabric

MINUTES = 3.0
_HELD_OUT = 0.25  # share of the foreground that is judged and not trained on
_PATCH = 16  # low-resolution voxels a side of a training patch, or as many as the scan has …
_SMALLEST_PATCH = 10  # … and at least so many
_TIMED_STEPS = 3


@dataclass(frozen=True)
class Lesson:
    """What a scan can teach: some of its axes made coarser, as its own coarse ones are.

    scan: in normalised intensity. fine: what is degraded; the scan itself, or with the thick axes
        refined by the weights to start from, so that what is seen beside the degraded axis is as
        fine as it will be in use.
    axes: those that are degraded, one at a time; or, for an isotropic scan, all at once.
    scale: by how much. noise: of the scan itself, in normalised intensity, beyond the usual.
    """

    scan: Volume
    fine: Volume
    acquisition: str
    axes: tuple[int, ...]
    scale: float
    noise: float
    held_axis: int
    cut: int  # the first held-out voxel along that axis

    @classmethod
    def of(
        cls, scan: Volume, network: ImplicitVoxelNetwork, scale: float | None = None
    ) -> "Lesson":
        """Decides as `--acquisition auto` does for slices without gaps, on the voxels that were
        measured, as `Model.upsample` does; `scale` is by default the scan's own ratio, or 2.

        Raises ArSSRError for a scan that is too small to learn from.
        """
        scan = as_measured(scan).volume
        norm = Normalisation.fit(scan.data, scan.name)
        told = acquisition_ijk("auto", scan.grid, slices=None, card={})
        noise = beyond(noise_level("auto", scan, norm, told) or 0.0, usual_noise("auto", told))
        spacing = scan.grid.spacing_mm
        thick = np.array([name != NATIVE for name in told])
        if scale is None:
            scale = float(spacing[thick].mean() / spacing[~thick].mean()) if thick.any() else 2.0
        if not (math.isfinite(scale) and scale > 1):
            raise ArSSRError(f"a scan is adapted to a scale above 1, not {scale:g}")
        plain = scan.with_data(norm.apply(scan.data), scan.grid)
        fine = plain
        if thick.any():
            grid = scan.grid.scaled(np.where(thick, scale, 1.0).tolist())
            fine = _field_of(network, plain, told, noise).on(grid)
        held_axis = int(np.argmax(np.where(thick, 0, scan.grid.shape)))
        bright = np.nonzero(plain.data > plain.data.mean())[held_axis]
        return cls(
            plain,
            fine,
            acquisition="slice" if thick.any() else NATIVE,
            axes=tuple(int(axis) for axis in np.flatnonzero(~thick)),
            scale=scale,
            noise=noise,
            held_axis=held_axis,
            cut=int(np.quantile(bright, 1 - _HELD_OUT)),
        )

    @property
    def together(self) -> bool:
        """Whether all axes are degraded at once."""
        return len(self.axes) == 3

    def describe(self) -> dict[str, Any]:
        """What it is, for a card."""
        return {
            "acquisition": self.acquisition,
            "axes": list(self.axes),
            "scale": round(self.scale, 4),
        }

    def item(self) -> Item:
        """What is trained on: the scan up to a gap before the held-out part."""
        end = max(1, self.cut - 2 * math.ceil(self.scale))
        taught = self.fine.data.take(range(end), axis=self.held_axis)
        return replace(Item.of(self.scan.name, taught), thick_axes=self.axes, noise=self.noise)

    def sampling(self) -> SamplingConfig:
        """Samples of this kind only, everything told. Raises ArSSRError for a small scan."""
        shape = np.array(self.item().image.shape, float)
        shape[list(self.axes)] /= self.scale
        patch = min(_PATCH, int(shape.min()))
        if patch < _SMALLEST_PATCH:
            size = shape_in_words(self.scan.grid.shape)
            raise ArSSRError(
                f"{self.scan.name}: {size} voxels are too few to learn from at a scale of "
                f"{self.scale:.3g}"
            )
        return SamplingConfig(
            batch=8,
            patch=patch,
            points=3000,
            margin=3.0,
            acquisitions={self.acquisition: 1.0},
            gaussian=1.0,
            gapped=0.0,
            apodised=0.0,
            unknown=0.0,
            scale=(self.scale, self.scale),
            anisotropic=0.0,
            thick=0.0 if self.together else 1.0,
            thick_scale=self.scale,
            noisy=0.0,
            contrast=0.0,
        )

    def judge(self, network: ImplicitVoxelNetwork) -> float:
        """Gain over cubic interpolation, in dB, on the held-out part; the mean over the axes.

        Along thick axes the result is made as thick as the scan, so that it is compared with what
        was measured and with nothing that a network made up.
        """
        degradation = named_degradation(self.acquisition)
        truth, part = self._held_out(self.scan), self._held_out(self.fine)
        thicken = self._scale_ijk([axis for axis in range(3) if axis not in self.axes])
        gains = []
        for axes in [self.axes] if self.together else [(axis,) for axis in self.axes]:
            lr = degrade(self.fine, self._scale_ijk(axes), degradation)
            told = [degradation.name if axis in axes else NATIVE for axis in range(3)]
            field = _field_of(network, lr, told, self.noise)
            cubic, better = (
                np.square(degrade(v, thicken, degradation).data - truth.data).mean()
                for v in (resample(lr, part.grid), field.on(part.grid))
            )
            gains.append(10 * math.log10(cubic / better))
        return float(np.mean(gains))

    def _scale_ijk(self, axes: Sequence[int]) -> tuple[float, float, float]:
        i, j, k = (self.scale if axis in axes else 1.0 for axis in range(3))
        return i, j, k

    def _held_out(self, volume: Volume) -> Volume:
        box = tuple(slice(self.cut if axis == self.held_axis else 0, None) for axis in range(3))
        return volume.with_data(volume.data[box], volume.grid.part(box))


@dataclass(frozen=True)
class Adaptation:
    """What came of it: the network to use from now on, and how good it is on the held-out part.

    gain_before, gain_after: dB over cubic interpolation of the weights it started from and of the
    adapted ones. Where adapting did not help, `network` is the one it started from.
    """

    network: ImplicitVoxelNetwork
    card: dict[str, Any]
    gain_before: float
    gain_after: float

    @property
    def helped(self) -> bool:
        """Whether the adapted weights are better on what they have not seen."""
        return self.gain_after > self.gain_before

    def save(self, path: Path) -> None:
        """Write an ordinary weight file."""
        save_weights(path, self.network, self.card)


def adapt(
    scan: Volume,
    weights: Weights,
    fabric: "Fabric",
    scale: float | None = None,
    steps: int | None = None,
    minutes: float = MINUTES,
    lr: float = 1e-4,
    on_step: Callable[[Progress], None] = lambda _: None,
) -> Adaptation:
    """Fine-tune weights on one scan.

    scale: what it learns to undo; by default slice thickness over in-plane spacing, or 2.
    steps: by default as many as fit into `minutes`, by the time that a few take.
    Raises ArSSRError for a scan that is too small or holds no intensities, and for weights of the
    paper's flavour.
    """
    scan.kind.require_intensities(scan.path or "the scan")
    if not weights.network.corrects:
        raise ArSSRError(f"{weights.name}: only weights of the residual flavour can be adapted")
    lesson = Lesson.of(scan, weights.network.to(fabric.device), scale)
    config = TrainConfig(
        weights.network.config,
        lesson.sampling(),
        optimiser="adamw",
        lr=lr,
        warmup_steps=10,
        steps=_TIMED_STEPS + 1,
        ema=0.98,
        validate_every=2**31,
        checkpoint_every_seconds=math.inf,
    )
    train = partial(_train, lesson.item(), weights, fabric)
    if steps is None:
        ticks: list[float] = []
        train(config, lambda _: ticks.append(time.monotonic()))
        steps = max(1, round(minutes * 60 / (ticks[-1] - ticks[0]) * _TIMED_STEPS))
    config = replace(config, steps=steps)
    before = lesson.judge(weights.network)
    trainer = train(config, on_step)
    adapted = trainer.averaged.eval()
    after = lesson.judge(adapted)
    kept = ("licence", "credit", "valid", "parameters")
    card = {
        "about": f"{weights.name} adapted to one scan",
        **{key: weights.card[key] for key in kept if key in weights.card},
        "adapted": after > before,
        "data": [_describe_scan(scan)],
        "lesson": lesson.describe(),
        "held_out": {
            "axis": lesson.held_axis,
            "from_voxel": lesson.cut,
            "gain_before": round(before, 3),
            "gain_after": round(after, 3),
        },
        **describe_work(config, trainer.step, trainer.seconds, fabric.device),
        "started_from": describe_weights(weights),
    }
    return Adaptation(adapted if after > before else weights.network, card, before, after)


def _train(
    item: Item,
    weights: Weights,
    fabric: "Fabric",
    config: TrainConfig,
    on_step: Callable[[Progress], None],
) -> Trainer:
    network = ImplicitVoxelNetwork(config.model)
    network.load_state_dict(weights.network.state_dict())
    item = replace(item, image=item.image.to(fabric.device))
    with tempfile.TemporaryDirectory() as folder:
        images = Resident.plain([item], config.seed, config.sampling.batch)
        trainer = Trainer(config, images, fabric, Path(folder), network, on_step=on_step)
        trainer.run()
    return trainer


def _describe_scan(scan: Volume) -> dict[str, Any]:
    return {
        "name": scan.name,
        "sha256": sha256(scan.path) if scan.path else None,
        **described(scan.data),
        **scan.grid.describe(),
    }


def _field_of(
    network: ImplicitVoxelNetwork, normalised: Volume, told: Sequence[str], noise: float | None
) -> VoxelField:
    """The field of a scan whose intensities are normalised already."""
    return VoxelField(
        network, normalised, Normalisation.identity(), acquisition_ijk=told, noise=noise
    )
