"""What a run writes of itself."""

import csv
import logging
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.phantoms import tiny_config

from arssr.errors import ArSSRError
from arssr.training.config import TrainConfig
from arssr.training.diary import Diary
from arssr.training.loop import Progress

CONFIG = TrainConfig(tiny_config(), steps=70, weights={"*_T2w*": 2}, ema=None)
GAIN = {"gain": 1.25, "worst": -0.5}


def rows(folder: Path) -> list[dict[str, str]]:
    """What the metrics say."""
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def write(folder: Path, after: int, until: int) -> None:
    """A run that goes on after a step."""
    with Diary(folder, CONFIG, after) as diary:
        for step in range(after + 1, until + 1):
            diary.on_step(Progress(step, 70, loss=1 / step, lr=1e-3))
        diary.on_validation(GAIN, {"slice": np.zeros((8, 32), np.float32)}, until)


def test_the_recipe_can_be_used_again(tmp_path: Path) -> None:
    write(tmp_path, 0, 1)
    assert TrainConfig.read(str(tmp_path / "recipe.yaml")) == CONFIG


def test_metrics_are_a_table_and_what_is_taken_again_is_there_once(tmp_path: Path) -> None:
    """Cut off at step 65, the run goes on from a checkpoint at step 30."""
    write(tmp_path, 0, 65)
    assert [row["step"] for row in rows(tmp_path) if row["metric"] == "train/loss"] == [
        *("20", "40", "60")
    ]
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("66,train/")  # as a full disk leaves it
    write(tmp_path, 30, 70)
    found = rows(tmp_path)
    losses = {row["step"]: row["value"] for row in found if row["metric"] == "train/loss"}
    assert losses == {"20": "0.05", "40": "0.025", "60": "0.0166667", "70": "0.0142857"}
    assert len(found) == len({(row["step"], row["metric"]) for row in found})
    assert [row["step"] for row in found if row["metric"] == "val/gain"] == ["70"]


def test_tensorboard_shows_the_same(tmp_path: Path) -> None:
    write(tmp_path, 0, 20)
    log = EventAccumulator(str(tmp_path))
    log.Reload()
    assert [event.step for event in log.Scalars("train/loss")] == [20]
    assert log.Scalars("val/gain")[0].value == 1.25
    picture = log.Images("val/slice_2x")[0]
    assert (picture.height, picture.width) == (32, 128)  # large enough to be looked at


def test_warnings_and_the_end_are_in_the_log(tmp_path: Path) -> None:
    with pytest.raises(ArSSRError), Diary(tmp_path, CONFIG, 0):
        logging.getLogger("arssr.somewhere").warning("soft along %s", "j")
        raise ArSSRError("the loss is nan")
    logging.getLogger("arssr.somewhere").warning("later")
    lines = (tmp_path / "train.log").read_text().splitlines()
    assert [line[24:] for line in lines] == ["soft along j", "ended: the loss is nan"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArSSRError, match=r"cannot write .*file"):
        Diary(tmp_path / "file", CONFIG, 0)
