"""What to do with one scan: what the command line, data sets, clusters and Python ask for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arssr.errors import ArSSRError, in_one_line
from arssr.files import IMAGE_SUFFIXES, is_dicom, is_image, sidecar
from arssr.formats.dicom_writing import check_series_output
from arssr.formats.registry import check_output
from arssr.upsampling.request import Request
from arssr.upsampling.target import NoTargetError
from arssr.volume import Volume, open_frames, read_quietly

DICOM = ".dicom"  # a destination of this name is a folder with a derived series


@dataclass(frozen=True)
class Job:
    """What to do with one scan; plain values, so that it travels between machines.

    request: what is asked for of the scan; an image for `target.like` is named by its path, and
        transforms are files.
    series: which one of several DICOM images.
    report: write a page beside the result that shows input, cubic interpolation and result.

    Raises ArSSRError for what does not go together.
    """

    source: Path
    destination: Path
    request: Request
    series: str | None = None
    overwrite: bool = False
    report: bool = False

    def __post_init__(self) -> None:
        if self.request.frames and self.report:
            raise ArSSRError("--report shows one 3D image; leave it out with --frames")
        if self.report and self.request.is_transformed:
            raise ArSSRError(
                "--report shows the scan and the result in one place, and a transform leads to "
                "another; leave it out, and see `arssr compare` for images that were registered"
            )

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked for beyond the defaults, as plain values: for a sidecar."""
        return self.request.asked() | ({} if self.series is None else {"series": self.series})

    @property
    def page(self) -> Path:
        """Where the report goes."""
        return sidecar(self.destination).with_suffix(".html")

    def check(self) -> None:
        """Refuse, before the work, what could not be written. Raises ArSSRError."""
        if self.destination.suffix.lower() == DICOM:
            check_series_output(self.destination, self.overwrite)
            if self.request.frames:
                raise ArSSRError(f"{self.destination}: a DICOM series is one 3D image; name a file")
            archived = self.source.suffix.lower() == ".zip"
            if self.source.is_file() and not (archived or is_dicom(self.source)):
                raise ArSSRError(
                    f"{self.source}: is no DICOM series, from which a derived one takes patient "
                    "and study; name a file to write"
                )
        elif is_image(self.destination):
            check_output(self.destination, self.overwrite)
        else:
            raise ArSSRError(
                f"{self.destination}: the name of a result must end in "
                f"{', '.join(IMAGE_SUFFIXES)}, in {DICOM} for a derived DICOM series, or in / for "
                "a folder"
            )
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
        if not self.request.frames:
            return read_quietly(self.source, self.series)
        with open_frames(self.source, self.series) as frames:
            return frames.frame(0)
