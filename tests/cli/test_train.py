"""`arssr train` as a person calls it: a run of a few steps."""

import json
from pathlib import Path

import pytest
import yaml
from tests.phantoms import smooth, tiny_config, volume

from .conftest import Arssr

RECIPE = {
    "model": tiny_config().to_dict(),
    "sampling": {"batch": 1, "patch": 8, "points": 20, "margin": 1, "context": 2},
    "steps": 4,
    "validate_every": 2,
    "precision": "float32",
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    for n in range(2):
        volume(smooth((24, 22, 26), n, sigma=1)).write(tmp_path / "heads" / f"{n}.nii")
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def test_from_images_to_weights_that_upsample(arssr: Arssr, recipe: Path, tmp_path: Path) -> None:
    heads, out = tmp_path / "heads", tmp_path / "run [1]"
    words = ("train", heads, "--val", heads / "1.nii", "--config", recipe, "--device", "cpu")
    trained = arssr(*words, "-o", out)
    assert trained.code == 0, trained.err
    assert trained.out == ""
    assert "step 2: gain over cubic" in trained.err and f"weights: {out}" in trained.err
    [weights] = sorted(out.glob("weights*.safetensors"))
    known = json.loads(arssr("info", weights, "--json").out)
    assert known["steps"] == 4 and len(known["data"]) == 2
    sr = tmp_path / "sr.nii.gz"
    assert arssr("upsample", heads / "0.nii", "-o", sr, "--scale", 1.5, "-m", weights).code == 0
    # a run is not trampled on; it goes on only if asked to
    assert "already holds a run" in arssr(*words, "-o", out).complaint
    assert arssr(*words, "-o", out, "--resume").code == 0
    assert "configuration" in arssr(*words, "-o", out, "--resume", "--steps", 5).complaint


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        (("--config", "nothing"), 1, "nothing"),
        (("--steps", "0"), 2, "--steps"),
        (("--init", "nothing"), 1, "no weights"),
        (("--val", "nothing.nii"), 1, "no such file or folder"),
        (("--device", "abacus"), 1, "abacus"),
    ],
)
def test_what_cannot_be_trained(
    arssr: Arssr, recipe: Path, tmp_path: Path, change: tuple[str, str], code: int, reason: str
) -> None:
    out = tmp_path / "run"
    words = ("train", tmp_path / "heads", "-o", out, "--config", recipe, "--device", "cpu")
    result = arssr(*words, *change)
    assert result.code == code and reason in result.err
    assert not out.exists()
