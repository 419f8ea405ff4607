"""A second value at every place: how far the first may be from the truth.

A small head reads what a decoder that has been trained reads. It changes nothing of the image: the
layers below are shared, and only the head learns (`arssr.training.spread`).
"""

import torch
from torch import Tensor, nn

from arssr.networks.decoder import ResidualDecoder, computed
from arssr.networks.model import ImplicitVoxelNetwork

# Normalised intensity at which what the head's last layer gives is 0: a usual error, so that
# bfloat16, which has three digits, has them where they are needed.
_USUAL = 0.02
_MOST = 1.0  # the whole range: what is wider, for features that were never seen, says no more


class SpreadHead(nn.Module):
    """Features with their place (…, width) → half-widths (…, 1) in normalised intensity, above 0.

    They are relative to one another: `arssr.weights.interval` has what they are multiplied by.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, hidden)
        self.last = nn.Linear(hidden, 1)
        if not self.last.weight.is_meta:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)

    def log_of(self, read: Tensor) -> Tensor:
        """Logarithms (…, 1) of the half-widths, of `_USUAL`."""
        return computed(self.last, computed(self.hidden, read, "gelu"), "none")

    def forward(self, read: Tensor) -> Tensor:
        return (_USUAL * self.log_of(read).exp()).clamp_max(_MOST)

    @staticmethod
    def target(errors: Tensor, least: float) -> Tensor:
        """What `log_of` should give for errors of this size, which count as `least` at least."""
        return (errors.abs().clamp_min(least) / _USUAL).log()


class SpreadDecoder(ResidualDecoder):
    """A trained decoder and a head beside its layers: value, then half-width."""

    channels = 2

    def __init__(self, decoder: ResidualDecoder, head: SpreadHead) -> None:
        nn.Module.__init__(self)  # the layers are those of the decoder
        self.place, self.hidden, self.last = decoder.place, decoder.hidden, decoder.last
        self.head = head

    def read(self, entered: Tensor) -> Tensor:
        x = nn.functional.gelu(entered)
        return torch.cat([self.read_activated(x), self.head(x)], dim=-1)

    def layers(self) -> list[nn.Linear]:
        return [*super().layers(), self.head.hidden, self.head.last]

    def gelu_chain(self) -> list[nn.Linear] | None:
        return None


def with_spread(network: ImplicitVoxelNetwork, head: SpreadHead) -> ImplicitVoxelNetwork:
    """A network of the same layers, in the same memory, that tells half-widths as well.

    Raises TypeError for a network that does not correct an interpolation.
    """
    if not isinstance(network.decoder, ResidualDecoder):
        raise TypeError("half-widths are those of a residual decoder")
    with torch.device("meta"):
        told = ImplicitVoxelNetwork(network.config)
    told.encoder, told.modulation = network.encoder, network.modulation
    told.decoder = SpreadDecoder(network.decoder, head)
    return told.train(network.training)
