"""Weights as two ONNX files: an encoder, which is run once, and a decoder, as often as you like."""

from pathlib import Path
from typing import Any

from arssr.export.about import about
from arssr.export.decoder import write_decoder
from arssr.export.encoder import write_encoder
from arssr.export.graph import Graph
from arssr.files import replacing
from arssr.intensity import plain_rule
from arssr.networks import LARGEST_CELL, NOISE_UNIT
from arssr.weights.registry import Weights


def onnx_files(out: Path) -> tuple[Path, Path]:
    """Where the encoder and the decoder go that `export_onnx` makes for NAME.onnx.

    >>> [path.name for path in onnx_files(Path("light.onnx"))]
    ['light-encoder.onnx', 'light-decoder.onnx']
    """
    encoder, decoder = (out.with_name(f"{out.stem}-{part}.onnx") for part in ("encoder", "decoder"))
    return encoder, decoder


def export_onnx(weights: Weights, out: Path) -> tuple[Path, Path]:
    """Write NAME-encoder.onnx and NAME-decoder.onnx for `out`, NAME.onnx; returns both.

    Two files, as a graph is run as a whole: in one, every chunk of places would be paid for with
    an encoding. Sizes of images and numbers of places are free; numbers are float32, and shapes
    those of `write_encoder` and `write_decoder`. Both carry what `metadata` says, and have passed
    ONNX's own full check. Raises ArSSRError for an encoder that cannot be written down, and where
    the files cannot be written.
    """
    network, told = weights.network, metadata(weights)
    width = network.config.feature_dim
    encoder, decoder = Graph("encoder"), Graph("decoder")
    one = encoder.model(write_encoder(encoder, network), "features", ["i", "j", "k", width], told)
    other = decoder.model(write_decoder(decoder, network), "values", ["points"], told)
    files = onnx_files(out)
    with replacing(files[0]) as first, replacing(files[1]) as second:  # both or none
        first.write_bytes(one.SerializeToString())
        second.write_bytes(other.SerializeToString())
    return files


def metadata(weights: Weights) -> dict[str, Any]:
    """What a program must know to use the graphs, as plain values (docs/onnx.md)."""
    network = weights.network
    told = network.modulation is not None
    return {
        **about(weights),
        "radius": network.encoder.radius,
        "halo": network.encoder.radius + 1,
        "corrects": network.corrects,
        "normalisation": plain_rule() if weights.normalises else None,
        "acquisitions": list(network.config.acquisitions) if told else [],
        "noise_unit": NOISE_UNIT if told else None,
        "largest_cell": LARGEST_CELL,
    }
