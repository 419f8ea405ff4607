"""Write scans as files, and what `arssr upsample` makes of them, for the tests of the browser.

    python tools/web_files.py web/test/golden/files

Each case is `NAME.nii` or `.nii.gz`, its result `NAME.result.nii.gz` with a sidecar, and a line of
`cases.json`: what was asked for, in the words of the page, and what Python says of the scan.
"""

import argparse
import gzip
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import arssr
from arssr.errors import ArSSRError
from arssr.identity import samples_sha256
from arssr.jobs.batch import ModelRef
from arssr.jobs.job import Job
from arssr.jobs.running import run
from arssr.serving.asked import request_of
from arssr.serving.tasks import look
from arssr.volume import Volume

_TURN = np.array([[0.96, -0.2, 0.19], [0.23, 0.96, -0.15], [-0.15, 0.19, 0.97]])


@dataclass(frozen=True)
class Case:
    """A scan, how it is stored, and what is asked of it (docs/view.md).

    place: what says where it lies: sform, qform or none. band: the share of the stored band that
    was measured along i.
    """

    name: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float] = (1, 1, 1)
    dtype: str = "float32"
    asked: dict[str, Any] = field(default_factory=dict)
    suffix: str = ".nii.gz"
    slope: tuple[float, float] | None = None
    place: str = "sform"
    change: Callable[[nib.Nifti1Header], None] = lambda _header: None
    offset: float = 0.0
    noise: float = 10.0
    version: int = 1
    band: float = 1.0


def _describe(header: nib.Nifti1Header) -> None:
    header["descrip"], header["aux_file"] = "caf\u00e9".encode("latin1"), b"none"
    header["cal_max"], header["toffset"] = 900, 1.5
    header["intent_code"], header["intent_p1"] = 2, 0.25
    header.set_xyzt_units("mm", "sec")


def _in_metres(header: nib.Nifti1Header) -> None:
    header.set_xyzt_units("meter", "msec")


CASES = (
    Case(
        "double",
        (12, 11, 10),
        dtype="int16",
        slope=(0.5, -20.0),
        asked={"target": {"scale": 2}},
        change=_describe,
    ),
    Case("fraction", (8, 9, 7), dtype="uint8", suffix=".nii", asked={"target": {"scale": 3.2}}),
    Case("slices", (13, 12, 5), (1, 1, 4), place="qform"),
    Case(
        "odd",
        (7, 11, 9),
        (1, 0.9, 1.3),
        dtype=">f4",
        offset=-500,
        suffix=".nii",
        asked={"target": {"scale": [1.7, 1, 2.3]}},
    ),
    Case(
        "coarser",
        (15, 12, 6),
        (0.5, 1, 3),
        dtype="uint16",
        asked={"target": {"spacing": 1}, "noise": 25, "clamp": False, "skip_air": False},
    ),
    Case(
        "zero-filled",
        (72, 16, 8),
        (0.5, 1, 2),
        band=0.4,
        noise=0,
        asked={"target": {"spacing": [0.5, 1, 1]}},
    ),
    Case(
        "like",
        (9, 8, 7),
        (1, 1, 2),
        dtype="int16",
        asked={"target": {"like": "turned"}, "acquisition": ["3D", "3D", "2D"]},
    ),
    Case("plane", (14, 12, 1), asked={"target": {"scale": [2, 1.5, 1]}}),
    Case("flips", (5, 6, 5), asked={"target": {"shape": [7, 6, 5]}, "ensemble": 4}),
    Case(
        "noisy",
        (20, 18, 12),
        (1, 1, 1.5),
        noise=600,
        asked={"target": {"isotropic": True}, "as_stored": True},
    ),
    *(
        Case(
            f"half-{dtype.replace('>', 'big-')}",
            (9, 8, 7),
            dtype=dtype,
            suffix=suffix,
            asked={"target": {"scale": 0.5}},
        )
        for dtype, suffix in (
            *(("int8", ".nii"), ("int32", ".nii"), (">i2", ".nii.gz"), ("uint32", ".nii")),
            *(("int64", ".nii"), ("uint64", ".nii"), ("float64", ".nii.gz"), (">f8", ".nii")),
        )
    ),
    Case("copied", (6, 5, 4), dtype="int16", asked={"target": {"scale": 1}}, place="none"),
    Case(
        "metres",
        (7, 6, 5),
        (0.0007, 0.0009, 0.0012),
        dtype="int16",
        version=2,
        change=_in_metres,
        asked={"target": {"spacing": 0.6}},
    ),
)


def image_of(case: Case, seed: int) -> NDArray[np.float64]:
    """Smooth tissue with edges and noise, in air of 0."""
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.normal(size=case.shape), 1.2)
    ends = np.maximum(np.array(case.shape) - 1, 1)
    at = (np.indices(case.shape).reshape(3, -1).T / ends * 2 - 1) * (np.array(case.shape) > 1)
    inside = (np.linalg.norm(at, axis=1) < 1.1).reshape(case.shape)
    data = 400 + 300 * np.sign(blobs) + 900 * blobs + rng.normal(0, case.noise, case.shape)
    if case.band < 1:
        data = _cut(rng, case)
    if case.dtype == "uint8":
        data = data / 5
    elif case.dtype == "int8":
        data = data / 10
    return np.asarray(np.where(inside | (case.band < 1), data.clip(min=0), 0) + case.offset)


def _cut(rng: np.random.Generator, case: Case) -> NDArray[np.float64]:
    """Anatomy of which k-space was measured along i up to `band` only."""
    i, j, k = (np.abs(np.fft.fftfreq(n)) for n in case.shape)
    frequency = np.sqrt(i[:, None, None] ** 2 + j[:, None] ** 2 + k**2) + 0.01
    anatomy = np.fft.fftn(rng.normal(size=case.shape)) / frequency**1.5
    real = np.fft.ifftn(anatomy * (i < case.band / 2)[:, None, None]).real
    return np.asarray(500 + 100 * real / real.std())


def write_scan(case: Case, path: Path, seed: int) -> None:
    """The scan of a case, as nibabel writes it."""
    affine = np.eye(4)
    turn = np.linalg.qr(_TURN)[0]
    affine[:3, :3] = turn @ np.diag(case.spacing_mm)
    affine[:3, 3] = np.array([-11, 7.5, 30.25]) * min(case.spacing_mm)
    stored = np.dtype(case.dtype)
    header_type = nib.Nifti2Header if case.version == 2 else nib.Nifti1Header
    header = header_type(endianness=">" if stored.byteorder == ">" else "<")
    header.set_data_shape(case.shape)
    header.set_data_dtype(stored)
    case.change(header)
    header.set_sform(affine, 1 if case.place == "sform" else 0)
    header.set_qform(affine, 0 if case.place == "none" else 1)
    slope, inter = case.slope or (1, 0)
    header.set_slope_inter(slope, inter)
    header["vox_offset"] = offset = header.single_vox_offset
    data = (image_of(case, seed) - inter) / slope
    samples = (np.rint(data) if stored.kind in "iu" else data).astype(stored)
    head = header.binaryblock
    content = head + bytes(offset - len(head)) + samples.tobytes(order="F")
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def write_turned(path: Path, like: Path) -> None:
    """An image whose axes are those of another, swapped and reversed, a little aside and finer."""
    source = nib.load(like).affine  # type: ignore[attr-defined]
    to_source = np.array([[0, -0.5, 0, 7.2], [0, 0, 1, -2.5], [-1, 0, 0, 6], [0, 0, 0, 1.0]])
    data = np.zeros((8, 12, 11), np.uint8)
    nib.save(nib.Nifti1Image(data, source @ to_source), path)  # type: ignore[attr-defined]


def write_broken(folder: Path) -> list[dict[str, Any]]:
    """Files that are damaged or no scans, and what Python says of each."""
    whole = folder / "whole.nii"
    write_scan(Case("whole", (9, 8, 7), dtype="int16"), whole, 0)
    content = whole.read_bytes()

    def changed(**fields: Any) -> bytes:
        header = nib.Nifti1Header(content[:348])
        for name, value in fields.items():
            header[name] = value
        return bytes(header.binaryblock) + content[348:]

    damaged = bytearray(gzip.compress(content))
    damaged[-6] ^= 0xFF  # its check sum
    broken = {
        "empty.nii": b"",
        "garbage.nii": bytes(range(256)) * 4,
        "short.nii": content[:500],
        "short.nii.gz": gzip.compress(content)[:400],
        "damaged.nii.gz": bytes(damaged),
        "unpacked.nii.gz": content,
        "long.nii": content + bytes(500),
        "huge.nii": changed(dim=[3, 30000, 30000, 30000, 1, 1, 1, 1]),
        "bomb.nii.gz": gzip.compress(changed(dim=[3, 3000, 3000, 900, 1, 1, 1, 1]) + bytes(9**8)),
        "tail.nii.gz": gzip.compress(content + bytes(9**8)),
        "frames.nii": changed(dim=[4, 9, 8, 1, 7, 1, 1, 1]),
        "vectors.nii": changed(dim=[5, 9, 8, 1, 1, 7, 1, 1]),
        "plane.nii": changed(dim=[2, 9, 8, 1, 1, 1, 1, 1]),
        "nothing.nii": changed(dim=[3, 9, 0, 7, 1, 1, 1, 1]),
        "colours.nii": changed(datatype=128, bitpix=24),
        "complex.nii": changed(datatype=32, bitpix=64),
        "unknown.nii": changed(datatype=77, bitpix=16),
        "surfaces.nii": changed(intent_code=3002),
        "early.nii": changed(vox_offset=300),
        "sizeless.nii": changed(sform_code=0, pixdim=[1, 1, 0, 1, 1, 1, 1, 1]),
        "flat.nii": changed(srow_y=nib.Nifti1Header(content[:348])["srow_x"]),
        "nowhere.nii": changed(srow_x=[np.nan, 0, 0, 0]),
        "infinite.nii": changed(datatype=16, bitpix=32, dim=[3, 9, 8, 3, 1, 1, 1, 1])[:352]
        + np.full(9 * 8 * 3, np.inf, "<f4").tobytes(),
        "contradiction.nii": changed(qoffset_x=80, pixdim=[1, 2, 2, 2, 1, 1, 1, 1]),
        "codes.nii": changed(sform_code=9),
        "negative.nii": changed(sform_code=0, pixdim=[1, -1, 1, 1, 1, 1, 1, 1]),
        "metres.nii": changed(xyzt_units=1),
        "tissue_dseg.nii": content,
        "sub-1_part-phase_bold.nii": content,
        "labels.nii": changed(intent_code=1002),
    }
    turn = np.array([[1, 0, 0, 0], [0, 0.98, -0.2, 0], [0, 0.2, 0.98, 0], [0, 0, 0, 1]])
    oblique = nib.Nifti1Header(content[:348]).get_sform() @ turn
    rows = {f"srow_{name}": row for name, row in zip("xyz", oblique, strict=False)}
    (folder / "oblique.nii").write_bytes(changed(**rows, qform_code=0))
    told = []
    for name, data in broken.items():
        (folder / name).write_bytes(data)
        try:
            volume = Volume.read(folder / name)
            said = {"warnings": list(volume.warnings), "kind": volume.kind.what}
        except ArSSRError as error:
            said = {"error": str(error).replace(f"{folder}/", "")}
        told.append({"name": name, **said})
    return told


def write_all(folder: Path) -> None:
    """All cases, and what Python makes of them."""
    folder.mkdir(parents=True, exist_ok=True)
    model = arssr.load_model("light", device="cpu", precision="float32")
    reference = ModelRef.find("light", "cpu", "float32")
    written = []
    for seed, case in enumerate(CASES):
        path = folder / f"{case.name}{case.suffix}"
        write_scan(case, path, seed)
        beside = folder / "turned.nii"
        if case.name == "like":
            write_turned(beside, path)
        request = request_of(case.asked, lambda _key: beside, frames=False, memory=None)  # noqa: B023
        result = folder / f"{case.name}.result.nii.gz"
        made = run(model, Job(path, result, request, overwrite=True))
        shown = folder / "shown.nii"
        known = look(reference, path, None, shown, None, lambda _what, _share: None)
        told: dict[str, Any] = {"asked": {"target": {}, **case.asked}, "look": known}
        told |= {"made": {**made}, "samples": samples_sha256(Volume.read(path).data)}
        written.append({"name": case.name, "file": path.name, "result": result.name, **told})
    (folder / "cases.json").write_text(json.dumps(written, default=str) + "\n")
    (folder / "broken.json").write_text(json.dumps(write_broken(folder)) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    logging.disable(logging.WARNING)
    write_all(parser.parse_args().folder)


if __name__ == "__main__":
    main()
