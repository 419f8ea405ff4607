"""What is asked for of a scan, by the command line, data sets, clusters and Python alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

from arssr.ensemble import flips
from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.progress import ReportProgress
from arssr.scan import require_acquisition, require_noise
from arssr.transforms.transform import Transform
from arssr.upsampling.target import Target, Three
from arssr.volume import Image

Transforms = str | PathLike[str] | Sequence[str | PathLike[str]] | Transform


class ScanOptions(TypedDict, total=False):
    """What `Model.upsample` and `merge` take by name alike."""

    scale: Three | None
    spacing: Three | None
    shape: Sequence[int] | None
    like: "Grid | Image | None"
    isotropic: bool
    strict: bool
    acquisition: str | Sequence[str]
    noise: float | str | None
    as_stored: bool
    clamp: bool
    memory: float | None
    skip_air: bool
    progress: ReportProgress | None


class Options(ScanOptions, total=False):
    """What `Model.upsample` takes by name, besides `frames`."""

    transform: Transforms
    labels: bool
    consistent: bool
    ensemble: int
    even_slices: bool


@dataclass(frozen=True)
class Request:
    """What is asked for of one scan, wherever it comes from and its result goes.

    target: where the result shall lie.
    transforms: a registration that leads from the space of `target.like` to the scan: files, of
        which the last is applied first, or a `Transform`.
    acquisition, noise, ensemble, memory, skip_air: see `Model.field`.
    frames: the scan is one of several; one in which nothing varies stays as it is.
    labels: the scan is a label map, whatever its file says; no network is needed.
    uncertainty: tell half-widths of intervals that hold the truth (`weights.interval`) as well.
    consistent: make the result agree with what was measured (`arssr.consistency`).
    strict: what would be a warning is an error: a file that contradicts itself, and leaving what
        the weights were trained for.
    as_stored: super-resolve what is stored, even where less was measured (`scan.as_measured`).
    even_slices: first divide each slice by what it is brighter than its neighbours (`evenness`).
    clamp: raise what a result has below the lowest value of its scan to that value, where no voxel
        of the scan is negative: edges ring. A result that is consistent or of the paper's flavour
        is left as it is.

    Raises ArSSRError for what does not go together and for values that nothing can be done with.
    """

    target: Target
    transforms: tuple[Path, ...] | Transform = ()
    acquisition: str | Sequence[str] = "auto"
    noise: float | str | None = "auto"
    ensemble: int = 1
    memory: float | None = None
    skip_air: bool = True
    frames: bool = False
    labels: bool = False
    uncertainty: bool = False
    consistent: bool = False
    strict: bool = False
    as_stored: bool = False
    even_slices: bool = False
    clamp: bool = True

    def __post_init__(self) -> None:
        flips(self.ensemble)
        require_acquisition(self.acquisition)
        require_noise(self.noise)
        if self.is_transformed and self.target.like is None:
            raise ArSSRError(
                "a transform leads to another image's space; name that one with --like (like=…)"
            )
        if self.consistent and (self.labels or self.is_transformed):
            raise ArSSRError(
                "--consistent (consistent=True) compares with the scan where it lies; it goes "
                "neither with labels nor with a transform"
            )
        if self.labels and self.even_slices:
            raise ArSSRError("labels have no brightness that --even-slices could even")
        if self.labels and self.uncertainty:
            raise ArSSRError("labels need no network, and --uncertainty is that of one")
        if self.labels and self.ensemble > 1:
            raise ArSSRError("an ensemble flips what a network gets; labels need none")

    @property
    def is_transformed(self) -> bool:
        """Whether the result lies in another space than the scan."""
        return self.transforms != ()

    def asked(self) -> dict[str, Any]:
        """What was asked for beyond the defaults, as plain values.

        >>> Request(Target(scale=2), clamp=False).asked()
        {'scale': 2, 'acquisition': 'auto', 'noise': 'auto', 'clamp': False}
        """
        asked = {**self.target.asked(), "acquisition": self.acquisition, "noise": self.noise}
        if self.ensemble > 1:
            asked["ensemble"] = self.ensemble
        if self.is_transformed and not isinstance(self.transforms, Transform):
            asked["transform"] = [str(path) for path in self.transforms]
        for name in ("skip_air", "clamp"):
            if not getattr(self, name):
                asked[name] = False
        switches = ("frames", "labels", "uncertainty", "consistent", "as_stored", "even_slices")
        return asked | {name: True for name in switches if getattr(self, name)}


def as_transforms(given: Transforms) -> tuple[Path, ...] | Transform:
    """Transforms as `Request` has them: of one file or several, or one in memory."""
    if isinstance(given, Transform):
        return given
    files = [given] if isinstance(given, str | PathLike) else given
    return tuple(Path(file) for file in files)
