"""Interpolating and decoding in one Triton kernel, which stores no intermediate values.

Step by step, each step of the decoder writes `width` numbers per output voxel and the next step
reads them again. A GPU multiplies far faster than it reads, so it would wait for its memory. In
this kernel a tile of output voxels stays in registers, from its features to its correction.

Triton is optional (PyTorch's CUDA builds bring it), so this module may only be imported inside a
function that expects the import to fail. `arssr.engine.decoding.on_gpu` measures whether the kernel
is worth its use.
"""

import math
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from arssr.engine.decoding.lattice import Lattice

# The output voxels of one program, along the axes. They are neighbours, which read the same
# features, and as many as eight warps keep in registers (no register spills:
# tests/engine/decoding/test_triton_kernel.py).
_TILE, _WIDE_TILE, _WARPS = (4, 4, 8), (4, 4, 4), 8
_SQRT_HALF = tl.constexpr(0.5**0.5)


@triton.jit
def _gelu(x):  # type: ignore[no-untyped-def]
    return 0.5 * x * (1 + tl.erf(x * _SQRT_HALF))


# The kernel is compiled once for all images.
@triton.jit(do_not_specialize=["n_i", "n_j", "n_k", "active_i", "active_j"])
def _kernel(  # type: ignore[no-untyped-def]
    out,
    features,
    active,
    index_i,
    index_j,
    index_k,
    weight_i,
    weight_j,
    weight_k,
    nearest_i,
    nearest_j,
    nearest_k,
    place_i,
    place_j,
    place_k,
    hidden_weight,
    hidden_bias,
    last_weight,
    last_bias,
    n_i,
    n_j,
    n_k,
    feature_i,
    feature_j,
    feature_k,
    active_i,
    active_j,
    WIDTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    TILE_I: tl.constexpr,
    TILE_J: tl.constexpr,
    TILE_K: tl.constexpr,
):
    """Write the corrections of one tile of an output of n_i × n_j × n_k voxels.

    Voxels that are not wanted are not written.

    feature_*, active_*: strides of both maps, whose last axes are contiguous. hidden_weight
    (HIDDEN, in, out).
    """
    tile, tiles_j, tiles_k = tl.program_id(0), tl.cdiv(n_j, TILE_J), tl.cdiv(n_k, TILE_K)
    m = tl.arange(0, TILE_I * TILE_J * TILE_K)
    i = tile // (tiles_j * tiles_k) * TILE_I + m // (TILE_J * TILE_K)
    j = tile // tiles_k % tiles_j * TILE_J + m // TILE_K % TILE_J
    k = tile % tiles_k * TILE_K + m % TILE_K
    inside = (i < n_i) & (j < n_j) & (k < n_k)
    # beyond the end the kernel computes the last voxel again, and does not store it
    i, j, k = tl.minimum(i, n_i - 1), tl.minimum(j, n_j - 1), tl.minimum(k, n_k - 1)

    a = tl.load(nearest_i + i).to(tl.int64) * active_i
    b = tl.load(nearest_j + j).to(tl.int64) * active_j
    wanted = inside & (tl.load(active + a + b + tl.load(nearest_k + k)) != 0)
    if tl.max(wanted.to(tl.int32), axis=0) > 0:
        f = tl.arange(0, WIDTH)
        x = tl.load(place_i + i[:, None] * WIDTH + f[None, :]).to(tl.float32)
        x += tl.load(place_j + j[:, None] * WIDTH + f[None, :]).to(tl.float32)
        x += tl.load(place_k + k[:, None] * WIDTH + f[None, :]).to(tl.float32)
        # not unrolled: loads of all corners together take too many registers
        for corner in range(8):
            at_i = corner // 4 * n_i + i
            at_j = corner // 2 % 2 * n_j + j
            at_k = corner % 2 * n_k + k
            voxel = tl.load(index_i + at_i).to(tl.int64) * feature_i
            voxel += tl.load(index_j + at_j).to(tl.int64) * feature_j
            voxel += tl.load(index_k + at_k).to(tl.int64) * feature_k
            share = tl.load(weight_i + at_i) * tl.load(weight_j + at_j) * tl.load(weight_k + at_k)
            x += share[:, None] * tl.load(features + voxel[:, None] + f[None, :]).to(tl.float32)
        x = _gelu(x)
        for layer in tl.static_range(HIDDEN):
            start = hidden_weight + layer * WIDTH * WIDTH
            weight = tl.load(start + f[:, None] * WIDTH + f[None, :])
            bias = tl.load(hidden_bias + layer * WIDTH + f).to(tl.float32)
            x = tl.dot(x.to(weight.dtype), weight, input_precision="ieee") + bias[None, :]
            x = _gelu(x)
        last = tl.load(last_weight + f).to(tl.float32)
        correction = tl.sum(x * last[None, :], axis=1) + tl.load(last_bias).to(tl.float32)
        place = (i.to(tl.int64) * n_j + j) * n_k + k
        tl.store(out + place, correction, mask=wanted)


def tile_of(width: int) -> tuple[int, int, int]:
    """Output voxels that one program computes, along each axis."""
    return _WIDE_TILE if width > 64 else _TILE


def decode_fused(chain: Sequence[nn.Linear], lattice: Lattice) -> Tensor:
    """Values (…, 1) float32 on the whole lattice; 0 where voxels are not active.

    chain: the decoder's layers, see `Decoder.gelu_chain`. The values are those of the decoder, to
    rounding: all sums are float32.
    """
    *hidden, last = chain
    width, like = last.in_features, last.weight
    weight = torch.stack([h.weight.mT for h in hidden]) if hidden else like
    bias = torch.stack([h.bias for h in hidden]) if hidden else like
    features, active, axes = lattice.features, lattice.active, lattice.axes
    if features.stride(3) != 1:
        features = features.contiguous()
    out = torch.zeros(lattice.shape, device=features.device)
    tile = tile_of(width)
    count = math.prod(triton.cdiv(n, size) for n, size in zip(lattice.shape, tile, strict=True))
    with torch.cuda.device_of(out):  # Triton launches on the current device
        _kernel[(count,)](
            out,
            features,
            active.view(torch.uint8),
            *(axis.index.contiguous() for axis in axes),
            *(axis.weight.contiguous() for axis in axes),
            *(axis.nearest for axis in axes),
            *(axis.place for axis in axes),
            weight.contiguous(),
            bias,
            like,
            last.bias,
            *lattice.shape,
            *features.stride()[:3],
            *active.stride()[:2],
            width,
            len(hidden),
            *tile,
            num_warps=_WARPS,
        )
    return out[..., None]
