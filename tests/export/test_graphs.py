"""The graphs compute what the network computes, whatever the sizes."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.own_encoder import UShaped
from tests.phantoms import tiny_network

from arssr.errors import ArSSRError
from arssr.export.decoder import write_decoder
from arssr.export.encoder import write_encoder
from arssr.export.graph import Graph
from arssr.networks import ImplicitVoxelNetwork

NETWORKS = [(e, f) for e in ("rdn", "rescnn", "srresnet", "light") for f in ("residual", "paper")]
SIZE = st.integers(1, 6)


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def run(graph: onnxruntime.InferenceSession, **known: Any) -> np.ndarray:
    inputs = {i.name: np.asarray(known[i.name], np.float32) for i in graph.get_inputs()}
    return graph.run(None, inputs)[0]


def sessions(network: ImplicitVoxelNetwork) -> list[onnxruntime.InferenceSession]:
    width = network.config.feature_dim
    encoder, decoder = Graph("encoder"), Graph("decoder")
    return [
        session(
            encoder.model(write_encoder(encoder, network), "features", ["i", "j", "k", width], {})
        ),
        session(decoder.model(write_decoder(decoder, network), "values", ["points"], {})),
    ]


@pytest.mark.parametrize(("encoder", "flavour"), NETWORKS)
def test_values_are_those_of_the_network(encoder: str, flavour: str) -> None:
    network = tiny_network(encoder, flavour).eval()
    for layer in network.decoder.layers():
        layer.weight.data.mul_(2)  # or a random network says next to nothing
    encode, decode = sessions(network)

    @settings(max_examples=10)
    @given(st.tuples(SIZE, SIZE, SIZE), st.integers(0, 99), st.sampled_from([None, 0.03]))
    def same(shape: tuple[int, int, int], seed: int, noise: float | None) -> None:
        random = np.random.default_rng(seed)
        image = random.uniform(-1.5, 2.5, shape).astype(np.float32)
        positions = random.uniform(-1.5, np.add(shape, 0.5), (50, 3)).astype(np.float32)
        cell = random.uniform(0.2, 1, 3).astype(np.float32)
        told = network.condition(("kspace", "slice", "unknown"), noise)
        with torch.no_grad():
            features = network.encode(
                torch.from_numpy(image)[None, None], None if told is None else told[None]
            )
            where = (torch.from_numpy(x)[None] for x in (positions, cell))
            expected = network.decode(features, *where)[0, :, 0].numpy()
        found = run(encode, image=image, condition=told)
        assert np.allclose(found, features[0].permute(1, 2, 3, 0), rtol=1e-4, atol=1e-5)
        start = random.integers(0, 300, 3)
        if flavour == "residual":  # the paper's flavour knows where in the whole image it is
            values = run(
                decode, features=found, start=start, positions=positions + start, cell=cell
            )
            assert np.allclose(values, expected, rtol=1e-3, atol=1e-4)
        values = run(
            decode, features=found, start=np.zeros(3), positions=positions, cell=cell, shape=shape
        )
        assert np.allclose(values, expected, rtol=1e-4, atol=1e-5)

    same()


def test_a_tile_of_the_papers_flavour_is_read_where_it_lies() -> None:
    network = tiny_network("light", "paper").eval()
    encode, decode = sessions(network)
    reach = network.encoder.radius + 1
    image = np.random.default_rng(0).random((2 * reach + 9, 5, 4), np.float32)
    positions = np.array([[reach + 4.3, 1.2, 2.6]])
    whole = run(encode, image=image)
    tile = run(encode, image=image[4:])
    asked = {"positions": positions, "shape": image.shape}
    expected = run(decode, features=whole, start=[0, 0, 0], **asked)
    assert np.allclose(run(decode, features=tile, start=[4, 0, 0], **asked), expected, atol=1e-6)
    assert not np.allclose(run(decode, features=tile, start=[0, 0, 0], **asked), expected)


def test_an_encoder_that_says_nothing_of_its_parts_is_refused() -> None:
    network = tiny_network()
    network.encoder = UShaped(network.config.in_channels, network.config.feature_dim)
    with pytest.raises(ArSSRError, match="does not say what it is made of"):
        write_encoder(Graph("encoder"), network)
