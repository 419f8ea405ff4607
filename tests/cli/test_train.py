"""`arssr train` as a person calls it: a run of a few steps."""

import json
from pathlib import Path

import pytest
import yaml
from tests.phantoms import smooth, tiny_config, volume

from arssr.errors import ArSSRError
from arssr.training.config import TrainConfig

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
    ("config", "given", "lr"),
    [
        ("light", (), 1.2e-3),
        ("light", ("--init", "light"), 1.2e-4),
        ("light", ("--init", "light", "--lr", "3e-4"), 3e-4),
        (None, (), 5e-4),
        (None, ("--init", "light"), 5e-4),  # a recipe of one's own means what it says
    ],
)
def test_good_weights_are_tuned_at_a_lower_rate(
    arssr: Arssr,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    config: str | None,
    given: tuple[str, ...],
    lr: float,
) -> None:
    seen: list[TrainConfig] = []

    def stop(recipe: TrainConfig, *_given: object, **_options: object) -> None:
        seen.append(recipe)
        raise ArSSRError("enough")

    monkeypatch.setattr("arssr.training.run.train", stop)
    volume(smooth((24, 22, 26), sigma=1)).write(tmp_path / "head.nii")
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump(RECIPE | {"lr": 5e-4}))
    words = ("train", tmp_path / "head.nii", "-o", tmp_path / "run", "--device", "cpu")
    assert "enough" in arssr(*words, "--config", config or own, *given).complaint
    assert seen[0].lr == pytest.approx(lr)


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        (("--config", "nothing"), 1, "nothing"),
        (("--steps", "0"), 2, "--steps"),
        (("--lr", "0"), 1, "lr must be above 0"),
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
