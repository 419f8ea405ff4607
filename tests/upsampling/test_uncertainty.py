"""A second image beside the first: the same grid, in files together or not at all, and told of."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tests.engine.thin import lively_network
from tests.formats.series import write_series
from tests.phantoms import smooth, volume
from tests.telling import telling_weights

from arssr.api import Model
from arssr.errors import ArSSRError
from arssr.field import VoxelField
from arssr.files import sidecar
from arssr.formats.kind import LABELS, Kind
from arssr.grid import Grid
from arssr.jobs.job import Job
from arssr.jobs.resuming import what_is_left
from arssr.jobs.running import estimate, run
from arssr.transforms.transform import Affine, Transform
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target
from arssr.upsampling.uncertainty import HalfWidths
from arssr.volume import Volume
from arssr.weights.files import save_weights
from arssr.weights.interval import Interval, interval_of
from arssr.weights.registry import load

ASKED = Request(Target(scale=2), uncertainty=True)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(load(telling_weights(tmp_path / "weights")), "cpu", "float32")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Integers, as scanners store them."""
    data = np.rint(400 + 900 * smooth((8, 7, 6), sigma=1))
    image = volume(data, np.diag([1, 1, 3, 1.0])).stored_as("int16")
    return image.write(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mgz", ".nrrd", ".mha"])
def test_two_files_of_one_grid_and_the_first_is_as_without(
    model: Model, scan: Path, tmp_path: Path, suffix: str
) -> None:
    facts = run(model, Job(scan, tmp_path / f"both{suffix}", ASKED))
    run(model, Job(scan, tmp_path / f"one{suffix}", replace(ASKED, uncertainty=False)))
    values, half_widths, alone = (
        Volume.read(tmp_path / f"{name}{suffix}") for name in ("both", "both_uncertainty", "one")
    )
    np.testing.assert_array_equal(values.data, alone.data)
    assert half_widths.grid.matches(values.grid)
    assert half_widths.storage.written == np.float32
    field = model.field(scan, towards=values.grid, interval=model.interval())
    expected = field.on_with_half_widths(values.grid)[1].data
    np.testing.assert_allclose(half_widths.data, expected, rtol=1e-6)
    told = facts["uncertainty"]
    assert told["file"] == f"both_uncertainty{suffix}" and told["probability"] == 0.9
    assert told["way"] == "plain"
    inside = expected[expected > 0.002 * field.normalisation.scale * 1.0001]
    assert told["mean"] == pytest.approx(inside.mean(), rel=1e-3)
    assert told["percentile_95"] == pytest.approx(np.percentile(inside, 95), rel=0.02)
    assert f"H is {told['mean']:.3g} on average" in told["in_words"]
    kept = json.loads(sidecar(tmp_path / f"both{suffix}").read_text())
    assert kept["uncertainty"] == told and kept["options"]["uncertainty"] is True


def test_in_python_they_come_as_a_pair(model: Model, scan: Path) -> None:
    values, half_widths = model.upsample(scan, scale=2, uncertainty=True)
    np.testing.assert_array_equal(values.data, model.upsample(scan, scale=2).data)
    assert half_widths.grid == values.grid and half_widths.data.min() > 0
    with pytest.raises(ArSSRError, match="one frame at a time"):
        model.upsample(scan, scale=2, uncertainty=True, frames=True)  # type: ignore[call-overload]


def test_consistent_results_have_the_factor_of_their_own(model: Model, scan: Path) -> None:
    options = {"scale": 2, "acquisition": "kspace", "noise": 5}
    _, plain = model.upsample(scan, uncertainty=True, **options)  # type: ignore[call-overload]
    values, agreeing = model.upsample(  # type: ignore[call-overload]
        scan, uncertainty=True, consistent=True, **options
    )
    np.testing.assert_allclose(agreeing.data, plain.data * 0.8, rtol=1e-5)
    alone = model.upsample(scan, consistent=True, **options)  # type: ignore[call-overload]
    np.testing.assert_array_equal(values.data, alone.data)


def test_through_a_transform_there_are_two_as_well(model: Model, scan: Path) -> None:
    moved = Transform((Affine(np.diag([1.0, -1, 1, 1])),))
    grid = Volume.read(scan).grid.scaled(2)
    like = replace(grid, affine=np.diag([1.0, -1, 1, 1]) @ grid.affine)
    values, half_widths = model.upsample(scan, like=like, transform=moved, uncertainty=True)
    straight = model.upsample(scan, like=grid, uncertainty=True)
    for found, expected in zip((values, half_widths), straight, strict=True):
        np.testing.assert_allclose(found.data, expected.data, rtol=1e-3, atol=0.5)


def test_of_several_frames_each_has_its_own(model: Model, tmp_path: Path) -> None:
    frames = [400 + 900 * smooth((7, 6, 5), seed=n, sigma=1) for n in range(2)]
    frames.append(np.full((7, 6, 5), 7.0, np.float32))
    path = tmp_path / "4d.nii"
    nib.save(nib.Nifti1Image(np.stack(frames, axis=-1), np.eye(4)), path)  # type: ignore[no-untyped-call]
    facts = run(model, Job(path, tmp_path / "sr.nii", replace(ASKED, frames=True)))
    found = nib.load(tmp_path / "sr_uncertainty.nii").get_fdata()
    assert found.shape == (14, 12, 10, 3)
    for n in range(2):
        _, expected = model.upsample(volume(frames[n]), scale=2, uncertainty=True)
        np.testing.assert_allclose(found[..., n], expected.data, rtol=1e-5)
    assert (found[..., 2] == 0).all()
    assert facts["uncertainty"]["file"] == "sr_uncertainty.nii"


def test_what_has_no_interval_is_refused_in_one_sentence(
    model: Model, scan: Path, tmp_path: Path
) -> None:
    with pytest.raises(ArSSRError, match="calibrated for plain, consistent, not for ensemble 4"):
        model.upsample(scan, scale=2, uncertainty=True, ensemble=4)
    with pytest.raises(ArSSRError, match="no network had a part in it, so there is no uncertainty"):
        model.upsample(scan, scale=0.5, uncertainty=True)
    with pytest.raises(ArSSRError, match="labels need no network"):
        Request(Target(scale=2), uncertainty=True, labels=True)
    labels = replace(Volume.read(scan), kind=Kind(LABELS, "its name"))
    with pytest.raises(ArSSRError, match="which --uncertainty is not for"):
        model.upsample(labels, scale=2, uncertainty=True)
    save_weights(tmp_path / "plain.safetensors", lively_network("light"), {"name": "plain"})
    plain = Model(load(tmp_path / "plain.safetensors"), "cpu", "float32")
    with pytest.raises(ArSSRError, match="plain was not taught to tell its uncertainty"):
        plain.upsample(scan, scale=2, uncertainty=True)


def test_nothing_is_replaced_unasked_and_a_missing_one_is_made(
    model: Model, scan: Path, tmp_path: Path
) -> None:
    job = Job(scan, tmp_path / "sr.nii", ASKED)
    half_widths = tmp_path / "sr_uncertainty.nii"
    half_widths.write_bytes(b"precious")
    with pytest.raises(ArSSRError, match=r"sr_uncertainty\.nii: exists already"):
        run(model, job)
    assert job.existing() == [half_widths] and half_widths.read_bytes() == b"precious"
    half_widths.unlink()
    run(model, job)
    assert what_is_left(job, model.weights.sha256) is None
    half_widths.unlink()
    left = what_is_left(job, model.weights.sha256)
    assert left is not None and left.overwrite


def test_a_full_disk_leaves_neither(
    model: Model,
    scan: Path,
    tmp_path: Path,
    full_disk: Callable[[int], AbstractContextManager[None]],
) -> None:
    out = tmp_path / "out"
    size = Volume.read(scan).data.size * 8
    with full_disk(3 * size), pytest.raises(ArSSRError):  # enough for the integers, not for floats
        run(model, Job(scan, out / "sr.nii", ASKED))
    assert not any(out.iterdir())


def test_a_dry_run_counts_both(model: Model, scan: Path, tmp_path: Path) -> None:
    job = Job(scan, tmp_path / "sr.nii", ASKED)
    one = estimate(model, replace(job, request=replace(ASKED, uncertainty=False)))
    both = estimate(model, job)
    voxels = np.prod(both["output"]["shape"])
    assert both["disk_bytes"] - one["disk_bytes"] == 4 * voxels
    assert both["memory_bytes"]["slabs"] == 2 * one["memory_bytes"]["slabs"]
    assert both["decode_flops"] > one["decode_flops"]
    assert not (tmp_path / "sr_uncertainty.nii").exists()


def test_what_is_told_leaves_skipped_air_out() -> None:
    told = HalfWidths(Interval(0.9, 0.01), unit=100.0, way="plain")
    told.take(np.full((3, 3, 3), 1.0, np.float32))  # the least: air
    assert told.describe() == {"probability": 0.9, "way": "plain"}
    told.take(np.linspace(2, 12, 1001, dtype=np.float32).reshape(1001, 1, 1))
    facts = told.describe()
    assert facts["mean"] == pytest.approx(7, rel=1e-3)
    assert facts["percentile_95"] == pytest.approx(11.5, rel=0.01)
    assert "measured" not in facts["in_words"] and "validation" not in facts["in_words"]


def test_what_single_volumes_had_is_told_with_the_promise() -> None:
    card = {"uncertainty": {"probability": 0.9, "air": 0.01, "factors": {}, "ways": {"plain": 1.0}}}
    card["uncertainty"]["left_out"] = {"plain": {"volumes": {"a": 0.796, "b": 0.951, "c": 0.9}}}
    told = HalfWidths(interval_of(card), unit=100.0, way="plain")
    told.take(np.linspace(2, 12, 1001, dtype=np.float32).reshape(1001, 1, 1))
    words = told.describe()["in_words"]
    assert "3 validation volumes together. Single ones had 80 to 95 %," in words
    assert "above 11.5 in one of 20. That was measured" in words


def test_where_the_weights_were_not_trained_the_promise_is_doubted(
    model: Model, scan: Path, tmp_path: Path
) -> None:
    model.card["valid"] = {"scale": [1, 1.5]}
    facts = run(model, Job(scan, tmp_path / "sr.nii", ASKED))
    assert facts["uncertainty"]["in_words"].endswith("outside what the weights were trained for")


def test_the_field_is_asked_once(model: Model, scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and half-widths come of one reading."""
    calls = []
    computed = VoxelField._computed

    def counted(self: VoxelField, *args: object) -> object:
        calls.append(self)
        return computed(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(VoxelField, "_computed", counted)
    model.upsample(scan, scale=2, uncertainty=True)
    assert len(calls) == 1


def test_a_derived_series_of_half_widths_says_that_it_is_one(model: Model, tmp_path: Path) -> None:
    from pydicom import dcmread

    series = tmp_path / "series"
    stored = np.rint(400 + 900 * smooth((12, 10, 5), sigma=1)).astype(np.int16)
    write_series(series, stored, Grid(stored.shape, np.diag([1, 1, 4, 1.0])))
    run(model, Job(series, tmp_path / "sr.dicom", ASKED))
    values, half_widths = (
        [dcmread(path) for path in sorted((tmp_path / name).iterdir())]
        for name in ("sr.dicom", "sr_uncertainty.dicom")
    )
    assert len(values) == len(half_widths) == 10
    first, second = values[0], half_widths[0]
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert second.SeriesDescription.endswith("ArSSR uncertainty")
    assert "ArSSR uncertainty" in second.DerivationDescription.replace(
        second.DerivationDescription.split()[1], ""
    ).replace("  ", " ")
    _, expected = model.upsample(series, scale=2, uncertainty=True)
    found = Volume.read(tmp_path / "sr_uncertainty.dicom")
    span = float(np.ptp(expected.data))
    assert np.abs(np.sort(found.data, axis=None) - np.sort(expected.data, axis=None)).max() < (
        1e-3 * span
    )


def test_a_report_has_a_section_with_a_picture(model: Model, scan: Path, tmp_path: Path) -> None:
    asked = replace(ASKED, clamp=False)  # random weights leave nothing above the lowest value
    job = Job(scan, tmp_path / "sr.nii", asked, report=True)
    facts = run(model, job)
    page = job.page.read_text()
    shown = [page.index(f'id="{name}"') for name in ("verdict", "viewer", "sure", "details")]
    assert shown == sorted(shown)
    assert "the truth lies within ±H of the result; in the object H is" in page
    assert "How sure it is" in page and facts["uncertainty"]["in_words"][1:] in page
    assert 'src="data:image/png;base64,' in page and "half-widths from 0 (black) to" in page
    plain = Job(scan, tmp_path / "one.nii", replace(asked, uncertainty=False), report=True)
    run(model, plain)
    assert "How sure it is" not in plain.page.read_text()


def test_the_residual_is_told_of_a_result_with_half_widths_as_without(
    model: Model, scan: Path, tmp_path: Path
) -> None:
    asked = replace(ASKED, acquisition="slice", noise=5.0)
    both = run(model, Job(scan, tmp_path / "both.nii", asked))
    one = run(model, Job(scan, tmp_path / "one.nii", replace(asked, uncertainty=False)))
    assert both["agreement"] == one["agreement"] and "residual" in both["agreement"]
