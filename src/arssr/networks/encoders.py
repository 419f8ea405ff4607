"""Convolutional encoders: from an image (N, C, I, J, K) to a feature map (N, F, I, J, K).

RDN (Zhang et al. 2018), ResCNN (Du et al. 2020) and SRResNet (Ledig et al. 2017) in 3D, as ArSSR
uses them (Wu et al. 2022, arXiv 2110.14476, section III-B): 3x3x3 convolutions, zero padding,
64 channels, no normalisation layers. `Light` is ours. Module names are those of the reference
checkpoints, so that those load by name.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 64


def conv3(in_channels: int, out_channels: int) -> nn.Conv3d:
    """A 3x3x3 convolution that keeps the shape."""
    return nn.Conv3d(in_channels, out_channels, kernel_size=3, padding=1)


class Encoder(nn.Module):
    """Base of all; `forward` maps (N, in_channels, I, J, K) to (N, feature_dim, I, J, K).

    `peak_channels`: channels of all the maps that are alive at the worst moment of `forward`.
    """

    peak_channels: int
    # what a calm start multiplies the last weights of each residual branch by
    branch_gain = 0.0

    @property
    def radius(self) -> int:
        """How many voxels away an input voxel can still change a feature.

        Every encoder here is one chain of convolutions with shortcuts, so the paddings add up.
        """
        return sum(int(m.padding[0]) for m in self.modules() if isinstance(m, nn.Conv3d))

    def branch_ends(self) -> list[nn.Conv3d]:
        """The last convolution of each residual branch (made small for a calm start)."""
        raise TypeError(f"{type(self).__name__} names no residual branches")


class _DenseLayer(nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = conv3(in_channels, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, F.relu(self.conv(x))], dim=1)


class ResidualDenseBlock(nn.Module):
    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[_DenseLayer(WIDTH * (n + 1)) for n in range(layers)])
        self.lff = nn.Conv3d(WIDTH * (layers + 1), WIDTH, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.lff(self.layers(x))


class RDN(Encoder):
    """Residual dense network: 8 blocks of 3 dense layers."""

    peak_channels = 12 * WIDTH  # last dense layer: 3 in, 2 new, 4 joined; block, fused, shallow

    def __init__(
        self, in_channels: int, feature_dim: int, blocks: int = 8, layers: int = 3
    ) -> None:
        super().__init__()
        self.sfe1 = conv3(in_channels, WIDTH)
        self.sfe2 = conv3(WIDTH, WIDTH)
        self.rdbs = nn.Sequential(*[ResidualDenseBlock(layers) for _ in range(blocks)])
        fusion = nn.Conv3d(WIDTH * blocks, WIDTH, kernel_size=1)
        self.gff = nn.Sequential(fusion, conv3(WIDTH, WIDTH))
        self.output = conv3(WIDTH, feature_dim)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.sfe1(x)
        x = self.sfe2(shallow)
        fusion, smooth = self.gff
        # 1x1x1 fusion of all block outputs, summed block by block: never 512 channels at once
        fused = fusion.bias.view(1, -1, 1, 1, 1)  # type: ignore[operator]
        for block, weight in zip(self.rdbs, fusion.weight.split(WIDTH, dim=1), strict=True):  # type: ignore[operator]
            x = block(x)
            fused = fused + F.conv3d(x, weight)
        return self.output(smooth(fused) + shallow)

    def branch_ends(self) -> list[nn.Conv3d]:
        return [block.lff for block in self.rdbs if isinstance(block, ResidualDenseBlock)]


class ResCNN(Encoder):
    """Three blocks of six convolutions with shortcuts; the image is added to every feature."""

    branch_gain = 0.1  # not 0: the ReLU that follows would never let the weights leave it
    peak_channels = 6 * WIDTH

    def __init__(self, in_channels: int, feature_dim: int) -> None:
        super().__init__()
        self.conv_start = nn.Sequential(conv3(in_channels, WIDTH), nn.ReLU())
        self.block1, self.block2, self.block3 = (
            nn.Sequential(*[m for _ in range(6) for m in (conv3(WIDTH, WIDTH), nn.ReLU())])
            for _ in range(3)
        )
        self.conv_end = nn.Sequential(conv3(WIDTH, feature_dim))

    def forward(self, x: Tensor) -> Tensor:
        image = x[:, :1]  # further channels describe the acquisition
        x = self.conv_start(x)
        for block in (self.block1, self.block2, self.block3):
            x = x + block(x)
        return self.conv_end(x) + image

    def branch_ends(self) -> list[nn.Conv3d]:
        return [block[-2] for block in (self.block1, self.block2, self.block3)]  # type: ignore[misc]


class ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.m = nn.Sequential(
            nn.Sequential(conv3(width, width), nn.ReLU()), nn.Sequential(conv3(width, width))
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.m(x)


class ResidualChain(Encoder):
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

    def branch_ends(self) -> list[nn.Conv3d]:
        blocks = [m for m in self.features if isinstance(m, ResidualBlock)]
        return [block.m[1][0] for block in blocks]  # type: ignore[index]


class SRResNet(ResidualChain):
    """18 residual blocks, then two convolutions."""

    peak_channels = 6 * WIDTH

    def __init__(self, in_channels: int, feature_dim: int) -> None:
        super().__init__(in_channels, WIDTH, 18, [conv3(WIDTH, WIDTH), conv3(WIDTH, feature_dim)])


class Light(ResidualChain):
    """About a twelfth of RDN's work, for machines without a GPU: 8 residual blocks, 32 channels."""

    peak_channels = 6 * 32

    def __init__(self, in_channels: int, feature_dim: int) -> None:
        super().__init__(in_channels, 32, 8, [conv3(32, feature_dim)])


ENCODERS: dict[str, Callable[[int, int], Encoder]] = {
    "rdn": RDN,
    "rescnn": ResCNN,
    "srresnet": SRResNet,
    "light": Light,
}
