"""The public face: weights in, sharper scans out.

>>> import numpy as np
>>> from arssr import Grid, Volume, load_model
>>> model = load_model("light", device="cpu")
>>> grid = Grid((9, 9, 7), np.diag([1, 1, 4, 1]))
>>> scan = Volume(np.random.default_rng(0).random(grid.shape), grid)

A scan, or whatever `arssr.volume.Image` lists (a path, an image of nibabel or SimpleITK, an array
with an affine), becomes one on another grid. Thick slices alone where nothing is named:

>>> model.upsample(scan)
Volume(9×9×28 voxels of 1×1×1 mm, RAS, stored as float32, 9.07 KB)
>>> model.upsample(scan, spacing=(0.8, 1, 2)).grid
Grid(11×9×14 voxels of 0.8×1×2 mm, RAS)

What is read more than once is a field: encoded once, read on any grid, oblique ones too, and at
any points.

>>> field = model.field(scan)
>>> field.on(scan.grid.isotropic()).data.shape
(9, 9, 28)
>>> field.at([[3, 4.5, 10], [0, 0, 0.1]]).shape  # in mm, RAS+
(2,)
"""

import sys
import warnings
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, Unpack, overload

import torch

from arssr.engine.machine import set_threads
from arssr.engine.precision import named_device, named_precision
from arssr.ensemble import EnsembleField, flips
from arssr.errors import ArSSRError, ArSSRWarning
from arssr.field import VoxelField
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.networks import ImplicitVoxelNetwork, ModelConfig
from arssr.networks.spread import with_spread
from arssr.on_device import samples_on
from arssr.planes import as_html
from arssr.progress import ReportProgress, usual
from arssr.resolution import Resolution
from arssr.scan import (
    Measured,
    acquisition_ijk,
    as_acquisition,
    noise_level,
    refined_axes,
    untold_noise,
    usual_noise,
)
from arssr.upsampling.facts import Facts
from arssr.upsampling.frames import each_result, facts_of_all
from arssr.upsampling.request import Options as Options
from arssr.upsampling.request import Request, Transforms, as_transforms
from arssr.upsampling.result import result_of, told_of, where_of
from arssr.upsampling.room import require_memory
from arssr.upsampling.target import Target, Three
from arssr.volume import Image, Volume, open_frames
from arssr.weights.interval import PLAIN, Interval, interval_of
from arssr.weights.limits import most_noise
from arssr.weights.registry import Weights, load
from arssr.weights.words import card_in_words


class Model:
    """A trained network on a device.

    device: auto (a GPU if there is one), cpu, cuda, cuda:1, …
    precision: auto (bfloat16 where it is measured to be faster and the network only corrects an
        interpolation, float16 on GPUs from before bfloat16), bf16, fp16 (on a GPU) or float32.
    """

    def __init__(self, weights: Weights, device: str = "auto", precision: str = "auto") -> None:
        self.weights = weights
        on = named_device(device)
        set_threads()
        dtype = named_precision(precision, on, weights.network.corrects)
        self.network = weights.network.to(device=on, dtype=dtype)
        self.network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def __repr__(self) -> str:
        return f"Model({self.name}: {self.config.encoder}, {self.device}, {self.precision})"

    def _repr_html_(self) -> str:
        facts = card_in_words(self.config.to_dict(), self.network.parameter_count, self.card)
        facts["computes"] = f"{self.precision} on {self.device}"
        return as_html(f"Model, {self.name}", facts)

    @property
    def name(self) -> str:
        """As it was asked for, without suffix."""
        return self.weights.name

    @property
    def device(self) -> torch.device:
        """Where it computes; fields for which a GPU has too little memory go on on the CPU."""
        return self.network.device

    @property
    def precision(self) -> str:
        """The floating-point type it computes in: bfloat16, float16 or float32."""
        return self.network.precision

    @property
    def config(self) -> ModelConfig:
        """What the network is made of."""
        return self.network.config

    @property
    def card(self) -> dict[str, Any]:
        """What is known about the weights: data, recipe, results."""
        return self.weights.card

    def field(
        self,
        image: "Image | Measured",
        *,
        towards: Grid | None = None,
        acquisition: str | Sequence[str] = "auto",
        noise: float | str | None = "auto",
        normalisation: Normalisation | None = None,
        ensemble: int = 1,
        memory: float | None = None,
        skip_air: bool = True,
        progress: ReportProgress | None = None,
        interval: Interval | None = None,
    ) -> VoxelField:
        """The image as a field: encoded once, when it is first read, and read anywhere.

        image: as in `upsample`, or a scan whose resolution is known already (`as_measured`).
        acquisition: auto, kspace (or 3D), slice (or 2D), spline or unknown, for all axes or one
            for each. auto takes an axis clearly thicker than the others for the slice direction;
            of slices that do not touch it tells what `limits.told_of_slices` says. (`upsample` is
            more careful, see `scan.Measured.acquisition`.)
        towards: a grid it will be read on; a name then holds for the axes that this refines.
        noise: standard deviation in units of the image, auto (estimated) or None (unknown). A
            network is told twice that of its training at most.
        normalisation: of the intensities that the network sees; by default its training's.
        ensemble: 4 or 8 for the mean over flips of the scan (`EnsembleField`).
        memory, skip_air: see `VoxelField`.
        progress: hears what is done and which share of it; by default a bar, in notebooks.
        interval: as `interval` has it, for half-widths beside the values.
        """
        members = flips(ensemble)
        acquisition = as_acquisition(acquisition)
        resolution: Resolution | None = None
        if isinstance(image, Measured):
            resolution = None if any(image.cut_ijk) else image.resolution
            image = image.volume
        volume = Volume.coerce(image)
        label = str(volume.path) if volume.path else "the image"
        volume.kind.require_intensities(label)
        samples = samples_on(volume.data, self.device)
        if normalisation is None and not self.weights.normalises:
            normalisation = Normalisation.identity()
        norm = normalisation or Normalisation.fit(samples, label)
        if (
            towards is not None
            and isinstance(acquisition, str)
            and acquisition in self.config.acquisitions
        ):
            acquisition = refined_axes(acquisition, volume.grid, towards)
        told = acquisition_ijk(acquisition, volume.grid, volume.slices, self.card)
        level = noise_level(noise, volume, norm, told, resolution, samples)
        make = partial(EnsembleField, members=members) if ensemble > 1 else VoxelField
        return make(
            self.network if interval is None else self._telling,
            volume,
            norm,
            acquisition_ijk=told,
            noise=level,
            usual_noise=untold_noise(level, usual_noise(noise, told), most_noise(self.card)),
            memory=memory,
            skip_air=skip_air,
            progress=progress or usual(),
            samples=samples,
            interval=interval,
        )

    def interval(self, way: str = PLAIN) -> Interval:
        """What makes intervals that hold the truth, for a way of computing (`weights.interval`).

        Raises ArSSRError where these weights tell none, or none that are calibrated this way.
        """
        return interval_of({"name": self.name, **self.card}, way)

    @cached_property
    def _telling(self) -> ImplicitVoxelNetwork:
        """The network with the head that tells half-widths; the layers are the same."""
        head = self.weights.spread
        if head is None:
            raise ArSSRError(f"{self.weights.path} has no head that tells half-widths")
        return with_spread(self.network, head.to(device=self.device, dtype=self.network.dtype))

    @overload
    def upsample(
        self,
        image: Image,
        *,
        frames: Literal[False] = False,
        uncertainty: Literal[False] = False,
        **options: Unpack[Options],
    ) -> Volume: ...

    @overload
    def upsample(
        self,
        image: Image,
        *,
        frames: Literal[False] = False,
        uncertainty: Literal[True],
        **options: Unpack[Options],
    ) -> tuple[Volume, Volume]: ...

    @overload
    def upsample(
        self, image: Image, *, frames: Literal[True], **options: Unpack[Options]
    ) -> list[Volume]: ...

    def upsample(
        self,
        image: Image,
        *,
        scale: Three | None = None,
        spacing: Three | None = None,
        shape: Sequence[int] | None = None,
        like: "Grid | Image | None" = None,
        isotropic: bool = False,
        transform: Transforms = (),
        frames: bool = False,
        labels: bool = False,
        uncertainty: bool = False,
        consistent: bool = False,
        strict: bool = False,
        acquisition: str | Sequence[str] = "auto",
        noise: float | str | None = "auto",
        ensemble: int = 1,
        as_stored: bool = False,
        even_slices: bool = False,
        clamp: bool = True,
        memory: float | None = None,
        skip_air: bool = True,
        progress: ReportProgress | None = None,
    ) -> Volume | tuple[Volume, Volume] | list[Volume]:
        """The image on another grid, in its own units.

        image: see `arssr.volume.Image`; whatever it is, the result is a `Volume`, of which
        `to_nibabel`, `to_sitk` and `numpy.asarray` make what else is wanted. frames: the image is
        4D, and the result is a list of all its frames.
        uncertainty: the result is a pair: the image, and the half-widths of intervals around its
        values that hold the truth with a probability of 90 % (docs/uncertainty.md), in the same
        units, on the same grid. Not of several frames.

        scale: output voxels per input voxel; spacing: mm; shape: voxels; like: a grid, or an
        image whose grid to take; isotropic: the finest spacing along all axes. At most one of
        them is given; without any, thick slices alone are refined (`Target`). A grid that is
        only coarser than the image is resampled with an anti-aliasing filter instead, and one of
        the same places gets the same samples. Labels and probabilities (`Volume.kind`) are
        interpolated as such. A scan that was surely measured on larger voxels than it is stored on
        (`scan.as_measured`) is taken back to those first, unless `as_stored`.

        progress: hears what is done and which share of it; by default a bar, in notebooks. The
        rest is as in `Request`, and as in `field`. What the command line warns of is an
        `ArSSRWarning`, and so are its notes, which `strict` lets pass: the target that was chosen
        where none was named, the cut to what was measured, the residual of `consistent`. Raises
        ArSSRError for bad input, for phase, for what does not go together, and for results that
        do not fit.
        """
        progress = progress or usual()
        request = Request(
            Target(scale, spacing, shape, like, isotropic),
            transforms=as_transforms(transform),
            acquisition=as_acquisition(acquisition),
            noise=noise,
            ensemble=ensemble,
            memory=memory,
            skip_air=skip_air,
            frames=frames,
            labels=labels,
            uncertainty=uncertainty,
            consistent=consistent,
            strict=strict,
            as_stored=as_stored,
            even_slices=even_slices,
            clamp=clamp,
        )
        if frames:
            return self._upsample_frames(image, request, progress)
        volume = Volume.coerce(image)
        where = where_of(request, volume)
        require_memory(where.grid, copies=1 + uncertainty)
        result = result_of(self, request, volume, where, progress, where.resolution)
        told = told_of(result.facts)
        _warn(volume, told)
        made, *half_widths = result.whole()
        _warn(volume, [each for each in told_of(result.facts) if each not in told])
        return (made, half_widths[0]) if half_widths else made

    def _upsample_frames(
        self, image: Image, request: Request, progress: ReportProgress
    ) -> list[Volume]:
        """Every frame on the grid of the first."""
        if request.uncertainty:
            raise ArSSRError(
                "half-widths of several frames are written by `arssr upsample --frames "
                "--uncertainty`; in Python ask for those of one frame at a time"
            )
        with open_frames(image) as frames:
            volume = frames.frame(0)
            where = where_of(request, volume)
            require_memory(where.grid, copies=len(frames))
            first = result_of(self, request, volume, where, progress, where.resolution)
            told = told_of(first.facts)
            _warn(volume, told)
            made, facts = list[Volume](), list[Facts]()
            for result in each_result(self, request, frames, where, first, progress):
                made.append(result.whole()[0])
                facts.append(result.facts)
        _warn(volume, [each for each in told_of(facts_of_all(facts)) if each not in told])
        return made


def load_model(
    name_or_path: str | Path = "light", device: str = "auto", precision: str = "auto"
) -> Model:
    """A model from shipped weights, a `.safetensors` file or a reference `.pkl` checkpoint."""
    return Model(load(name_or_path), device, precision)


@overload
def upsample(
    image: Image,
    model: str | Path = "light",
    *,
    frames: Literal[False] = False,
    uncertainty: Literal[False] = False,
    **options: Unpack[Options],
) -> Volume: ...


@overload
def upsample(
    image: Image,
    model: str | Path = "light",
    *,
    frames: Literal[False] = False,
    uncertainty: Literal[True],
    **options: Unpack[Options],
) -> tuple[Volume, Volume]: ...


@overload
def upsample(
    image: Image,
    model: str | Path = "light",
    *,
    frames: Literal[True],
    **options: Unpack[Options],
) -> list[Volume]: ...


def upsample(
    image: Image, model: str | Path = "light", **options: Any
) -> Volume | tuple[Volume, Volume] | list[Volume]:
    """`load_model(model).upsample(image, …)` for a single image."""
    made: Volume | tuple[Volume, Volume] | list[Volume]
    made = load_model(model).upsample(image, **options)
    return made


def _warn(volume: Volume, sentences: Sequence[str]) -> None:
    """Tell whoever called `upsample`, but for what was told when the image was read."""
    for sentence in sentences:
        if sentence not in volume.warnings:
            message = f"{volume.path or 'the image'}: {sentence}"
            warnings.warn(message, ArSSRWarning, stacklevel=_level_of_caller())


def _level_of_caller() -> int:
    """The `stacklevel` at which `_warn` points to the line that called something of this file."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_code.co_filename == __file__:
        frame, level = frame.f_back, level + 1
    return level
