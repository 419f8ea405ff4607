"""The implicit voxel network: an encoder, a decoder and what lies between them.

Wu et al., "An Arbitrary Scale Super-Resolution Approach for 3D MR Images via Implicit Neural
Representation", IEEE JBHI 2022, arXiv 2110.14476. `paper` is that model; `residual` is ours: a
signed correction to cubic interpolation, told what kind of scan it looks at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arssr.errors import ArSSRError
from arssr.networks.decoder import Decoder, PaperDecoder, ResidualDecoder
from arssr.networks.encoders import ENCODERS, Encoder

ACQUISITIONS = ("kspace", "slice", "spline")  # of networks that name no others
UNKNOWN = "unknown"
NATIVE = "kspace"  # along an axis that keeps its samples: what a scanner measures
NOISE_UNIT = 0.05  # the noise level at which its channel reads 1
# A blurred scan wants sharpening, a noisy one smoothing: over the mix these cancel, and a network
# that cannot yet tell them apart learns nothing. So the condition gates features strongly from
# the first step on (0.2: no gain over cubic after 300 steps; 0.6: 0.8 dB; 1.5: 1.0 dB).
_GATING = 1.5
# What is to be corrected are edges, 30 times smaller than the brightness that default filters see.
# Most of the first filters start blind to brightness, and this much larger (one run each, some 330
# steps of 4 patches: 0.18 dB of gain with default filters, 0.33 with 10, 0.38 with 30, and 0.38
# with 20 at twice the learning rate).
_EDGE_GAIN = 20.0

# Voxels of an output that are no smaller than the input's: what networks were trained for.
LARGEST_CELL = 1.0

# Normalised intensities that a residual network sees: it only corrects, and what lies beyond is in
# the interpolation. No real scan here has more than 1.95. A voxel of 10,000 would spoil all that
# the network sees from there: farther than 8 voxels away `light` had 3 to 24 times cubic's error,
# and now has what it has without such voxels.
SEEN = (-1.0, 2.0)


@dataclass(frozen=True)
class ModelConfig:
    """What a network is made of; travels inside the weight file.

    `decoder_depth` counts linear layers and is even for the paper's decoder. In the residual
    flavour the decoder reads `feature_dim` features directly, so its width is the feature_dim.
    `acquisitions` are those that the residual flavour can be told, in the order of its channels.
    """

    flavour: Literal["paper", "residual"] = "residual"
    encoder: str = "rdn"
    feature_dim: int = 128
    decoder_depth: int = 8
    decoder_width: int = 256
    acquisitions: tuple[str, ...] = ACQUISITIONS

    def __post_init__(self) -> None:
        if self.flavour not in ("paper", "residual"):
            raise ArSSRError(f"unknown flavour {self.flavour!r}; known are paper, residual")
        if self.encoder not in ENCODERS:
            known = ", ".join(ENCODERS)
            raise ArSSRError(f"unknown encoder {self.encoder!r}; known are {known}")
        counts: tuple[Any, ...] = (self.feature_dim, self.decoder_depth, self.decoder_width)
        if not all(isinstance(count, int) and count > 0 for count in counts):
            raise ArSSRError(
                "feature_dim, decoder_depth and decoder_width must be positive whole numbers"
            )
        if self.flavour == "paper" and self.decoder_depth % 2:
            raise ArSSRError(f"decoder_depth must be even, not {self.decoder_depth}")
        if self.flavour == "residual" and self.decoder_depth < 2:
            raise ArSSRError(f"decoder_depth must be at least 2, not {self.decoder_depth}")
        if self.flavour == "residual" and self.decoder_width != self.feature_dim:
            raise ArSSRError("decoder_width and feature_dim must agree in the residual flavour")
        if not all(isinstance(name, str) for name in self.acquisitions):
            raise ArSSRError(f"acquisitions are names, not {list(self.acquisitions)}")
        if len(set(self.acquisitions) - {UNKNOWN}) != len(self.acquisitions):
            raise ArSSRError(f"acquisitions are different names and none is {UNKNOWN}")

    @property
    def normalises(self) -> bool:
        """Whether the network sees normalised intensities; otherwise those that files have."""
        return self.flavour == "residual"

    @property
    def in_channels(self) -> int:
        """Of the encoder: the image, and what is told beside it."""
        return 1 if self.flavour == "paper" else 1 + self.condition_channels

    @property
    def condition_channels(self) -> int:
        """Numbers that tell what a scan is, see `condition_vector`."""
        return condition_channels(self.acquisitions)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return asdict(self) | {"acquisitions": list(self.acquisitions)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelConfig":
        """The inverse of `to_dict`; unknown or missing names raise ArSSRError.

        Older files name no acquisitions: theirs are `ACQUISITIONS`.
        """
        try:
            given = {"acquisitions": ACQUISITIONS, **values}
            names = given["acquisitions"]
            if isinstance(names, str):
                raise ArSSRError(f"acquisitions are a list of names, not {names!r}")
            return cls(**{**given, "acquisitions": tuple(names)})
        except TypeError as error:
            raise ArSSRError(f"not a model configuration: {error}") from None


def condition_vector(
    acquisition_ijk: Sequence[str], noise: float | None, known: Sequence[str] = ACQUISITIONS
) -> list[float]:
    """What the scan is, as the constant channels that the encoder reads beside the image.

    acquisition_ijk: per axis one of `known` (`ModelConfig.acquisitions`) or "unknown".
    noise: standard deviation in normalised intensity; None for unknown.
    """
    for name in acquisition_ijk:
        if name not in (*known, UNKNOWN):
            raise ArSSRError(
                f"these weights can be told {', '.join(known)} and {UNKNOWN}, not {name!r}"
            )
    one_hot = [float(name == each) for name in acquisition_ijk for each in known]
    return one_hot + ([0.0, 0.0] if noise is None else [noise / NOISE_UNIT, 1.0])


def condition_channels(known: Sequence[str] = ACQUISITIONS) -> int:
    """Numbers in a `condition_vector`."""
    return 3 * len(known) + 2


class ImplicitVoxelNetwork(nn.Module):
    """Encoder and decoder of one configuration; knows nothing of files and devices."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        paper = config.flavour == "paper"
        self.encoder: Encoder = ENCODERS[config.encoder](config.in_channels, config.feature_dim)
        self.decoder: Decoder
        self.modulation: nn.Linear | None = None  # what turns the condition into gains and shifts
        if paper:
            in_dim = config.feature_dim + 3
            self.decoder = PaperDecoder(in_dim, config.decoder_depth, config.decoder_width)
        else:
            self.decoder = ResidualDecoder(config.decoder_depth, config.decoder_width)
            self.modulation = nn.Linear(config.condition_channels, 2 * config.feature_dim)
            if not self.modulation.weight.is_meta:  # where nothing can be drawn
                nn.init.normal_(self.modulation.weight, std=_GATING)
                self._begin()

    def _begin(self) -> None:
        """Draw where training begins: filters on edges, branches small."""
        first = next((m for m in self.encoder.modules() if isinstance(m, nn.Conv3d)), None)
        if first is not None and first.groups == 1 and max(first.kernel_size) > 1:
            _see_edges(first)
        for conv in self.encoder.branch_ends():
            conv.weight.data.mul_(self.encoder.branch_gain)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the parameters, and so of features."""
        return next(self.parameters()).dtype

    @property
    def precision(self) -> str:
        """The name of `dtype`: float32, bfloat16, float16."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def parameter_count(self) -> int:
        """Trained numbers in all."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def corrects(self) -> bool:
        """Whether the output is a correction to cubic interpolation."""
        return self.decoder.corrects

    def condition(self, acquisition_ijk: Sequence[str], noise: float | None) -> Tensor | None:
        """A scan's `condition_vector`; None where the network is told nothing."""
        if self.modulation is None:
            return None
        return torch.tensor(condition_vector(acquisition_ijk, noise, self.config.acquisitions))

    def encode(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, 1, I, J, K) image and (N, condition_channels) to (N, feature_dim, I, J, K).

        The paper's flavour is told nothing, whatever the condition.
        """
        if self.modulation is None or condition is None:
            return self.encoder(image)
        channels = condition.to(image.dtype)[:, :, None, None, None]
        seen = image.clamp(*SEEN)
        image = torch.cat([seen, channels.expand(-1, -1, *image.shape[2:])], dim=1)
        gain, shift = self.modulation(condition.to(image.dtype)).chunk(2, dim=1)
        features = self.encoder(image)
        return torch.addcmul(
            shift[:, :, None, None, None], features, 1 + gain[:, :, None, None, None]
        )

    def decode(self, features: Tensor, positions: Tensor, cell: Tensor) -> Tensor:
        """Read a feature map (N, F, I, J, K) at voxel coordinates (N, P, 3): (N, P, channels).

        cell (N, 3): size of an output voxel in input voxels. The engine computes the same on
        lattices, faster.
        """
        decoder, shape = self.decoder, features.shape[2:]
        normalised = (positions + 0.5) * (2 / positions.new_tensor(shape)) - 1
        read = sample_trilinear(
            features, normalised, "zeros" if decoder.zeros_outside else "border"
        )
        return decoder(read, decoder.embed_place(positions, cell[:, None], shape))

    def intensities(self, values: Tensor, cubic: Tensor) -> Tensor:
        """Normalised intensities (…), of what `decode` gives (…, channels) and interpolation."""
        return cubic + values[..., 0] if self.corrects else values[..., 0]

    def forward(
        self, image: Tensor, condition: Tensor | None, positions: Tensor, cell: Tensor
    ) -> Tensor:
        """`decode(encode(image, condition), positions, cell)`, as training needs it."""
        return self.decode(self.encode(image, condition), positions, cell)


@torch.no_grad()
def _see_edges(first: nn.Conv3d) -> None:
    """Make seven of eight filters on the image differences between voxels."""
    filters = first.weight[len(first.weight) // 8 :, 0]
    filters.sub_(filters.mean(dim=(1, 2, 3), keepdim=True)).mul_(_EDGE_GAIN)


def sample_trilinear(features: Tensor, normalised: Tensor, padding: str) -> Tensor:
    """Features (N, F, I, J, K) at (N, P, 3) coordinates in [-1, 1] over the field of view.

    Returns (N, P, F). `padding` outside the outer voxel centres: "zeros" or "border".
    """
    # grid_sample wants the last axis first; in bfloat16 the coordinates would be off by 0.03 voxel
    grid = normalised.flip(-1)[:, :, None, None].float()
    read = F.grid_sample(
        features.float(), grid, mode="bilinear", padding_mode=padding, align_corners=False
    )
    return read[..., 0, 0].mT
