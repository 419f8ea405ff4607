"""A run in the time that it is given, and what it says of itself."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.fabric import Fabric
from tests.phantoms import smooth, tiny_config, tiny_network, volume

from arssr.errors import ArSSRError
from arssr.training.checkpoint import recipe_of
from arssr.training.config import SamplingConfig, TrainConfig
from arssr.training.records import WEIGHTS
from arssr.training.run import fitted, make_fabric, train
from arssr.weights.files import load_weights, save_weights
from arssr.weights.registry import load

CONFIG = TrainConfig(
    tiny_config(),
    SamplingConfig(batch=1, patch=8, points=20, margin=1, context=2),
    steps=3,
    precision="float32",
)


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return make_fabric("cpu", 1, 1, "float32")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return volume(smooth((24, 22, 26), sigma=1)).write(tmp_path_factory.mktemp("i") / "a.nii")


@given(
    seconds=st.floats(1, 1e4), step_s=st.floats(1e-3, 1e2), validation_s=st.sampled_from([0, 1, 20])
)
def test_steps_and_validations_fill_the_time_and_no_more(
    seconds: float, step_s: float, validation_s: float
) -> None:
    config = fitted(replace(CONFIG, steps=None, epochs=7), seconds, step_s, validation_s)
    assert config.steps is not None and config.epochs is None
    validations = -(-config.steps // config.validate_every)
    taken = config.steps * step_s + validations * validation_s
    assert 1 <= validations <= 8
    assert taken <= seconds or config.steps == 1
    assert taken + step_s + 8 * validation_s > 0.96 * seconds
    if validations > 1:
        assert validations * validation_s <= 0.2 * seconds


def test_the_steps_that_were_found_are_part_of_the_run(
    image: Path, fabric: Fabric, tmp_path: Path
) -> None:
    """Nothing of the trial stays: with the same steps the run would have been the same."""
    found = train(CONFIG, [image], [], tmp_path / "a", fabric, seconds=0.5)
    recipe = TrainConfig.from_dict(recipe_of(tmp_path / "a"))
    assert recipe.steps == found.step == found.total
    again = train(recipe, [image], [], tmp_path / "b", fabric)
    for name, value in again.network.state_dict().items():
        assert torch.equal(value, found.network.state_dict()[name])
    assert load_weights(tmp_path / "a" / WEIGHTS)[1]["recipe"]["steps"] == recipe.steps


def test_a_resumed_run_remembers_what_it_started_from(
    image: Path, fabric: Fabric, tmp_path: Path
) -> None:
    for name, seed in (("start", 1), ("other", 2)):
        save_weights(tmp_path / f"{name}.safetensors", tiny_network(seed=seed), {})
    start, other = (load(tmp_path / f"{name}.safetensors") for name in ("start", "other"))
    stop = {"should_stop": lambda: True}
    train(CONFIG, [image], [], tmp_path / "run", fabric, init=start, **stop)  # type: ignore[arg-type]
    train(CONFIG, [image], [], tmp_path / "run", fabric, resume=True, **stop)  # type: ignore[arg-type]
    with pytest.raises(ArSSRError, match="started from start, not from other"):
        train(CONFIG, [image], [], tmp_path / "run", fabric, init=other, resume=True)
    run = train(CONFIG, [image], [], tmp_path / "run", fabric, init=start, resume=True)
    card = load_weights(tmp_path / "run" / WEIGHTS)[1]
    assert run.step == 3 and card["started_from"]["sha256"] == start.sha256


def test_what_differs_from_the_run_to_resume_is_named(
    image: Path, fabric: Fabric, tmp_path: Path
) -> None:
    train(CONFIG, [image], [], tmp_path / "run", fabric)
    changed = replace(CONFIG, lr=1e-3, sampling=replace(CONFIG.sampling, points=30))
    with pytest.raises(ArSSRError) as caught:
        train(changed, [image], [], tmp_path / "run", fabric, resume=True)
    told = str(caught.value)
    assert "sampling.points is 20 there, 30 here" in told
    assert "lr is 0.0012 there, 0.001 here" in told and "steps" not in told
    more = volume(smooth((24, 22, 26), 1)).write(tmp_path / "b.nii")
    with pytest.raises(ArSSRError, match=r"other images: 1 are new \(b\.nii\)$"):
        train(CONFIG, [image, more], [], tmp_path / "run", fabric, resume=True)
