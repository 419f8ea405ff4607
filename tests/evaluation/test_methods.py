from pathlib import Path

import pytest
from tests.phantoms import smooth, tiny_network, volume

from arssr.api import load_model
from arssr.errors import ArSSRError
from arssr.evaluation.methods import Baseline, weights_method
from arssr.evaluation.protocol import Setting
from arssr.weights.files import save_weights

SETTING = Setting("slice", (1.0, 1.0, 2.0))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_weights(path, tiny_network(), {})
    return path


def test_the_hash_is_that_of_the_parameters(weights: Path, tmp_path: Path) -> None:
    method = weights_method(str(weights))
    assert method.name == "tiny" and len(method.weights_sha256) == 64
    with_card, other = tmp_path / "with_card.safetensors", tmp_path / "other.safetensors"
    save_weights(with_card, tiny_network(), {"evaluation": "good"})
    save_weights(other, tiny_network(seed=1), {})
    assert weights_method(str(with_card)).weights_sha256 == method.weights_sha256
    assert weights_method(str(other)).weights_sha256 != method.weights_sha256


def test_weights_answer_as_their_model_does_on_the_grid_of_the_truth(weights: Path) -> None:
    truth = volume(smooth((12, 13, 14)))
    lr = SETTING.measure(truth)
    model = load_model(weights, "cpu")
    result = weights_method(str(weights), "cpu").load()(lr, truth.grid, SETTING)
    assert result.grid == truth.grid
    direct = model.upsample(lr, like=truth.grid, acquisition="slice")
    assert (result.data == direct.data).all()


def test_the_blind_say_so(weights: Path) -> None:
    seeing, blind = weights_method(str(weights)), weights_method(str(weights), blind=True)
    assert (seeing.told(SETTING), blind.told(SETTING)) == ("slice", "unknown")
    assert (seeing.name, blind.name) == ("tiny", "tiny (blind)")


def test_an_ensemble_says_so_and_is_one(weights: Path) -> None:
    truth = volume(smooth((12, 13, 14)))
    lr = SETTING.measure(truth)
    one, eight = (
        weights_method(str(weights), "cpu"),
        weights_method(str(weights), "cpu", ensemble=8),
    )
    assert eight.name == "tiny (ensemble 8)" and eight.weights_sha256 == one.weights_sha256
    assert weights_method(str(weights), "cpu", True, 4).name == "tiny (blind, ensemble 4)"
    direct = load_model(weights, "cpu").upsample(
        lr, like=truth.grid, acquisition="slice", ensemble=8
    )
    assert (eight.load()(lr, truth.grid, SETTING).data == direct.data).all()


def test_only_the_wiener_filter_knows_the_degradation() -> None:
    assert Baseline("wiener").told(SETTING) == "slice" and Baseline("cubic").told(SETTING) == ""


def test_missing_weights_are_said() -> None:
    with pytest.raises(ArSSRError, match="no weights 'missing'"):
        weights_method("missing")


def test_a_model_that_judges_the_scan_itself_is_told_auto(weights: Path) -> None:
    judging = weights_method(str(weights), measures=True)
    assert judging.name == "tiny (auto)" and judging.told(SETTING) == "auto"
