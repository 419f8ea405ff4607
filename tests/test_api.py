"""The Python face: one target, what the scan is, units that come back, refusals in words."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.thin import lively_network
from tests.phantoms import (
    anatomy,
    rotated,
    smooth,
    tiny_config,
    tiny_network,
    volume,
    zero_filled,
)

import arssr
from arssr import api
from arssr.api import Model, load_model
from arssr.engine.encoding.encode import encode_box
from arssr.errors import ArSSRError, ArSSRWarning
from arssr.field import VoxelField
from arssr.formats.slices import Slices
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.jobs.job import Job
from arssr.jobs.running import run
from arssr.networks import ImplicitVoxelNetwork
from arssr.transforms.transform import Affine, Transform
from arssr.upsampling import room
from arssr.upsampling.request import Request
from arssr.upsampling.room import require_disk, require_memory
from arssr.upsampling.target import Target
from arssr.volume import Storage, Volume
from arssr.weights.files import save_reference, save_weights
from arssr.weights.registry import Weights, load

THICK = np.diag([1, 1, 4, 1.0])


def model_of(network: ImplicitVoxelNetwork) -> Model:
    return Model(Weights("tiny", network, {}, Path("tiny.safetensors")), "cpu", "float32")


@pytest.fixture
def model() -> Model:
    return model_of(tiny_network())


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, Any]]:
    """What `field` or `upsample` tells the network of the scan: acquisition and noise."""
    seen: list[tuple[Any, Any]] = []

    class Spy(api.VoxelField):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            seen.append((self.acquisition_ijk, self.told_noise))

    monkeypatch.setattr(api, "VoxelField", Spy)

    def told(call: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, Any]:
        call(*args, **options)
        return seen.pop()

    return told


# --- targets -------------------------------------------------------------------------------------


def test_every_target_gives_its_grid(model: Model) -> None:
    image = volume(smooth((5, 6, 4)), THICK)
    grid = image.grid
    other = rotated(grid.scaled(0.7), (0, 0, 30))
    reference = Volume(np.zeros(other.shape), other)
    for target, expected in (
        ({"scale": 2}, grid.scaled(2)),
        ({"scale": (1, 1, 3.5)}, grid.scaled((1, 1, 3.5))),
        ({"spacing": 0.7}, grid.with_spacing(0.7)),
        ({"spacing": [1, 1, 2]}, grid.with_spacing([1, 1, 2])),
        ({"shape": (7, 8, 9)}, grid.with_shape((7, 8, 9))),
        ({"like": other}, other),
        ({"like": reference}, other),
        ({"like": reference.to_nibabel()}, other),
    ):
        result = model.upsample(image, **target)  # type: ignore[arg-type]
        assert result.grid.matches(expected)
        assert result.data.dtype == np.float32 and np.isfinite(result.data).all()


@pytest.mark.parametrize(
    "targets",
    [{"scale": 2, "spacing": 1}, {"shape": (2, 2, 2), "like": Grid((1, 1, 1), THICK)}],
)
def test_at_most_one_target(model: Model, targets: dict[str, Any]) -> None:
    with pytest.raises(ArSSRError, match="one target"):
        model.upsample(volume(smooth((4, 4, 4))), **targets)


def test_without_a_target_thick_slices_alone_are_refined(model: Model) -> None:
    image = volume(smooth((5, 6, 4)), np.diag([1.0, 1, 4, 1]))
    assert model.upsample(image).grid == image.grid.isotropic()
    with pytest.raises(ArSSRError, match="1 mm along all axes already"):
        model.upsample(volume(smooth((5, 6, 4))))


def test_an_axis_that_gets_coarser_is_told(model: Model) -> None:
    with pytest.warns(ArSSRWarning, match="coarser than the scan along i, j"):
        model.upsample(volume(smooth((6, 6, 4)), np.diag([0.5, 0.5, 4, 1])), spacing=1)


def test_what_was_chosen_cut_and_left_over_is_told(model: Model) -> None:
    """As the command line tells it."""
    thick = volume(zero_filled(anatomy((64, 48, 6)), 0, 0.6), np.diag([1, 1, 5, 1]))
    with pytest.warns(ArSSRWarning) as told:
        model.upsample(thick)
    said = [str(each.message) for each in told]
    assert any("no target was named: slices of 5 mm along k become" in each for each in said)
    assert any("zero-filled, measured on about 1.6" in each for each in said)
    with pytest.warns(ArSSRWarning, match="residual against the scan"):
        model.upsample(thick, scale=(1, 1, 2), consistent=True, noise=0.0)
    with pytest.warns(ArSSRWarning, match="copied: no network had a part in it"):
        model.upsample(thick, scale=1)


def test_a_reference_in_another_orientation_gets_the_same_anatomy(model: Model) -> None:
    """The same voxels, stored superior-left-anterior and back to front."""
    image = volume(smooth((6, 7, 8)), THICK)
    fine = model.upsample(image, scale=2, acquisition="unknown")
    ras, sla = (nib.orientations.axcodes2ornt(codes) for codes in ("RAS", "SLA"))
    to_sla = nib.orientations.ornt_transform(ras, sla)
    turned = Volume.from_nibabel(fine.to_nibabel().as_reoriented(to_sla))
    assert turned.grid.orientation == "SLA"
    result = model.upsample(image, like=turned, acquisition="unknown")
    assert result.grid.orientation == "SLA"
    np.testing.assert_allclose(result.data, turned.data, atol=1e-4)


def test_a_reference_beside_the_scan_is_refused(model: Model) -> None:
    image = volume(smooth((5, 5, 5)), THICK)
    for shift, fits in (((4.9, 0, 0), True), ((5.1, 0, 0), False), ((0, 0, -20.1), False)):
        affine = image.grid.affine.copy()
        affine[:3, 3] += shift
        if fits:
            model.upsample(image, like=Grid((5, 5, 5), affine))
        else:
            with pytest.raises(ArSSRError, match="outside the scan's field of view"):
                model.upsample(image, like=Grid((5, 5, 5), affine))


def test_images_come_as_paths_nibabel_images_and_volumes(model: Model, tmp_path: Path) -> None:
    image = volume(smooth((5, 5, 5)))
    path = image.write(tmp_path / "a.nii.gz")
    expected = model.upsample(image, scale=1.5).data
    for one in (path, str(path), image.to_nibabel()):
        np.testing.assert_array_equal(model.upsample(one, scale=1.5).data, expected)
    with pytest.raises(ArSSRError, match="ndarray"):
        model.upsample(image.data, scale=2)  # type: ignore[arg-type]


# --- what the scan is ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ((1, 1, 1), ("kspace", "kspace", "kspace")),
        ((1, 1.3, 1), ("kspace", "kspace", "kspace")),
        ((1, 1, 5), ("kspace", "kspace", "slice")),
        ((3, 1, 1), ("slice", "kspace", "kspace")),
        ((0.5, 2, 2), ("kspace", "slice", "slice")),
    ],
)
def test_auto_takes_a_clearly_thicker_axis_for_slices(
    model: Model,
    told: Callable[..., tuple[Any, Any]],
    spacing: tuple[float, ...],
    expected: tuple[str, ...],
) -> None:
    image = volume(smooth((5, 5, 5)), np.diag([*spacing, 1]))
    assert told(model.field, image)[0] == expected
    assert told(model.upsample, image, scale=2)[0] == expected


@pytest.mark.parametrize(
    ("slices", "spacing", "expected"),
    [
        (Slices(2, 4.0, 4.0), (1, 1, 4), "slice"),
        (Slices(2, 3.7, 4.0), (1, 1, 4), "slice"),
        (Slices(2, 3.0, 4.0), (1, 1, 4), "unknown"),
        (Slices(2, 8.0, 4.0), (1, 1, 4), "unknown"),
        (Slices(2, 1.5, 2.0), (2, 2, 2), "unknown"),  # no thicker than its pixels
        (Slices(2, None, 4.0, three_d=True), (1, 1, 4), "slice"),
        (Slices(2, 0.5, 1.0, three_d=True), (1, 1, 1), "kspace"),
    ],
)
@pytest.mark.parametrize("axis", range(3))
def test_auto_tells_of_slices_that_do_not_touch_what_the_weights_can_make_of_them(
    model: Model,
    told: Callable[..., tuple[Any, Any]],
    slices: Slices,
    spacing: tuple[float, ...],
    expected: str,
    axis: int,
) -> None:
    turned = np.roll([*spacing], axis - 2)
    image = volume(smooth((5, 5, 5)), np.diag([*turned, 1]))
    image = replace(image, slices=replace(slices, axis=axis))
    acquired = ["kspace"] * 3
    acquired[axis] = expected
    assert told(model.field, image)[0] == tuple(acquired)
    assert told(model.field, image, acquisition="slice")[0] == ("slice",) * 3
    if slices.gap > 0.2:
        model.weights.card["valid"] = {"slice_gap": [0, 0.25]}
        acquired[axis] = "spline"
        assert told(model.field, image)[0] == tuple(acquired)


def test_a_named_acquisition_holds_for_the_axes_that_are_refined(
    model: Model, told: Callable[..., tuple[Any, Any]]
) -> None:
    image = volume(smooth((5, 5, 5)), THICK)

    def acquired(acquisition: Any, **target: Any) -> Any:
        return told(model.upsample, image, acquisition=acquisition, **target)[0]

    assert acquired("spline", scale=2) == ("spline",) * 3
    assert acquired("slice", scale=(1, 1, 4)) == ("kspace", "kspace", "slice")
    assert acquired("slice", spacing=1) == ("kspace", "kspace", "slice")
    assert acquired("unknown", scale=(1, 1, 4)) == ("unknown",) * 3
    assert acquired(("spline", "slice", "unknown"), scale=2) == ("spline", "slice", "unknown")
    # a grid whose first axis runs along the image's third
    index_map = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [0.25, 0, 0, 0], [0, 0, 0, 1]])
    turned = Grid((20, 5, 5), image.grid.affine @ index_map)
    assert acquired("slice", like=turned) == ("kspace", "kspace", "slice")
    assert acquired("slice", like=rotated(image.grid.scaled(2), (9, 9, 9))) == ("slice",) * 3
    assert told(model.field, image, acquisition="spline")[0] == ("spline",) * 3


@pytest.mark.parametrize("wrong", ["blur", ("slice", "slice"), ("auto", "slice", "slice"), ()])
def test_other_acquisitions_are_refused(model: Model, wrong: Any) -> None:
    with pytest.raises(ArSSRError, match="acquisition"):
        model.upsample(volume(smooth((4, 4, 4))), scale=2, acquisition=wrong)


def test_noise_is_in_units_of_the_image(model: Model, told: Callable[..., tuple[Any, Any]]) -> None:
    random = np.random.default_rng(0)
    image = volume(2000 + 1000 * smooth((16, 16, 16)) + random.normal(0, 30, (16, 16, 16)))
    norm = Normalisation.fit(image.data)

    def level(noise: Any) -> Any:
        return told(model.field, image, noise=noise)[1]

    assert level(30) == pytest.approx(30 / norm.scale)
    assert level("45.5") == pytest.approx(45.5 / norm.scale)
    assert level(0) == 0
    assert level(None) is None and level("unknown") is None


def test_no_network_is_told_far_more_noise_than_it_was_taught() -> None:
    """`light` makes an image of ten times the range of what it is told of a noise of the range."""
    light, random = load_model("light", "cpu", "float32"), np.random.default_rng(0)
    image = volume(2000 + 1000 * smooth((12, 12, 12)) + random.normal(0, 30, (12, 12, 12)))
    most = 0.12 * Normalisation.fit(image.data).scale
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = light.upsample(image, scale=1.25, noise=most)
    with pytest.warns(ArSSRWarning, match=r"a noise of 3e\+03 is far beyond .* light was trained"):
        found = light.upsample(image, scale=1.25, noise=3000)
    np.testing.assert_allclose(found.data, expected.data, rtol=1e-5)
    with pytest.raises(ArSSRError, match="far beyond what light was trained for"):
        light.upsample(image, scale=1.25, noise=3000, strict=True)
    assert light.field(image, noise=3000).noise == pytest.approx(0.12 * 3000 / most)


@pytest.mark.parametrize("shape", [(1, 9, 8), (9, 1, 8), (9, 8, 1), (1, 1, 9)])
def test_one_slice_has_an_ensemble_and_may_be_flipped(model: Model, shape: Any) -> None:
    image = volume(np.random.default_rng(0).random(shape))
    assert model.upsample(image, scale=2, ensemble=8).data.shape == tuple(2 * n for n in shape)
    flipped = Volume(image.data[::-1, ::-1, ::-1], image.grid)
    for target in (2, 0.5):
        made = model.upsample(flipped, scale=target)
        copied = model.upsample(Volume(flipped.data.copy(), image.grid), scale=target)
        np.testing.assert_array_equal(made.data, copied.data)


def test_auto_noise_is_what_an_image_has_beyond_its_anatomy(
    model: Model, told: Callable[..., tuple[Any, Any]]
) -> None:
    clean = smooth((32, 32, 32))
    for sigma in (0.04, 0.08):
        noise = np.random.default_rng(0).normal(0, sigma, clean.shape)
        image = volume(500 + 200 * (clean + noise))
        level = told(model.field, image)[1] * Normalisation.fit(image.data).scale / 200
        assert 0.8 * sigma < level < 1.1 * sigma
    # as noisy as training images, which count as noise-free
    noise = np.random.default_rng(0).normal(0, 0.01 * np.ptp(clean), clean.shape)
    assert told(model.field, volume(clean + noise))[1] == 0
    assert told(model.field, volume(clean))[1] == 0
    # where detail folds over, more of what looks like noise is anatomy
    folded = told(model.field, image, acquisition="spline")[1]
    assert 0 < folded < told(model.field, image, acquisition="slice")[1]


@pytest.mark.parametrize("wrong", [-1, "-0.5", "nan", "inf", "loud", ""])
def test_other_noise_is_refused(model: Model, wrong: Any) -> None:
    with pytest.raises(ArSSRError, match="noise"):
        model.upsample(volume(smooth((4, 4, 4))), scale=2, noise=wrong)


# --- units ---------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(
    slope=st.floats(0.01, 1000),
    inter=st.floats(-5000, 5000),
    flavour=st.sampled_from(["paper", "residual"]),
)
def test_results_come_back_in_the_units_of_the_image(
    slope: float, inter: float, flavour: str
) -> None:
    model = model_of(tiny_network(flavour=flavour))
    plain = smooth((5, 6, 7), sigma=1)
    expected = model.upsample(volume(plain), scale=2, noise=None).data
    result = model.upsample(volume(slope * plain + inter), scale=2, noise=None).data
    tolerance = 1e-4 + 1e-5 * abs(inter) / slope  # what float32 keeps of the contrast
    np.testing.assert_allclose((result - inter) / slope, expected, atol=tolerance)


def test_a_network_of_the_paper_sees_what_it_was_trained_on() -> None:
    """Raw intensities if it was trained here; a checkpoint does not say."""
    image, network = volume(300 + 90 * smooth((5, 6, 7), sigma=1)), lively_network("light", "paper")
    points = np.random.default_rng(0).uniform(0, 4, (50, 3))
    fitted = Normalisation.fit(image.data)
    raw, normalised = (
        VoxelField(network, image, norm).at(points) for norm in (Normalisation.identity(), fitted)
    )
    assert np.abs(raw - normalised).max() > 0.01 * np.ptp(raw)
    for card, expected in (({"recipe": {}}, raw), ({}, normalised)):
        weights = Weights("tiny", network, card, Path("tiny.safetensors"))
        found = Model(weights, "cpu", "float32").field(image, noise=None).at(points)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    residual = Weights("tiny", tiny_network(), {"recipe": {}}, Path("tiny.safetensors"))
    assert Model(residual, "cpu", "float32").field(image).normalisation == fitted


def encodings(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one whenever something is encoded."""
    calls: list[object] = []

    def counted(*args: Any) -> object:
        calls.append(args)
        return encode_box(*args)

    monkeypatch.setattr("arssr.engine.features.encode_box", counted)
    return calls


def test_the_encoder_runs_once_per_volume(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = encodings(monkeypatch)
    for count, target in enumerate(({"scale": 3}, {"spacing": 0.8}, {"shape": (9, 9, 9)}), start=1):
        model.upsample(volume(smooth((5, 5, 5))), **target)  # type: ignore[arg-type]
        assert len(calls) == count


# --- refusals ------------------------------------------------------------------------------------


def test_what_cannot_be_held_is_refused_with_its_size_before_any_work(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "available_bytes", lambda: 10**9)
    calls = encodings(monkeypatch)
    image = volume(smooth((5, 5, 5)))
    with pytest.raises(ArSSRError, match=r"1000×1000×1000 voxels needs 5 GB .* 1 GB"):
        model.upsample(image, scale=200)
    with pytest.raises(ArSSRError, match="TB of memory"):
        model.upsample(image, scale=1e60)
    assert not calls
    require_memory(Grid((400, 400, 400), np.eye(4)))


def test_what_does_not_fit_on_the_disk_is_refused_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: SimpleNamespace(free=3_000_000))
    grid = Grid((100, 100, 100), np.eye(4))
    image = volume(smooth((4, 4, 4)))
    shorts = Volume(image.data, image.grid, storage=Storage("int16"))
    with pytest.raises(ArSSRError, match=r"100×100×100 .* 4 MB of disk and 3 MB are free"):
        require_disk(tmp_path / "no" / "such" / "folder" / "a.nii", image, grid)
    require_disk(tmp_path / "a.nii", shorts, grid)


@pytest.mark.parametrize("value", [0, -2, float("nan"), float("inf"), (1, 2)])
def test_scales_that_are_none_are_refused(model: Model, value: Any) -> None:
    with pytest.raises(ArSSRError):
        model.upsample(volume(smooth((4, 4, 4))), scale=value)


def test_a_constant_image_is_refused_by_name(model: Model, tmp_path: Path) -> None:
    path = volume(np.full((4, 4, 4), 7, np.float32)).write(tmp_path / "flat.nii")
    with pytest.raises(ArSSRError, match=r"flat\.nii: constant, every voxel is 7"):
        model.upsample(path, scale=2)


# --- models --------------------------------------------------------------------------------------


def test_models_load_from_files_of_both_kinds(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.pkl"
    save_weights(ours, tiny_network(), {"note": "tiny"})
    save_reference(theirs, tiny_network("rescnn", "paper"))
    model = load_model(ours, "cpu", "float32")
    assert (model.name, model.card, model.precision) == ("ours", {"note": "tiny"}, "float32")
    assert model.config == tiny_config() and str(model.device) == "cpu"
    assert repr(model) == "Model(ours: light, cpu, float32)"
    reference = load_model(str(theirs), "cpu")
    assert reference.config.flavour == "paper" and reference.config.encoder == "rescnn"
    assert reference.precision == "float32"  # the paper's numbers, whatever the processor
    result = arssr.upsample(volume(smooth((4, 4, 4))), theirs, scale=2)
    assert result.grid.shape == (8, 8, 8)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "", "cpu:oops"])
def test_devices_that_are_not_there_are_refused(tmp_path: Path, device: str) -> None:
    save_weights(tmp_path / "a.safetensors", tiny_network(), {})
    with pytest.raises(ArSSRError, match="no device"):
        load_model(tmp_path / "a.safetensors", device)


def test_an_ensemble_is_asked_for_by_its_members(model: Model) -> None:
    scan = volume(100 * smooth((6, 7, 5), sigma=1), THICK)
    one = model.upsample(scan, scale=2)
    assert (model.upsample(scan, scale=2, ensemble=1).data == one.data).all()
    four, eight = (model.upsample(scan, scale=2, ensemble=members) for members in (4, 8))
    assert four.grid == eight.grid == one.grid
    assert len({image.data.tobytes() for image in (one, four, eight)}) == 3
    field = model.field(scan, towards=one.grid, ensemble=8)
    np.testing.assert_allclose(np.maximum(field.on(one.grid).data, 0), eight.data, atol=1e-4)
    assert (
        field.acquisition_ijk == model.field(scan).acquisition_ijk == ("kspace", "kspace", "slice")
    )
    coarser = Grid((3, 3, 2), THICK @ np.diag([2, 2, 2, 1.0]))  # which no network is asked for
    for ask in ({"scale": 2}, {"like": coarser}):
        with pytest.raises(ArSSRError, match="1, 4 or 8 members, not 2"):
            model.upsample(scan, **ask, ensemble=2)


# --- as wide as the command line -----------------------------------------------------------------


@pytest.fixture
def lively() -> Model:
    """With a range that it was trained for."""
    card = {"name": "lively", "valid": {"scale": [1, 4]}}
    weights = Weights("lively", lively_network("light"), card, Path(__file__))
    return Model(weights, "cpu", "float32")


SHIFT = np.eye(4)
SHIFT[0, 3] = 1.5


@pytest.mark.parametrize(
    "ask",
    [
        {"scale": 2, "consistent": True, "noise": 0},
        {"scale": (1, 1, 3), "acquisition": "slice", "as_stored": True, "clamp": False},
        {"like": "reference.nii", "transform": "shift.txt"},
        {"scale": 2, "labels": True},
        {"spacing": (2.5, 2, 4)},
        {"scale": 1},
    ],
)
def test_python_and_a_job_make_the_same(lively: Model, ask: dict[str, Any], tmp_path: Path) -> None:
    data = 100 * smooth((6, 7, 5), sigma=1)
    scan = volume(np.rint(3 * data / 100) if "labels" in ask else data, THICK)
    path = scan.write(tmp_path / "scan.nii")
    volume(np.zeros((8, 8, 8)), scan.grid.scaled(1.4).affine).write(tmp_path / "reference.nii")
    lines = ["#Insight Transform File V1.0", "Transform: AffineTransform_double_3_3"]
    lines += ["Parameters: 1 0 0 0 1 0 0 0 1 1.5 0 0", "FixedParameters: 0 0 0"]
    (tmp_path / "shift.txt").write_text("\n".join(lines))
    files = {k: tmp_path / v for k, v in ask.items() if isinstance(v, str) and "." in v}
    made = lively.upsample(path, **ask | files)
    targets = {k: v for k, v in (ask | files).items() if k in ("scale", "spacing", "like")}
    how = {k: v for k, v in ask.items() if k not in ("scale", "spacing", "like", "transform")}
    if "transform" in files:
        how["transforms"] = (files["transform"],)
    run(lively, Job(path, tmp_path / "out.nii", Request(Target(**targets), **how)))
    np.testing.assert_array_equal(made.data, Volume.read(tmp_path / "out.nii").data)


def test_a_transform_may_be_one_in_memory(model: Model, tmp_path: Path) -> None:
    scan = volume(smooth((6, 7, 5), sigma=1), THICK)
    np.savetxt(tmp_path / "shift.mat", SHIFT)
    reference = scan.grid.scaled(1.5)
    moved = model.upsample(scan, like=reference, transform=Transform((Affine(SHIFT),)))
    there = model.upsample(scan, like=Grid(reference.shape, SHIFT @ reference.affine))
    np.testing.assert_array_equal(moved.data, there.data)
    here = model.upsample(scan, like=reference)
    for files in (tmp_path / "shift.mat", [str(tmp_path / "shift.mat")]):
        other = model.upsample(scan, like=reference, transform=files)
        assert np.abs(other.data - here.data).max() > 0.01
    with pytest.raises(ArSSRError, match="like="):
        model.upsample(scan, scale=2, transform=tmp_path / "shift.mat")


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        ({"consistent": True, "labels": True}, "neither with labels"),
        ({"labels": True, "ensemble": 4}, "labels need none"),
        ({"consistent": True, "noise": None}, "noise level"),
        ({"consistent": True, "acquisition": "unknown"}, "how the scan was made"),
        ({"strict": True, "scale": 9}, "a scale of 9 along i is outside what lively was"),
    ],
)
def test_python_refuses_what_the_command_line_refuses(
    lively: Model, ask: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ArSSRError, match=reason):
        lively.upsample(volume(smooth((5, 6, 4), sigma=1)), **{"scale": 2, **ask})


def test_what_the_weights_were_not_trained_for_is_told_once_and_before_the_work(
    lively: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = volume(smooth((4, 5, 4), sigma=1)).write(tmp_path / "scan.nii")
    with pytest.warns(ArSSRWarning) as told:
        lively.upsample(path, scale=(9, 2, 1), acquisition="unknown")
    assert [str(each.message) for each in told] == [
        f"{path}: a scale of 9 along i is outside what lively was trained for, 1 to 4"
    ]
    assert told[0].filename == __file__

    def computed(*_: object) -> Iterator[np.ndarray]:
        yield pytest.fail("it was computed")

    monkeypatch.setattr(VoxelField, "finished", computed)
    with warnings.catch_warnings(), pytest.raises(ArSSRWarning):
        warnings.simplefilter("error")
        lively.upsample(path, scale=9)


def test_a_warning_points_to_the_line_of_whoever_called(tmp_path: Path) -> None:
    path = volume(smooth((4, 5, 4), sigma=1)).write(tmp_path / "scan.nii")
    with pytest.warns(ArSSRWarning) as told:
        arssr.upsample(path, scale=(9, 1, 1))
    assert {each.filename for each in told} == {__file__}


@pytest.mark.parametrize(
    ("data", "affine"),
    [
        (np.full((4, 5, 6), 7.0), np.eye(4)),
        (np.full((4, 5, 6), np.nan), np.eye(4)),
        (np.zeros((0, 5, 6)), np.eye(4)),
        (np.zeros((4, 5, 6)), np.diag([1.0, 0, 1, 1])),
    ],
)
def test_a_sentence_names_an_image_without_a_name_once(
    lively: Model, data: np.ndarray, affine: np.ndarray
) -> None:
    with pytest.raises(ArSSRError) as refused:
        lively.upsample((data, affine), scale=2)
    assert str(refused.value).lower().count("the image") == 1


def test_frames_come_back_one_by_one(lively: Model, tmp_path: Path) -> None:
    frames = np.stack([smooth((5, 6, 4), seed, sigma=1) for seed in range(3)], axis=-1)
    frames[..., 1] = 0.25
    image = nib.Nifti1Image(frames, THICK)
    nib.save(image, tmp_path / "bold.nii")
    # of what is unknown a random network's result is not held against it
    ask: dict[str, Any] = {"frames": True, "acquisition": "unknown"}
    run(lively, Job(tmp_path / "bold.nii", tmp_path / "o.nii", Request(Target(scale=2), **ask)))
    expected = nib.load(tmp_path / "o.nii").get_fdata(dtype=np.float32)
    for bold in (tmp_path / "bold.nii", image, (frames, THICK)):
        with pytest.warns(ArSSRWarning, match="of 3 frames, constant ones stay so: 2 ") as told:
            made = lively.upsample(bold, scale=2, **ask)
        assert {each.filename for each in told} == {__file__}
        np.testing.assert_array_equal(np.stack([each.data for each in made], -1), expected)
        with pytest.raises(ArSSRError, match=r"frame 2 .* of 3 is constant"):
            lively.upsample(bold, scale=2, strict=True, **ask)
    with pytest.raises(ArSSRError, match=r"4D image .*frames=True"):
        lively.upsample(image, scale=2)
    [one] = lively.upsample(volume(frames[..., 0], THICK), scale=2, **ask)
    np.testing.assert_array_equal(one.data, expected[..., 0])


def test_reprs_fit_on_a_line(lively: Model) -> None:
    scan = volume(smooth((5, 6, 4), sigma=1), THICK)
    assert repr(lively.field(scan, noise=0.5)) == (
        "VoxelField(volume: 5×6×4 voxels of 1×1×4 mm, RAS, kspace kspace slice, noise 0.5)"
    )
    assert repr(lively.field(scan, noise=None, ensemble=4)).startswith("EnsembleField(volume: ")
    assert repr(lively.card) == "Card(lively; with valid)"
    assert lively.card == {"name": "lively", "valid": {"scale": [1, 4]}}
    assert repr(load("light").card).count("\n") == 0 and len(repr(load("light"))) < 200


def test_the_version_is_that_of_the_package() -> None:
    assert arssr.__version__ == version("arssr")
    assert "__version__" in dir(arssr)
