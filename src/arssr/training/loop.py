"""The training loop: one class, one step, checkpoints that lose nothing."""

import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from arssr.errors import ArSSRError
from arssr.networks import ImplicitVoxelNetwork
from arssr.training.checkpoint import save_checkpoint
from arssr.training.config import TrainConfig
from arssr.training.feed import AHEAD, Share, batches
from arssr.training.images import Images
from arssr.training.muon import Muon
from arssr.training.sampler import Batch

if TYPE_CHECKING:
    from lightning.fabric import Fabric

_EXPLODED = 100.0  # a loss this many times that of a trivial answer is no hiccup
_DEAD = 1e-7  # corrections with a smaller standard deviation are none
_EASY = 0.02  # interpolation error, in normalised intensity, of a sample with little to gain
_TIMED_STEPS = {"cpu": 4, "cuda": 40}  # a few seconds
_PATIENCE = 200  # steps that a dead network is given to wake up


@dataclass
class Progress:
    """What a caller hears after each step."""

    step: int
    total: int
    loss: float
    lr: float


@dataclass
class Trainer:
    """Trains one network on images that are in memory or come by in rotation.

    The caller supplies Lightning's Fabric, which decides on devices, precision and processes.
    workers: processes that draw the batches; 0 for a thread of this one.
    `on_validation` gets the averaged network and the step; `on_step` hears of every step;
    `on_save` gets the averaged network with every checkpoint. `should_stop` is asked before each
    step whether it shall be the last one for now. `kept` is what checkpoints keep besides, as
    plain values.
    """

    config: TrainConfig
    images: Images
    fabric: "Fabric"
    folder: Path
    network: ImplicitVoxelNetwork
    on_step: Callable[[Progress], None] = lambda _: None
    on_validation: Callable[[ImplicitVoxelNetwork, int], None] = lambda _net, _step: None
    on_save: Callable[[ImplicitVoxelNetwork, int], None] = lambda _net, _step: None
    should_stop: Callable[[], bool] = lambda: False
    workers: int = 0
    kept: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0
    seconds: float = 0.0
    best: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        config = self.config
        if config.sampling.batch % self.fabric.world_size:
            raise ArSSRError(
                f"{self.fabric.world_size} processes cannot share a batch of "
                f"{config.sampling.batch} equally"
            )
        self.total = config.total_steps(len(self.images.order.slots))
        optimiser = make_optimiser(config, self.network)
        self.network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.module, self.optimiser = self.fabric.setup(self.network, optimiser)
        self.average = (
            AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(config.ema))
            if config.ema
            else None
        )
        self._quiet_steps = 0
        self._stopping = False

    @property
    def averaged(self) -> ImplicitVoxelNetwork:
        """The network to keep: its exponential moving average where the recipe has one."""
        return self.average.module if self.average else self.network  # type: ignore[return-value]

    def state(self) -> dict[str, Any]:
        """All that resuming needs. Samples follow from the step, so no generator is kept."""
        return {
            "config": self.config.to_dict(),
            "items": self.images.names,
            "kept": dict(self.kept),
            "step": self.step,
            "seconds": self.seconds,
            "best": dict(self.best),
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "quiet_steps": self._quiet_steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()` of the same run (see `resume.require_same_run`)."""
        self.step, self.seconds = state["step"], state["seconds"]
        self.best = dict(state["best"])
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self._quiet_steps = state["quiet_steps"]
        if self.average:
            self.average.load_state_dict(state["average"])

    def run(self) -> None:
        """Train to the end; saves on the way and at the end.

        Raises ArSSRError where the loss or a gradient is not finite, and where the network has
        died or exploded; the last checkpoint stays as it is.
        """
        config, started, saved = self.config, time.monotonic(), time.monotonic()
        before = self.seconds
        self.module.train()
        with closing(self._batches(range(self.step, self.total))) as drawn:
            for data in drawn:
                loss = self._advance(data)
                self.seconds = before + time.monotonic() - started
                lr = self.optimiser.param_groups[0]["lr"]
                self.on_step(Progress(self.step, self.total, loss, lr))
                last = self.step == self.total
                if self.step % config.validate_every == 0 or last:
                    if self.fabric.is_global_zero:
                        self.averaged.eval()
                        self.on_validation(self.averaged, self.step)
                    self.module.train()
                waited = time.monotonic() - saved
                if waited > config.checkpoint_every_seconds or last or self._stopping:
                    self.save()
                    saved = time.monotonic()
                if self._stopping:
                    break

    def seconds_a_step(self) -> float:
        """What a step takes, in the slowest process, by a few of them; the network is spoilt.

        First it warms up, and uses what workers have drawn in advance.
        """
        timed = _TIMED_STEPS[self.fabric.device.type]
        ahead = AHEAD * self.workers + 2
        with closing(self._batches(range(ahead + timed + ahead))) as drawn:
            for _ in range(ahead):
                self._advance(next(drawn))
            started = time.monotonic()
            for _ in range(timed):
                self._advance(next(drawn))
        took = torch.tensor((time.monotonic() - started) / timed, device=self.fabric.device)
        return float(self.fabric.all_reduce(took, reduce_op="max"))  # type: ignore[arg-type]

    def save(self) -> None:
        """Write a checkpoint (one process does), after all that `on_save` writes.

        A run that is killed between the two is resumed from the checkpoint before.
        """
        if self.fabric.is_global_zero:
            self.on_save(self.averaged, self.step)
            save_checkpoint(self.folder, self.state())

    def _batches(self, steps: range) -> Generator[Batch, None, None]:
        config, fabric = self.config, self.fabric
        place = fabric.global_rank, fabric.world_size
        own = Share(config.sampling, config.seed, *place, config.model.acquisitions)
        return batches(self.images, own, steps, self.fabric.device, self.workers)

    def _advance(self, data: Batch) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.lr_at(self.step, len(self.images.order.slots))
        image = data.image.contiguous(memory_format=torch.channels_last_3d)
        output = self.module(image, data.condition, data.positions, data.cell).float()
        values = self.network.intensities(output, data.base)
        loss = batch_loss(self.config.loss, values, data)
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(
            self.module,
            self.optimiser,
            max_norm=self.config.clip or math.inf,
            error_if_nonfinite=False,
        )
        # the same numbers in every process, so that all of them stop if one must
        stop = loss.new_tensor(float(self.should_stop()))
        numbers = torch.stack([loss, self._trivial_loss(data), output.std(), stop]).detach()
        mean = self.fabric.all_reduce(numbers, reduce_op="mean")
        value, trivial, spread, stop = mean.tolist()  # type: ignore[union-attr]
        self._stopping = stop > 0
        self._watch(value, trivial, spread, norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average:
            self.average.update_parameters(self.network)
        self.step += 1
        return value

    def _watch(self, loss: float, trivial: float, spread: float, norm: Tensor | None) -> None:
        """Stop a run that has died or blown up, before its weights replace good ones."""
        if not math.isfinite(loss):
            raise ArSSRError(f"training stopped at step {self.step}: the loss is {loss}")
        if norm is not None and not math.isfinite(norm.item()):
            raise ArSSRError(f"training stopped at step {self.step}: a gradient is not finite")
        if trivial * _EXPLODED < loss:
            raise ArSSRError(
                f"training stopped at step {self.step}: the network has exploded (loss "
                f"{loss:.3g}); try a lower learning rate or a longer warm-up"
            )
        self._quiet_steps = self._quiet_steps + 1 if spread < _DEAD else 0
        if self._quiet_steps >= _PATIENCE:
            raise ArSSRError(
                f"training stopped at step {self.step}: the network has died (output constant for "
                f"{_PATIENCE} steps); try a lower learning rate or a longer warm-up"
            )

    def _trivial_loss(self, data: Batch) -> Tensor:
        """The loss of what the network answers before it has learnt anything."""
        trivial = data.base if self.network.corrects else torch.zeros_like(data.truth)
        nearly_right = batch_loss(self.config.loss, data.truth + _EASY, data)
        return torch.maximum(batch_loss(self.config.loss, trivial, data), nearly_right)


def make_optimiser(config: TrainConfig, network: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser for all parameters of a network."""
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "muon": Muon}
    return kinds[config.optimiser](
        network.parameters(),
        lr=config.lr,
        betas=(0.9, config.beta2),
        weight_decay=config.weight_decay,
    )


def batch_loss(kind: str, values: Tensor, data: Batch) -> Tensor:
    """Mean loss of values (N, P).

    `l1`: the paper's. `relative`: Charbonnier of the error in units of the sample's own cubic
    interpolation error, so that an easy sample counts about as much as a hard one (a step towards
    the gain in dB that evaluation reports). Errors below `_EASY` do not count more: without that,
    samples with nothing to gain drown the others and the network learns to correct nothing.
    """
    error = values - data.truth
    if kind == "l1":
        return error.abs().mean()
    cubic = (data.base - data.truth).square().mean(dim=1, keepdim=True)
    return (error.square() / (cubic + _EASY**2) + 0.25).sqrt().mean() - 0.5
