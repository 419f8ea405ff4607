"""Which files are images, and files that are whole or not there at all."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Lock

from arssr.errors import ArSSRError
from arssr.temporary import temporary


@dataclass(frozen=True)
class Format:
    """A kind of image file: what it is called, how its files are named, and where its code lies.

    name: one of them, in a sentence.
    suffixes: what the names of its files end in.
    module: has `open_image` and `open_sink`; see `formats.registry.Code`.
    companions: suffixes of the files that are written beside one.
    written_as: the suffix that results have, where this one can only be read.
    is_folder: it is written as a folder, and what is read is known by its content (`is_series`).
    lent: what a result takes from the image that it was made from, and cannot do without.
    written_by: the module of the extra `formats` without which none is written.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str
    companions: tuple[str, ...] = ()
    written_as: str = ""
    is_folder: bool = False
    lent: str = ""
    written_by: str = ""


_ITK = "SimpleITK"
_NIFTI = Format("a NIfTI image", (".nii.gz", ".nii.zst", ".nii"), "arssr.formats.nifti")
FORMATS = (
    _NIFTI,
    Format("an MGH image", (".mgz", ".mgh"), "arssr.formats.mgh"),
    Format("a NRRD image", (".nrrd",), "arssr.formats.itk", written_by=_ITK),
    Format("a NRRD image", (".nhdr",), "arssr.formats.itk", written_as=".nrrd"),
    Format("a MetaImage", (".mha",), "arssr.formats.meta", written_by=_ITK),
    Format("a MetaImage", (".mhd",), "arssr.formats.meta", companions=(".zraw",), written_by=_ITK),
    Format(
        "a DICOM series",
        (".dicom",),
        "arssr.formats.dicom_writing",
        is_folder=True,
        lent="patient and study",
    ),
)
"""Every format that is read or written; a line and a module make another."""


def format_named(path: Path) -> Format | None:
    """Which format a name asks for, of a file or of a folder to be written; None if none."""
    name = path.name.lower()
    return next((kind for kind in FORMATS if name.endswith(kind.suffixes)), None)


def image_suffixes() -> tuple[str, ...]:
    """What the names of image files end in."""
    return tuple(suffix for kind in FORMATS if not kind.is_folder for suffix in kind.suffixes)


_LEFT_FREE = 2**30  # bytes


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffixes, that takes its name on success.

    Creates the folder. On any failure the temporary file goes and what was there before stays;
    an OSError (no permission, disk full) becomes an ArSSRError that names the file. A folder of
    this name is one from the start, before other files of the same making take their names.
    """
    if path.is_dir():
        raise ArSSRError(f"cannot write {path}: it is a folder")
    with _beside(path) as written:
        yield written
        _seal(written)
        written.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8, whole or not at all; raises ArSSRError as `replacing` does.

    Names of files may hold bytes that are no UTF-8, as old archives do: those are spelt as escapes.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


@contextmanager
def replacing_all(path: Path) -> Iterator[Path]:
    """Like `replacing`, for a file that brings others with it, as .mhd brings .zraw.

    The temporary path has the name of `path` in a folder of its own. All that is written there
    goes beside `path`, which comes last: where it is, the others are.
    """
    with _beside(path, is_folder=True) as folder:
        yield folder / path.name
        for written in sorted(folder.iterdir(), key=lambda p: p.name == path.name):
            _seal(written)
            written.replace(path.parent / written.name)


@contextmanager
def _beside(path: Path, *, is_folder: bool = False) -> Iterator[Path]:
    """See `temporary`; makes the folder that `path` lies in. OSErrors name `path`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary(path, is_folder=is_folder) as made:
            yield made
    except OSError as error:
        raise ArSSRError(f"cannot write {path}: {error.strerror or error}") from None


def _seal(path: Path) -> None:
    """On the disk, not only in its cache; with the permissions of any new file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.chmod(0o666 & ~_umask())


@contextmanager
def replacing_folder(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its name on success, with all that is in it.

    Raises ArSSRError for OSErrors, and where `path` is there already, unless `overwrite`: a folder
    is then replaced as a whole.
    """
    with _beside(path, is_folder=True) as folder:
        (folder / "new").mkdir()
        yield folder / "new"
        for written in (folder / "new").iterdir():
            _seal(written)
        (folder / "new").chmod(0o777 & ~_umask())
        if overwrite and path.is_dir():
            path.rename(folder / "old")
        try:
            (folder / "new").rename(path)  # fails where something is
        except OSError:
            if (folder / "old").exists():
                (folder / "old").rename(path)
            raise


def room_left(folder: Path) -> int:
    """Bytes that temporary files may still take where a folder lies.

    Of the disk 1 GiB is left free, of a small one (a part of the memory, say) a tenth: other
    programs need some of it.
    """
    disk = shutil.disk_usage(folder)
    return disk.free - min(_LEFT_FREE, disk.total // 10)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file; of a folder, that of the sums of all files in it, by name."""
    if path.is_dir():
        sums = (f"{sha256(p)} {p.relative_to(path)}\n" for p in _files_below(path))
        return hashlib.sha256("".join(sums).encode(errors="surrogateescape")).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files_below(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


_asking = Lock()  # results are sealed in several threads, and only by setting it is a umask known


def _umask() -> int:
    with _asking:
        mask = os.umask(0o022)
        os.umask(mask)
    return mask


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Image files: those named, and those directly inside folders named; sorted, each once.

    A folder of DICOM files, without image files of another kind, is one scan and stands for
    itself. Raises ArSSRError for a path that does not exist or a folder without images.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if is_image(p))
            if not inside and holds_dicom(path):
                inside = [path]
            if not inside:
                raise ArSSRError(f"no images ({', '.join(image_suffixes())}) in the folder {path}")
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            raise ArSSRError(f"no such file or folder: {path}")
    return list(found)


def find_images_below(paths: Iterable[Path], but: Path | None = None) -> list[Path]:
    """Like `find_images`, with what lies in subfolders of the folders named, but hidden ones.

    Here a folder that holds DICOM files itself, and no image files of another kind, is one scan.
    but: a folder below them that is not searched.
    """
    found: dict[Path, None] = {}
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(image for folder in _folders(path, but) for image in _images_in(folder))
        found.update(dict.fromkeys(inside or [path]))
    return find_images(found)


def _folders(folder: Path, but: Path | None) -> Iterator[Path]:
    """It and all below, each once, linked ones too. Raises OSError for one that may not be read."""

    def refuse(error: OSError) -> None:
        raise error

    seen = {but.resolve()} if but and but.resolve() != folder.resolve() else set[Path]()
    for name, subfolders, _ in os.walk(folder, onerror=refuse, followlinks=True):
        real = Path(name).resolve()
        if real in seen:  # links can go round in circles
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield Path(name)


def _images_in(folder: Path) -> list[Path]:
    """Image files directly in a folder; else the folder itself, if it holds DICOM itself."""
    files = [path for path in folder.iterdir() if path.is_file()]
    images = [path for path in files if is_image(path)]
    return images or [folder] * any(map(is_dicom_image, files))


def told_apart(paths: Sequence[Path]) -> list[str]:
    """A name for each image: its file's, with as many folders as tell it from others of that name.

    >>> told_apart([Path("hcp/1/T1w.nii.gz"), Path("hcp/2/T1w.nii.gz"), Path("hcp/2/T2w.nii.gz")])
    ['1/T1w.nii.gz', '2/T1w.nii.gz', 'T2w.nii.gz']
    """
    same: dict[str, list[Path]] = {}
    for path in paths:
        same.setdefault(stem(path), []).append(path.absolute())
    return ["/".join(path.absolute().parts[-_depth(same[stem(path)]) :]) for path in paths]


def _depth(paths: Sequence[Path]) -> int:
    """How many parts of these paths, from their ends, tell them apart as far as folders can."""
    parts = [(*path.parts[:-1], stem(path)) for path in paths]
    return next(n for n in count(1) if len({p[-n:] for p in parts}) == len(set(parts)))


def is_image(path: Path) -> bool:
    """Whether the name is that of an image file, and not of a hidden or temporary one."""
    return path.name.lower().endswith(image_suffixes()) and not path.name.startswith(".")


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do (PS3.10, 7.1), whatever it is called."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def is_dicom_image(path: Path) -> bool:
    """Whether a file is DICOM and no mere list of the files in the folders below (DICOMDIR)."""
    return path.name.upper() != "DICOMDIR" and is_dicom(path)


def is_series(path: Path) -> bool:
    """Whether a path is read as DICOM: a folder, a .zip, or a file that begins like DICOM."""
    return path.is_dir() or path.suffix.lower() == ".zip" or is_dicom(path)


def holds_dicom(folder: Path) -> bool:
    """Whether there is a DICOM file in a folder or its subfolders."""
    return any(path.is_file() and is_dicom(path) for path in folder.rglob("*"))


def image_suffix(path: Path) -> str:
    """Which of the suffixes of images the name has. Raises ArSSRError if none.

    >>> image_suffix(Path("scans/T1.NII.GZ"))
    '.nii.gz'
    """
    suffix = _known_suffix(path)
    if not suffix:
        *others, last = image_suffixes()
        raise ArSSRError(f"{path}: the name of an image must end in {', '.join(others)} or {last}")
    return suffix


def image_format(path: Path) -> Format:
    """The format of an image file, by its name. Raises ArSSRError as `image_suffix` does."""
    suffix = image_suffix(path)
    return next(kind for kind in FORMATS if suffix in kind.suffixes)


def stem(path: Path) -> str:
    """The name without its image suffix.

    >>> stem(Path("scans/T1.nii.gz"))
    'T1'
    """
    suffix = _known_suffix(path)
    if suffix:
        return path.name[: -len(suffix)]
    return path.name if path.is_dir() else path.stem


def output_suffix(source: Path) -> str:
    """The suffix for a result of this scan: its own, as it is spelt, or .nii.gz for DICOM.

    >>> output_suffix(Path("T1.mgz")), output_suffix(Path("dicom/t1"))
    ('.mgz', '.nii.gz')
    """
    suffix = _known_suffix(source)
    if not suffix:
        return _NIFTI.suffixes[0]
    return image_format(source).written_as or source.name[-len(suffix) :]


def _known_suffix(path: Path) -> str:
    name = path.name.lower()
    return next((suffix for suffix in image_suffixes() if name.endswith(suffix)), "")


def sidecar(path: Path) -> Path:
    """Where the provenance of an image lies: .json for the suffix of NIfTI, as in BIDS; after the
    name of another, so that images of one name but another format have one each.

    >>> sidecar(Path("T1_SR.nii.gz")).name, sidecar(Path("T1_SR.nrrd")).name
    ('T1_SR.json', 'T1_SR.nrrd.json')
    """
    return path.with_name(f"{stem(path) if format_named(path) is _NIFTI else path.name}.json")


def json_beside(image: Path) -> Path | None:
    """The file that describes an image, if there is one: its sidecar, or where no NIfTI image has
    that name, as dcm2niix leaves it beside other formats, the name without suffix and .json.
    """
    if sidecar(image).is_file():
        return sidecar(image)
    named = image.with_name(f"{stem(image)}.json")
    taken = any(image.with_name(stem(image) + suffix).exists() for suffix in _NIFTI.suffixes)
    return named if named.is_file() and not taken else None


def counted(number: int, thing: str) -> str:
    """So many things.

    >>> counted(1, "volume"), counted(2500, "step")
    ('1 volume', '2,500 steps')
    """
    return f"{number} {thing}" if number == 1 else f"{number:,} {thing}s"


def bytes_in_words(count: float) -> str:
    """A number of bytes as a person says it.

    >>> bytes_in_words(1_493_000_000), bytes_in_words(999_600_000)
    ('1.49 GB', '1 GB')
    """
    for unit in ("B", "KB", "MB", "GB"):
        if float(f"{count:.3g}") < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.4g} TB"
