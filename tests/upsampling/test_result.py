"""What a result may be: nothing below what was measured, where nothing negative was."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from tests.engine.thin import lively_network
from tests.phantoms import volume

from arssr.api import Model
from arssr.field import VoxelField
from arssr.files import sidecar
from arssr.formats.kind import PROBABILITIES, Kind
from arssr.jobs.job import Job
from arssr.jobs.running import run
from arssr.transforms.transform import Affine, Transform
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target
from arssr.volume import Storage, Volume
from arssr.weights.registry import Weights

THICK = np.diag([1, 1, 3, 1.0])


def model_of(flavour: str = "residual") -> Model:
    network = lively_network("light", flavour)
    return Model(Weights("lively", network, {}, Path(__file__)), "cpu", "float32")


def blocks(lowest: float = 0.0, seed: int = 0) -> Volume:
    """Sharp edges, which every interpolation overshoots."""
    coarse = np.random.default_rng(seed).integers(0, 2, (4, 5, 3))
    data = 100 * np.kron(coarse, np.ones((3, 3, 2)))
    data[::2] += 2  # label maps are smoother
    return volume(lowest + data, THICK)


@pytest.mark.parametrize("lowest", [0.0, 40.0])
@pytest.mark.parametrize(
    "target", [{"scale": 2}, {"spacing": (1.7, 1.7, 3)}, {"scale": (2, 2, 0.6)}]
)
def test_nothing_goes_below_the_lowest_of_a_scan_without_negative_values(
    lowest: float, target: dict[str, object]
) -> None:
    """Where a network is asked, and where the grid is only coarser; all else stays as it was."""
    model, scan = model_of(), blocks(lowest)
    free = model.upsample(scan, **target, clamp=False).data  # type: ignore[arg-type]
    clamped = model.upsample(scan, **target).data  # type: ignore[arg-type]
    assert free.min() < lowest
    np.testing.assert_array_equal(clamped, np.maximum(free, np.float32(lowest)))


def test_a_scan_with_negative_values_is_as_free_as_the_field() -> None:
    model, scan = model_of(), blocks(-40)
    free, default = (model.upsample(scan, scale=2, clamp=c) for c in (False, True))
    np.testing.assert_array_equal(free.data, default.data)
    assert default.data.min() < -40


def test_what_is_never_clamped() -> None:
    """A field, a result that agrees with the scan, the paper's flavour, probabilities."""
    model, scan, grid = model_of(), blocks(), blocks().grid.scaled(2)
    assert model.field(scan).on(grid).data.min() < 0
    assert model.upsample(scan, scale=2, consistent=True, noise=0).data.min() < 0
    # which ends in a ReLU, so that only what it is not asked for overshoots
    assert model_of("paper").upsample(scan, spacing=(1.7, 1.7, 3)).data.min() < 0
    shares = replace(scan, kind=Kind(PROBABILITIES, "a test says so"))
    with pytest.warns(UserWarning, match="probabilities"):
        assert model.upsample(shares, scale=2).data.min() == 0


def test_a_scan_is_clamped_through_a_transform() -> None:
    model, scan = model_of(), blocks(40)
    turn = Affine(np.array([[0.9, 0.1, 0, 0], [-0.1, 0.9, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    ask = {"like": scan.grid.scaled(1.5), "transform": Transform((turn,))}
    free, clamped = (model.upsample(scan, **ask, clamp=c).data for c in (False, True))  # type: ignore[arg-type]
    np.testing.assert_array_equal(clamped, np.maximum(free, 40))
    assert free.min() < 40


@pytest.mark.parametrize(
    "stored", [("i2", 1, 0), ("u1", 0.5, 7.0), ("i2", -2.0, 300.0), ("f4", 1, 0)]
)
def test_jobs_clamp_what_they_store(stored: tuple[str, float, float], tmp_path: Path) -> None:
    """Whatever integers mean; the sidecar says where."""
    kind, slope, inter = stored
    scan = replace(blocks(40), storage=Storage(kind, slope, inter))
    path = scan.write(tmp_path / "scan.nii")
    lowest = Volume.read(path).data.min()
    for clamp in (True, False):
        out = tmp_path / f"{clamp}.nii"
        run(model_of(), Job(path, out, Request(Target(scale=2), clamp=clamp)))
        facts = json.loads(sidecar(out).read_text())
        found = Volume.read(out).data.min()
        assert facts["clamped_at"] == (lowest if clamp else None)
        assert facts["options"].get("clamp", True) == clamp
        assert found == lowest if clamp else found < lowest


def test_slabs_are_clamped_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = blocks(40).write(tmp_path / "scan.nii"), tmp_path / "out.nii"

    def finished(*given: Any) -> Iterator[tuple[np.ndarray]]:
        [finish] = given[-1]
        return ((finish.here(np.full((24, 30, 4), v, np.float32)),) for v in (1, 99, 2))

    monkeypatch.setattr(VoxelField, "finished", finished)
    run(model_of(), Job(path, out, Request(Target(scale=2))))
    np.testing.assert_array_equal(np.unique(nib.load(out).get_fdata()), [40, 99])


@pytest.mark.parametrize(("lows", "told"), [((40, 10), 10), ((40, -10), None)])
def test_each_frame_is_clamped_at_its_own_lowest(
    lows: tuple[float, float], told: float | None, tmp_path: Path
) -> None:
    frames = np.stack([blocks(low).data for low in lows], axis=-1)
    nib.save(nib.Nifti1Image(frames, THICK), tmp_path / "bold.nii")
    run(
        model_of(),
        Job(tmp_path / "bold.nii", tmp_path / "o.nii", Request(Target(scale=2), frames=True)),
    )
    found = nib.load(tmp_path / "o.nii").get_fdata().min(axis=(0, 1, 2))
    assert found[0] == lows[0] and (found[1] == lows[1]) == (lows[1] > 0)
    assert json.loads((tmp_path / "o.json").read_text())["clamped_at"] == told
