"""Nothing is lost: a run that is killed, or meets a full disk, goes on as if it never had."""

import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from tests.phantoms import smooth, tiny_config, tiny_network, volume

from arssr.errors import ArSSRError
from arssr.training.checkpoint import NAME, load_checkpoint, save_checkpoint
from arssr.training.config import SamplingConfig, TrainConfig
from arssr.training.loop import Progress
from arssr.training.records import BEST, WEIGHTS, Listener
from arssr.training.run import make_fabric, train
from arssr.volume import Volume
from arssr.weights.files import load_weights, save_weights
from arssr.weights.registry import load

CONFIG = TrainConfig(
    tiny_config(),
    sampling=SamplingConfig(batch=2, patch=8, points=50, margin=1, context=2),
    steps=30,
    warmup_steps=3,
    validate_every=13,
    precision="float32",
    ema=0.9,
    checkpoint_every_seconds=0,  # after every step
)

SCRIPT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.training.test_resume import CONFIG, Listener, make_fabric, train
images, folder, resume = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "resume"
listener = Listener(on_step=lambda progress: print(progress.step, flush=True))
fabric = make_fabric("cpu", 1, 1, CONFIG.precision)
paths = sorted(images.iterdir())
train(CONFIG, paths[1:], paths[:1], folder, fabric, resume=resume, listener=listener)
"""


class Killed(BaseException):
    """What stops a run in this process, at once and without a word."""


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return make_fabric("cpu", 1, 1, "float32")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four small high-resolution images, the first of them for validation."""
    folder = tmp_path_factory.mktemp("images")
    for n in range(4):
        volume(smooth((24, 22, 26), n, sigma=1)).write(folder / f"{n}.nii")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def uninterrupted(
    images: list[Path], fabric: Fabric, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(CONFIG, images[1:], images[:1], folder, fabric)
    return folder


def assert_same(a: Any, b: Any) -> None:
    """Bit for bit, all the way down."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def assert_same_run(folder: Path, expected: Path) -> None:
    """The same weights, averages, moments and best so far; only the time taken may differ."""
    states = [load_checkpoint(f) for f in (folder, expected)]
    for state in states:
        state.pop("seconds")
    assert states[0]["step"] == CONFIG.steps
    assert_same(*states)
    for name in (WEIGHTS, BEST):
        networks, cards = zip(*(load_weights(f / name) for f in (folder, expected)), strict=True)
        assert_same(*(network.state_dict() for network in networks))
        assert cards[0]["steps"] == cards[1]["steps"]


def stop_at(step: int) -> Listener:
    def on_step(progress: Progress) -> None:
        if progress.step == step:
            raise Killed

    return Listener(on_step=on_step)


# --- going on ------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, checkpoint_every_seconds=1e9)])
def test_stopped_between_two_checkpoints_a_run_ends_the_same(
    config: TrainConfig, images: list[Path], fabric: Fabric, tmp_path: Path, uninterrupted: Path
) -> None:
    """Steps 12 and 20 are taken twice, or (without a checkpoint) the whole run begins again."""
    run = tmp_path / "run"
    resume = False
    for step in (12, 20):
        with pytest.raises(Killed):
            train(
                config, images[1:], images[:1], run, fabric, resume=resume, listener=stop_at(step)
            )
        resume = (run / NAME).exists()
        assert resume == (config is CONFIG)
        if resume:
            assert load_checkpoint(run)["step"] == step - 1
    train(config, images[1:], images[:1], run, fabric, resume=resume)
    if config is CONFIG:
        assert_same_run(run, uninterrupted)
    else:
        networks = [load_weights(f / WEIGHTS)[0].state_dict() for f in (run, uninterrupted)]
        assert_same(*networks)


@pytest.mark.slow
def test_killed_at_random_moments_a_run_ends_bit_for_bit_the_same(
    images: list[Path], tmp_path: Path, uninterrupted: Path
) -> None:
    """SIGKILL while it trains, while it validates, while it writes."""
    rng, run, kills = np.random.default_rng(), tmp_path / "run", 0
    here, target = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}, 0
    while True:
        mode = "resume" if (run / NAME).exists() else "begin"
        command = [sys.executable, "-c", SCRIPT, str(images[0].parent), str(run), mode]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=here) as process:
            assert process.stdout is not None
            target += int(rng.integers(5, 11))
            for line in process.stdout:
                if int(line) >= target and kills < 3:
                    time.sleep(rng.uniform(0, 0.03))
                    process.kill()
                    kills += 1
                    break
            if process.wait() == 0:
                break
            assert kills <= 3
    assert kills > 0
    assert_same_run(run, uninterrupted)


@pytest.mark.parametrize("written", [WEIGHTS, NAME])
def test_stopped_while_the_last_files_are_written_a_run_can_still_be_finished(
    written: str,
    images: list[Path],
    fabric: Fabric,
    tmp_path: Path,
    uninterrupted: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whichever of checkpoint and weights is missing at the very end, resuming brings it."""
    run = tmp_path / "run"

    def killed_at_the_end(original: Callable[..., None]) -> Callable[..., None]:
        def save(*args: Any) -> None:
            if trained and trained[-1] == CONFIG.steps:
                raise Killed
            original(*args)

        return save

    trained: list[int] = []
    where = {
        WEIGHTS: "arssr.training.records.save_weights",
        NAME: "arssr.training.loop.save_checkpoint",
    }
    with monkeypatch.context() as patch:
        module, name = where[written].rsplit(".", 1)
        original = getattr(sys.modules[module], name)
        patch.setattr(where[written], killed_at_the_end(original))
        with pytest.raises(Killed):
            train(
                CONFIG,
                images[1:],
                images[:1],
                run,
                fabric,
                listener=Listener(on_step=lambda p: trained.append(p.step)),
            )
    train(CONFIG, images[1:], images[:1], run, fabric, resume=True)
    assert_same_run(run, uninterrupted)


def test_a_finished_run_stays_as_it_is(
    images: list[Path], fabric: Fabric, uninterrupted: Path
) -> None:
    before = (uninterrupted / WEIGHTS).read_bytes()
    trainer = train(CONFIG, images[1:], images[:1], uninterrupted, fabric, resume=True)
    assert trainer.step == CONFIG.steps
    assert (uninterrupted / WEIGHTS).read_bytes() == before


def test_a_finished_run_can_be_lengthened(
    images: list[Path],
    fabric: Fabric,
    uninterrupted: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At the rate that a run of that length has at that step."""
    run, rates = tmp_path / "run", dict[int, float]()
    shutil.copytree(uninterrupted, run)
    longer = replace(CONFIG, steps=40)
    listener = Listener(on_step=lambda progress: rates.update({progress.step: progress.lr}))
    trainer = train(longer, images[1:], [], run, fabric, resume=True, listener=listener)
    assert trainer.step == 40 and list(rates) == list(range(31, 41))
    assert rates[31] == longer.lr_at(30, 3) > CONFIG.lr_at(29, 3) and rates[40] < rates[31]
    assert "the run ends at step 40 now, instead of 30: the learning rate" in caplog.text
    assert load_checkpoint(run)["config"]["steps"] == 40
    with pytest.raises(ArSSRError, match="has taken 40 steps, more than 39"):
        train(replace(CONFIG, steps=39), images[1:], [], run, fabric, resume=True)


def test_a_rate_that_is_halved_by_epochs_does_not_know_how_long_a_run_is(
    images: list[Path], fabric: Fabric, tmp_path: Path
) -> None:
    short = replace(CONFIG, schedule="halving", halve_every_epochs=2, steps=None, epochs=3)
    train(short, images[1:], [], tmp_path / "a", fabric)
    long = replace(short, epochs=5)
    train(long, images[1:], [], tmp_path / "a", fabric, resume=True)
    train(long, images[1:], [], tmp_path / "b", fabric)
    states = [load_checkpoint(tmp_path / name) for name in "ab"]
    assert_same(*(state["network"] for state in states))


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 1e-3},
        {"seed": 21},
        {"model": tiny_config("srresnet")},
        {"sampling": replace(CONFIG.sampling, acquisitions={"slice": 1.0})},
    ],
)
def test_another_configuration_is_refused(
    change: dict[str, Any], images: list[Path], fabric: Fabric, uninterrupted: Path
) -> None:
    with pytest.raises(ArSSRError, match="another configuration"):
        train(replace(CONFIG, **change), images[1:], [], uninterrupted, fabric, resume=True)


def test_other_images_are_refused(images: list[Path], fabric: Fabric, uninterrupted: Path) -> None:
    with pytest.raises(ArSSRError, match="other images"):
        train(CONFIG, images[:1], [], uninterrupted, fabric, resume=True)


def test_an_image_that_has_changed_since_is_refused(
    images: list[Path], fabric: Fabric, uninterrupted: Path, tmp_path: Path
) -> None:
    """Its samples, not its file."""
    for path in images:
        shutil.copy(path, tmp_path)
    taught = [tmp_path / path.name for path in images[1:]]
    Volume.read(images[1]).write(tmp_path / "1.nii", overwrite=True)
    train(CONFIG, taught, [], uninterrupted, fabric, resume=True)
    volume(smooth((24, 22, 26), 9, sigma=1)).write(tmp_path / "1.nii", overwrite=True)
    with pytest.raises(ArSSRError, match=r"have changed since the run was begun: 1\.nii$"):
        train(CONFIG, taught, [], uninterrupted, fabric, resume=True)


def test_a_refused_run_leaves_no_file(
    images: list[Path], fabric: Fabric, uninterrupted: Path
) -> None:
    before = sorted(uninterrupted.iterdir())
    with pytest.raises(ArSSRError):
        train(replace(CONFIG, lr=1.0), images[1:], [], uninterrupted, fabric, resume=True)
    train(CONFIG, images[1:], [], uninterrupted, fabric, resume=True)
    assert sorted(uninterrupted.iterdir()) == before


def test_a_folder_with_a_run_is_not_overwritten(
    images: list[Path], fabric: Fabric, uninterrupted: Path
) -> None:
    with pytest.raises(ArSSRError, match=r"already holds a run.*--resume"):
        train(CONFIG, images, [], uninterrupted, fabric)


def test_without_a_checkpoint_there_is_nothing_to_resume(
    images: list[Path], fabric: Fabric, tmp_path: Path
) -> None:
    with pytest.raises(ArSSRError, match="nothing to resume"):
        train(CONFIG, images, [], tmp_path, fabric, resume=True)


def test_weights_to_start_from_must_fit_and_are_used(
    images: list[Path], fabric: Fabric, tmp_path: Path
) -> None:
    config = replace(CONFIG, steps=1, lr=1e-9, ema=None, weight_decay=0)
    start = tiny_network(seed=5)
    save_weights(tmp_path / "start.safetensors", start, {"steps": 7})
    save_weights(tmp_path / "other.safetensors", tiny_network("rdn"), {})
    init = load(tmp_path / "start.safetensors")
    trained = train(config, images, [], tmp_path / "a", fabric, init=init).network
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(value, start.state_dict()[name], rtol=0, atol=1e-7)
    card = load_weights(tmp_path / "a" / WEIGHTS)[1]
    assert card["started_from"] == {"name": "start", "sha256": init.sha256, "steps": 7}
    with pytest.raises(ArSSRError, match="cannot begin as"):
        other = load(tmp_path / "other.safetensors")
        train(config, images, [], tmp_path / "b", fabric, init=other)


# --- checkpoints ---------------------------------------------------------------------------------


def test_a_full_disk_stops_in_words_and_leaves_the_last_checkpoint(
    images: list[Path],
    fabric: Fabric,
    tmp_path: Path,
    full_disk: Callable[[int], AbstractContextManager[None]],
) -> None:
    run = tmp_path / "run"
    with pytest.raises(Killed):
        train(CONFIG, images, [], run, fabric, listener=stop_at(3))
    before = (run / NAME).read_bytes()
    with full_disk(20_000), pytest.raises(ArSSRError, match="cannot write"):
        save_checkpoint(run, {"much": torch.zeros(10_000)})
    with full_disk(20_000), pytest.raises(ArSSRError, match="cannot write"):
        train(CONFIG, images, [], run, fabric, resume=True)
    assert (run / NAME).read_bytes() == before
    assert not [p for p in run.iterdir() if p.name.startswith(".")]
    train(CONFIG, images, [], run, fabric, resume=True)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_damaged_checkpoint_is_refused(share: float, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"step": 3, "network": {"a": torch.zeros(100)}})
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ArSSRError, match="cannot be read as a checkpoint"):
        load_checkpoint(tmp_path)


def test_a_checkpoint_executes_nothing(tmp_path: Path) -> None:
    torch.save({"step": math.sin, "fabric": Killed()}, tmp_path / NAME)
    with pytest.raises(ArSSRError, match="cannot be read as a checkpoint"):
        load_checkpoint(tmp_path)
