"""What to do with one scan: what the command line, data sets, clusters and Python ask for."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from arssr.errors import ArSSRError, in_one_line
from arssr.files import is_dicom, sidecar
from arssr.formats.dicom_writing import check_series_output
from arssr.formats.registry import check_output
from arssr.upsampling.request import Request
from arssr.upsampling.target import NoTargetError, Target
from arssr.volume import Volume, open_frames, read_quietly

DICOM = ".dicom"  # a destination of this name is a folder with a derived series


@dataclass(frozen=True)
class Job:
    """What to do with one scan; plain values, so that it travels between machines.

    report: write a page beside the result that shows input, cubic interpolation and result.
    series: which one of several DICOM images.
    frames: the scan is 4D, and all its frames are meant.

    The rest is as in `Request`; here an image for `target.like` is named by its path, and
    transforms are files. Raises ArSSRError as it does.
    """

    source: Path
    destination: Path
    target: Target
    acquisition: str | tuple[str, ...] = "auto"
    noise: float | str | None = "auto"
    ensemble: int = 1
    overwrite: bool = False
    report: bool = False
    memory: float | None = None
    skip_air: bool = True
    transforms: tuple[Path, ...] = ()
    series: str | None = None
    frames: bool = False
    labels: bool = False
    consistent: bool = False
    strict: bool = False
    as_stored: bool = False
    clamp: bool = True

    def __post_init__(self) -> None:
        _ = self.request  # which has rules of its own
        if self.frames and self.report:
            raise ArSSRError("--report shows one 3D image; leave it out with --frames")
        if self.report and self.transforms:
            raise ArSSRError(
                "--report shows the scan and the result in one place, and a transform leads to "
                "another; leave it out, and see `arssr compare` for images that were registered"
            )

    @property
    def request(self) -> Request:
        """What is asked for of the scan itself."""
        return Request(**{each.name: getattr(self, each.name) for each in fields(Request)})

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked for beyond the defaults, as plain values: for a sidecar."""
        asked = {**self.target.asked(), "acquisition": self.acquisition, "noise": self.noise}
        if self.ensemble > 1:
            asked["ensemble"] = self.ensemble
        if self.transforms:
            asked["transform"] = [str(path) for path in self.transforms]
        if self.series is not None:
            asked["series"] = self.series
        if not self.skip_air:
            asked["skip_air"] = False
        if not self.clamp:
            asked["clamp"] = False
        switches = ("frames", "labels", "consistent", "as_stored")
        return asked | {name: True for name in switches if getattr(self, name)}

    @property
    def page(self) -> Path:
        """Where the report goes."""
        return sidecar(self.destination).with_suffix(".html")

    def check(self) -> None:
        """Refuse, before the work, what could not be written. Raises ArSSRError."""
        if self.destination.suffix.lower() == DICOM:
            check_series_output(self.destination, self.overwrite)
            if self.frames:
                raise ArSSRError(f"{self.destination}: a DICOM series is one 3D image; name a file")
            archived = self.source.suffix.lower() == ".zip"
            if self.source.is_file() and not (archived or is_dicom(self.source)):
                raise ArSSRError(
                    f"{self.source}: is no DICOM series, from which a derived one takes patient "
                    "and study; name a file to write"
                )
        else:
            check_output(self.destination, self.overwrite)
        for companion in self._companions():
            if companion.exists() and not self.overwrite:
                raise ArSSRError(f"{companion}: exists already; --overwrite replaces it")

    def existing(self) -> list[Path]:
        """What the job would have to overwrite, and may not."""
        files = [self.destination, *self._companions()]
        return [] if self.overwrite else [path for path in files if path.exists()]

    def _companions(self) -> list[Path]:
        return [sidecar(self.destination), *([self.page] if self.report else [])]

    def in_words(self, error: BaseException) -> str:
        """What went wrong with it, on one line that names the scan or the result."""
        line = "out of memory" if isinstance(error, MemoryError) else in_one_line(error)
        named = (str(self.source), str(self.page.with_suffix("")))
        return line if any(name in line for name in named) else f"{self.source}: {line}"

    def failed(self, error: Exception) -> dict[str, Any]:
        """What there is to say where there is no result, as plain values.

        What is no scan's fault is raised: a bug of ours.
        """
        if not isinstance(error, ArSSRError | OSError | MemoryError):
            raise error
        needs_target = {"needs_target": True} if isinstance(error, NoTargetError) else {}
        return {"scan": str(self.source), "error": self.in_words(error), **needs_target}

    def read(self) -> Volume:
        """The scan; of a 4D one the first frame. Raises ArSSRError as `Volume.read` does."""
        if not self.frames:
            return read_quietly(self.source, self.series)
        with open_frames(self.source, self.series) as frames:
            return frames.frame(0)
