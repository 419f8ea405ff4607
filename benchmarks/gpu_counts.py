"""What a GPU is given to do: work and operators of a push of planes and of a decoded block.

python benchmarks/gpu_counts.py: counts, which are the same everywhere; bench_gpu.py has seconds.
"""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from arssr.engine.decoding import on_gpu
from arssr.engine.encoding.costs import PUSHED_VOXELS
from arssr.engine.encoding.encode import encode_box
from arssr.engine.encoding.footprint import footprint
from arssr.engine.plan import decoder_flops
from arssr.networks import ImplicitVoxelNetwork, ModelConfig
from arssr.networks.encoders import ENCODERS

# operators that compute nothing
_VIEWS = {"alias", "as_strided", "chunk", "detach", "empty", "empty_like", "empty_strided"}
_VIEWS |= {"expand", "new_empty", "permute", "select", "slice", "split", "t", "transpose"}
_VIEWS |= {"unsqueeze", "_unsafe_view", "view"}
_SHAPE, _PLANES = (64, 6, 6), 8


class Operators(TorchDispatchMode):
    """Counts what is computed: at least one kernel launch each."""

    count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        self.count += func.overloadpacket.__name__ not in _VIEWS
        return func(*args, **(kwargs or {}))


def push(encoder: str) -> tuple[float, int]:
    """Floating-point operations and operators of one push of planes through an encoder."""
    with torch.device("meta"):  # nothing is computed there, and in a GPU's way
        network = ImplicitVoxelNetwork(ModelConfig("residual", encoder, 64, 4, 64)).eval()
        image, condition = torch.rand(_SHAPE), torch.zeros(network.config.condition_channels)
    flops = footprint(network).flops * PUSHED_VOXELS["cuda"]
    core = tuple(slice(0, n) for n in _SHAPE)
    portions = encode_box(network, image, condition, core, (0, 1, 2), _PLANES)  # type: ignore[arg-type]
    next(portions)  # fills the layers
    with Operators() as operators:
        next(portions)
    return flops, operators.count


def main() -> None:
    print("encoder    TFLOP per push  operators per push")
    for encoder in ENCODERS:
        flops, operators = push(encoder)
        print(f"{encoder:10} {flops / 1e12:14.2f} {operators:19}")
    network, lattice = on_gpu.trial(torch.device("cpu"), torch.float32, 4, 64)
    with torch.no_grad(), Operators() as operators:
        on_gpu.decode_plainly(network, lattice)
    print(f"operators to interpolate and decode a block: {operators.count}")
    for width in (64, 128, 256):
        network = ImplicitVoxelNetwork(ModelConfig("residual", "light", width, 4, width))
        print(f"kFLOP to decode a voxel, width {width}: {decoder_flops(network) / 1e3:.1f}")


if __name__ == "__main__":
    main()
