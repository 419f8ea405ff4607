"""Decoders: multilayer perceptrons that turn a feature and a position into values."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from arssr.networks.onednn import linear_in_one_go, onednn_computes

Tables = tuple[Tensor, Tensor, Tensor]  # what the positions along i, j and k contribute


class Decoder(nn.Module, ABC):
    """Base of both; `forward` maps features (…, F) and embedded places to values (…, channels).

    corrects: whether the first channel corrects cubic interpolation; otherwise it is the intensity.
    zeros_outside: what features are beyond the outermost voxel centres: zeros, or the border's.
    channels: values at a place; what the others mean is for the decoder to say.

    Positions are voxel coordinates; a cell (3,) is the size of an output voxel in input voxels, a
    shape (3,) that of the input.
    """

    corrects: bool
    zeros_outside: bool
    channels = 1

    @abstractmethod
    def embed_place(self, positions: Tensor, cell: Tensor, shape: Sequence[int]) -> Tensor:
        """What positions (…, 3) contribute to the input, (…, P) in their dtype."""

    @abstractmethod
    def embed_axis(self, axis: int, positions: Tensor, cell: Tensor, n: int) -> Tensor:
        """One axis' share of `embed_place` at positions (n_out,) in an input of `n` voxels."""

    @abstractmethod
    def join(self, shares: Tables) -> Tensor:
        """The places (I, J, K, P) of a lattice, of the shares of its axes."""

    @abstractmethod
    def enter(self, features: Tensor, place: Tensor) -> Tensor:
        """What `read` takes, of features (…, F) and places (…, P)."""

    def enter_lattice(self, features: Tensor, shares: Tables) -> Tensor:
        """The same on a lattice, of the shares of its axes; it may overwrite the features."""
        return self.enter(features, self.join(shares))

    @abstractmethod
    def read(self, entered: Tensor) -> Tensor:
        """The values (…, channels)."""

    def forward(self, features: Tensor, place: Tensor) -> Tensor:
        return self.read(self.enter(features, place))

    def layers(self) -> list[nn.Linear]:
        """The layers that `read` computes."""
        return [layer for layer in self.modules() if isinstance(layer, nn.Linear)]

    def gelu_chain(self) -> list[nn.Linear] | None:
        """The layers, if `enter` is a sum and `read` nothing but GELU and a layer in turn.

        That is what one kernel can compute on a GPU. None for any other decoder.
        """
        return None


class PaperDecoder(Decoder):
    """The published decoder (Wu et al. 2022, section III-C): an intensity from [feature, x, y, z].

    Two stages of `depth / 2` linear layers, ReLU after every one, the last included; the second
    reads the input plus the first's output. x, y and z run from -1 to 1 over the field of view.
    """

    corrects, zeros_outside = False, True

    def __init__(self, in_dim: int, depth: int, width: int) -> None:
        super().__init__()
        hidden = [width] * (depth // 2 - 1)
        self.stage_one = _relu_chain([in_dim, *hidden, in_dim])
        self.stage_two = _relu_chain([in_dim, *hidden, 1])

    def embed_place(self, positions: Tensor, cell: Tensor, shape: Sequence[int]) -> Tensor:
        return (positions + 0.5) * (2 / positions.new_tensor(shape)) - 1

    def embed_axis(self, axis: int, positions: Tensor, cell: Tensor, n: int) -> Tensor:
        return (positions + 0.5) * (2 / n) - 1

    def join(self, shares: Tables) -> Tensor:
        i, j, k = shares
        return torch.stack(torch.broadcast_tensors(i[:, None, None], j[:, None], k), dim=-1)

    def enter(self, features: Tensor, place: Tensor) -> Tensor:
        return torch.cat([features, place.to(features)], dim=-1)

    def read(self, entered: Tensor) -> Tensor:
        return self.stage_two(entered + self.stage_one(entered))

    def coordinates(self) -> list[Tensor]:
        """What belongs to x, y and z among the parameters: views (3, …) of them.

        Columns where they enter a stage; rows where the first stage adds to them.
        """
        one, two = _linears(self.stage_one), _linears(self.stage_two)
        entering = [layer.weight.T[-3:] for layer in (one[0], two[0])]
        return [*entering, one[-1].weight[-3:], one[-1].bias[-3:]]


def _relu_chain(sizes: list[int]) -> nn.Sequential:
    return nn.Sequential(*[m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())])


def _linears(chain: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in chain if isinstance(layer, nn.Linear)]


def computed(layer: nn.Linear, x: Tensor, activation: Literal["gelu", "none"]) -> Tensor:
    """activation(layer(x)); for inference on a CPU oneDNN computes both in one go."""
    if torch.is_inference_mode_enabled() and onednn_computes(x):
        return linear_in_one_go(x, layer.weight, layer.bias, activation)
    return nn.functional.gelu(layer(x)) if activation == "gelu" else layer(x)


class ResidualDecoder(Decoder):
    """A signed correction to the interpolated image from [feature, place in the voxel, cell].

    The encoder's last convolution already is the decoder's first layer on the feature (both are
    linear and trilinear reading lies between them, so they commute); `place` adds that layer's
    share of position and cell. The place inside a voxel enters as sine and cosine of its phase,
    so that the field stays continuous where one voxel ends and the next begins. The last layer
    starts small: training begins at plain interpolation, with gradients alive.
    """

    corrects, zeros_outside = True, False

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.place = nn.Linear(9, width)
        self.hidden = nn.ModuleList([nn.Linear(width, width) for _ in range(depth - 2)])
        self.last = nn.Linear(width, self.channels)
        if not self.last.weight.is_meta:  # else torch imports its compiler, for more than a second
            nn.init.normal_(self.last.weight, std=1e-2)
            nn.init.zeros_(self.last.bias)

    def embed_place(self, positions: Tensor, cell: Tensor, shape: Sequence[int]) -> Tensor:
        phase = 2 * math.pi * positions
        place = torch.cat([phase.sin(), phase.cos(), cell.expand_as(phase)], dim=-1)
        weight, bias = self.place.weight.to(place), self.place.bias.to(place)
        return nn.functional.linear(place, weight, bias)

    def embed_axis(self, axis: int, positions: Tensor, cell: Tensor, n: int) -> Tensor:
        """(n_out, width). The shares add up; the first axis' has the cell's and the bias."""
        phase = 2 * math.pi * positions
        weight, bias = self.place.weight.to(positions), self.place.bias.to(positions)
        # a slice: a list of columns would be sent to a GPU, and waited for
        share = torch.stack([phase.sin(), phase.cos()], dim=-1) @ weight[:, axis : axis + 4 : 3].T
        return share if axis else share + bias + weight[:, 6:] @ cell.to(positions)

    def join(self, shares: Tables) -> Tensor:
        i, j, k = shares
        return (i[:, None] + j)[:, :, None] + k

    def enter(self, features: Tensor, place: Tensor) -> Tensor:
        return features + place

    def enter_lattice(self, features: Tensor, shares: Tables) -> Tensor:
        i, j, k = shares
        # the places of all voxels, and their sum with the features, would be two blocks more
        return features.add_((i[:, None] + j)[:, :, None]).add_(k)

    def read(self, entered: Tensor) -> Tensor:
        return self.read_activated(nn.functional.gelu(entered))

    def read_activated(self, x: Tensor) -> Tensor:
        """`read`, of the input (…, width) once it has been through its GELU."""
        for layer in self.hidden:
            x = computed(layer, x, "gelu")  # type: ignore[arg-type]
        return computed(self.last, x, "none")

    def layers(self) -> list[nn.Linear]:
        return [*self.hidden, self.last]

    def gelu_chain(self) -> list[nn.Linear] | None:
        return self.layers()
