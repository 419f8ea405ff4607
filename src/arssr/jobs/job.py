"""What to do with one scan: what the command line, data sets, clusters and Python ask for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arssr.errors import ArSSRError, in_one_line
from arssr.files import format_named, sidecar
from arssr.formats.bids import BIDSName
from arssr.formats.registry import check_output
from arssr.upsampling.request import Request
from arssr.upsampling.target import NoTargetError
from arssr.volume import Volume, open_frames, read_quietly


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
    def sources(self) -> tuple[Path, ...]:
        """All scans that are read: the one."""
        return (self.source,)

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked for beyond the defaults, as plain values: for a sidecar."""
        return self.request.asked() | ({} if self.series is None else {"series": self.series})

    @property
    def page(self) -> Path:
        """Where the report goes."""
        return sidecar(self.destination).with_suffix(".html")

    @property
    def half_widths(self) -> Path | None:
        """Where the image of half-widths goes, if it is asked for; of a BIDS name the `desc` says
        what it is.

        >>> from arssr.upsampling.target import Target
        >>> asked = Request(Target(scale=2), uncertainty=True)
        >>> Job(Path("T1.nii"), Path("T1_SR.nii.gz"), asked).half_widths
        PosixPath('T1_SR_uncertainty.nii.gz')
        >>> Job(Path("T1.nii"), Path("sub-1_desc-arssr_T1w.nii.gz"), asked).half_widths.name
        'sub-1_desc-arssrUncertainty_T1w.nii.gz'
        """
        if not self.request.uncertainty:
            return None
        path = self.destination
        name = BIDSName.parse(path.name)
        if name is not None and "desc" in name.entities:
            return path.with_name(str(name.having(desc=f"{name.entities['desc']}Uncertainty")))
        kind = format_named(path)
        known = kind.suffixes if kind else ()
        size = next((len(each) for each in known if path.name.lower().endswith(each)), 0)
        end = len(path.name) - size
        return path.with_name(f"{path.name[:end]}_uncertainty{path.name[end:]}")

    @property
    def images(self) -> list[Path]:
        """The image, and that of half-widths if there is one."""
        return [self.destination, *([self.half_widths] if self.half_widths else [])]

    def check(self) -> None:
        """Refuse, before the work, what could not be written. Raises ArSSRError."""
        for image in self.images:
            check_output(image, self.overwrite, self.request.frames, self.source)
        for companion in self._companions():
            if companion.exists() and not self.overwrite:
                raise ArSSRError(f"{companion}: exists already; --overwrite replaces it")

    def existing(self) -> list[Path]:
        """What the job would have to overwrite, and may not."""
        files = [*self.images, *self._companions()]
        return [] if self.overwrite else [path for path in files if path.exists()]

    def _companions(self) -> list[Path]:
        return [sidecar(self.destination), *([self.page] if self.report else [])]

    def in_words(self, error: BaseException) -> str:
        """What went wrong with it, on one line that names the scan or the result."""
        return named_in_words(error, self.source, self.page.with_suffix(""))

    def failed(self, error: Exception) -> dict[str, Any]:
        """What there is to say where there is no result, as plain values.

        What is no scan's fault is raised: a bug of ours.
        """
        require_no_bug(error)
        needs_target = {"needs_target": True} if isinstance(error, NoTargetError) else {}
        return {"scan": str(self.source), "error": self.in_words(error), **needs_target}

    def read(self) -> Volume:
        """The scan; of a 4D one the first frame. Raises ArSSRError as `Volume.read` does."""
        if not self.request.frames:
            return read_quietly(self.source, self.series)
        with open_frames(self.source, self.series) as frames:
            return frames.frame(0)


def named_in_words(error: BaseException, name: Path, *others: Path) -> str:
    """What went wrong, on one line that begins with a name, unless it has that or another."""
    line = "out of memory" if isinstance(error, MemoryError) else in_one_line(error)
    return line if any(str(each) in line for each in (name, *others)) else f"{name}: {line}"


def require_no_bug(error: Exception) -> None:
    """Raise what is no scan's fault."""
    if not isinstance(error, ArSSRError | OSError | MemoryError):
        raise error
