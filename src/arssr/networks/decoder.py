"""Decoders: multilayer perceptrons that turn a feature and a position into an intensity."""

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from arssr.onednn import linear_in_one_go, onednn_computes


class PaperDecoder(nn.Module):
    """The published decoder (Wu et al. 2022, section III-C): an intensity from [feature, x, y, z].

    Two stages of `depth / 2` linear layers, ReLU after every one, the last included; the second
    reads the input plus the first's output. forward: (…, feature_dim + 3) to (…, 1).
    """

    def __init__(self, in_dim: int, depth: int, width: int) -> None:
        super().__init__()
        hidden = [width] * (depth // 2 - 1)
        self.stage_one = _relu_chain([in_dim, *hidden, in_dim])
        self.stage_two = _relu_chain([in_dim, *hidden, 1])

    def forward(self, x: Tensor) -> Tensor:
        return self.stage_two(x + self.stage_one(x))

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


def _computed(layer: nn.Linear, x: Tensor, activation: Literal["gelu", "none"]) -> Tensor:
    """activation(layer(x)); for inference on a CPU oneDNN computes both in one go."""
    if torch.is_inference_mode_enabled() and onednn_computes(x):
        return linear_in_one_go(x, layer.weight, layer.bias, activation)
    return nn.functional.gelu(layer(x)) if activation == "gelu" else layer(x)


class ResidualDecoder(nn.Module):
    """A signed correction to the interpolated image from [feature, place in the voxel, cell].

    The encoder's last convolution already is the decoder's first layer on the feature (both are
    linear and trilinear reading lies between them, so they commute); `place` adds that layer's
    share of position and cell. The place inside a voxel enters as sine and cosine of its phase,
    so that the field stays continuous where one voxel ends and the next begins. The last layer
    starts small: training begins at plain interpolation, with gradients alive.
    """

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.place = nn.Linear(9, width)
        self.hidden = nn.ModuleList([nn.Linear(width, width) for _ in range(depth - 2)])
        self.last = nn.Linear(width, 1)
        if not self.last.weight.is_meta:  # else torch imports its compiler, for more than a second
            nn.init.normal_(self.last.weight, std=1e-2)
            nn.init.zeros_(self.last.bias)

    def forward(self, feature: Tensor, place: Tensor) -> Tensor:
        """(…, width) feature and (…, width) embedded place to (…,) correction."""
        return self.read(feature + place)

    def read(self, first: Tensor) -> Tensor:
        """(…, width) sum of feature and embedded place to (…,) correction."""
        x = nn.functional.gelu(first)
        for layer in self.hidden:
            x = _computed(layer, x, "gelu")  # type: ignore[arg-type]
        return _computed(self.last, x, "none").squeeze(-1)

    def embed_place(self, positions: Tensor, cell: Tensor) -> Tensor:
        """Voxel coordinates (…, 3) and output voxel size in input voxels (3, or as the former).

        Returns (…, width) in the dtype of the positions.
        """
        phase = 2 * math.pi * positions
        place = torch.cat([phase.sin(), phase.cos(), cell.expand_as(phase)], dim=-1)
        weight, bias = self.place.weight.to(place), self.place.bias.to(place)
        return nn.functional.linear(place, weight, bias)

    def embed_axis(self, axis: int, positions: Tensor, cell: Tensor | None) -> Tensor:
        """One axis' share (n, width) of `embed_place` at voxel coordinates (n,).

        The shares of the three axes add up to the whole, if one of them is given the cell (3,).
        """
        share = self.waves(positions) @ self.wave_weights(axis).to(positions)
        if cell is None:
            return share
        weight, bias = self.place.weight.to(positions), self.place.bias.to(positions)
        return share + bias + weight[:, 6:] @ cell.to(positions)

    def waves(self, positions: Tensor) -> Tensor:
        """Sine and cosine (n, 2) of the phase in the voxel, at voxel coordinates (n,)."""
        phase = 2 * math.pi * positions
        return torch.stack([phase.sin(), phase.cos()], dim=-1)

    def wave_weights(self, axis: int) -> Tensor:
        """(2, width): what the waves along an axis are multiplied by."""
        # a slice: a list of columns would be sent to a GPU, and waited for
        return self.place.weight[:, axis : axis + 4 : 3].T
