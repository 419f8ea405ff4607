"""Teach a network that is trained how far its values are from the truth, voxel by voxel.

Only the head of `networks.spread` learns; encoder and decoder stay as they are, so no gradient
goes through them. It learns the quantile of |error| that belongs to a probability, given features
and place, by the pinball loss (Koenker and Bassett 1978, doi:10.2307/1913643) of its logarithm: a
quantile of a logarithm is the logarithm of the quantile, and easy and hard samples, whose errors
differ by a hundred times, count alike.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from arssr.errors import ArSSRError
from arssr.networks import ImplicitVoxelNetwork
from arssr.networks.decoder import ResidualDecoder
from arssr.networks.model import sample_trilinear
from arssr.networks.spread import SpreadHead
from arssr.training.config import SamplingConfig
from arssr.training.images import Images
from arssr.training.sampler import Batch, batch

_WARM_UP, _LAST_LR = 50, 0.01  # steps; share of the learning rate
# Normalised intensity; smaller errors count as this one. Truths of 8 bits are rounded by as much,
# and logarithms of errors that are no errors would drown the others.
LEAST_ERROR = 1e-3


@dataclass(frozen=True)
class SpreadRecipe:
    """How a head is taught: what it has learnt from are `points` of each sample of so many batches,
    kept in memory (128 bytes a point for a width of 64), and optimised in mixed batches.

    hidden: its width. batches: drawn as for the network. steps: of the optimiser.
    """

    probability: float = 0.9
    hidden: int = 64
    batches: int = 300
    points: int = 1000
    steps: int = 6000
    together: int = 8192
    lr: float = 3e-3
    weight_decay: float = 1e-4
    seed: int = 20


@torch.no_grad()
def entered_and_error(network: ImplicitVoxelNetwork, data: Batch) -> tuple[Tensor, Tensor]:
    """What a decoder reads at the points of a batch (N, P, width), activated, and its error.

    Raises ArSSRError for networks that correct no interpolation.
    """
    decoder = network.decoder
    if not isinstance(decoder, ResidualDecoder):
        raise ArSSRError("half-widths are taught to networks of the residual flavour alone")
    image = data.image.contiguous(memory_format=torch.channels_last_3d)
    features = network.encode(image, data.condition).float()
    shape = features.shape[2:]
    at = (data.positions + 0.5) * (2 / data.positions.new_tensor(shape)) - 1
    read = sample_trilinear(features, at, "border")
    place = decoder.embed_place(data.positions, data.cell[:, None], shape)
    entered = torch.nn.functional.gelu(decoder.enter(read, place))
    return entered, data.base + decoder.read_activated(entered)[..., 0] - data.truth


def pinball(predicted: Tensor, target: Tensor, probability: float) -> Tensor:
    """The mean loss that is least where `probability` of the targets are below what is predicted.

    >>> round(float(pinball(torch.tensor(1.0), torch.tensor([0.0, 3.0]), 0.9)), 3)
    0.95
    """
    beyond = target - predicted
    return torch.maximum(probability * beyond, (probability - 1) * beyond).mean()


def lessons(
    network: ImplicitVoxelNetwork,
    images: Images,
    sampling: SamplingConfig,
    recipe: SpreadRecipe,
    on_batch: Callable[[int], None] = lambda _done: None,
) -> tuple[Tensor, Tensor]:
    """What the decoder reads (M, width) float16 and what a head should answer (M, 1), of samples
    drawn as a network's training draws them.
    """
    sampling = replace(sampling, points=recipe.points)
    device, known = network.device, network.config.acquisitions
    read, answers = [], []
    for step in range(recipe.batches):
        data = batch(images, sampling, recipe.seed, step, known=known)
        with torch.autocast(device.type, torch.bfloat16):
            entered, error = entered_and_error(network, data)
        read.append(entered.flatten(0, 1).half())
        answers.append(SpreadHead.target(error.float().flatten(), LEAST_ERROR)[:, None])
        on_batch(step + 1)
    return torch.cat(read), torch.cat(answers)


def teach_spread(
    read: Tensor,
    answers: Tensor,
    recipe: SpreadRecipe = SpreadRecipe(),
    on_step: Callable[[int, float], None] = lambda _step, _loss: None,
) -> SpreadHead:
    """A head that learns from `lessons`. on_step: hears the number of the step and its loss."""
    torch.manual_seed(recipe.seed)
    head = SpreadHead(read.shape[1], recipe.hidden).to(read.device)
    optimiser = torch.optim.AdamW(head.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    for step in range(recipe.steps):
        cosine = 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        for group in optimiser.param_groups:
            warm = min(1.0, (step + 1) / _WARM_UP)
            group["lr"] = recipe.lr * warm * (_LAST_LR + (1 - _LAST_LR) * cosine)
        chosen = torch.randint(len(read), (recipe.together,), device=read.device)
        loss = pinball(head.log_of(read[chosen].float()), answers[chosen], recipe.probability)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        on_step(step + 1, loss.item())
    return head.eval().requires_grad_(False)
