"""The public face: weights in, sharper scans out."""

import logging
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from arssr.engine.machine import fast_bf16, fast_fp16, set_threads
from arssr.engine.memory import available_bytes
from arssr.ensemble import EnsembleField, flips
from arssr.errors import ArSSRError
from arssr.field import ReportProgress, VoxelField, silent
from arssr.files import bytes_in_words
from arssr.formats.kind import INTENSITIES, unlike_intensities
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.limits import coarser_axes
from arssr.networks import ACQUISITIONS, ModelConfig
from arssr.plain import without_network
from arssr.scan import acquisition_ijk, as_measured, noise_level, refined_axes
from arssr.target import Image, Target, Three
from arssr.volume import Volume
from arssr.weights.registry import Weights, load

_log = logging.getLogger(__name__)
_PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "float32": torch.float32}
_BYTES_PER_OUTPUT_VOXEL = 5  # the result, and some of it on its way


class Model:
    """A trained network on a device.

    device: auto (a GPU if there is one), cpu, cuda, cuda:1, …
    precision: auto (bfloat16 where it is measured to be faster and the network only corrects an
        interpolation, float16 on GPUs from before bfloat16), bf16, fp16 (on a GPU) or float32.
    """

    def __init__(self, weights: Weights, device: str = "auto", precision: str = "auto") -> None:
        self.weights = weights
        on = _device(device)
        set_threads()
        dtype = _dtype(precision, on, weights.network.is_residual)
        self.network = weights.network.to(device=on, dtype=dtype)
        self.network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def __repr__(self) -> str:
        return f"Model({self.name}: {self.config.encoder}, {self.device}, {self.precision})"

    @property
    def name(self) -> str:
        """As it was asked for, without suffix."""
        return self.weights.name

    @property
    def device(self) -> torch.device:
        """Where it computes; the CPU from where a GPU has run out of memory on."""
        return next(self.network.parameters()).device

    @property
    def precision(self) -> str:
        """The floating-point type it computes in: bfloat16, float16 or float32."""
        return str(next(self.network.parameters()).dtype).removeprefix("torch.")

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
        image: Image,
        *,
        towards: Grid | None = None,
        acquisition: str | Sequence[str] = "auto",
        noise: float | str | None = "auto",
        normalisation: Normalisation | None = None,
        ensemble: int = 1,
        memory: float | None = None,
        skip_air: bool = True,
        progress: ReportProgress = silent,
    ) -> VoxelField:
        """The image as a field: encoded once, when it is first read, and read anywhere.

        acquisition: auto, kspace, slice, spline or unknown, for all axes or one for each. auto
            takes an axis clearly thicker than the others for the slice direction; of slices that
            do not touch it tells what `limits.told_of_slices` says. (`upsample` is more careful,
            see `scan.Measured.acquisition`.)
        towards: a grid it will be read on; a name then holds for the axes that this refines.
        noise: standard deviation in units of the image, auto (estimated) or None (unknown).
        normalisation: of the intensities that the network sees; by default its training's.
        ensemble: 4 or 8 for the mean over flips of the scan (`EnsembleField`).
        memory, skip_air: see `VoxelField`.
        """
        members = flips(ensemble)
        volume = Volume.coerce(image)
        label = str(volume.path) if volume.path else "The image"
        volume.kind.require_intensities(label)
        # what of the paper's flavour was trained here knows the intensities of files
        if normalisation is None and not self.network.is_residual and "recipe" in self.card:
            normalisation = Normalisation.identity()
        norm = normalisation or Normalisation.fit(volume.data, label)
        if towards is not None and isinstance(acquisition, str) and acquisition in ACQUISITIONS:
            acquisition = refined_axes(acquisition, volume.grid, towards)
        told = acquisition_ijk(acquisition, volume.grid, volume.slices, self.card)
        level = noise_level(noise, volume, norm, told)
        made_of = (self.network, volume, norm, told, level, memory, skip_air, progress)
        return EnsembleField(*made_of, members) if ensemble > 1 else VoxelField(*made_of)

    def upsample(
        self,
        image: Image,
        *,
        scale: Three | None = None,
        spacing: Three | None = None,
        shape: Sequence[int] | None = None,
        like: Grid | Image | None = None,
        isotropic: bool = False,
        acquisition: str | Sequence[str] = "auto",
        noise: float | str | None = "auto",
        ensemble: int = 1,
        as_stored: bool = False,
        memory: float | None = None,
        skip_air: bool = True,
        progress: ReportProgress = silent,
    ) -> Volume:
        """The image on another grid, in its own units.

        scale: output voxels per input voxel; spacing: mm; shape: voxels; like: a grid, or an
        image whose grid to take; isotropic: the finest spacing along all axes. At most one of
        them is given; without any, thick slices alone are refined (`Target`). A grid that is
        only coarser than the image is resampled with an anti-aliasing filter instead, and one of
        the same places gets the same samples. Labels and probabilities (`Volume.kind`) are
        interpolated as such. A scan that was surely measured on larger voxels than it is stored on
        (`scan.as_measured`) is taken back to those first, unless `as_stored`. See `field` for the
        rest. Raises ArSSRError for bad input, for phase, and for results that do not fit.
        """
        flips(ensemble)  # refused where nothing is computed, too
        volume = Volume.coerce(image)
        target = Target(scale, spacing, shape, like, isotropic)
        chosen = target.choose(volume, as_stored=as_stored)
        grid = chosen.grid
        plain = without_network(volume, grid)
        require_memory(grid, plain.copies if plain else 1)
        if plain:
            if volume.kind.what != INTENSITIES:
                _log.warning("%s: %s", volume.path or "the image", volume.kind.taken())
            return plain.make()
        for doubt in unlike_intensities(volume.data):
            _log.warning("%s: %s", volume.path or "the image", doubt)
        if self.network.is_residual and not as_stored:
            measured = as_measured(volume, chosen.resolution)
            volume = measured.volume
            acquisition = measured.acquisition(acquisition, grid, self.card)
        if coarser := coarser_axes(volume.grid, grid):
            _log.warning("%s: %s", volume.path or "the image", coarser)
        field = self.field(
            volume,
            towards=grid,
            acquisition=acquisition,
            noise=noise,
            ensemble=ensemble,
            memory=memory,
            skip_air=skip_air,
            progress=progress,
        )
        return field.on(grid, progress)


def load_model(
    name_or_path: str | Path = "light", device: str = "auto", precision: str = "auto"
) -> Model:
    """A model from shipped weights, a `.safetensors` file or a reference `.pkl` checkpoint."""
    return Model(load(name_or_path), device, precision)


def upsample(image: Image, model: str | Path = "light", **options: Any) -> Volume:
    """`load_model(model).upsample(image, …)` for a single image."""
    return load_model(model).upsample(image, **options)


def require_memory(grid: Grid, copies: int = 1) -> None:
    """Refuse a result that cannot be held (so many times), with its size."""
    size = _voxels(grid) * _BYTES_PER_OUTPUT_VOXEL * copies
    free = available_bytes()
    if size > free:
        raise ArSSRError(
            f"a result of {_shape_in_words(grid)} voxels needs {bytes_in_words(size)} of memory "
            f"and {bytes_in_words(free)} are free; ask for a coarser grid"
        )


def stored_bytes(volume: Volume, grid: Grid, frames: int = 1) -> float:
    """What a result takes on disk, stored as `volume` is and not compressed."""
    stored = volume.storage
    return frames * _voxels(grid) * (stored.itemsize if stored and stored.kind in "iu" else 4)


def require_disk(path: Path, volume: Volume, grid: Grid, frames: int = 1) -> None:
    """Refuse a result for `path`, stored as `volume` is, that would not fit there uncompressed."""
    size = stored_bytes(volume, grid, frames)
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ArSSRError(
            f"a result of {_shape_in_words(grid)} voxels takes {bytes_in_words(size)} of disk and "
            f"{bytes_in_words(free)} are free in {folder}; ask for a coarser grid or name another "
            "folder"
        )


def _voxels(grid: Grid) -> float:
    return math.prod(map(float, grid.shape))


def _shape_in_words(grid: Grid) -> str:
    return "×".join(f"{n:.6g}" for n in grid.shape)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise ArSSRError(f"no device {name!r} here; cpu always works") from None
    return device


def _dtype(precision: str, device: torch.device, residual: bool) -> torch.dtype:
    if precision == "auto":
        if residual and fast_bf16(device):
            return torch.bfloat16
        return torch.float16 if residual and fast_fp16(device) else torch.float32
    if precision not in _PRECISIONS:
        raise ArSSRError(f"precision is auto, bf16, fp16 or float32, not {precision!r}")
    if precision != "float32" and not residual:
        raise ArSSRError(
            f"{precision} is too coarse for a network that is not residual; use float32"
        )
    missing = {
        "bf16": device.type == "cuda" and not fast_bf16(device),
        "fp16": not fast_fp16(device),
    }
    if missing.get(precision):
        raise ArSSRError(f"{precision} is not for this device ({device}); use auto or float32")
    return _PRECISIONS[precision]
