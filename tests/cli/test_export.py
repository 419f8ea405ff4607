"""`arssr export`."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Arssr


def test_two_files_are_written_and_named(arssr: Arssr, tiny: Path, tmp_path: Path) -> None:
    result = arssr("export", tiny, "-o", tmp_path / "tiny.onnx", "--json")
    assert result.code == 0
    assert json.loads(result.out)["card"]["licence"] == "none"
    for part in ("encoder", "decoder"):
        path = tmp_path / f"tiny-{part}.onnx"
        assert path.is_file() and f"written: {path}" in result.err


def test_files_are_replaced_only_when_asked(arssr: Arssr, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "x-decoder.onnx").write_text("mine")
    assert "exists already" in arssr("export", tiny, "-o", tmp_path / "x.onnx").complaint
    assert not (tmp_path / "x-encoder.onnx").exists()
    assert arssr("export", tiny, "-o", tmp_path / "x.onnx", "--overwrite").code == 0
    assert (tmp_path / "x-decoder.onnx").read_bytes() != b"mine"


def test_another_format_is_a_usage_error(arssr: Arssr, tiny: Path, tmp_path: Path) -> None:
    assert arssr("export", tiny, "-o", tmp_path / "x.pt").code == 2


def test_without_onnx_a_sentence_says_what_to_install(
    arssr: Arssr, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arssr.extras.find_spec", lambda name: None)
    complaint = arssr("export", tiny, "-o", tmp_path / "x.onnx").complaint
    assert complaint == "arssr export needs onnx: pip install 'arssr[onnx]'"
