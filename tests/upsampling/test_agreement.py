"""What is told of a result's agreement with its scan is what `consistency` finds in the whole."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.thin import lively_network
from tests.phantoms import anatomy, rotated, smooth, volume

from arssr.api import Model
from arssr.consistency import Acquisition
from arssr.degradation import degrade, named_degradation
from arssr.errors import ArSSRError, ArSSRWarning
from arssr.field import VoxelField, silent
from arssr.files import sidecar
from arssr.formats.storage import Storage
from arssr.jobs.job import Job
from arssr.jobs.running import estimate, run
from arssr.on_device import samples_on
from arssr.transforms.transform import Affine, Transform
from arssr.upsampling.request import Request
from arssr.upsampling.result import Result, result_of, where_of
from arssr.upsampling.target import Target
from arssr.volume import Volume
from arssr.weights.registry import Weights

NAMES = ("kspace", "slice", "spline")
SCAN = volume(100 * smooth((9, 12, 7), sigma=1), np.diag([1, 1, 3, 1.0]))


def model(flavour: str = "residual") -> Model:
    network = lively_network("light", flavour)
    return Model(Weights("lively", network, {}, Path(__file__)), "cpu", "float32")


def made(request: Request, scan: Volume = SCAN, flavour: str = "residual") -> Result:
    return result_of(model(flavour), request, scan, where_of(request, scan), silent)


def on_the_whole(scan: Volume, result: Volume, told: tuple[str, ...]) -> float:
    acquisition = Acquisition(scan.grid, result.grid, told, scan.slices)
    return acquisition.residual(samples_on(scan.data), samples_on(result.data))


@settings(max_examples=40)
@given(
    names=st.tuples(*[st.sampled_from(NAMES)] * 3),
    scale=st.tuples(*[st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0])] * 3),
    turned=st.permutations(range(3)),
    flip=st.sets(st.integers(0, 2)),
    slabs=st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
def test_plane_by_plane_it_is_what_is_measured_of_the_whole(
    names: tuple[str, ...],
    scale: tuple[float, ...],
    turned: list[int],
    flip: set[int],
    slabs: list[int],
) -> None:
    fine = SCAN.grid.scaled(scale).flipped(tuple(flip))
    shape = tuple(fine.shape[axis] for axis in turned)
    target = type(fine)((shape[0], shape[1], shape[2]), fine.affine[:, [*turned, 3]])
    try:
        acquisition = Acquisition(SCAN.grid, target, names)
    except ArSSRError as error:
        assert "field of view" in str(error)
        return
    image = torch.from_numpy(smooth(target.shape, seed=1, sigma=0.5))
    measuring, done, number = acquisition.measuring(), 0, 0
    while done < target.shape[2]:
        planes = slabs[number % len(slabs)]
        measuring.take(image[..., done : done + planes])
        done, number = done + planes, number + 1
    np.testing.assert_allclose(measuring.whole(), acquisition.measure(image), atol=2e-6)


def test_planes_that_are_missing_are_no_answer() -> None:
    measuring = Acquisition(SCAN.grid, SCAN.grid.scaled(2), ("slice",) * 3).measuring()
    measuring.take(torch.zeros(18, 24, 3))
    with pytest.raises(RuntimeError, match="missing"):
        measuring.whole()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "ask",
    [
        {"target": Target(scale=2)},
        {"target": Target(scale=(1, 1, 3))},
        {"target": Target(scale=(1.5, 0.7, 2))},
        {"target": Target(scale=(1, 2, 2)), "ensemble": 4},
        {"target": Target(scale=2), "consistent": True, "noise": 0},
        {"target": Target(scale=2), "noise": 3.0, "clamp": False},
    ],
    ids=str,
)
def test_every_way_of_computing_tells_the_residual_of_what_it_made(
    name: str, ask: dict[str, Any]
) -> None:
    result = made(Request(acquisition=name, **ask))
    [whole] = result.whole()
    found, field = result.facts["agreement"], result.voxel_field
    assert field is not None
    residual = on_the_whole(field.volume, whole, field.acquisition_ijk)
    assert found["residual"] == pytest.approx(residual, rel=2e-3, abs=1e-4)
    if ask.get("noise"):
        assert found["times_noise"] == pytest.approx(residual / 3.0, rel=0.5)


@pytest.mark.parametrize(
    "stored",
    [("i2", 0.25, 0), ("u1", 0.5, 7.0), ("u2", 0.01, 0), (">i2", -2.0, 300.0), ("f4", 1, 0)],
)
def test_what_is_judged_is_what_the_file_holds(
    stored: tuple[str, float, float], tmp_path: Path
) -> None:
    """Rounded and clipped; however many planes come at a time."""
    scan = Volume(SCAN.data + 20, SCAN.grid, storage=Storage(*stored))
    path, out = scan.write(tmp_path / "scan.nii"), tmp_path / "out.nii"
    run(model(), Job(path, out, Request(Target(scale=2), acquisition="slice")))
    found = json.loads(sidecar(out).read_text())["agreement"]
    scan = Volume.read(path)
    assert found["residual"] == pytest.approx(
        on_the_whole(scan, Volume.read(out), ("slice",) * 3), rel=1e-3
    )


@pytest.mark.parametrize("ensemble", [1, 4])
def test_its_memory_is_planned_for(ensemble: int, tmp_path: Path) -> None:
    """That of what was measured, and of the planes that are added at a time."""
    path, held = SCAN.write(tmp_path / "scan.nii"), {}
    for name in ("slice", "unknown"):
        request = Request(Target(scale=2), acquisition=name, ensemble=ensemble)
        facts = estimate(model(), Job(path, tmp_path / "o.nii", request))
        held[name] = facts["memory_bytes"]["held"]
    voxels = SCAN.data.size
    assert held["slice"] - held["unknown"] == pytest.approx(10 * voxels + 12 * 8 * voxels)


def spoilt(truth: Volume, box: tuple[slice, ...]) -> Any:
    """What a field reads: the truth, but for a box."""

    def finished(_field: object, grid: object, _progress: object, finishes: Any) -> Iterator[Any]:
        [finish] = finishes
        data = truth.data.copy()
        data[box] = 0
        for start in range(0, data.shape[2], 5):
            yield (finish.here(np.ascontiguousarray(data[..., start : start + 5])),)

    return finished


TRUTH = volume(600 * anatomy((40, 36, 44), seed=3))
THICK = degrade(TRUTH, (1, 1, 4), named_degradation("slice"))
NOWHERE, ONE_PLACE = np.s_[:0, :0, :0], np.s_[18:24, 12:18, 16:24]


@pytest.mark.parametrize("box", [NOWHERE, ONE_PLACE], ids=["right", "spoilt"])
def test_a_result_that_was_spoilt_in_one_place_is_told(
    box: tuple[slice, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(VoxelField, "finished", spoilt(TRUTH, box))
    path, out = THICK.write(tmp_path / "scan.nii"), tmp_path / "out.nii"
    ask: dict[str, Any] = {"target": Target(scale=(1, 1, 4)), "acquisition": "slice"}
    facts = run(model(), Job(path, out, Request(**ask)))
    found, warnings = facts["agreement"], facts.get("warnings", [])
    assert found["agrees"] is (box is NOWHERE)
    assert any("does not agree" in each for each in warnings) is not found["agrees"]
    if box is ONE_PLACE:
        middle = TRUTH.grid.to_world([20.5, 14.5, 19.5])
        assert np.abs(middle - found["farthest"]["centre_ras_mm"]).max() < 5
        with pytest.raises(ArSSRError, match="does not agree"):
            run(model(), Job(path, tmp_path / "strict.nii", Request(strict=True, **ask)))
        assert not (tmp_path / "strict.nii").exists()
        with pytest.warns(ArSSRWarning, match="does not agree"):
            model().upsample(THICK, scale=(1, 1, 4), acquisition="slice")


def test_of_frames_the_farthest_is_told_once(tmp_path: Path) -> None:
    frames = [100 * smooth((6, 5, 4), seed, sigma=1) for seed in range(3)]
    alone = []
    request = Request(Target(scale=2), acquisition="slice", frames=True)
    for name, chosen in (*((str(n), [f]) for n, f in enumerate(frames)), ("all", frames)):
        path = tmp_path / f"{name}.nii"
        nib.save(nib.Nifti1Image(np.stack(chosen, axis=-1), np.eye(4)), path)
        facts = run(model(), Job(path, tmp_path / f"{name}_SR.nii", request))
        alone.append(facts["agreement"])
    together = alone.pop()
    worst = max(range(3), key=lambda n: alone[n]["farthest"]["residual"])
    assert together["frame"] == worst + 1
    assert together["residual"] == pytest.approx(alone[worst]["residual"], rel=1e-3)
    assert sum("does not agree" in each for each in facts["warnings"]) == 1


def banded() -> Volume:
    """Thick slices, every second one brighter."""
    clean = 200 * anatomy((80, 88, 48))[..., 2::4]
    return volume(clean * np.exp(0.06 * (-1.0) ** np.arange(12)), np.diag([1, 1, 4, 1.0]))


def test_an_evened_scan_is_what_a_result_is_compared_with_and_that_is_said() -> None:
    ask = {"target": Target(scale=(1, 1, 2)), "acquisition": "slice", "noise": 0.0}
    told = {}
    for evened in (True, False):
        result = made(Request(**ask, even_slices=evened), banded())
        result.whole()
        told[evened] = result.facts["agreement"]["in_words"]
    assert "with it, evened:" in told[True] or "from it, evened, by" in told[True]
    assert "evened" not in told[False]


def test_consistency_with_an_evened_scan_is_said_to_be_that() -> None:
    ask = {"target": Target(scale=(1, 1, 2)), "acquisition": "slice", "noise": 0.0}
    for evened, against in ((True, "against the evened scan"), (False, "against the scan")):
        result = made(Request(**ask, even_slices=evened, consistent=True), banded())
        result.whole()
        assert against in result.facts["consistency"]["in_words"]


def test_evened_samples_are_not_called_copied_and_nothing_else() -> None:
    for scan, method in ((banded(), "copied, slices evened"), (SCAN, "copied")):
        facts = made(Request(Target(like=scan.grid), even_slices=scan is not SCAN), scan).facts
        assert facts["method"] == method
        assert "no network" in facts["agreement"]["in_words"]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        ({"target": Target(scale=2), "acquisition": "unknown"}, "name its acquisition"),
        ({"target": Target(like=rotated(SCAN.grid, (5, 0, 0)))}, "oblique"),
        ({"target": Target(like=SCAN.grid.part(np.s_[2:7, 2:9, 1:5]).scaled(2))}, "field of view"),
        ({"target": Target(scale=1)}, "no network had a part"),
        (
            {
                "target": Target(like=SCAN.grid),
                "transforms": Transform((Affine(np.diag([1, 1, 1.1, 1])),)),
            },
            "another space",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_where_it_cannot_be_computed_the_facts_say_why(ask: dict[str, Any], words: str) -> None:
    result = made(Request(**ask))
    result.whole()
    said = result.facts["agreement"]["in_words"]
    assert said.startswith("not computed: ") and words in said
    assert not any("agree" in each for each in result.facts.get("warnings", []))


def test_labels_have_no_acquisition() -> None:
    labels = volume(np.kron(np.arange(8).reshape(2, 2, 2), np.ones((4, 4, 4))))
    facts = made(Request(Target(scale=2), labels=True), labels).facts
    assert "no network had a part" in facts["agreement"]["in_words"]


def test_a_voxel_that_coarser_ones_do_not_show_is_no_error() -> None:
    data = np.zeros((12, 12, 6), np.float32)
    data[5, 5, 3] = 7
    with pytest.warns(ArSSRWarning, match="fewer than 0.2 %"):
        model().upsample(volume(data), spacing=(3, 3, 0.5), acquisition="slice")
