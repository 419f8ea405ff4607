"""An ensemble is the mean over flips: no place moves, flips commute, memory holds one member."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.phantoms import rotated, smooth, volume
from tests.test_field import (
    ACQUISITION,
    NETWORKS,
    NOISE,
    UNITS,
    along_the_axes,
    centres,
    field_of,
    flavours,
    interpolating,
    little_memory,
    random_image,
    seeds,
)
from tests.transforms.test_transform import MOVING, RIGID, nowhere

from arssr.differentiable import DifferentiableField
from arssr.engine.features import FeatureMap
from arssr.engine.machine import Speed
from arssr.ensemble import EnsembleField, Flip, flips
from arssr.errors import ArSSRError
from arssr.field import VoxelField
from arssr.grid import Grid
from arssr.networks import ImplicitVoxelNetwork
from arssr.transforms.transform import Affine, Transform, resample_through
from arssr.volume import Volume

__all__ = ["little_memory"]  # a fixture
PLENTY = 1e12  # bytes
SPEED = Speed(1e12, 1e12)

members = st.sampled_from([4, 8])
sizes = pytest.mark.parametrize("members", [4, 8])


def ensemble_of(
    network: ImplicitVoxelNetwork, image: Volume, members: int, **options: Any
) -> EnsembleField:
    return EnsembleField(
        network,
        image,
        UNITS,
        acquisition_ijk=ACQUISITION,
        noise=NOISE,
        members=flips(members),
        **options,
    )


def flipped(image: Volume, flip: Flip) -> Volume:
    """The same scene, its voxels counted from other ends."""
    return image.with_data(np.flip(image.data, flip), image.grid.flipped(flip))


@sizes
def test_flips_undo_each_other_and_treat_the_axes_alike(members: int) -> None:
    group = {frozenset(flip) for flip in flips(members)}
    assert len(group) == members and frozenset() in group
    assert {a ^ b for a in group for b in group} == group
    assert {sum(axis in flip for flip in group) for axis in range(3)} == {members // 2}


@pytest.mark.parametrize("members", [0, 2, 3, -8, 16])
def test_other_numbers_are_a_sentence(members: int) -> None:
    with pytest.raises(ArSSRError, match=rf"an ensemble has 1, 4 or 8 members, not {members}"):
        flips(members)


@flavours
@settings(max_examples=4)
@given(seed=seeds, members=members)
def test_flipping_the_scan_flips_nothing_in_space(flavour: str, seed: int, members: int) -> None:
    """Whatever the network: on lattices, on oblique grids, at points."""
    random = np.random.default_rng(seed)
    network, image = NETWORKS[flavour], random_image(random)
    flip = flips(members)[random.integers(1, members)]
    here, there = (ensemble_of(network, each, members) for each in (image, flipped(image, flip)))
    for grid in (
        image.grid.scaled(random.uniform(1, 2.5, 3).tolist()),
        along_the_axes(image.grid, random),
        rotated(image.grid.isotropic().scaled(1.2), random.uniform(5, 85, 3)),
    ):
        np.testing.assert_allclose(there.on(grid).data, here.on(grid).data, atol=0.2)
    points = image.grid.to_world(random.uniform(-1, 9, (40, 3)))
    np.testing.assert_allclose(there.at(points), here.at(points), atol=0.2)
    one = field_of(network, image).on(image.grid).data  # which flips do change
    assert np.abs(field_of(network, flipped(image, flip)).on(image.grid).data - one).max() > 10


@flavours
@settings(max_examples=4)
@given(seed=seeds, members=members)
def test_it_is_the_mean_of_flipped_results_turned_back(
    flavour: str, seed: int, members: int
) -> None:
    """As others do it: arrays are flipped, never grids; sizes that keep the field of view."""
    random = np.random.default_rng(seed)
    network, image = NETWORKS[flavour], random_image(random)
    grid = image.grid.scaled((2, 1, 3))
    turned_back = [
        np.flip(
            field_of(network, image.with_data(np.flip(image.data, flip), image.grid)).on(grid).data,
            flip,
        )
        for flip in flips(members)
    ]
    result = ensemble_of(network, image, members).on(grid)
    assert result.grid == grid and result.data.dtype == np.float32
    np.testing.assert_allclose(result.data, np.mean(turned_back, axis=0), atol=0.2)


@flavours
@settings(max_examples=4)
@given(seed=seeds, members=members)
def test_what_is_symmetric_under_flips_stays_as_it_is(
    flavour: str, seed: int, members: int
) -> None:
    """Interpolation is, at every place: to rounding, without anything having moved."""
    random = np.random.default_rng(seed)
    network, image = interpolating(flavour), random_image(random)
    one, mean = field_of(network, image), ensemble_of(network, image, members)
    for grid in (
        image.grid.scaled(random.uniform(1, 3, 3).tolist()),
        image.grid.with_spacing((image.grid.spacing_mm * [0.4, 0.7, 2.3]).tolist()),
        along_the_axes(image.grid, random),
        rotated(image.grid, random.uniform(5, 85, 3)),
    ):
        np.testing.assert_allclose(mean.on(grid).data, one.on(grid).data, atol=0.01)


def test_air_is_the_same_for_all_members() -> None:
    data = np.zeros((16, 15, 14), np.float32)
    data[3:9, 4:10, 5:9] = 900 * smooth((6, 6, 4), sigma=1)
    network, image = NETWORKS["residual"], volume(data)
    grid, mean = image.grid.scaled(2), ensemble_of(network, image, 8)
    one, plain = field_of(network, image), field_of(interpolating("residual"), image).on(grid)
    assert mean.air == one.air > 0.3
    left = one.on(grid).data == plain.data  # where nothing is corrected
    np.testing.assert_allclose(mean.on(grid).data[left], plain.data[left], atol=0.01)
    everywhere = ensemble_of(network, image, 8, skip_air=False).on(grid).data
    assert np.abs(everywhere[left] - plain.data[left]).max() > 1


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flavour", "planes", "members"), [("residual", 3, 8), ("paper", 5, 4)])
def test_parts_and_windows_give_the_same_result(
    flavour: str, planes: int, members: int, little_memory: object
) -> None:
    network, image = NETWORKS[flavour], random_image(np.random.default_rng(planes))
    mean = ensemble_of(network, image, members, memory=PLENTY)
    for grid in (
        image.grid.scaled((1.3, 1.5, 2)),
        image.grid.with_spacing((image.grid.spacing_mm * [0.5, 0.7, 1.4]).tolist()),
        rotated(image.grid, (20, 50, 10)),
    ):
        whole = mean.on(grid).data
        with pytest.MonkeyPatch.context() as patch:
            plane = 4 * mean.plan(grid).reading.shape[0] * mean.plan(grid).reading.shape[1]
            patch.setattr("arssr.ensemble._SUM_SHARE", (planes + 0.5) * plane / PLENTY)
            plan = mean.plan(grid)
            assert plan.parts == -(-plan.reading.shape[2] // planes)
            np.testing.assert_allclose(mean.on(grid).data, whole, atol=0.05)


@pytest.mark.parametrize("window", [False, True])
def test_no_two_maps_of_features_are_held_at_a_time(
    window: bool, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if window:
        request.getfixturevalue("little_memory")
    made: list[weakref.ref[FeatureMap]] = []

    class Counted(FeatureMap):
        def __init__(self, *args: Any, **options: Any) -> None:
            assert not [each for each in made if each() is not None]
            super().__init__(*args, **options)
            made.append(weakref.ref(self))

    monkeypatch.setattr("arssr.field.FeatureMap", Counted)
    gc.disable()
    request.addfinalizer(gc.enable)
    image = random_image(np.random.default_rng(1))
    mean = ensemble_of(NETWORKS["residual"], image, 8, memory=PLENTY)
    plane = 4 * image.grid.shape[0] * image.grid.shape[1]
    monkeypatch.setattr("arssr.ensemble._SUM_SHARE", 2.5 * plane / PLENTY)
    parts = mean.plan(image.grid).parts
    mean.on(image.grid)
    assert parts > 1 and len(made) == 8 * parts
    mean.at(image.grid.to_world(centres(image.grid)))
    assert len(made) == 8 * parts + 8


def test_slabs_are_the_callers_own(little_memory: object) -> None:
    image = volume(300 + 900 * smooth((9, 8, 7)))
    mean, grid = ensemble_of(NETWORKS["residual"], image, 4), image.grid.scaled(1.5)
    expected = mean.on(grid).data
    slabs = []
    for slab in mean.slabs(grid):
        slabs.append(slab.copy())
        slab.fill(np.nan)
    assert len(slabs) > 1
    np.testing.assert_array_equal(np.concatenate(slabs, axis=2), expected)


@sizes
def test_a_plan_counts_the_members_and_their_sum(members: int) -> None:
    image = volume(300 + 900 * smooth((9, 8, 7)))
    grid = image.grid.scaled(2)
    one = field_of(NETWORKS["residual"], image).plan(grid)
    plan = ensemble_of(NETWORKS["residual"], image, members).plan(grid)
    assert (plan.members, plan.parts) == (members, 1)
    assert plan.seconds(SPEED) == pytest.approx(members * one.seconds(SPEED))
    facts, of_one = plan.describe(), one.describe()
    for name in ("encode_flops", "decode_flops"):
        assert facts[name] == members * of_one[name] > 0
    sums = np.prod(grid.shape) * 4 + image.data.size * 5 + 50e6
    assert facts["memory_bytes"]["held"] == sums and of_one["memory_bytes"]["held"] == 0
    used = plan.memory - plan.resident
    assert used == pytest.approx(one.memory - one.resident + sums)


def test_parts_are_computed_anew_and_the_plan_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    image = volume(300 + 900 * smooth((9, 8, 7)))
    grid = image.grid.scaled(2)
    mean = ensemble_of(NETWORKS["residual"], image, 8, memory=PLENTY)
    whole = mean.plan(grid)
    monkeypatch.setattr("arssr.ensemble._SUM_SHARE", 2 * 4 * 18 * 16 / PLENTY * 1.1)
    plan = mean.plan(grid)
    assert plan.parts == 7 and plan.held < whole.held
    facts, before = plan.describe(), whole.describe()
    assert facts["encode_flops"] == 7 * before["encode_flops"]
    assert facts["decode_flops"] == before["decode_flops"]
    assert plan.seconds(SPEED) > whole.seconds(SPEED)


def test_no_memory_is_refused_before_anything_is_computed() -> None:
    image = volume(300 + 900 * smooth((5, 5, 6)))
    mean = ensemble_of(NETWORKS["residual"], image, 8, memory=1e6)
    for attempt in (mean.plan, mean.on):
        with pytest.raises(ArSSRError, match="budget of 1 MB is too small"):
            attempt(image.grid)


def test_progress_names_the_member() -> None:
    said: list[tuple[str, float]] = []
    image = volume(300 + 900 * smooth((9, 8, 7)))
    mean = ensemble_of(NETWORKS["residual"], image, 4, progress=lambda *told: said.append(told))
    mean.on(image.grid, lambda *told: said.append(told))
    words = list(dict.fromkeys(what for what, _ in said))
    assert words == [
        f"{what}, member {n} of 4" for n in (1, 2, 3, 4) for what in ("encoding", "decoding")
    ]
    assert all(0 <= share <= 1 for _, share in said)


# --- through transforms, and what cannot be ------------------------------------------------------


@pytest.mark.parametrize(
    "transform", [Transform((Affine(RIGID),)), nowhere(MOVING, (1.3, -2.1, 0.4))]
)
@pytest.mark.parametrize("parts", [1, 4])
def test_a_transform_leads_every_member_alike(
    transform: Transform, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, image = NETWORKS["residual"], Volume(900 * smooth(MOVING.shape, sigma=1), MOVING)
    grid = rotated(MOVING, (4, 0, 0))  # or it would lie along the scan's axes
    if isinstance(transform.steps[0], Affine):
        grid = Grid(grid.shape, np.linalg.inv(RIGID) @ grid.affine)
    if parts > 1:
        plane = 4 * 4 * grid.shape[0] * grid.shape[1]  # each voxel is read in two parts
        planes = -(-2 * grid.shape[2] // parts)
        monkeypatch.setattr("arssr.ensemble._SUM_SHARE", (planes + 0.5) * plane / PLENTY)
    each = [
        resample_through(field_of(network, flipped(image, flip)), transform, grid).data
        for flip in flips(4)
    ]
    assert np.abs(each[0] - each[1]).max() > 10
    mean = ensemble_of(network, image, 4, memory=PLENTY)
    result = resample_through(mean, transform, grid).data
    np.testing.assert_allclose(result, np.mean(each, axis=0), atol=0.1)


def test_there_is_no_one_map_of_features() -> None:
    mean = ensemble_of(NETWORKS["residual"], volume(smooth((4, 4, 4))), 4)
    with pytest.raises(ArSSRError, match="features for every member"):
        DifferentiableField(mean)


def test_points_of_any_shape() -> None:
    mean = ensemble_of(NETWORKS["residual"], volume(smooth((4, 4, 4))), 4)
    assert mean.at([1, 1, 1]).shape == () and mean.at(np.empty((0, 3))).shape == (0,)
    assert mean.at(np.ones((2, 3, 3))).dtype == np.float32
    with pytest.raises(ArSSRError, match="three coordinates"):
        mean.at([1, 2])


def test_where_one_member_had_to_go_the_next_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    given, computing = NETWORKS["residual"], list[ImplicitVoxelNetwork]()
    image = volume(300 + 900 * smooth((5, 6, 4)))
    real = VoxelField.finished

    def finished(self: VoxelField, *args: Any) -> Any:
        if not computing:
            self._runner.leave_gpu("out of memory")
        computing.append(self.network)
        return real(self, *args)

    monkeypatch.setattr(VoxelField, "finished", finished)
    ensemble_of(given, image, 4).on(image.grid.scaled(2))
    assert len(computing) == 4 and given not in computing
    assert all(network is computing[0] for network in computing)
