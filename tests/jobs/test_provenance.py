"""The sidecar: what it takes to make a result again."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.phantoms import smooth, tiny_config, tiny_network, volume

from arssr.api import load_model
from arssr.engine import out_of_memory
from arssr.errors import ArSSRError
from arssr.files import sha256
from arssr.formats.slices import Slices
from arssr.jobs.provenance import describe, write_sidecar
from arssr.volume import Volume
from arssr.weights.files import save_weights


def test_a_result_is_described_by_plain_values(tmp_path: Path) -> None:
    weights = tmp_path / "tiny.safetensors"
    save_weights(weights, tiny_network(), {})
    model = load_model(weights, "cpu", "float32")
    scan = Volume.read(
        volume(smooth((5, 6, 4)), np.diag([-1, 1, 2.5, 1])).write(tmp_path / "a.nii")
    )
    field = model.field(scan, noise=0.25)
    result = field.on(scan.grid.scaled(2))
    facts = describe(scan, result.grid, {"scale": 2}, model, field)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["model"] == {
        "name": "tiny",
        "sha256": sha256(weights),
        "licence": "not stated",
        "config": tiny_config().to_dict(),
    }
    assert facts["input"] == {
        "file": "a.nii",
        "sha256": sha256(tmp_path / "a.nii"),
        "shape": [5, 6, 4],
        "spacing_mm": [1, 1, 2.5],
        "orientation": "LAS",
        "slices": None,
    }
    assert facts["output"] == {
        "shape": [10, 12, 8],
        "spacing_mm": [0.5, 0.5, 1.25],
        "orientation": "LAS",
    }
    assert facts["air_skipped"] == field.air == 0
    assert facts["told"] == {"acquisition_ijk": ["kspace", "kspace", "slice"], "noise": 0.25}
    assert facts["options"] == {"scale": 2}
    assert (facts["device"], facts["precision"]) == ("cpu", "float32")
    assert facts["versions"].keys() == {"arssr", "torch", "numpy", "python"}
    age = datetime.now(UTC) - datetime.fromisoformat(facts["created"])
    assert timedelta(0) <= age < timedelta(minutes=1)


def test_a_faint_noise_is_not_rounded_away(tmp_path: Path) -> None:
    weights = tmp_path / "tiny.safetensors"
    save_weights(weights, tiny_network(), {})
    model = load_model(weights, "cpu", "float32")
    scan = volume(1e-9 * smooth((5, 6, 4)))
    field = model.field(scan, noise=2.5e-10)
    facts = describe(scan, scan.grid, {}, model, field)
    assert facts["told"]["noise"] == facts["noise"] == pytest.approx(2.5e-10, rel=1e-5)


def test_why_an_axis_was_told_unknown_is_said(tmp_path: Path) -> None:
    save_weights(tmp_path / "tiny.safetensors", tiny_network(), {"name": "tiny"})
    model = load_model(tmp_path / "tiny.safetensors", "cpu", "float32")
    plain = volume(smooth((5, 6, 4)), np.diag([1, 1, 4, 1]))
    scan = replace(plain, slices=Slices(2, 3.0, 4.0))
    facts = describe(scan, scan.grid, {}, model, model.field(scan))
    assert facts["input"]["slices"] == {
        "axis": "k",
        "thickness_mm": 3,
        "distance_mm": 4,
        "acquired_in_3d": False,
    }
    assert facts["told"]["acquisition_ijk"] == ["kspace", "kspace", "unknown"]
    assert "slices of 3 mm every 4 mm along k" in facts["told"]["because"]
    assert json.loads(json.dumps(facts)) == facts
    named = {"acquisition": "slice"}
    facts = describe(scan, scan.grid, named, model, model.field(scan, **named))
    assert facts["told"]["acquisition_ijk"] == ["slice"] * 3 and "because" not in facts["told"]
    assert "because" not in describe(plain, scan.grid, {}, model, model.field(plain))["told"]


def test_an_image_made_in_memory_has_no_file() -> None:
    scan = volume(smooth((4, 4, 4)))
    facts = describe(scan, scan.grid, {})
    assert facts["input"]["file"] is None and facts["input"]["sha256"] is None


def test_without_a_network_none_is_named() -> None:
    scan = volume(smooth((4, 4, 4)))
    assert not {"model", "told", "device"} & describe(scan, scan.grid, {}).keys()


def test_the_sidecar_lies_beside_the_image_and_nothing_else_does(tmp_path: Path) -> None:
    path = write_sidecar(tmp_path / "Schädel 1.nii.gz", {"größe": "1×1", "n": [1, 2]})
    assert path == tmp_path / "Schädel 1.json"
    assert json.loads(path.read_text(encoding="utf-8")) == {"größe": "1×1", "n": [1, 2]}
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ArSSRError, match="cannot write"):
        write_sidecar(path / "under a file" / "a.nii", {})


def test_a_field_that_had_to_leave_its_device_says_where_it_was_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(out_of_memory, "fast_bf16", lambda _: False)
    weights = tmp_path / "tiny.safetensors"
    save_weights(weights, tiny_network(), {})
    model = load_model(weights, "cpu", "bf16")
    scan = volume(smooth((5, 6, 4)))
    field, other = model.field(scan), model.field(scan)
    field._runner.leave_gpu("out of memory")
    precisions = [
        describe(scan, scan.grid, {}, model, each)["precision"] for each in (field, other)
    ]
    assert precisions == ["float32", "bfloat16"] and model.precision == "bfloat16"
