"""Files with anything changed are read, or refused in words: never a traceback, never a flood."""

import gzip
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.targets import FORMATS, read, seeds

CORPUS = Path(__file__).parent / "corpus"
TOLD = Path(__file__).parents[2] / "docs" / "fuzzing.md"
INPUTS = sorted(p for p in CORPUS.glob("*/*") if p.is_file())
ONCE = {kind: seeds(kind) for kind in FORMATS}
NUMBERS = [b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0" * 4, b"-1", b"0", b"nan", b"1e308", b"9" * 12]


@st.composite
def damaged(draw: st.DrawFn, kind: str) -> bytes:
    """A valid file of which bytes were changed, cut out, put in or cut off."""
    content = bytearray(draw(st.sampled_from(ONCE[kind])))
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, len(content)))
        change = draw(st.sampled_from(("replace", "number", "insert", "delete", "cut")))
        if change == "replace":
            content[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
        elif change == "number":
            number = draw(st.sampled_from(NUMBERS))
            content[place : place + len(number)] = number
        elif change == "insert":
            content[place:place] = draw(st.binary(max_size=8))
        elif change == "delete":
            del content[place : place + draw(st.integers(1, 20))]
        else:
            del content[place:]
    return bytes(content)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_undamaged_files_are_read(tmp_path: Path, kind: str) -> None:
    for content in ONCE[kind]:
        scan = read(kind, content, tmp_path)
        assert scan is not None and scan.grid.shape[:2] == (5, 4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FORMATS)
@given(data=st.data())
@settings(max_examples=60)
def test_damaged_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    scan = read(kind, data.draw(damaged(kind)), tmp_path_factory.getbasetemp())
    assert scan is None or np.isfinite(scan.data).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", INPUTS, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_what_fuzzing_found_is_read_or_refused(tmp_path: Path, path: Path) -> None:
    read(path.parent.name, path.read_bytes(), tmp_path)


def test_the_corpus_stays_small() -> None:
    assert sum(path.stat().st_size for path in INPUTS) < 300_000


@pytest.mark.skipif(not TOLD.exists(), reason="the documents are not in a source distribution")
def test_the_corpus_is_counted_as_it_is() -> None:
    rows = re.findall(r"^\| (\S+) \| [\d,]+ \| (\d+) \|", TOLD.read_text(), re.MULTILINE)
    counted = Counter(path.parent.name for path in INPUTS)
    assert {kind: int(count) for kind, count in rows} == counted and set(counted) == set(FORMATS)


# --- files that claim or unpack to more than there is --------------------------------------------


def _nifti(shape: tuple[int, ...], samples: bytes) -> bytes:
    header = nib.Nifti2Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.uint8)
    header.set_sform(np.eye(4), 1)
    header["vox_offset"] = header.single_vox_offset
    return bytes(header.binaryblock) + bytes(4) + samples


def _meta(size: str, samples: bytes) -> bytes:
    return (
        f"ObjectType = Image\nNDims = 3\nCompressedData = True\nDimSize = {size}\n"
        "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    ).encode() + samples


def _nrrd(size: str, samples: bytes) -> bytes:
    return (
        f"NRRD0004\ntype: uchar\ndimension: 3\nsizes: {size}\nencoding: gzip\n\n"
    ).encode() + samples


def _mgh(side: int, samples: bytes) -> bytes:
    return struct.pack(">7ih", 1, side, side, side, 1, 0, 0, 0).ljust(284, b"\0") + samples


def _zip(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "bomb", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"{number}.dcm", bytes(10**7))
    return (folder / "bomb").read_bytes()


@pytest.mark.parametrize(
    "kind", ["nii.gz", "nii", "mgz", "mgh", "mha", "nrrd", "zip", "nii.gz, honest", "mha, honest"]
)
def test_memory_stays_bounded(tmp_path: Path, kind: str) -> None:
    """A process that may take 2 GB refuses what claims a million voxels a side in words, and reads
    no further than it must what unpacks to more than is claimed."""
    side, small = 10**6, gzip.compress(bytes(10**6))
    flood = bytes(2 * 10**8)  # behind an image that is claimed to be small
    content = {
        "nii.gz": lambda: gzip.compress(_nifti((side,) * 3, bytes(10**6))),
        "nii": lambda: _nifti((side,) * 3, bytes(10)),
        "mgz": lambda: gzip.compress(_mgh(side, bytes(10**6))),
        "mgh": lambda: _mgh(side, bytes(10)),
        "mha": lambda: _meta(f"{side} {side} {side}", zlib.compress(bytes(10**6))),
        "nrrd": lambda: _nrrd(f"{side} {side} {side}", small),
        "zip": lambda: _zip(tmp_path),
        "nii.gz, honest": lambda: gzip.compress(_nifti((5, 4, 3), flood), 1),
        "mha, honest": lambda: _meta("5 4 3", zlib.compress(flood, 1)),
    }[kind]()
    (tmp_path / "content").write_bytes(content)
    script = """
import resource, sys
from pathlib import Path
from tests.fuzz.targets import read
import SimpleITK
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, 2 * 2**30))
scan = read(sys.argv[1], Path(sys.argv[2], "content").read_bytes(), Path(sys.argv[2]))
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print("refused" if scan is None else "read", grown < 64_000)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, kind.partition(",")[0], str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.split() == ["read" if "honest" in kind else "refused", "True"], done
