"""Convolutional encoders: from an image (N, C, I, J, K) to a feature map (N, F, I, J, K).

RDN (Zhang et al. 2018), ResCNN (Du et al. 2020) and SRResNet (Ledig et al. 2017) in 3D, as ArSSR
uses them (Wu et al. 2022, arXiv 2110.14476, section III-B): 3x3x3 convolutions, zero padding,
64 channels, no normalisation layers. `Light` is ours. Module names are those of the reference
checkpoints, so that those load by name.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arssr.networks.parts import (
    Chain,
    DenseBlock,
    Fusion,
    Layer,
    Part,
    Residual,
    layers_in,
    radius,
)


def conv3(in_channels: int, out_channels: int) -> nn.Conv3d:
    """A 3x3x3 convolution that keeps the shape."""
    return nn.Conv3d(in_channels, out_channels, kernel_size=3, padding=1)


class Encoder(nn.Module, ABC):
    """Base of all; `forward` maps (N, in_channels, I, J, K) to (N, feature_dim, I, J, K).

    An encoder needs `forward` and `radius`, and an entry in `ENCODERS`: it is then run on one piece
    of an image after the other. One that is made of `parts` runs faster: derive it from
    `StreamedEncoder`.
    """

    # Features move with the image where it moves by this many voxels or a multiple of them: 1 for
    # convolutions, 2 ** levels for a U-shape. Pieces begin at multiples of it.
    stride = 1
    # what a calm start multiplies the last weights of each residual branch by
    branch_gain = 0.0

    @property
    @abstractmethod
    def radius(self) -> int:
        """How many voxels away an input voxel can still change a feature; too many do no harm."""

    def parts(self) -> Part | None:
        """What `forward` computes, as parts that can be computed as a stream; None for others."""
        return None

    def branch_ends(self) -> list[nn.Conv3d]:
        """The last convolution of each residual branch (made small for a calm start)."""
        return []


class StreamedEncoder(Encoder):
    """An encoder that says in `parts` what its `forward` computes."""

    @abstractmethod
    def parts(self) -> Part:
        """What `forward` computes."""

    @property
    def radius(self) -> int:
        return radius(self.parts())


class _DenseLayer(nn.Module):
    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.conv = conv3(in_channels, growth)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, F.relu(self.conv(x))], dim=1)


class ResidualDenseBlock(nn.Module):
    """Dense layers, each of which reads all before it, fused by a 1³ convolution (Zhang et al.
    2018, arXiv 1802.08797); the sum is added to what came in.
    """

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[_DenseLayer(width * (n + 1), width) for n in range(layers)])
        self.lff = nn.Conv3d(width * (layers + 1), width, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.lff(self.layers(x))

    def parts(self) -> DenseBlock:
        dense = (Layer(layer.conv, relu=True) for layer in self.layers)  # type: ignore[arg-type]
        return DenseBlock((*dense, Layer(self.lff)))


class RDN(StreamedEncoder):
    """Residual dense network: 8 blocks of 3 dense layers."""

    def __init__(
        self, in_channels: int, feature_dim: int, blocks: int = 8, layers: int = 3, width: int = 64
    ) -> None:
        super().__init__()
        self.width = width
        self.sfe1 = conv3(in_channels, width)
        self.sfe2 = conv3(width, width)
        self.rdbs = nn.Sequential(*[ResidualDenseBlock(layers, width) for _ in range(blocks)])
        fusion = nn.Conv3d(width * blocks, width, kernel_size=1)
        self.gff = nn.Sequential(fusion, conv3(width, width))
        self.output = conv3(width, feature_dim)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.sfe1(x)
        x = self.sfe2(shallow)
        fusion, smooth = self.gff
        # 1x1x1 fusion of all block outputs, summed block by block: never 512 channels at once
        fused = fusion.bias.view(1, -1, 1, 1, 1)  # type: ignore[operator]
        for block, weight in zip(self.rdbs, fusion.weight.split(self.width, dim=1), strict=True):  # type: ignore[operator]
            x = block(x)
            fused = fused + F.conv3d(x, weight)
        return self.output(smooth(fused) + shallow)

    def parts(self) -> Chain:
        fusion, smooth = self.gff
        blocks = tuple(block.parts() for block in self.rdbs)  # type: ignore[operator]
        fused = Fusion(blocks, fusion)  # type: ignore[arg-type]
        trunk = Chain((layers_in(self.sfe2), fused, layers_in(smooth)))
        return Chain((layers_in(self.sfe1), Residual(trunk, self.width), layers_in(self.output)))

    def branch_ends(self) -> list[nn.Conv3d]:
        return [block.lff for block in self.rdbs if isinstance(block, ResidualDenseBlock)]


class ResCNN(StreamedEncoder):
    """Three blocks of six convolutions with shortcuts; the image is added to every feature."""

    branch_gain = 0.1  # not 0: the ReLU that follows would never let the weights leave it

    def __init__(self, in_channels: int, feature_dim: int, width: int = 64) -> None:
        super().__init__()
        self.conv_start = nn.Sequential(conv3(in_channels, width), nn.ReLU())
        self.block1, self.block2, self.block3 = (
            nn.Sequential(*[m for _ in range(6) for m in (conv3(width, width), nn.ReLU())])
            for _ in range(3)
        )
        self.conv_end = nn.Sequential(conv3(width, feature_dim))

    def forward(self, x: Tensor) -> Tensor:
        image = x[:, :1]  # further channels describe the acquisition
        x = self.conv_start(x)
        for block in (self.block1, self.block2, self.block3):
            x = x + block(x)
        return self.conv_end(x) + image

    def parts(self) -> Residual:
        blocks = (layers_in(b, shortcut=True) for b in (self.block1, self.block2, self.block3))
        chain = Chain((layers_in(self.conv_start), *blocks, layers_in(self.conv_end)))
        return Residual(chain, width=1)

    def branch_ends(self) -> list[nn.Conv3d]:
        return [block[-2] for block in (self.block1, self.block2, self.block3)]  # type: ignore[misc]


class ResidualBlock(nn.Module):
    """Two 3³ convolutions with a ReLU between them, added to what came in (SRResNet's block)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.m = nn.Sequential(
            nn.Sequential(conv3(width, width), nn.ReLU()), nn.Sequential(conv3(width, width))
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.m(x)


class ResidualChain(StreamedEncoder):
    """A convolution, residual blocks, further convolutions: SRResNet's trunk."""

    def __init__(self, in_channels: int, width: int, blocks: int, tail: list[nn.Conv3d]) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(conv3(in_channels, width)),
            *[ResidualBlock(width) for _ in range(blocks)],
            *[nn.Sequential(conv) for conv in tail],
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)

    def parts(self) -> Chain:
        return Chain(
            tuple(layers_in(m, shortcut=isinstance(m, ResidualBlock)) for m in self.features)
        )

    def branch_ends(self) -> list[nn.Conv3d]:
        blocks = [m for m in self.features if isinstance(m, ResidualBlock)]
        return [block.m[1][0] for block in blocks]  # type: ignore[index]


class SRResNet(ResidualChain):
    """18 residual blocks, then two convolutions."""

    def __init__(self, in_channels: int, feature_dim: int, width: int = 64) -> None:
        super().__init__(in_channels, width, 18, [conv3(width, width), conv3(width, feature_dim)])


class Light(ResidualChain):
    """About a twelfth of RDN's work, for machines without a GPU: 8 residual blocks, 32 channels."""

    def __init__(self, in_channels: int, feature_dim: int) -> None:
        super().__init__(in_channels, 32, 8, [conv3(32, feature_dim)])


ENCODERS: dict[str, Callable[[int, int], Encoder]] = {
    "rdn": RDN,
    "rescnn": ResCNN,
    "srresnet": SRResNet,
    "light": Light,
}
