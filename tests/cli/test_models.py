"""`arssr models` and `arssr info`."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.formats.enhanced import frames_of, write_enhanced
from tests.phantoms import anatomy, smooth, tiny_network, volume, zero_filled

from arssr.files import sha256
from arssr.grid import Grid
from arssr.scan import as_measured
from arssr.volume import Storage, Volume
from arssr.weights import registry
from arssr.weights.files import save_weights

from .conftest import Arssr

CARD = {
    "hours": 1.5,
    "device": "a CPU",
    "licence": "CC0",
    "results": {
        "told": {
            "gain": {
                "all": {"mean": 0.5, "worst": 0.25, "wins": 6, "losses": 1},
                "settings": [
                    {"wiener": 0.25, "ssim_wins": 3, "ssim_losses": 0},
                    {"wiener": 0.5, "ssim_wins": 2, "ssim_losses": 2},
                ],
            }
        },
        "scanners": {
            "gain": {
                "all": {"mean": -0.5, "worst": -2.0, "wins": 0, "losses": 7},
                "settings": [{}, {}],  # of a card from before it had these
            }
        },
    },
}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Two shipped models: one with a card, one that nothing is known of."""
    files = {name: tmp_path / f"{name}.safetensors" for name in ("known", "unknown")}
    save_weights(files["known"], tiny_network(), CARD)
    save_weights(files["unknown"], tiny_network("rescnn"), {})
    monkeypatch.setattr(registry, "shipped", lambda: files)
    return files


def test_a_table_of_what_ships(arssr: Arssr, shipped: dict[str, Path]) -> None:
    result = arssr("models")
    assert result.code == 0 and result.err == ""
    lines = [line.strip("│ ").split("│") for line in result.out.splitlines() if "│" in line]
    ideal, realistic, unknown, _ = ([cell.strip() for cell in line] for line in lines)
    assert ideal == ["known", "ideal", "+0.50", "+0.25", "+0.38", "6/1", "5/2", "CC0"]
    assert realistic == ["realistic", "-0.50", "-2.00", "?", "0/7", "?"]
    assert unknown == ["unknown", "ideal", *"?????", "not stated"]


def test_models_as_json(arssr: Arssr, shipped: dict[str, Path]) -> None:
    known, unknown = json.loads(arssr("models", "--json").out)
    assert known == {"name": "known", "sha256": sha256(shipped["known"]), "card": CARD}
    assert unknown["card"] == {}


def test_what_is_known_of_a_model(arssr: Arssr, shipped: dict[str, Path], tiny: Path) -> None:
    by_name = json.loads(arssr("info", "known", "--json").out)
    assert by_name["licence"] == "CC0" and by_name["config"]["encoder"] == "light"
    assert by_name["parameters"] == tiny_network().parameter_count
    by_path = arssr("info", tiny)
    assert by_path.code == 0 and "note: random" in by_path.out and "light encoder" in by_path.out


def test_where_an_image_lies_and_how_it_is_stored(arssr: Arssr, tmp_path: Path) -> None:
    grid = volume(np.zeros((5, 6, 7)), np.diag([-1, 2, 3, 1.0])).grid
    data = 10 * np.rint(100 * smooth((5, 6, 7))) - 300
    image = Volume(data, grid, storage=Storage("int16", 10, -300))
    path = image.write(tmp_path / "scan [1].nii.gz")
    facts = json.loads(arssr("info", path, "--json").out)
    assert set(facts.pop("resolution")) == {"i", "j", "k"}
    assert facts == {
        "image": "scan [1].nii.gz",
        "samples": "intensities",
        "shape": [5, 6, 7],
        "spacing_mm": [1, 2, 3],
        "extent_mm": [5, 12, 21],
        "orientation": "LAS",
        "affine": grid.affine.tolist(),
        "slices": None,
        "stored_as": "int16",
        "slope": 10,
        "intercept": -300,
        "range": [-300, 700],
        "warnings": [],
    }
    shown = arssr("info", path)
    assert shown.code == 0 and "image: scan [1].nii.gz" in shown.out

    described = {"SliceThickness": 2.4, "MRAcquisitionType": "2D"}
    (tmp_path / "scan [1].json").write_text(json.dumps(described))
    facts = json.loads(arssr("info", path, "--json").out)
    assert facts["slices"] == {
        "axis": "k",
        "thickness_mm": 2.4,
        "distance_mm": 3,
        "acquired_in_3d": False,
    }
    assert "  thickness_mm: 2.4" in arssr("info", path).out


def test_what_there_is_to_choose_from_in_dicom(arssr: Arssr, tmp_path: Path) -> None:
    stored, grid = np.arange(120, dtype=np.int16).reshape(6, 5, 4), Grid((6, 5, 4), np.eye(4))
    echoes = [f for ms in (5.0, 10.0) for f in frames_of(stored, grid, echo_ms=ms)]
    path = write_enhanced(tmp_path / "in" / "1.dcm", echoes)
    for source in (path, path.parent):
        lines = arssr("info", source).out.splitlines()
        assert [line[:32] for line in lines] == [
            "5.1 't1_mprage', echo 1, TE 5 ms",
            "5.2 't1_mprage', echo 2, TE 10 m",
        ]
        images = json.loads(arssr("info", source, "--json").out)["images"]
        assert [image["series"] for image in images] == ["5.1", "5.2"]
    one = json.loads(arssr("info", path, "--series", "echo 2", "--json").out)
    assert one["shape"] == [6, 5, 4]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nothing.nii", "no such file"),
        ("nothing.safetensors", "no such weight file"),
        ("nothing", "no weights 'nothing'"),
        ("nothing.dcm", "no such file"),
        ("knwon", "did you mean known?"),
    ],
)
def test_what_is_not_there(
    arssr: Arssr, shipped: dict[str, Path], tmp_path: Path, name: str, reason: str
) -> None:
    assert reason in arssr("info", tmp_path / name if "." in name else name).complaint


def test_which_voxels_an_image_was_measured_on(arssr: Arssr, tmp_path: Path) -> None:
    data = zero_filled(anatomy((64, 72, 20)), axis=0, share=0.6)
    path = volume(data).write(tmp_path / "scan.nii.gz")
    facts = json.loads(arssr("info", path, "--json").out)
    found, of_it = facts["resolution"], facts["super_resolved_from_mm"]
    assert of_it[1:] == [1, 1] and 1.4 < of_it[0] < found["i"]["measured_mm"]
    cut = as_measured(Volume.read(path)).describe()["cut_to_band"]
    assert of_it == cut["spacing_mm"]  # the same number as in the sidecar of a result
    for mm in (of_it[0], found["i"]["measured_mm"]):
        assert f"{mm:.3g}" in cut["in_words"]
    assert [found[axis]["ends"] for axis in "ijk"] == ["sharp", "full", "unknown"]
    assert found["i"]["share_of_stored_band"] == pytest.approx(0.6, abs=0.05)
    words = arssr("info", path).out
    assert "  i: zero-filled: " in words and "  k: too few samples" in words


def test_a_card_is_a_page_that_says_what_weights_are_for(arssr: Arssr) -> None:
    """Of shipped weights: what they are for first, then a line for every setting; no recipe."""
    shown = arssr("info", "light")
    lines = shown.out.splitlines()
    assert shown.code == 0 and len(lines) < 90
    assert lines[0].startswith("weights: light (light encoder") and "For every scan" in lines[1]
    assert "scale 1 to 4 per axis, 1 to 6 along one thick axis" in shown.out
    assert "slice-gap20 2" in shown.out and "muon" not in shown.out
    assert json.loads(arssr("info", "light", "--json").out)["recipe"]["optimiser"] == "muon"
