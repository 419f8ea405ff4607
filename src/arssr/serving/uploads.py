"""What a browser sends, in files with names of their own.

The names that it has for them are only shown: they become neither paths nor parts of paths, but
for suffixes and endings of a list.
"""

import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from arssr.errors import ArSSRError
from arssr.files import bytes_in_words, image_suffixes, room_left
from arssr.formats.dicom_checks import PAGES
from arssr.formats.kind import kind_named, telling_ending

LARGEST = 4 * 2**30  # bytes of a scan; 512³ voxels in float32 are an eighth of that
MOST_FILES = 20_000  # a session of a scanner, exported whole
LARGEST_JSON = 2**20  # bytes; those of dcm2niix have a few thousand
_JSON = ".json"
_LONGEST_NAME = 200
_HEADERS_ALONE = (".mhd", ".nhdr")  # their samples lie in a file that they name


def shown_name(name: str) -> str:
    """A name that a browser sent, for sentences and for what is saved from the page.

    >>> shown_name("../../etc/T1\\n.nii"), shown_name("..")
    ('T1.nii', 'scan')
    """
    last = name.replace("\\", "/").split("/")[-1]
    plain = "".join(c for c in last if c.isprintable()).strip()[-_LONGEST_NAME:].lstrip(".")
    return plain or "scan"


def suffix_named(name: str) -> str:
    """The suffix, of those that images and archives have, that a name ends in; "" for DICOM.

    Raises ArSSRError for a header whose samples lie in another file.

    >>> suffix_named("T1.NII.GZ"), suffix_named("dicom.zip"), suffix_named("IM000001")
    ('.nii.gz', '.zip', '')
    """
    suffixes = (*image_suffixes(), ".zip")
    found = next((suffix for suffix in suffixes if name.lower().endswith(suffix)), "")
    if found in _HEADERS_ALONE:
        raise ArSSRError(
            f"{shown_name(name)}: its samples lie in another file; drop a .mha or .nrrd, or name "
            "it on the command line"
        )
    return found


class Upload:
    """The files of one scan on their way into a folder that nobody else may look into.

    One file of any format, with the JSON file of its name if there is one, or a zip; or all files
    of a DICOM folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "files"
        self._folder.mkdir(mode=0o700, parents=True)
        self._count, self._bytes, self._suffix = 0, 0, ""
        self._name = ""  # of the last image
        self._described: list[str] = []  # names of JSON files

    @property
    def path(self) -> Path:
        """The scan, once all is there: the file, or the folder of several.

        Raises ArSSRError where no image was sent.
        """
        images = [path for path in self._folder.iterdir() if path.suffix != _JSON]
        if not images:
            raise ArSSRError("no image was sent")
        return images[0] if len(images) == 1 else self._folder

    async def take(self, name: str, announced: int, content: AsyncIterator[bytes]) -> None:
        """One file, as it comes. Raises ArSSRError where it is too large or one too many.

        announced: its bytes as far as the browser says; 0 where it does not.
        """
        if self._count + len(self._described) >= MOST_FILES:
            raise ArSSRError(f"a scan of more than {MOST_FILES} files is not taken")
        self._require_room(announced)
        if name.lower().endswith(_JSON):
            await self._take_json(name, content)
            return
        suffix = suffix_named(name)
        if self._count and (suffix or self._suffix):
            raise ArSSRError(
                "several files are one scan where they are DICOM; drop others one by one"
            )
        self._require_one_of_its_name(self._described, name)
        self._count, self._suffix, self._name = self._count + 1, suffix, name
        if name.lower().endswith(PAGES):  # exports have such, and no name here would tell
            await _drain(content)
            return
        # No name of BIDS, so that no data set around the folder can say anything of it.
        path = self._folder / f"file-{self._count:06d}{_telling(name) if suffix else ''}{suffix}"
        await self._keep(path, content)

    async def _take_json(self, name: str, content: AsyncIterator[bytes]) -> None:
        """What dcm2niix says of an image, beside which it is found later."""
        self._require_one_of_its_name([*self._described, name], self._name)
        self._described.append(name)
        if len(self._described) > 1:
            await _drain(content)
        else:
            path = self._folder / f"file-000001{_JSON}"
            await self._keep(path, content, LARGEST_JSON)

    def _require_one_of_its_name(self, described: Sequence[str], image: str) -> None:
        """Refuse JSON files that are not those of an image; of DICOM they say nothing anyway."""
        if not described or suffix_named(image) in ("", ".zip"):
            return
        if len(described) > 1:
            raise ArSSRError("one JSON file describes a scan; drop scans one by one")
        named, shown = shown_name(described[0]), shown_name(image)
        if named[: -len(_JSON)] != shown[: -len(suffix_named(image))]:
            raise ArSSRError(f"{named} does not have the name of {shown}, so it describes another")

    async def _keep(
        self, path: Path, content: AsyncIterator[bytes], largest: float = math.inf
    ) -> None:
        """Whole, or not at all."""
        before = self._bytes
        try:
            with path.open("xb") as file:
                async for part in content:
                    self._require_room(len(part))
                    self._bytes += len(part)
                    if self._bytes - before > largest:
                        raise ArSSRError("a JSON file that long describes no image")
                    file.write(part)
        except BaseException:
            path.unlink(missing_ok=True)
            self._bytes = before
            raise

    def _require_room(self, more: int) -> None:
        if self._bytes + more > LARGEST:
            raise ArSSRError(
                f"a scan of more than {bytes_in_words(LARGEST)} is not taken here; name it on the "
                "command line"
            )
        if more > room_left(self._folder):
            raise ArSSRError("there is no room for it on the disk of the temporary folder")


def _telling(name: str) -> str:
    """What an image's name says of its samples, for the name that it has here.

    Raises ArSSRError for phase.

    >>> _telling("lesions_mask.nii.gz"), _telling("tumour.seg.nrrd"), _telling("T1w.nii.gz")
    ('_mask', '.seg', '')
    """
    shown = Path(shown_name(name))
    kind_named(shown).require_interpolable(shown)
    ending = telling_ending(shown)
    return f"_{ending}" if ending and not ending.startswith(".") else ending


async def _drain(content: AsyncIterator[bytes]) -> None:
    async for _ in content:
        pass
