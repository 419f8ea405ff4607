"""`arssr adapt` as a person calls it: a scan of thick slices, a few steps, weights that work."""

import json
from pathlib import Path

import numpy as np
import pytest
from nibabel import Nifti1Image, save
from tests.phantoms import smooth, volume

from .conftest import Arssr


@pytest.fixture
def slices(tmp_path: Path) -> Path:
    """A stack of slices three times as thick as their pixels."""
    stack = volume(smooth((60, 52, 12), sigma=1), np.diag([1.0, 1, 3, 1]))
    return stack.write(tmp_path / "slices [1].nii")


def test_from_a_scan_to_weights_that_upsample_it(
    arssr: Arssr, slices: Path, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.safetensors"
    words = ("adapt", slices, "-o", out, "-m", tiny, "--device", "cpu", "--steps", 2)
    adapted = arssr(*words, "--json")
    assert adapted.code == 0, adapted.err
    assert adapted.err.startswith(f"learning from {slices} for 2 steps; ")
    assert "held-out part" in adapted.err and f"weights: {out}" in adapted.err
    known = json.loads(adapted.out)
    assert known["lesson"] == {"acquisition": "slice", "axes": [0, 1], "scale": 3.0}
    assert known["started_from"]["name"] == "tiny" and known["steps"] == 2
    assert known["data"][0]["name"] == "slices [1]" and len(known["data"][0]["sha256"]) == 64
    assert len(known["data"][0]["samples_sha256"]) == 64
    page = arssr("info", out).out.splitlines()
    before, after = known["held_out"]["gain_before"], known["held_out"]["gain_after"]
    brought = f"gain over cubic {before:+.2f} dB before adapting, {after:+.2f} dB after"
    assert {"trained on: 1 image", "started from: tiny", f"held-out part: {brought}"} <= {*page}
    sr = tmp_path / "sr.nii"
    assert arssr("upsample", slices, "-o", sr, "--scale", "1x1x3", "-m", out).code == 0
    assert "exists already" in arssr(*words).complaint


def test_minutes_are_turned_into_steps(
    arssr: Arssr, slices: Path, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.safetensors"
    words = ("adapt", slices, "-o", out, "-m", tiny, "--device", "cpu", "--json")
    assert json.loads(arssr(*words, "--minutes", 0.01).out)["steps"] >= 1


def test_what_holds_nothing_to_learn_is_refused_in_words_of_this_command(
    arssr: Arssr, tiny: Path, tmp_path: Path
) -> None:
    frames = Nifti1Image(np.zeros((20, 20, 9, 3), np.float32), np.eye(4))
    save(frames, tmp_path / "bold.nii")
    volume(np.full((20, 20, 9), 7.0)).write(tmp_path / "flat.nii")
    for name, reason in (
        ("bold.nii", "is a 4D image of 3 frames, and a 3D one is needed to learn from"),
        ("flat.nii", "every voxel is 7, nothing to learn from"),
        ("none.nii", "no such file"),
    ):
        out = tmp_path / "mine.safetensors"
        told = arssr("adapt", tmp_path / name, "-o", out, "-m", tiny).complaint
        assert name in told and reason in told
        assert not out.exists()


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        (("--scale", "0.5"), 1, "scale above 1"),
        (("--scale", "9"), 1, "too few to learn from"),
        (("--model", "nothing"), 1, "no weights"),
        (("-o", "mine.pkl"), 2, "a .safetensors file"),
        (("--minutes", "0"), 2, "--minutes"),
        (("--device", "abacus"), 1, "abacus"),
    ],
)
def test_what_cannot_be_adapted(
    arssr: Arssr,
    slices: Path,
    tiny: Path,
    tmp_path: Path,
    change: tuple[str, str],
    code: int,
    reason: str,
) -> None:
    out = tmp_path / "mine.safetensors"
    result = arssr("adapt", slices, "-o", out, "-m", tiny, "--device", "cpu", *change)
    assert result.code == code and reason in " ".join(result.err.split())
    assert not out.exists()
