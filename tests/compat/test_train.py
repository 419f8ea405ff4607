"""`python train.py`, as a program of its own, and what it leaves behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.phantoms import smooth

from arssr.compat import test as test_command
from arssr.compat import train as train_command
from arssr.grid import Grid
from arssr.volume import Volume

ROOT = Path(__file__).parents[2]
LAYOUT = ROOT.parent / "shared" / "golden" / "state_dict_layout.json"
SMALL = ["-feature_dim", "8", "-decoder_width", "16", "-bs", "2", "-ss", "50"]


def write_patches(folder: Path, count: int) -> None:
    """Different small patches, in units of their own; other ones in another folder."""
    first = 0 if folder.name == "hr_train" else 100
    for seed in range(first, first + count):
        data = 255 * smooth((20, 20, 20), seed, sigma=1.0)
        Volume(data, Grid(data.shape, np.eye(4))).write(folder / f"{seed}.nii.gz")


def run_train(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """`python train.py …` in a folder."""
    return subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *SMALL, *flags],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two epochs were trained, of three patches each."""
    folder = tmp_path_factory.mktemp("train")
    write_patches(folder / "data" / "hr_train", 3)
    write_patches(folder / "data" / "hr_val", 1)
    done = run_train(folder, "-encoder_name", "ResCNN", "-epoch", "2", "-summary_epoch", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    said = done.stderr.splitlines()
    assert said[0] == "looking at 3 patches to train on and 1 for validation"
    assert said[1].startswith("2 epochs of 2 steps on CPU")
    assert said[1].endswith("weights and validation every 1 epoch and at the end")
    return folder


@pytest.mark.slow
def test_checkpoints_are_those_of_the_reference(trained: Path) -> None:
    assert sorted(path.name for path in (trained / "model").glob("*.pkl")) == [
        "model_param_1.pkl",
        "model_param_2.pkl",
    ]
    first, second = (
        torch.load(trained / "model" / f"model_param_{epoch}.pkl", weights_only=True)
        for epoch in (1, 2)
    )
    changed = [name for name in first if not torch.equal(first[name], second[name])]
    assert len(changed) > len(first) / 2
    assert first["decoder.stage_one.0.weight"].shape == (16, 11)
    if LAYOUT.exists():
        names = list(json.loads(LAYOUT.read_text())["ResCNN_f128_d8_w256"])
        assert list(second) == names


@pytest.mark.slow
def test_tensorboard_log_counts_epochs(trained: Path) -> None:
    log = EventAccumulator(str(trained / "log"))
    log.Reload()
    assert [event.step for event in log.Scalars("train/loss")] == [1, 2]
    assert [event.value for event in log.Scalars("train/lr")] == pytest.approx([1e-4, 1e-4])
    assert [event.step for event in log.Scalars("val/gain")] == [1, 2]


@pytest.mark.slow
def test_checkpoint_loads_in_test_py(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    arguments = ["-encoder", "rescnn", "-feature_dim", "8", "-width", "16", "-is_gpu", "0"]
    arguments += ["-pre_trained_model", "model/model_param_2.pkl", "-scale", "1.5"]
    assert test_command.main([*arguments, "-input_path", "data/hr_val"]) == 0
    result = Volume.read(trained / "test" / "output" / "ArSSR_rescnn_recon_1d5x_100.nii.gz")
    assert result.grid.shape == (30, 30, 30)


def test_recipe_is_the_papers_but_for_the_flags() -> None:
    plain = train_command._recipe(train_command._parser().parse_args([])).to_dict()
    paper = {
        "lr": 1e-4,
        "halve_every_epochs": 200,
        "epochs": 2500,
        "steps": None,
        "loss": "l1",
        "optimiser": "adam",
    }
    assert {name: plain[name] for name in paper} == paper
    sampling = {"batch": 15, "points": 8000, "patch": 10, "scale": [2.0, 4.0], "scale_step": 0.1}
    assert {name: plain["sampling"][name] for name in sampling} == sampling

    flags = ["-encoder_name", "SRResnet", "-lr", "0.01", "-lr_decay_epoch", "7", "-epoch", "9"]
    args = train_command._parser().parse_args([*flags, *SMALL, "-decoder_depth", "6"])
    given = train_command._recipe(args).to_dict()
    assert (given["lr"], given["halve_every_epochs"], given["epochs"]) == (0.01, 7, 9)
    assert (given["sampling"]["batch"], given["sampling"]["points"]) == (2, 50)
    assert given["model"] == {
        "flavour": "paper",
        "encoder": "srresnet",
        "feature_dim": 8,
        "decoder_depth": 6,
        "decoder_width": 16,
        "acquisitions": ["kspace", "slice", "spline"],  # of which it is told none
    }


@pytest.mark.parametrize("missing", ["-hr_data_train", "-hr_data_val"])
def test_missing_data_is_one_sentence(
    missing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_patches(tmp_path / "data" / "hr_train", 1)
    write_patches(tmp_path / "data" / "hr_val", 1)
    assert train_command.main([missing, "nowhere"]) == 1
    told = "no such file or folder: nowhere; `arssr prepare HR_FOLDER -o data` makes patches"
    assert capsys.readouterr().err.splitlines() == [f"error: {told}"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_weights_of_another_run_are_told_of_before_they_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reference program replaces them without a word."""
    monkeypatch.chdir(tmp_path)
    train_command._make_folders()
    assert capsys.readouterr().err == ""
    (tmp_path / "model" / "model_param_200.pkl").touch()
    train_command._make_folders()
    told = "warning: model has model_param_200.pkl of another run; epochs of this replace them"
    assert capsys.readouterr().err.splitlines() == [told]
