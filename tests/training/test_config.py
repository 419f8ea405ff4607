"""Recipes: the paper's values, and mistakes in a file told in words."""

from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from arssr.errors import ArSSRError
from arssr.networks import ModelConfig
from arssr.training.config import SamplingConfig, TrainConfig, presets

MODEL = ModelConfig("residual", "light", 8, 4, 8)
PLAIN = TrainConfig(MODEL).to_dict()


def test_the_paper_preset_holds_the_papers_values() -> None:
    """Wu et al. 2022, section IV-A."""
    paper = TrainConfig.read("paper")
    assert paper.model == ModelConfig("paper", "rdn", 128, 8, 256)
    assert (paper.loss, paper.optimiser, paper.lr) == ("l1", "adam", 1e-4)
    assert (paper.schedule, paper.halve_every_epochs, paper.epochs) == ("halving", 200, 2500)
    assert (paper.sampling.batch, paper.sampling.points, paper.sampling.patch) == (15, 8000, 10)
    assert (paper.sampling.scale, paper.sampling.scale_step) == ((2.0, 4.0), 0.1)
    assert paper.sampling.acquisitions == {"spline": 1.0}
    assert paper.sampling.own_view == 1  # whole patches with real faces


def test_the_paper_preset_adds_nothing_of_ours() -> None:
    paper = TrainConfig.read("paper")
    assert (paper.weight_decay, paper.warmup_steps, paper.clip, paper.ema) == (0, 0, None, None)
    assert paper.precision == "float32"
    ours = ("noisy", "contrast", "anisotropic", "thick", "context", "margin")
    assert [getattr(paper.sampling, name) for name in ours] == [0] * len(ours)


def test_an_epoch_draws_every_item_once() -> None:
    config = replace(TrainConfig.read("paper"), epochs=3)
    assert [config.epoch_steps(items) for items in (1, 15, 16, 780)] == [1, 1, 2, 52]
    assert config.total_steps(780) == 156
    assert TrainConfig(MODEL, steps=7).total_steps(780) == 7


@pytest.mark.parametrize("name", presets())
def test_presets_survive_a_file(name: str, tmp_path: Path) -> None:
    config = TrainConfig.read(name)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(config.to_dict()), encoding="utf-8")
    assert TrainConfig.read(str(path)) == config


def test_numbers_are_numbers_however_yaml_reads_them(tmp_path: Path) -> None:
    """YAML 1.1 takes 1e-4 for text."""
    path = tmp_path / "recipe.yaml"
    model = "model: {encoder: light, feature_dim: 8, decoder_depth: 4, decoder_width: 8}"
    path.write_text(f"{model}\nlr: 1e-4\nema: null\nsampling: {{noise: 0, scale: [2, 4]}}\n")
    config = TrainConfig.read(str(path))
    assert (config.lr, config.ema, config.sampling.scale) == (1e-4, None, (2.0, 4.0))
    assert config == replace(
        TrainConfig(MODEL), lr=1e-4, ema=None, sampling=SamplingConfig(noise=0.0, scale=(2.0, 4.0))
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 1}, "unknown setting in training configuration: learning_rate"),
        ({"sampling": {"batches": 1}}, "unknown setting in sampling: batches"),
        ({"sampling": 3}, "sampling must be a section"),
        ({"model": {"encoder": "unet"}}, "unknown encoder"),
        ({"model": None}, "not a model configuration"),
        ({"lr": "fast"}, "lr cannot be 'fast'"),
        ({"lr": 0}, "lr must be above 0"),
        ({"lr": float("nan")}, "lr cannot be nan"),
        ({"clip": float("inf")}, "clip cannot be inf"),
        ({"beta2": 5}, "beta2 must be at least 0 and below 1, not 5"),
        ({"seed": 10**400}, "seed cannot be 1"),
        ({"model": {"encoder": "light", "decoder_depth": float("nan")}}, "positive whole numbers"),
        ({"model": {"encoder": "light", "acquisitions": "slice"}}, "list of names, not 'slice'"),
        ({"sampling": {"noise": "nan"}}, "noise cannot be"),
        ({"sampling": {"scale": [1, float("inf")]}}, "scale cannot be inf"),
        ({"sampling": {"acquisitions": {"slice": float("nan")}}}, "acquisitions cannot be nan"),
        ({"steps": 0}, "at least 1"),
        ({"visits": 0}, "visits at least 1"),
        ({"weights": {"a*": 0}}, "at least 1"),
        ({"weights": {"a*": 1.5}}, "weights cannot be 1.5"),
        ({"lr_with_init": 0}, "lr_with_init must be above 0"),
        ({"resident_gb": 0}, "resident_gb must be above 0"),
        ({"steps": 2.5}, "steps cannot be 2.5"),
        ({"steps": None}, "either steps or epochs"),
        ({"steps": 1, "epochs": 1}, "either steps or epochs"),
        ({"optimiser": "sgd"}, "optimiser cannot be 'sgd'; it is 'adam' or 'adamw' or 'muon'"),
        ({"loss": "l2"}, "loss cannot be 'l2'"),
        ({"schedule": "step"}, "schedule cannot be 'step'"),
        ({"precision": "fp16"}, "precision cannot be 'fp16'"),
        ({"clip": -1}, "clip must be above 0"),
        ({"ema": 1}, "ema must be between 0 and 1"),
        ({"validate_every": 0}, "at least 1"),
        ({"sampling": {"patch": 0}}, "at least 1"),
        ({"sampling": {"patch": 6}}, "leaves nothing"),
        ({"sampling": {"scale": 2}}, "scale cannot be 2"),
        ({"sampling": {"scale": [4, 2]}}, "scales must be at least 1"),
        ({"sampling": {"scale": [0.5, 2]}}, "scales must be at least 1"),
        ({"sampling": {"scale_step": 0}}, "scale_step must be above 0"),
        ({"sampling": {"noisy": 1.5}}, "noisy is a share"),
        ({"sampling": {"noise": -1}}, "at least 0"),
        ({"sampling": {"gaussian": 2}}, "gaussian is a share"),
        ({"sampling": {"gap": [0.3, 0.1]}}, "gap is a range between 0 and 0.9"),
        ({"sampling": {"gap": [0, 1]}}, "gap is a range between 0 and 0.9"),
        ({"sampling": {"apodisation": [0, 2]}}, "apodisation is a range between 0 and 1"),
        ({"sampling": {"ramp": 0.2}}, "ramp cannot be 0.2"),
        ({"sampling": {"acquisitions": {"blur": 1}}}, "unknown degradation 'blur'"),
        ({"sampling": {"acquisitions": {"slice": "all"}}}, "acquisitions cannot be"),
        ({"sampling": {"acquisitions": {"slice": 0}}}, "one above 0"),
        ({"sampling": {"acquisitions": {}}}, "one above 0"),
    ],
)
def test_mistakes_are_told_in_words(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArSSRError, match=message):
        TrainConfig.from_dict(PLAIN | change)


@pytest.mark.parametrize("text", ["", "a: [", "[1, 2]", "just words"])
def test_a_file_that_is_no_recipe_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ArSSRError, match=r"recipe\.yaml is not"):
        TrainConfig.read(str(path))


def test_an_unknown_recipe_names_the_known() -> None:
    with pytest.raises(ArSSRError, match=r"no recipe 'fast': .*light.*paper"):
        TrainConfig.read("fast")


def test_a_recipe_without_a_model_is_refused() -> None:
    with pytest.raises(ArSSRError, match="section 'model'"):
        TrainConfig.from_dict({"steps": 3})


# --- recipes that extend others ------------------------------------------------------------------


def read(folder: Path, **recipes: str) -> TrainConfig:
    """The first of these recipes, all of them files in a folder."""
    for name, text in recipes.items():
        (folder / f"{name}.yaml").write_text(text)
    return TrainConfig.read(str(folder / f"{next(iter(recipes))}.yaml"))


def test_what_a_recipe_does_not_say_is_that_of_the_one_it_extends(tmp_path: Path) -> None:
    text = "extends: light\nlr: 1.0e-4\nsampling: {batch: 2}\nmodel: {decoder_depth: 6}"
    found, light = read(tmp_path, own=text), TrainConfig.read("light")
    assert found == replace(
        light,
        lr=1e-4,
        model=replace(light.model, decoder_depth=6),
        sampling=replace(light.sampling, batch=2),
    )


def test_a_recipe_extends_a_file_from_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    base = "extends: ../base.yaml\nseed: 3"
    (tmp_path / "base.yaml").write_text("extends: rdn\nseed: 1\nlr: 1.0e-4")
    found = read(tmp_path / "deep", own=base)
    assert (found.seed, found.lr, found.model.encoder) == (3, 1e-4, "rdn")


@pytest.mark.parametrize(
    ("length", "expected"),
    [("steps: 7", (7, None)), ("epochs: 7", (None, 7)), ("lr: 1.0e-3", (None, 2500))],
)
def test_a_recipe_has_one_length(
    length: str, expected: tuple[int | None, int | None], tmp_path: Path
) -> None:
    found = read(tmp_path, own=f"extends: paper\n{length}")
    assert (found.steps, found.epochs) == expected


def test_recipes_that_extend_one_another_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArSSRError, match=r"extend one another: .*a\.yaml, .*b\.yaml, .*a\.yaml"):
        read(tmp_path, a="extends: b.yaml", b="extends: a.yaml")
    with pytest.raises(ArSSRError, match=r"no recipe '.*fast'"):
        read(tmp_path, a="extends: fast")


def test_half_a_model_is_told_how_to_become_whole(tmp_path: Path) -> None:
    with pytest.raises(ArSSRError, match=r"own\.yaml: .*must agree.*`extends: light` takes"):
        read(tmp_path, own="model: {encoder: light}")
    assert read(tmp_path, own="extends: light\nmodel: {encoder: light}").model.feature_dim == 64


# --- what is said of the recipe ------------------------------------------------------------------


def test_the_documentation_names_every_value_with_its_default() -> None:
    """The tables of docs/training.md, row by row, in the order of the classes."""
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    section = text.split("## Every value of a recipe")[1].split("## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    told = [(name.strip("|` "), default.strip("`")) for name, default, _ in rows]
    of_sections = (("", TrainConfig), ("model.", ModelConfig), ("sampling.", SamplingConfig))
    assert told == [
        (f"{prefix}{f.name}", _default(f))
        for prefix, of in of_sections
        for f in fields(of)
        if f.name not in ("model", "sampling")
    ]


def _default(of: Field[Any]) -> str:
    """As YAML says it."""
    value = of.default if of.default is not MISSING else of.default_factory()  # type: ignore[misc]
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True, sort_keys=False).splitlines()[0]
