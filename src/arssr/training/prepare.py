"""From a folder of high-resolution volumes to a folder of patches to train on.

The split is by subject: whoever is trained on is nowhere else. The patches are seeded crops away
from the background (Wu et al. 2022, section IV-A: six of 40^3 voxels a volume). They keep the
intensities, the storage type and the place in space of their volume.

Every random choice follows from the seed and the name it is made for, so it is the same in
whatever order the files come, and one file more leaves the crops of the others where they were.
"""

import csv
import json
import logging
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.files import find_images_below, stem, write_text
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.survey import Seen, named, settle, survey
from arssr.training.data import require_truth, sharp_truth
from arssr.volume import Volume

_log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
FOLDERS = {"train": "hr_train", "val": "hr_val", "test": "hr_test"}

_FOREGROUND = 0.1  # normalised intensity above which a voxel is not background
_LISTED = 5  # unusable images that a message names
_BIDS = re.compile(r"(?<![A-Za-z0-9])sub-[A-Za-z0-9]+")
# numbers that name no one: T1, T2w, t2star; 3T, 1.5T; ses-2, run01, echo-1
_NOT_A_SUBJECT = re.compile(
    r"(?<![a-z0-9])(t[12](?!\d)[a-z]*|\d(\.\d)?t(?![a-z0-9])"
    r"|(ses|session|visit|run|acq|echo)[-_]?\d+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class PrepareConfig:
    """What is cut from each volume, and which share of the subjects goes where.

    A share above 0 is at least one subject. as_stored: do not cut volumes to their own band
    (`sharp_truth`). Raises ArSSRError for shares that leave nobody to
    train on and for sizes below 1.
    """

    patch: int = 40
    per_volume: int = 6
    val_share: float = 0.1
    test_share: float = 0.0
    seed: int = 20
    as_stored: bool = False

    def __post_init__(self) -> None:
        if min(self.patch, self.per_volume) < 1 or self.seed < 0:
            raise ArSSRError("the patch size and number must be at least 1 and the seed at least 0")
        if min(self.val_share, self.test_share) < 0 or self.val_share + self.test_share >= 1:
            raise ArSSRError("the shares of validation and test must be at least 0 and below 1")


@dataclass(frozen=True)
class Source:
    """A high-resolution volume, whose it is and on which side of the split."""

    image: Seen
    subject: str
    split: str

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.image.path

    @property
    def name(self) -> str:
        """What it is called."""
        return self.image.name


def prepare(
    paths: Sequence[Path],
    out: Path,
    config: PrepareConfig = PrepareConfig(),
    subjects: Path | None = None,
    overwrite: bool = False,
    skip_unusable: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Any]:
    """Cut patches into `out`/hr_train and hr_val; returns the manifest that is written beside them.

    paths: images, or folders with images in them and below. Those of test subjects are copied
        whole, into `out`/hr_test.
    subjects: a table for `read_subjects`, where the names of files do not say whose they are.
    overwrite: replace hr_train, hr_val, hr_test and manifest.json in an `out` that is not empty.
    skip_unusable: leave out images that cannot be used instead of refusing them all at once.
    progress: hears how many are done, of how many; each is looked at and then cut.
    Raises ArSSRError for unusable images, too few subjects, or an `out` that is not empty; then
    `out` is as it was.
    """
    images = find_images_below(paths)
    _check_out(out, images, overwrite)
    table = read_subjects(subjects) if subjects else {}
    _subjects(paths, images, table)  # a table that does not fit is told before the images
    done = count(1)

    def on_image() -> None:
        progress(next(done), 2 * len(images))

    require = partial(require_truth, smallest=config.patch, normalise=not config.as_stored)
    found, unusable = survey(named(images), require, on_image)
    settle(unusable, len(images), skip_unusable)
    sources = plan(paths, found, config, table)
    described = []
    with _staging(out) as folder:
        for source in sources:
            described.append(_describe(source) | _write(source, config, folder))
            on_image()
        manifest = {"arssr": version("arssr"), **asdict(config), "sources": described}
        text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        write_text(folder / MANIFEST, text)
    return manifest


def subject_of(name: str) -> str:
    """Whose image it is, judged by the name of the file.

    The BIDS entity `sub-…` where there is one; else the first number, those of contrasts, field
    strengths, sessions and runs (T1, 3T, ses-2, run-1) left aside; else the first word. When in
    doubt this puts two people together rather than one person on both sides of a split.

    >>> [subject_of(name) for name in ("sub-07_ses-2_T1w", "T2w_oasis-1003", "fetal_run-1_T2w")]
    ['sub-07', '1003', 'fetal']
    """
    if entity := _BIDS.search(name):
        return entity.group()
    rest = _NOT_A_SUBJECT.sub("", name)
    if number := re.search(r"\d+", rest):
        return number.group()
    words = [word for word in re.split(r"[\W_]+", rest) if word]
    return words[0] if words else name


def read_subjects(table: Path) -> dict[tuple[str, ...], str]:
    """Subjects by file, from a .csv or .tsv table with the columns `file` and `subject`.

    A file is named by its name, with or without the image suffix, or by the end of its path
    (`a/T1.nii.gz`); the keys returned are the parts of that.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as text:
            rows = list(csv.DictReader(text, delimiter="\t" if table.suffix == ".tsv" else ","))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ArSSRError(f"{table} cannot be read as a table: {error}") from None
    found: dict[tuple[str, ...], str] = {}
    for row in rows:
        file, subject = ((row.get(column) or "").strip() for column in ("file", "subject"))
        if not file or not subject:
            raise ArSSRError(f"{table} needs the columns 'file' and 'subject', filled in each row")
        if found.setdefault(PurePath(file).parts, subject) != subject:
            raise ArSSRError(f"{table} names two subjects for {file}")
    return found


def plan(
    paths: Sequence[Path],
    images: Sequence[Seen],
    config: PrepareConfig,
    table: Mapping[tuple[str, ...], str],
) -> list[Source]:
    """Whose image each is and where it goes; paths: the folders that were named.

    Images of the same voxels are one subject's. Raises ArSSRError for fewer subjects than sides.
    """
    whose = _subjects(paths, [image.path for image in images], table)
    same: dict[str, str] = {}
    for image in images:
        own = whose[image.path]
        first = same.setdefault(image.samples_sha256, own)
        if own != first:
            told = "%s has the voxels of an image of %s, and counts as theirs"
            _log.warning(told, image.name, first)
            whose = {path: first if who == own else who for path, who in whose.items()}
    sides = split(set(whose.values()), config)
    _require_names(images)
    return [Source(image, whose[image.path], sides[whose[image.path]]) for image in images]


def split(subjects: set[str], config: PrepareConfig) -> dict[str, str]:
    """The side of each subject: train, val or test."""
    wanted = {"val": config.val_share, "test": config.test_share}
    counts = {side: max(1, round(share * len(subjects))) for side, share in wanted.items() if share}
    if sum(counts.values()) >= len(subjects):
        names = ", ".join(sorted(subjects)[:_LISTED])
        raise ArSSRError(
            f"too few subjects for a split into train, {' and '.join(counts)}: by their names the "
            f"images show {len(subjects)} ({names}); --subjects says which image is whose"
        )
    sides = [side for side, count in counts.items() for _ in range(count)]
    sides += ["train"] * (len(subjects) - len(sides))
    order = sorted(subjects, key=lambda name: (_generator(config.seed, name).random(), name))
    return dict(zip(order, sides, strict=True))


def crop_corners(
    foreground: NDArray[np.bool_], patch: int, count: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """First voxels (count, 3) of distinct random cubes, `patch` voxels a side, inside the image.

    Every cube that holds at least half as much foreground as the fullest one is as likely as any
    other. Fewer than `count` where the image has no more.
    """
    fullness = _box_sums(foreground, patch)
    candidates = np.flatnonzero(2 * fullness >= fullness.max())
    chosen = generator.choice(candidates, min(count, len(candidates)), replace=False)
    return np.stack(np.unravel_index(chosen, fullness.shape), axis=-1)


def _box_sums(mask: NDArray[np.bool_], side: int) -> NDArray[np.int32]:
    """Number of set voxels in each cube of `side` voxels, by the cube's first voxel."""
    sums: NDArray[np.int32] = mask.astype(np.int32)
    for axis in range(3):
        sums = np.swapaxes(sums, 0, axis)
        running = np.concatenate([np.zeros_like(sums[:1]), sums.cumsum(axis=0, dtype=np.int32)])
        sums = np.swapaxes(running[side:] - running[:-side], 0, axis)
    return sums


def _crop(volume: Volume, corner: NDArray[np.int64], patch: int) -> Volume:
    affine = volume.grid.affine.copy()
    affine[:3, 3] = volume.grid.to_world(corner)
    box = tuple(slice(first, first + patch) for first in corner)
    return volume.with_data(volume.data[box], Grid((patch, patch, patch), affine))


def _write(source: Source, config: PrepareConfig, folder: Path) -> dict[str, Any]:
    """Write what comes of one volume; returns a description of each crop, and of the volume."""
    target = folder / FOLDERS[source.split]
    target.mkdir(exist_ok=True)
    if source.split == "test":
        _copy(source.path, target / source.name.replace("/", "_"))
        return {"crops": []}
    volume = Volume.read(source.path)
    facts: dict[str, Any] = {}
    if not config.as_stored:
        volume, facts = sharp_truth(volume, source.name)
    normalised = Normalisation.fit(volume.data, str(source.path)).apply(volume.data)
    generator = _generator(config.seed, source.name)
    corners = crop_corners(normalised > _FOREGROUND, config.patch, config.per_volume, generator)
    crops = []
    for number, corner in enumerate(corners):
        name = f"{stem(Path(source.name.replace('/', '_')))}_{number}.nii.gz"
        _crop(volume, corner, config.patch).write(target / name)
        crops.append({"file": f"{target.name}/{name}", "corner_ijk": corner.tolist()})
    return facts | {"crops": crops}


def _describe(source: Source) -> dict[str, Any]:
    facts = source.image.describe()
    return {
        "file": facts.pop("name"),
        **facts,
        "subject": source.subject,
        "split": source.split,
    }


def _subjects(
    paths: Sequence[Path], images: Sequence[Path], table: Mapping[tuple[str, ...], str]
) -> dict[Path, str]:
    """The subject of each image: as the table says, else by name.

    In a subfolder of a folder that was named, the first folder below that says whose an image is,
    but for a `sub-…` farther down: files in the folders of several people may be called alike.

    Raises ArSSRError for a table that names an image that is not there while it leaves one out
    that is: a slip of the pen, which could put one person on both sides of the split.
    """
    subjects, used = {}, set()
    for path in images:
        parts = path.absolute().parts
        ends = [(*parts[n:-1], last) for n in range(len(parts)) for last in (path.name, stem(path))]
        row = next((end for end in ends if end in table), None)
        subjects[path] = _by_path(path, paths) if row is None else table[row]
        used.add(row)
    unused = [row for row in table if row not in used]
    if unused and None in used:
        raise ArSSRError(f"the table of subjects names {'/'.join(unused[0])}: no such image given")
    return subjects


def _require_names(images: Sequence[Seen]) -> None:
    """Raises ArSSRError where patches of two images would have the same names."""
    stems = Counter(stem(Path(image.name.replace("/", "_"))) for image in images)
    if twice := [name for name, n in stems.items() if n > 1]:
        raise ArSSRError(f"two images go by the name {twice[0]}; rename one")


def _copy(source: Path, target: Path) -> None:
    """A file, or a folder of DICOM files."""
    copy = shutil.copytree if source.is_dir() else shutil.copyfile
    copy(source, target)


def _by_path(image: Path, folders: Sequence[Path]) -> str:
    """Whose image it is, by its name or, in a subfolder of one of the folders, by that."""
    above = next((folder for folder in folders if folder in image.parents), image.parent)
    *subfolders, _ = image.relative_to(above).parts
    entity = _BIDS.search("/".join((*subfolders, stem(image))))
    return entity.group() if entity else subject_of([*subfolders, stem(image)][0])


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, *name.encode(errors="surrogateescape")])


def _check_out(out: Path, images: Sequence[Path], overwrite: bool) -> None:
    if not out.is_dir():
        if out.exists():
            raise ArSSRError(f"{out} is a file, not a folder")
        return
    if not overwrite and any(not entry.name.startswith(".") for entry in out.iterdir()):
        raise ArSSRError(f"{out} is not empty; --overwrite replaces the patches in it")
    replaced = {(out / name).resolve() for name in FOLDERS.values()}
    for path in images:
        folder = path.parent.resolve()
        if replaced & {folder, *folder.parents}:
            raise ArSSRError(f"{path} is in a folder that would be replaced; name another output")


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A hidden folder inside `out`, whose entries replace those of the same names on success.

    It is inside, not beside, so that `out` may be a mount. The manifest leaves first and comes
    last: where there is one, all else is complete.
    """
    existed = out.is_dir()
    try:
        out.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".prepare-", dir=out))
    except OSError as error:
        raise ArSSRError(f"cannot write to {out}: {error.strerror}") from None
    names = (MANIFEST, *FOLDERS.values())
    new, old = staging / "new", staging / "old"
    try:
        new.mkdir()
        old.mkdir()
        yield new
        for name in names:
            if (out / name).exists():
                (out / name).rename(old / name)
        for name in reversed(names):
            if (new / name).exists():
                (new / name).rename(out / name)
    except OSError as error:
        raise ArSSRError(f"cannot write to {out}: {error.strerror}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if not existed:
            with suppress(OSError):  # not empty: it is done
                out.rmdir()
