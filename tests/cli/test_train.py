"""`arssr train` as a person calls it: a run of a few steps."""

import json
import signal
from pathlib import Path

import pytest
import yaml
from tests.phantoms import smooth, tiny_config, volume

from arssr.cli.train import _Stop
from arssr.errors import ArSSRError
from arssr.training.config import TrainConfig
from arssr.training.run import fitted
from arssr.volume import Volume

from .conftest import Arssr, Result

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


def refusal(result: Result) -> str:
    """Why nothing was trained: the last line, after those on what was looked at."""
    assert result.code == 1
    return result.err.splitlines()[-1].removeprefix("error: ")


def test_from_images_to_weights_that_upsample(
    arssr: Arssr, recipe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heads, out = tmp_path / "heads", tmp_path / "run [1]"
    judge = volume(smooth((24, 22, 26), 5, sigma=1)).write(tmp_path / "judge.nii")
    words = ("train", heads, "--val", judge, "--config", recipe, "--device", "cpu")
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
    assert "already holds a run" in refusal(arssr(*words, "-o", out))
    ended = arssr(*words, "-o", out, "--resume")
    assert ended.code == 0 and "has taken all of its steps (4); --steps makes" in ended.err
    told = refusal(arssr(*words, "-o", out, "--resume", "--lr", "1e-3"))
    assert "lr is 0.0012 there, 0.001 here" in told
    longer = arssr(*words, "-o", out, "--resume", "--steps", 5)
    assert longer.code == 0
    assert "the run ends at step 5 now, instead of 4" in caplog.text
    logged = (out / "train.log").read_text()
    start = "from step 0 of 4, light on 2 images, 1 for validation"
    assert start in logged and start in trained.err
    assert "the run ends at step 5 now, instead of 4" in logged
    assert "at step 4 of 5" in logged and "finished at step 5 of 5" in logged


def test_a_run_that_is_stopped_goes_on_without_its_options(
    arssr: Arssr, recipe: Path, tmp_path: Path
) -> None:
    heads, out = tmp_path / "heads", tmp_path / "run"
    words = ("train", heads, "-o", out, "--device", "cpu")
    options = ("--config", recipe, "--weight", "1*=3", "--lr", "1e-3", "--workers", 1)
    stopped = arssr(*words, *options, "--stop-after", 0)
    assert stopped.code == 0 and "stopped at step 1 of 4; --resume goes on" in stopped.err
    assert arssr(*words, "--resume").code == 0
    known = json.loads(arssr("info", out / "weights.safetensors", "--json").out)
    assert known["steps"] == 4
    assert (known["recipe"]["lr"], known["recipe"]["weights"]) == (1e-3, {"1*": 3})


@pytest.mark.parametrize("options", [(), ("--seconds", 5)])
def test_a_person_hears_at_once_and_before_each_long_silence(
    arssr: Arssr,
    monkeypatch: pytest.MonkeyPatch,
    recipe: Path,
    tmp_path: Path,
    options: tuple[object, ...],
) -> None:
    """Whoever calls it without a terminal sees no progress bar."""
    read: list[bool] = []
    words = ("train", tmp_path / "heads", "-o", tmp_path / "run", "--config", recipe)

    def heavy(*_given: object) -> None:
        read.append(True)
        raise ArSSRError("enough")

    with monkeypatch.context() as patch:
        patch.setattr("arssr.training.run.make_fabric", heavy)
        first = arssr(*words, "--device", "cpu").err.splitlines()
    assert read and first == [
        "looking at 2 images to train on and 0 for validation",
        "error: enough",
    ]
    told = arssr(*words, "--device", "cpu", "--stop-after", 0, *options).err.splitlines()
    timing = ["timing a few steps, to find how many fit"] if options else []
    then = 1 + len(timing)
    assert told[1:then] == timing and told[then].startswith("from step 0 of ")


def test_what_was_left_out_is_in_the_log_of_the_run(
    arssr: Arssr, recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "heads" / "empty.nii").touch()
    words = ("train", tmp_path / "heads", "-o", tmp_path / "run", "--config", recipe)
    assert arssr(*words, "--device", "cpu", "--skip-unusable").code == 0
    logged = (tmp_path / "run" / "train.log").read_text().splitlines()
    assert "empty.nii: cannot be read as a NIfTI image" in logged[0]
    assert logged[1].endswith("1 of 3 images cannot be used: left out")
    assert "from step 0 of 4" in logged[2]


def test_the_steps_of_a_run_in_a_given_time_stay(
    arssr: Arssr, recipe: Path, tmp_path: Path
) -> None:
    words = ("train", tmp_path / "heads", "-o", tmp_path / "run", "--device", "cpu")
    begun = arssr(*words, "--config", recipe, "--seconds", 5, "--stop-after", 0)
    assert begun.code == 0
    for again in ((), ("--config", recipe, "--seconds", 5)):
        assert arssr(*words, *again, "--resume").code == 0


def test_time_that_is_over_before_the_first_step_is_told(
    arssr: Arssr,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Then there is one step, and weights that nobody should take for trained."""

    def slow(config: TrainConfig, *_times: float) -> TrainConfig:
        return fitted(config, 0.0, 1.0, 1.0)

    monkeypatch.setattr("arssr.training.run.fitted", slow)
    words = ("train", tmp_path / "heads", "-o", tmp_path / "run", "--device", "cpu")
    assert arssr(*words, "--config", recipe, "--seconds", 9).code == 0
    told = "took so long that the time is for a single step"
    assert told in caplog.text and told in (tmp_path / "run" / "train.log").read_text()


def test_ctrl_c_waits_for_the_step_where_there_is_something_to_save() -> None:
    before = signal.getsignal(signal.SIGINT)
    stop = _Stop(None)
    with stop:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)  # still reading
        stop.can_wait = True
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)  # impatient
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("config", "given", "lr"),
    [
        ("light", (), 1.2e-3),
        ("light", ("--init", "light"), 1.2e-4),
        ("light", ("--init", "light", "--lr", "3e-4"), 3e-4),
        ("light-gpu", ("--init", "light"), 6e-4),
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
    assert "enough" in refusal(arssr(*words, "--config", config or own, *given))
    assert seen[0].lr == pytest.approx(lr)


def test_scans_of_one_name_in_subfolders_are_told_apart(
    arssr: Arssr, recipe: Path, tmp_path: Path
) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    for n in range(2):
        volume(smooth((24, 22, 26), n, sigma=1)).write(data / f"sub-{n}" / "anat" / "T1.nii.gz")
    volume(smooth((5, 22, 26), 7)).write(data / "sub-2" / "anat" / "T1.nii.gz")
    words = ("train", data, "-o", out, "--config", recipe, "--device", "cpu")
    refused = arssr(*words)
    assert (
        refused.code == 1
        and "1 of 3 images cannot be used; --skip-unusable leaves them out" in refused.err
    )
    assert f"{data}/sub-2/anat/T1.nii.gz is too small to train on" in refused.err
    assert not out.exists()
    assert arssr(*words, "--skip-unusable", "--stop-after", 0).code == 0
    assert arssr("train", data, "-o", out, "--resume", "--device", "cpu").code == 0
    known = json.loads(arssr("info", out / "weights.safetensors", "--json").out)
    names = ["sub-0/anat/T1.nii.gz", "sub-1/anat/T1.nii.gz"]
    assert known["steps"] == 4 and [image["name"] for image in known["data"]] == names
    assert {len(image["samples_sha256"]) for image in known["data"]} == {64}
    assert all(image["look"].keys() == {"roughness", "peak"} for image in known["data"])


def test_a_training_image_is_no_judge_under_another_name(
    arssr: Arssr, recipe: Path, tmp_path: Path
) -> None:
    heads, out = tmp_path / "heads", tmp_path / "run"
    copy = Volume.read(heads / "1.nii").write(tmp_path / "val" / "other.nrrd")
    words = ("train", heads, "-o", out, "--config", recipe, "--device", "cpu")
    for val in (heads, copy.parent):
        told = refusal(arssr(*words, "--val", val))
        same = heads / "1.nii"
        pair = f"{copy} is {same}" if val == copy.parent else f"{heads / '0.nii'}, {same}"
        assert told.endswith(f"images on both sides by their voxels: {pair}")
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        (("--config", "nothing"), 1, "nothing"),
        (("--steps", "0"), 2, "--steps"),
        (("--lr", "0"), 1, "lr must be above 0"),
        (("--weight", "0*"), 2, "PATTERN=N"),
        (("--weight", "0*=0.5"), 2, "PATTERN=N"),
        (("--weight", "T2*=2"), 1, "no image to weight is called 'T2*'"),
        (("--steps", "3", "--seconds", "3"), 2, "--steps and --seconds"),
        (("--init", "nothing"), 1, "no weights"),
        (("--val", "nothing.nii"), 1, "no such file or folder"),
        (("--device", "abacus"), 1, "abacus"),
    ],
)
def test_what_cannot_be_trained(
    arssr: Arssr, recipe: Path, tmp_path: Path, change: tuple[str, ...], code: int, reason: str
) -> None:
    out = tmp_path / "run"
    words = ("train", tmp_path / "heads", "-o", out, "--config", recipe, "--device", "cpu")
    result = arssr(*words, *change)
    assert result.code == code and reason in result.err
    assert not out.exists()
