"""Who draws a batch changes nothing about it, and nobody outlives the run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tests.phantoms import smooth, tiny_config, volume

from arssr.errors import ArSSRError
from arssr.survey import named
from arssr.training.checkpoint import load_checkpoint
from arssr.training.config import SamplingConfig, TrainConfig
from arssr.training.data import Item
from arssr.training.feed import MOST_WORKERS, Share, batches, default_workers
from arssr.training.images import Images, Resident
from arssr.training.records import Listener
from arssr.training.rotation import Rotation, training_images
from arssr.training.run import make_fabric, train
from arssr.training.sampler import Batch, batch
from arssr.training.shared import SharedItem, Shelves

CPU = torch.device("cpu")
SIDE = 20
IMAGE_GB = SIDE**3 * 2 / 1e9
CONFIG = TrainConfig(
    tiny_config(),
    SamplingConfig(batch=4, patch=8, points=30, margin=1, context=2, noisy=0.5),
    steps=12,
    warmup_steps=3,
    precision="float32",
    checkpoint_every_seconds=1e9,
)
ROTATING = replace(CONFIG, resident_gb=4.5 * IMAGE_GB, visits=4)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    return [volume(smooth((SIDE,) * 3, n, sigma=1)).write(folder / f"{n}.nii") for n in range(7)]


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    yield
    assert not active_children()


def assert_same(a: Batch, b: Batch) -> None:
    for f in fields(Batch):
        assert torch.equal(getattr(a, f.name), getattr(b, f.name)), f.name


def drawn(images: Images, share: Share, steps: range, workers: int) -> list[Batch]:
    with closing(batches(images, share, steps, CPU, workers)) as feed:
        return list(feed)


# --- the same samples ----------------------------------------------------------------------------


@pytest.mark.parametrize("config", [CONFIG, ROTATING], ids=["resident", "rotating"])
@pytest.mark.parametrize("workers", [1, 3])
def test_workers_draw_what_the_process_itself_would(
    paths: list[Path], config: TrainConfig, workers: int
) -> None:
    """From any step on, a share of it as the whole."""
    shared = training_images(named(paths), config, shared=True)
    alone = training_images(named(paths), config)
    assert isinstance(shared, Rotation) == (config is ROTATING)
    for rank, ranks, first in ((0, 1, 0), (1, 2, 17)):
        share, steps = Share(config.sampling, config.seed, rank, ranks), range(first, first + 20)
        found = drawn(shared, share, steps, workers)
        assert len(found) == 20
        for step, one in zip(steps, found, strict=True):
            assert_same(one, batch(alone, config.sampling, config.seed, step, rank, ranks))


def test_more_workers_than_steps_and_no_step_at_all(paths: list[Path]) -> None:
    images, share = training_images(named(paths), CONFIG, shared=True), Share(CONFIG.sampling, 20)
    assert len(drawn(images, share, range(3), 5)) == 3
    for workers in (0, 2):
        assert drawn(images, share, range(0), workers) == []


def test_a_run_ends_the_same_with_and_without_workers(paths: list[Path], tmp_path: Path) -> None:
    """Stopped by whoever draws, and gone on with by another number of them."""
    fabric = make_fabric("cpu", 1, 1, "float32")
    alone = train(CONFIG, paths, [], tmp_path / "alone", fabric)
    steps: list[int] = []
    cut = train(
        CONFIG,
        paths,
        [],
        tmp_path / "cut",
        fabric,
        workers=2,
        should_stop=lambda: len(steps) == 6,
        listener=Listener(on_step=lambda progress: steps.append(progress.step)),
    )
    assert cut.step == 7
    rest = train(CONFIG, paths, [], tmp_path / "cut", fabric, workers=1, resume=True)
    assert rest.step == 12
    for name, value in alone.network.state_dict().items():
        assert torch.equal(value, rest.network.state_dict()[name])


# --- shared memory -------------------------------------------------------------------------------


def test_items_on_a_shelf_are_what_they_were() -> None:
    shelves = Shelves(1e6)
    items = [Item.of(str(n), smooth((9, 10, 11 + n), n)) for n in range(3)]
    items.append(Item.of("empty", np.zeros((5, 6, 7), np.float32)))
    for item in [*items, replace(items[0], thick_axes=(1,), noise=0.1)]:
        shared = shelves.put(item)
        assert isinstance(shared, SharedItem)
        assert torch.equal(shared.image, item.image)
        assert np.array_equal(shared.centres, item.centres)
        facts = ("name", "units", "thick_axes", "noise")
        assert [getattr(shared, f) for f in facts] == [getattr(item, f) for f in facts]
        assert shared.shelf is shelves.put(item).shelf


def test_an_image_larger_than_a_shelf_gets_one_of_its_own() -> None:
    shelves = Shelves(1e6)
    small = shelves.put(Item("small", torch.zeros(4, 4, 4).half(), np.zeros((0, 3), np.int32)))
    large = torch.rand(340, 340, 340).half()
    shared = shelves.put(Item("large", large, np.zeros((2, 3), np.int32)))
    assert shared.shelf is not small.shelf
    assert torch.equal(shared.image, large)


# --- when it ends --------------------------------------------------------------------------------


def test_a_killed_worker_ends_the_run_in_words(paths: list[Path]) -> None:
    images, share = training_images(named(paths), CONFIG, shared=True), Share(CONFIG.sampling, 20)
    with closing(batches(images, share, range(50), CPU, 2)) as feed:
        next(feed)
        victim = active_children()[0]
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        with pytest.raises(ArSSRError, match=r"worker process .* was killed"):
            list(feed)


def test_what_goes_wrong_in_a_worker_is_told() -> None:
    flat = Item("flat", torch.zeros(20, 20).half(), np.zeros((0, 3), np.int32))
    images = Resident.plain([Shelves(1e6).put(flat)], 20, CONFIG.sampling.batch)
    with pytest.raises(RuntimeError, match=r"(?s)in a worker process.*sampler\.py"):
        drawn(images, Share(CONFIG.sampling, 20), range(2), 1)


def test_an_image_that_cannot_be_read_is_named(paths: list[Path], tmp_path: Path) -> None:
    small = volume(smooth((5, 20, 20))).write(tmp_path / "small.nii")
    images = training_images(named([*paths, small]), ROTATING, shared=True)
    with pytest.raises(ArSSRError, match=r"small\.nii is too small"):
        drawn(images, Share(CONFIG.sampling, CONFIG.seed), range(30), 2)


SCRIPT = """
import sys
from multiprocessing import active_children
from tests.training.test_feed import *

def on_step(progress):
    if progress.step == 3:
        print(*[child.pid for child in active_children()], flush=True)

if __name__ == "__main__":
    torch.set_num_threads(1)
    train(
        replace(CONFIG, steps=10**6),
        sorted(Path(sys.argv[1]).iterdir()),
        [],
        Path(sys.argv[2]),
        make_fabric("cpu", 1, 1, "float32"),
        workers=2,
        listener=Listener(on_step=on_step),
    )
"""


@pytest.mark.slow
def test_two_processes_with_workers_of_their_own_train_as_one_without(
    paths: list[Path], tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(CONFIG.to_dict()))
    here = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    states = []
    for devices, workers in ((1, 0), (2, 2)):
        out = tmp_path / str(devices)
        command = [sys.executable, "-m", "arssr.cli.main", "train", str(paths[0].parent)]
        options = ["-o", out, "--config", recipe, "--device", "cpu"]
        counts = ["--devices", devices, "--workers", workers]
        subprocess.run(
            [*command, *map(str, options), *map(str, counts)],
            env=here,
            check=True,
            capture_output=True,
        )
        states.append(load_checkpoint(out))
    one, two = states
    assert one["step"] == two["step"] == CONFIG.steps
    for name, value in one["network"].items():
        torch.testing.assert_close(value, two["network"][name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_run_however_it_ends(
    paths: list[Path], tmp_path: Path, how: signal.Signals
) -> None:
    script = tmp_path / "run_it.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(paths[0].parent), str(tmp_path / "run")]
    here = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=here
    ) as process:
        assert process.stdout is not None
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert len(workers) == 2 and all(map(_lives, workers))
        process.send_signal(how)
        process.wait()
    until = time.monotonic() + 20
    while any(map(_lives, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(_lives, workers))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_take_the_cores_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    cuda = torch.device("cuda")
    assert default_workers(CPU, 1) == 0  # training itself uses all
    assert [default_workers(cuda, devices) for devices in (1, 2, 8, 16)] == [14, 6, 0, 0]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(256)))
    assert default_workers(cuda, 1) == MOST_WORKERS
