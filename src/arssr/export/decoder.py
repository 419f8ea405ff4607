"""The decoder as an ONNX graph: features and places in, values out; as many places as you like."""

import math
from itertools import product

from onnx import TensorProto
from torch import nn

from arssr.export.graph import Graph
from arssr.networks import ImplicitVoxelNetwork
from arssr.networks.decoder import PaperDecoder, ResidualDecoder


def write_decoder(g: Graph, network: ImplicitVoxelNetwork) -> str:
    """features (i, j, k, F), start (3,), positions (points, 3) and one more → values (points,).

    It is `ImplicitVoxelNetwork.decode` for the features of a part of an image that begins at voxel
    `start`. Positions are voxel coordinates of the whole image. The residual flavour takes the
    cell (3,) too, the paper's the shape (3,) of the whole image.
    """
    features = g.input("features", ["i", "j", "k", network.config.feature_dim])
    start = g.input("start", [3])
    positions = g.input("positions", ["points", 3])
    decoder = network.decoder
    inside = g("Sub", positions, start)
    read = _read_trilinear(g, features, inside, decoder.zeros_outside)
    if isinstance(decoder, PaperDecoder):
        return _paper(g, decoder, read, positions)
    if isinstance(decoder, ResidualDecoder):
        return _residual(g, decoder, read, inside)
    raise TypeError(f"no graph for a {type(decoder).__name__}")


def _paper(g: Graph, decoder: PaperDecoder, read: str, positions: str) -> str:
    """See `PaperDecoder`."""
    steps = g("Div", g.constant(2.0), g.input("shape", [3]))
    edge_to_edge = g("Mul", g("Add", positions, g.constant(0.5)), steps)
    entered = g("Concat", read, g("Sub", edge_to_edge, g.constant(1.0)), axis=1)
    second = g("Add", entered, _relu_chain(g, decoder.stage_one, entered))
    return g("Squeeze", _relu_chain(g, decoder.stage_two, second), g.constant([1]))


def _relu_chain(g: Graph, stage: nn.Sequential, x: str) -> str:
    for layer in stage:
        x = g.linear(x, layer) if isinstance(layer, nn.Linear) else g("Relu", x)
    return x


def _residual(g: Graph, decoder: ResidualDecoder, read: str, positions: str) -> str:
    """See `ResidualDecoder`; of positions only the place inside the voxel counts."""
    phase = g("Mul", positions, g.constant(2 * math.pi))
    weight, of_cell = decoder.place.weight.T.split((6, 3))
    share = g("MatMul", g.input("cell", [3]), g.constant(of_cell))
    place = g("MatMul", g("Concat", g("Sin", phase), g("Cos", phase), axis=1), g.constant(weight))
    place = g("Add", place, g("Add", share, g.constant(decoder.place.bias)))
    x = _gelu(g, g("Add", read, place))
    for layer in decoder.hidden:
        x = _gelu(g, g.linear(x, layer))  # type: ignore[arg-type]
    return g("Squeeze", g.linear(x, decoder.last), g.constant([1]))


def _gelu(g: Graph, x: str) -> str:
    """x Φ(x); an operator of its own only from opset 20 on."""
    erf = g("Erf", g("Mul", x, g.constant(math.sqrt(0.5))))
    return g("Mul", g("Mul", x, g.constant(0.5)), g("Add", erf, g.constant(1.0)))


def _read_trilinear(g: Graph, features: str, positions: str, zeros_outside: bool) -> str:
    """`sample_trilinear` of features (I, J, K, F) at voxel coordinates (P, 3): (P, F).

    By picking the eight voxels around: GridSample knows no volumes before opset 20.
    """
    dims = g("Shape", features, end=3)
    last = g("Cast", g("Sub", dims, g.constant([1])), to=TensorProto.FLOAT)

    def into(places: str) -> str:
        return g("Max", g("Min", places, last), g.constant(0.0))

    if not zeros_outside:
        positions = into(positions)
    lower = g("Floor", positions)
    above = g("Sub", positions, lower)
    _, j, k = g.several(3, "Split", dims, axis=0)
    strides = g("Concat", g("Mul", j, k), k, g.constant([1]), axis=0)

    def along_axes(places: str, weight: str) -> list[tuple[str, str]]:
        """Of voxels (P, 3), for each axis, their share of the row to pick and of the weight."""
        picked = into(places)
        if zeros_outside:
            there = g("Cast", g("Equal", picked, places), to=TensorProto.FLOAT)
            weight = g("Mul", weight, there)
        rows = g("Mul", g("Cast", picked, to=TensorProto.INT64), strides)
        split = (g.several(3, "Split", each, axis=1) for each in (rows, weight))
        return list(zip(*split, strict=True))

    one = g.constant(1.0)
    ends = (along_axes(lower, g("Sub", one, above)), along_axes(g("Add", lower, one), above))
    width = g("Shape", features, start=3)
    table = g("Reshape", features, g("Concat", g.constant([-1]), width, axis=0))
    total = ""
    for along_i, along_j, along_k in product(*zip(*ends, strict=True)):
        row = g("Add", g("Add", along_i[0], along_j[0]), along_k[0])
        weight = g("Mul", g("Mul", along_i[1], along_j[1]), along_k[1])
        feature = g("Gather", table, g("Squeeze", row, g.constant([1])))
        share = g("Mul", feature, weight)
        total = g("Add", total, share) if total else share
    return total
