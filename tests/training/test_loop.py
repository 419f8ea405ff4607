"""The loop: what it computes step by step, and when it stops of its own accord."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from tests.phantoms import smooth, tiny_config
from torch import Tensor

from arssr.errors import ArSSRError
from arssr.intensity import Normalisation
from arssr.networks import ImplicitVoxelNetwork
from arssr.training.checkpoint import NAME, load_checkpoint
from arssr.training.config import SamplingConfig, TrainConfig
from arssr.training.data import Item
from arssr.training.images import Resident
from arssr.training.loop import Progress, Trainer, batch_loss
from arssr.training.resume import require_same_run
from arssr.training.run import make_fabric
from arssr.training.sampler import Batch, batch

SAMPLING = SamplingConfig(batch=2, patch=8, points=50, margin=1, context=2)
CONFIG = TrainConfig(
    tiny_config(),
    sampling=SAMPLING,
    steps=8,
    warmup_steps=3,
    precision="float32",
    ema=0.5,
    checkpoint_every_seconds=1e9,
)
PAPER = replace(
    TrainConfig.read("paper"),
    model=tiny_config("srresnet", "paper"),
    sampling=replace(TrainConfig.read("paper").sampling, batch=2, patch=6, points=50),
    epochs=8,
)


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return make_fabric("cpu", 1, 1, "float32")


def items(count: int = 2, detail: float = 1.0) -> list[Item]:
    centres = np.full((1, 3), 14)
    images = [torch.from_numpy(smooth((28, 28, 28), n, sigma=detail)).half() for n in range(count)]
    return [Item(str(n), image, centres) for n, image in enumerate(images)]


def at_hand(images: list[Item] | None = None) -> Resident:
    return Resident.plain(images or items(), 20, 2)


def trainer(config: TrainConfig, fabric: Fabric, folder: Path, **options: Any) -> Trainer:
    torch.manual_seed(config.seed)
    options = {"images": at_hand()} | options
    return Trainer(
        config, fabric=fabric, folder=folder, network=ImplicitVoxelNetwork(config.model), **options
    )


# --- what it computes ----------------------------------------------------------------------------


def test_a_network_learns(fabric: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same batch again and again: soon it does much better than interpolation."""
    same = batch(at_hand(), SAMPLING, 20, 0)
    monkeypatch.setattr("arssr.training.feed.batch", lambda *_: same)
    losses: list[float] = []
    config = replace(CONFIG, steps=60, lr=1e-3, warmup_steps=20)
    trainer(config, fabric, tmp_path, on_step=lambda p: losses.append(p.loss)).run()
    assert losses[-1] < 0.7 * losses[0]


def test_a_network_is_taught_the_acquisitions_that_it_knows(fabric: Fabric, tmp_path: Path) -> None:
    """In its own order, with channels for one that is not drawn here."""
    known = ("spiral", "spline", "slice", "kspace")
    config = replace(CONFIG, steps=2, model=replace(CONFIG.model, acquisitions=known))
    trainer(config, fabric, tmp_path).run()
    usual = batch(at_hand(), SAMPLING, 20, 0).condition
    found = batch(at_hand(), SAMPLING, 20, 0, known=known).condition
    per_axis = found[:, :-2].view(-1, 3, 4).flip(2)
    assert torch.equal(per_axis[..., :3], usual[:, :-2].view(-1, 3, 3))
    assert not per_axis[..., 3].any() and torch.equal(found[:, -2:], usual[:, -2:])
    assert usual[:, :-2].any()


def test_a_run_from_before_networks_named_their_acquisitions_goes_on(
    fabric: Fabric, tmp_path: Path
) -> None:
    state = trainer(CONFIG, fabric, tmp_path).state()
    del state["config"]["model"]["acquisitions"]
    require_same_run(state, CONFIG, state["items"])
    other = replace(CONFIG, model=replace(CONFIG.model, acquisitions=("slice",)))
    with pytest.raises(ArSSRError, match=r"model\.acquisitions is"):
        require_same_run(state, other, state["items"])


def test_a_run_is_described_by_its_configuration_alone(fabric: Fabric, tmp_path: Path) -> None:
    states = []
    for name in ("a", "b"):
        torch.rand(7)  # whatever else the process has drawn
        run = trainer(CONFIG, fabric, tmp_path / name)
        run.run()
        states.append(run.network.state_dict())
    assert all(torch.equal(states[0][n], states[1][n]) for n in states[0])


def test_the_cosine_schedule(fabric: Fabric, tmp_path: Path) -> None:
    """Up in a straight line over the warm-up, down along a cosine to a hundredth."""
    rates: list[float] = []
    config = replace(CONFIG, steps=20, warmup_steps=4, lr=2e-3)
    trainer(config, fabric, tmp_path, on_step=lambda p: rates.append(p.lr)).run()
    warm = [0.25, 0.5, 0.75] + [1] * 17
    cosine = [0.01 + 0.99 * (1 + math.cos(math.pi * n / 20)) / 2 for n in range(20)]
    np.testing.assert_allclose(rates, 2e-3 * np.multiply(warm, cosine), rtol=1e-12)


def test_the_papers_schedule_halves(fabric: Fabric, tmp_path: Path) -> None:
    """Three items in batches of two: two steps an epoch; halved every second epoch."""
    rates: list[float] = []
    config = replace(PAPER, epochs=6, halve_every_epochs=2)
    trainer(
        config, fabric, tmp_path, images=at_hand(items(3)), on_step=lambda p: rates.append(p.lr)
    ).run()
    assert rates == [1e-4] * 4 + [0.5e-4] * 4 + [0.25e-4] * 4


def test_the_average_is_exponential(fabric: Fabric, tmp_path: Path) -> None:
    seen: list[dict[str, Tensor]] = []

    def remember(_: Progress) -> None:
        seen.append({n: v.clone() for n, v in run.network.state_dict().items()})

    run = trainer(CONFIG, fabric, tmp_path, on_step=remember)
    run.run()
    for name, value in run.averaged.state_dict().items():
        expected = seen[0][name]
        for state in seen[1:]:
            expected = 0.5 * expected + 0.5 * state[name]
        torch.testing.assert_close(value, expected)
    assert not torch.equal(run.averaged.decoder.last.weight, run.network.decoder.last.weight)  # type: ignore[union-attr]


def test_without_an_average_the_network_itself_is_kept(fabric: Fabric, tmp_path: Path) -> None:
    run = trainer(replace(CONFIG, ema=None), fabric, tmp_path)
    assert run.averaged is run.network


def test_the_step_is_plain_adam_on_the_batches_of_the_recipe(
    fabric: Fabric, tmp_path: Path
) -> None:
    """The paper's recipe in a few lines, by the side of the trainer."""
    run = trainer(replace(PAPER, epochs=4), fabric, tmp_path)
    torch.manual_seed(PAPER.seed)
    network = ImplicitVoxelNetwork(PAPER.model)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)
    for step in range(4):
        data = batch(at_hand(), PAPER.sampling, PAPER.seed, step)
        output = network(data.image, None, data.positions, data.cell)
        (output[..., 0] - data.truth).abs().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    run.run()
    for name, value in run.network.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[name], rtol=1e-3, atol=2e-5)


def test_validation_and_saving_happen_when_they_should(fabric: Fabric, tmp_path: Path) -> None:
    """Every third step and at the end; on the averaged network, ready to be used."""
    events: list[tuple[str, int]] = []

    def note(kind: str) -> Callable[[ImplicitVoxelNetwork, int], None]:
        def heard(network: ImplicitVoxelNetwork, step: int) -> None:
            assert network is run.averaged and not network.training
            events.append((kind, step))

        return heard

    config = replace(CONFIG, validate_every=3)
    run = trainer(
        config, fabric, tmp_path, on_validation=note("validation"), on_save=note("saving")
    )
    run.run()
    assert events == [("validation", s) for s in (3, 6, 8)] + [("saving", 8)]
    assert run.network.training
    assert load_checkpoint(tmp_path)["step"] == 8


def test_the_relative_loss_counts_errors_in_units_of_interpolations() -> None:
    """Ten times the contrast, ten times every error: the same loss, easy samples apart."""
    torch.manual_seed(0)
    truth, base, values = torch.rand(3, 3, 40)
    none = torch.zeros(0)

    def loss(kind: str, factor: float) -> float:
        data = Batch(none, none, none, none, factor * base, factor * truth)
        return float(batch_loss(kind, factor * values, data))

    np.testing.assert_allclose(loss("relative", 1), loss("relative", 10), rtol=0.01)
    assert loss("relative", 0.01) < 0.7 * loss("relative", 1)
    np.testing.assert_allclose(loss("l1", 10), 10 * (values - truth).abs().mean(), rtol=1e-5)


def test_the_relative_loss_does_not_divide_by_nothing() -> None:
    """Where interpolation is exact an error is still an error, of finite weight."""
    none, truth = torch.zeros(0), torch.rand(2, 40)
    data = Batch(none, none, none, none, truth, truth)
    nothing, small, large = (float(batch_loss("relative", truth + e, data)) for e in (0, 1e-3, 0.1))
    assert nothing == 0 < small < 0.1 < 1 < large < 100


# --- when it stops -------------------------------------------------------------------------------


def stopped(run: Trainer, folder: Path) -> str:
    """The message with which a run stops, its checkpoint being what it was."""
    run.save()
    before = (folder / NAME).read_bytes()
    with pytest.raises(ArSSRError) as caught:
        run.run()
    assert (folder / NAME).read_bytes() == before
    assert [p.name for p in folder.iterdir()] == [NAME]
    return str(caught.value)


@pytest.mark.parametrize("clip", [1.0, None])
def test_a_loss_that_is_not_a_number_stops_the_run(
    fabric: Fabric, tmp_path: Path, clip: float | None
) -> None:
    broken = items()
    broken[1].image[:] = math.nan
    config = replace(CONFIG, clip=clip, checkpoint_every_seconds=1e9)
    run = trainer(config, fabric, tmp_path, images=at_hand(broken))
    assert stopped(run, tmp_path) == "training stopped at step 0: the loss is nan"
    assert all(torch.isfinite(v).all() for v in run.network.state_dict().values())


@pytest.mark.parametrize("clip", [1.0, None])
def test_a_gradient_that_is_not_finite_stops_the_run(
    fabric: Fabric, tmp_path: Path, clip: float | None
) -> None:
    """Before it gets into the weights."""
    run = trainer(replace(CONFIG, clip=clip), fabric, tmp_path)
    run.network.decoder.last.bias.register_hook(lambda g: g * math.inf)  # type: ignore[union-attr,operator]
    assert stopped(run, tmp_path) == "training stopped at step 0: a gradient is not finite"
    assert all(torch.isfinite(v).all() for v in run.network.state_dict().values())


@pytest.mark.parametrize("config", [CONFIG, PAPER], ids=["residual", "paper"])
def test_an_exploded_network_stops_the_run(
    config: TrainConfig, fabric: Fabric, tmp_path: Path
) -> None:
    run = trainer(config, fabric, tmp_path)
    run.network.decoder.register_forward_hook(lambda _module, _inputs, out: 1e4 + 0 * out)
    message = stopped(run, tmp_path)
    assert message.startswith("training stopped at step 0: the network has exploded")
    assert "lower learning rate" in message


@pytest.mark.parametrize("config", [CONFIG, PAPER], ids=["residual", "paper"])
def test_a_dead_network_stops_the_run(
    config: TrainConfig, fabric: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All corrections the same (or the last ReLU shut), and no gradient to wake it."""
    monkeypatch.setattr("arssr.training.loop._PATIENCE", 4)
    run = trainer(config, fabric, tmp_path)
    run.network.decoder.register_forward_hook(lambda _module, _inputs, out: 0 * out)
    message = stopped(run, tmp_path)
    assert message.startswith("training stopped at step 3: the network has died")


def test_a_network_that_dozes_off_is_given_time(
    fabric: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arssr.training.loop._PATIENCE", 4)
    run = trainer(CONFIG, fabric, tmp_path)
    run.network.decoder.register_forward_hook(
        lambda _module, _inputs, out: out * (run.step % 4 == 3)
    )
    run.run()
    assert run.step == 8


def test_easy_samples_are_no_explosion(fabric: Fabric, tmp_path: Path) -> None:
    """At scale 1 interpolation makes no error at all; any loss is infinitely many times that."""
    sampling = replace(SAMPLING, scale=(1.0, 1.0), thick=0, anisotropic=0, noisy=0)
    trainer(replace(CONFIG, sampling=sampling), fabric, tmp_path).run()


def test_an_untrained_network_of_the_paper_is_no_explosion(fabric: Fabric, tmp_path: Path) -> None:
    """It answers about zero, which for smooth images is a thousand times worse than interpolation;
    in any units."""
    units = Normalisation(offset=400, scale=800)
    images = [replace(i, units=units) for i in items(detail=6)]
    trainer(PAPER, fabric, tmp_path, images=at_hand(images)).run()


def test_a_batch_that_cannot_be_shared_is_refused(
    fabric: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fabric, "world_size", property(lambda _: 3))
    with pytest.raises(ArSSRError, match="3 processes cannot share a batch of 2"):
        trainer(CONFIG, fabric, tmp_path)


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """The same global batch shared by two: the same losses and the same weights."""
    script = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.training.test_loop import CONFIG, make_fabric, trainer
processes, losses = int(sys.argv[1]), []
fabric = make_fabric("cpu", processes, 1, "float32")
run = trainer(CONFIG, fabric, Path(sys.argv[2]), on_step=lambda p: losses.append(p.loss))
run.run()
if fabric.is_global_zero:
    torch.save([losses, run.network.state_dict()], sys.argv[2] + "/result")
"""
    (tmp_path / "train_it.py").write_text(script)
    results = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        subprocess.run(
            [sys.executable, tmp_path / "train_it.py", str(processes), str(folder)],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            check=True,
            capture_output=True,
        )
        results.append(torch.load(folder / "result", weights_only=True))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-4)
    for name, value in results[0][1].items():
        # Muon makes rounding as large as anything in directions that have no gradient; on other
        # samples the weights would differ by some 1e-2
        torch.testing.assert_close(value, results[1][1][name], rtol=1e-3, atol=1e-4)
