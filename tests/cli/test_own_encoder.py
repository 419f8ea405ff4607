"""An encoder of one's own: a class, its name and a recipe are all that it takes."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
from tests.own_encoder import UShaped
from tests.phantoms import smooth, volume

from arssr.networks.encoders import ENCODERS

from .conftest import Arssr

RECIPE = {
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
