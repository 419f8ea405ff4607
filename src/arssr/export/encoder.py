"""The encoder as an ONNX graph: a normalised image of any size in, features of its voxels out."""

from arssr.errors import ArSSRError
from arssr.export.graph import Graph
from arssr.networks import SEEN, ImplicitVoxelNetwork, parts
from arssr.networks.parts import Part


def write_encoder(g: Graph, network: ImplicitVoxelNetwork) -> str:
    """image (i, j, k) and, in the residual flavour, condition (n,) → features (i, j, k, F).

    It is `ImplicitVoxelNetwork.encode`, but for the order of the axes: the decoder picks features
    voxel by voxel. Raises ArSSRError for an encoder that does not say what it is made of.
    """
    made_of = network.encoder.parts()
    if made_of is None:
        raise ArSSRError(
            f"the encoder {network.config.encoder} does not say what it is made of "
            "(networks/parts.py), and cannot be exported"
        )
    x = g("Unsqueeze", g.input("image", ["i", "j", "k"]), g.constant([0, 1]))
    if network.modulation is None:
        return _voxel_by_voxel(g, _part(g, made_of, x))
    condition = g.input("condition", [network.config.condition_channels])
    seen = g("Clip", x, *(g.constant(end) for end in SEEN))
    everywhere = g("Unsqueeze", condition, g.constant([0, 2, 3, 4]))
    shape = g("Concat", g.constant([1, 1]), g("Shape", x, start=2), axis=0)
    features = _part(g, made_of, g("Concat", seen, g("Expand", everywhere, shape), axis=1))
    gating = g.linear(condition, network.modulation)
    gain, shift = g.several(2, "Split", gating, axis=0)
    gated = g("Mul", _voxel_by_voxel(g, features), g("Add", gain, g.constant(1.0)))
    return g("Add", gated, shift)


def _voxel_by_voxel(g: Graph, features: str) -> str:
    """(1, F, I, J, K) → (I, J, K, F)."""
    return g("Squeeze", g("Transpose", features, perm=[0, 2, 3, 4, 1]), g.constant([0]))


def _part(g: Graph, part: Part, x: str) -> str:
    """What a part of an encoder makes of x (1, C, I, J, K)."""
    match part:
        case parts.Layers(layers, shortcut):
            y = x
            for layer in layers:
                y = _layer(g, layer, y)
            return g("Add", x, y) if shortcut else y
        case parts.DenseBlock(layers):
            *dense, last = layers
            known = x
            for layer in dense:
                known = g("Concat", known, _layer(g, layer, known), axis=1)
            return g("Add", x, _layer(g, last, known))
        case parts.Chain(inner):
            for each in inner:
                x = _part(g, each, x)
            return x
        case parts.Residual(branch, width):
            first = g("Slice", x, *(g.constant([n]) for n in (0, width, 1)))
            return g("Add", _part(g, branch, x), first)
        case parts.Fusion(inner, conv):
            # summed part by part: the outputs of all are never there side by side
            weights = conv.weight.split(conv.in_channels // len(inner), dim=1)
            fused = g.constant(conv.bias[:, None, None, None])  # type: ignore[index]
            for each, weight in zip(inner, weights, strict=True):
                x = _part(g, each, x)
                fused = g("Add", fused, g("Conv", x, g.constant(weight)))
            return fused


def _layer(g: Graph, layer: parts.Layer, x: str) -> str:
    conv = layer.conv
    weight, bias = map(g.constant, (conv.weight, conv.bias))  # type: ignore[arg-type]
    y = g("Conv", x, weight, bias, pads=[int(n) for n in conv.padding] * 2)
    return g("Relu", y) if layer.relu else y
