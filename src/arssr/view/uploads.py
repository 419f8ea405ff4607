"""What a browser sends, in files with names of their own.

The names that it has for them are only shown: they become neither paths nor parts of paths.
"""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from arssr.errors import ArSSRError
from arssr.files import bytes_in_words, image_suffixes
from arssr.formats.dicom_checks import PAGES

LARGEST = 4 * 2**30  # bytes of a scan; 512³ voxels in float32 are an eighth of that
MOST_FILES = 20_000  # a session of a scanner, exported whole
_LEFT_FREE = 2**30  # bytes of the disk
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

    One file of any format or a zip; or all files of a DICOM folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "files"
        self._folder.mkdir(mode=0o700, parents=True)
        self._count, self._bytes, self._suffix = 0, 0, ""

    @property
    def path(self) -> Path:
        """The scan, once all is there: the file, or the folder of several.

        Raises ArSSRError where nothing was sent.
        """
        files = list(self._folder.iterdir())
        if not files:
            raise ArSSRError("no file was sent")
        return files[0] if len(files) == 1 else self._folder

    async def take(self, name: str, announced: int, content: AsyncIterator[bytes]) -> None:
        """One file, as it comes. Raises ArSSRError where it is too large or one too many.

        announced: its bytes as far as the browser says; 0 where it does not.
        """
        suffix = suffix_named(name)
        if self._count and (suffix or self._suffix):
            raise ArSSRError(
                "several files are one scan where they are DICOM; drop others one by one"
            )
        if self._count >= MOST_FILES:
            raise ArSSRError(f"a scan of more than {MOST_FILES} files is not taken")
        self._require_room(announced)
        self._count, self._suffix = self._count + 1, suffix
        if name.lower().endswith(PAGES):  # exports have such, and no name here would tell
            async for _ in content:
                pass
            return
        # No name of BIDS, so that no data set around the folder can say anything of it.
        path = self._folder / f"file-{self._count:06d}{suffix}"
        before = self._bytes
        try:
            with path.open("xb") as file:
                async for part in content:
                    self._bytes += len(part)
                    self._require_room(0)
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
        if shutil.disk_usage(self._folder).free - more < _LEFT_FREE:
            raise ArSSRError("there is no room for it on the disk of the temporary folder")
