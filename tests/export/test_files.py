"""What lies in exported files."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import onnx
import pytest
from tests.phantoms import tiny_network

from arssr.errors import ArSSRError
from arssr.export.files import export_onnx, metadata
from arssr.weights.files import save_weights
from arssr.weights.registry import load


def test_both_files_pass_the_full_check_and_say_whose_they_are(tmp_path: Path) -> None:
    weights = load("light")
    for path in export_onnx(weights, tmp_path / "new" / "mine.onnx"):
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        [entry] = model.metadata_props
        said = json.loads(entry.value)
        assert said == json.loads(json.dumps(metadata(weights)))
        assert said["sha256"] == weights.sha256
        assert said["card"]["licence"] == "CC BY 4.0" and said["card"]["credit"]
        assert said["halo"] == weights.network.encoder.radius + 1
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["mine-decoder.onnx", "mine-encoder.onnx"]


def test_sizes_are_free(tmp_path: Path) -> None:
    encoder, decoder = (onnx.load(p).graph for p in export_onnx(load("light"), tmp_path / "x.onnx"))

    def dims(value: onnx.ValueInfoProto) -> list[int | str]:
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    assert dims(encoder.input[0]) == ["i", "j", "k"]
    assert dims(encoder.output[0])[:3] == ["i", "j", "k"]
    assert dims(decoder.output[0]) == ["points"]


@pytest.mark.parametrize(("card", "normalises"), [({}, True), ({"recipe": {}}, False)])
def test_networks_trained_on_files_as_they_are_say_so(
    card: dict[str, object], normalises: bool, tmp_path: Path
) -> None:
    path = tmp_path / "paper.safetensors"
    save_weights(path, tiny_network("light", "paper"), card)
    said = metadata(load(path))
    assert (said["normalisation"] is not None) == normalises
    assert not said["corrects"] and said["acquisitions"] == []


def test_both_files_are_written_or_none(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    (tmp_path / "x-decoder.onnx").write_text("mine")
    with full_disk(100_000), pytest.raises(ArSSRError, match="cannot write"):  # for the encoder
        export_onnx(load("light"), tmp_path / "x.onnx")
    [kept] = tmp_path.iterdir()
    assert kept.read_text() == "mine"


def test_a_folder_in_the_place_of_one_leaves_none(tmp_path: Path) -> None:
    (tmp_path / "x-encoder.onnx").mkdir()
    with pytest.raises(ArSSRError, match="is a folder"):
        export_onnx(load("light"), tmp_path / "x.onnx")
    assert [each.name for each in tmp_path.iterdir()] == ["x-encoder.onnx"]
