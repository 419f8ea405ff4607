"""Encoders and acquisitions of one's own: a class, a name and a recipe are all that they take."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
from tests.own_encoder import UShaped
from tests.phantoms import smooth, volume

from arssr import degradation
from arssr.files import sidecar
from arssr.interpolation import axis_matrix
from arssr.networks.encoders import ENCODERS

from .conftest import Arssr

RECIPE: dict[str, Any] = {
    "model": {"encoder": "u", "feature_dim": 8, "decoder_depth": 4, "decoder_width": 8},
    "sampling": {"batch": 1, "patch": 8, "points": 20, "margin": 1, "context": 2},
    "steps": 10,
    "precision": "float32",
}


def test_a_new_encoder_is_trained_and_serves_scans_in_any_memory(
    arssr: Arssr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENCODERS, "u", UShaped)
    scan = volume(smooth((45, 39, 34), sigma=1)).write(tmp_path / "heads" / "scan.nii")
    recipe, run = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(yaml.safe_dump(RECIPE))
    other = volume(smooth((24, 24, 24), seed=1, sigma=1)).write(tmp_path / "val" / "other.nii")
    words = ("train", scan.parent, "--val", other, "--config", recipe, "--device", "cpu", "-o", run)
    assert (trained := arssr(*words)).code == 0, trained.err
    [weights] = sorted(run.glob("weights*.safetensors"))
    # of a process that grows no more between a plan and what becomes of it
    monkeypatch.setattr("arssr.engine.plan.budget_of", lambda memory: (memory or 8e9, 0.0))
    asked = ("upsample", scan, "-m", weights, "--scale", 2, "--device", "cpu", "--no-skip")
    asked += ("--precision", "float32")

    def served(memory: float | None) -> tuple[dict[str, Any], np.ndarray]:
        """The plan, and the result."""
        out = tmp_path / f"{memory}.nii"
        budget = () if memory is None else ("--memory", f"{memory / 1e6:.6f}MB")
        planned = arssr(*asked, *budget, "-o", out, "--dry-run", "--json")
        assert planned.code == 0, planned.err
        assert arssr(*asked, *budget, "-o", out).code == 0
        return json.loads(planned.out)[0], nib.load(out).get_fdata()

    plenty, whole = served(None)
    needed = plenty["memory_bytes"]
    for share in (0.6, 0.2):
        spared = (1 - share) * (needed["features"] + needed["activations"])
        tight, found = served(needed["peak"] - spared)
        assert tight["encode_flops"] > plenty["encode_flops"]  # halos are computed in vain
        assert tight["memory_bytes"]["peak"] <= needed["peak"] - spared
        np.testing.assert_allclose(found, whole, rtol=0, atol=1e-5 * np.ptp(whole))


@dataclass(frozen=True)
class Pairs:
    """Every sample is the mean of what lies half a voxel to both sides: a fourth acquisition."""

    name: str = "pairs"

    def axis_matrix(self, n_in: int, positions: np.ndarray, scale: float) -> np.ndarray:
        """See `Degradation.axis_matrix`."""
        beside = (axis_matrix("linear", n_in, positions + d * scale / 2) for d in (-1, 1))
        return np.mean(list(beside), axis=0)


def test_a_new_acquisition_is_drawn_taught_and_told(
    arssr: Arssr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(degradation._NAMED, "pairs", Pairs())
    scan = volume(smooth((24, 24, 24), sigma=1)).write(tmp_path / "heads" / "scan.nii")
    other = volume(smooth((24, 24, 24), seed=1, sigma=1)).write(tmp_path / "val" / "other.nii")
    recipe, run = tmp_path / "recipe.yaml", tmp_path / "run"
    asked = {
        **RECIPE,
        "model": {**RECIPE["model"], "encoder": "light", "acquisitions": ["kspace", "pairs"]},
        "sampling": {**RECIPE["sampling"], "acquisitions": {"pairs": 1.0}},
    }
    recipe.write_text(yaml.safe_dump(asked))
    words = ("train", scan.parent, "--val", other, "--config", recipe, "--device", "cpu", "-o", run)
    assert (trained := arssr(*words, "--workers", 0)).code == 0, trained.err
    words = ("upsample", scan, "-m", run / "weights.safetensors", "--scale", 2, "--acquisition")
    out = tmp_path / "out.nii"
    assert (made := arssr(*words, "pairs", "-o", out, "--no-skip")).code == 0, made.err
    assert json.loads(sidecar(out).read_text())["told"]["acquisition_ijk"] == ["pairs"] * 3
    told = nib.load(out).get_fdata()
    assert arssr(*words, "unknown", "-o", tmp_path / "blind.nii", "--no-skip").code == 0
    assert np.abs(told - nib.load(tmp_path / "blind.nii").get_fdata()).max() > 0
    refused = arssr(*words, "slice", "-o", tmp_path / "other.nii")
    assert refused.code == 1 and "can be told kspace, pairs and unknown" in refused.complaint
