"""The field is the network's answer, wherever and however it is read, and it stays in place."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation
from tests.engine.thin import lively_network, thin_encoders
from tests.phantoms import rotated, smooth, tiny_network, volume

from arssr.engine.decoding.on_cpu import decode_lattice
from arssr.engine.plan import Plan, make_plan
from arssr.errors import ArSSRError
from arssr.field import VoxelField
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.interpolation import resample
from arssr.networks import SEEN, ImplicitVoxelNetwork
from arssr.volume import Volume

NETWORKS = {flavour: lively_network("light", flavour) for flavour in ("paper", "residual")}
ACQUISITION, NOISE = ("kspace", "unknown", "slice"), 0.02
UNITS = Normalisation(offset=-300, scale=1500)

seeds = st.integers(0, 2**32 - 1)
flavours = pytest.mark.parametrize("flavour", NETWORKS)


def field_of(network: ImplicitVoxelNetwork, image: Volume) -> VoxelField:
    return VoxelField(network, image, UNITS, acquisition_ijk=ACQUISITION, noise=NOISE)


def random_image(random: np.random.Generator) -> Volume:
    """4 to 9 voxels a side, no air, somewhere in space: oblique, flipped, anisotropic."""
    shape = tuple(random.integers(4, 10, 3).tolist())
    affine = np.eye(4)
    turn = Rotation.from_rotvec(random.uniform(-2, 2, 3)).as_matrix()
    affine[:3, :3] = turn * random.uniform(0.5, 4, 3) * random.choice([-1, 1], 3)
    affine[:3, 3] = random.uniform(-90, 90, 3)
    return volume(300 + 900 * smooth(shape, seed=int(random.integers(99)), sigma=1), affine)


def along_the_axes(source: Grid, random: np.random.Generator) -> Grid:
    """Permuted, flipped, scaled, shifted: some of it outside, by up to four voxels."""
    index_map = np.zeros((4, 4))
    index_map[3, 3] = 1
    axes = random.permutation(3)
    shape = random.integers(1, 8, 3)
    for own, axis in enumerate(axes):
        index_map[axis, own] = random.uniform(0.2, 1.0) * random.choice([-1, 1])
        index_map[axis, 3] = random.uniform(0, source.shape[axis])
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), source.affine @ index_map)


def as_the_network_says(
    network: ImplicitVoxelNetwork, image: Volume, index_ijk: np.ndarray, cell: np.ndarray
) -> np.ndarray:
    """Values at voxel coordinates (P, 3), straight from `network.forward` and scipy."""
    normalised = UNITS.apply(image.data)
    condition = network.condition(ACQUISITION, NOISE)
    with torch.inference_mode():
        [values] = network(
            torch.from_numpy(normalised)[None, None],
            None if condition is None else condition[None],
            torch.from_numpy(index_ijk).float()[None],
            torch.from_numpy(np.minimum(cell, 1)).float()[None],
        )
    values = values[:, 0].numpy()
    if network.corrects:
        values += ndimage.map_coordinates(normalised, index_ijk.T, order=3, mode="nearest")
    values = UNITS.invert(values)
    far = (index_ijk < -1.5) | (index_ijk > np.array(image.grid.shape) + 0.5)
    values[far.any(axis=1)] = UNITS.offset
    return values


def centres(grid: Grid) -> np.ndarray:
    return np.indices(grid.shape).reshape(3, -1).T


@flavours
@settings(max_examples=25)
@given(seed=seeds)
def test_lattices_points_and_the_network_agree(flavour: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    network, image = NETWORKS[flavour], random_image(random)
    field = field_of(network, image)
    grid = along_the_axes(image.grid, random)
    to_source = grid.index_map_to(image.grid)
    index = centres(grid) @ to_source[:3, :3].T + to_source[:3, 3]
    cell = np.linalg.norm(to_source[:3, :3], axis=1)
    truth = as_the_network_says(network, image, index, cell)
    result = field.on(grid)
    assert result.grid == grid
    np.testing.assert_allclose(result.data.ravel(), truth, atol=0.2)
    spacing = float(random.uniform(0.1, 5))
    values = field.at(grid.to_world(centres(grid)), spacing_mm=spacing)
    truth = as_the_network_says(network, image, index, spacing / image.grid.spacing_mm)
    np.testing.assert_allclose(values, truth, atol=0.2)


@flavours
@settings(max_examples=15)
@given(seed=seeds)
def test_an_oblique_grid_is_the_same_field(flavour: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    network, image = NETWORKS[flavour], random_image(random)
    grid = rotated(image.grid.isotropic().scaled(1.3), random.uniform(5, 85, 3))
    assert grid.axis_positions_in(image.grid) is None
    to_source = grid.index_map_to(image.grid)
    index = centres(grid) @ to_source[:3, :3].T + to_source[:3, 3]
    truth = as_the_network_says(network, image, index, np.linalg.norm(to_source[:3, :3], axis=1))
    result = field_of(network, image).on(grid)
    assert result.grid == grid
    np.testing.assert_allclose(result.data.ravel(), truth, atol=0.2)


def test_an_oblique_grid_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    image = random_image(np.random.default_rng(0))
    field, grid = field_of(NETWORKS["residual"], image), rotated(image.grid, (20, 0, 10))
    whole, shares = field.on(grid).data, list[float]()
    monkeypatch.setattr("arssr.field._OBLIQUE_CHUNK", 17)
    pieces = field.on(grid, lambda what, share: shares.append(share)).data
    np.testing.assert_allclose(pieces, whole, atol=1e-2)
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) > 3


@flavours
def test_turning_the_result_about_turns_only_the_result(flavour: str) -> None:
    image = random_image(np.random.default_rng(3))
    field, grid = field_of(NETWORKS[flavour], image), image.grid.scaled((2, 1.5, 3))
    turned = np.array([[0, 0, -1, grid.shape[0] - 1], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
    turned[2, 3] = grid.shape[2] - 1
    other = Grid((grid.shape[1], grid.shape[2], grid.shape[0]), grid.affine @ turned)
    expected = field.on(grid).data.transpose(1, 2, 0)[:, ::-1, ::-1]
    np.testing.assert_allclose(field.on(other).data, expected, atol=0.01)


def test_points_by_default_stand_for_half_a_voxel() -> None:
    image = volume(300 + 900 * smooth((5, 6, 7)), np.diag([1, 2, 3, 1.0]))
    field, fine = field_of(NETWORKS["residual"], image), image.grid.scaled(2)
    points = fine.to_world(np.moveaxis(np.indices(fine.shape), 0, -1))
    np.testing.assert_allclose(field.at(points), field.on(fine).data, atol=0.05)
    assert field.at(np.empty((0, 3))).shape == (0,)


@pytest.mark.parametrize(
    ("points", "spacing"),
    [([1, 2], 1), ([[1, 2, np.nan]], 1), ([1, 2, 3], 0), ([1, 2, 3], -1), ([1, 2, 3], np.inf)],
)
def test_points_that_are_none_are_refused(points: list[float], spacing: float) -> None:
    field = field_of(NETWORKS["residual"], volume(smooth((4, 4, 4))))
    with pytest.raises(ArSSRError):
        field.at(points, spacing_mm=spacing)


def test_the_encoder_runs_once_however_often_the_field_is_read() -> None:
    shares: list[float] = []
    image = random_image(np.random.default_rng(0))
    field = VoxelField(
        tiny_network(), image, UNITS, progress=lambda what, share: shares.append(share)
    )
    assert not shares
    field.on(image.grid.scaled(2))
    field.on(image.grid.scaled((1, 1, 5)))
    field.on(rotated(image.grid, (10, 20, 30)))
    field.at([0, 0, 0])
    assert shares == sorted(shares) and shares.count(1) == 1


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans in which no features are kept, and output comes in slabs of 3 planes."""

    def plan(*args: Any, **options: Any) -> Plan:
        made, reading = make_plan(*args, **options), args[3]
        window = replace(
            made.layout, axis=reading.axis, backwards=reading.backwards, whole=False, planes=1
        )
        return replace(made, slab_planes=3, layout=window)

    monkeypatch.setattr("arssr.field.make_plan", plan)


@flavours
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=seeds)
def test_a_window_of_features_gives_the_same_field(
    flavour: str, seed: int, little_memory: object
) -> None:
    random = np.random.default_rng(seed)
    network, image = NETWORKS[flavour], random_image(random)
    field, points = field_of(network, image), image.grid.to_world(random.uniform(-1, 9, (40, 3)))
    for grid in (
        along_the_axes(image.grid, random),
        rotated(image.grid.isotropic().scaled(1.3), random.uniform(5, 85, 3)),
    ):
        index = grid.index_map_to(image.grid)
        at = centres(grid) @ index[:3, :3].T + index[:3, 3]
        cell = np.linalg.norm(index[:3, :3], axis=1)
        truth = as_the_network_says(network, image, at, cell)
        np.testing.assert_allclose(field.on(grid).data.ravel(), truth, atol=0.2)
    truth = as_the_network_says(network, image, image.grid.to_index(points), np.full(3, 0.5))
    np.testing.assert_allclose(field.at(points), truth, atol=0.2)
    assert field._runner.kept is None


def test_slabs_are_the_whole_plane_by_plane(little_memory: object) -> None:
    image = volume(300 + 900 * smooth((9, 8, 7)))
    field, grid = field_of(NETWORKS["residual"], image), image.grid.scaled(1.5)
    slabs = list(field.slabs(grid))
    assert [slab.shape for slab in slabs] == [(14, 12, 3)] * 3 + [(14, 12, 1)]
    assert all(slab.dtype == np.float32 for slab in slabs)
    np.testing.assert_array_equal(np.concatenate(slabs, axis=2), field.on(grid).data)


def test_a_plan_counts_the_finer_grid_that_a_coarser_one_is_averaged_from() -> None:
    image = volume(300 + 900 * smooth((9, 8, 7)))
    field = field_of(NETWORKS["residual"], image)
    coarser = image.grid.with_spacing((0.5, 1, 2.5))
    assert field.plan(coarser).reading == field.plan(coarser.scaled((1, 1, 3))).reading
    assert field.plan(coarser).decode_flops > field.plan(image.grid).decode_flops


def test_no_memory_is_refused_before_anything_is_computed() -> None:
    image = volume(300 + 900 * smooth((5, 5, 6)))
    field = VoxelField(NETWORKS["residual"], image, UNITS, memory=1e6)
    with pytest.raises(ArSSRError, match="budget of 1 MB is too small"):
        field.plan(image.grid)


# --- running out of memory ------------------------------------------------------------------------


def running_out(monkeypatch: pytest.MonkeyPatch, times: int) -> list[object]:
    """The first so many decodings end for lack of memory; returns those that did."""
    ended: list[object] = []

    def decode(*args: Any, **options: Any) -> Any:
        if len(ended) < times:
            ended.append(args)
            raise torch.OutOfMemoryError
        return decode_lattice(*args, **options)

    monkeypatch.setattr("arssr.field.decode_lattice", decode)
    return ended


def test_out_of_memory_means_smaller_pieces_and_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    image = volume(300 + 900 * smooth((9, 8, 7)))
    grid = image.grid.scaled(2)
    expected = field_of(NETWORKS["residual"], image).on(grid).data
    ended = running_out(monkeypatch, 2)
    result = field_of(NETWORKS["residual"], image).on(grid).data
    np.testing.assert_allclose(result, expected, atol=1e-2)
    assert len(ended) == 2 and caplog.text.count("going on in smaller pieces") == 2


def test_out_of_memory_in_the_end_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    image = volume(300 + 900 * smooth((9, 8, 7)))
    running_out(monkeypatch, 99)
    with pytest.raises(ArSSRError, match="out of memory"):
        field_of(NETWORKS["residual"], image).on(image.grid)


# --- place ---------------------------------------------------------------------------------------


def interpolating(flavour: str) -> ImplicitVoxelNetwork:
    """A network that answers with the plain interpolation of its input: cubic, or linear."""
    if flavour == "residual":
        network = tiny_network()
        torch.nn.init.zeros_(network.decoder.last.weight)  # type: ignore[union-attr, arg-type]
        return network
    with thin_encoders():
        network = tiny_network("rescnn", "paper")  # adds the image to each of its features
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    for layer in network.decoder.stage_two:  # type: ignore[union-attr]
        if isinstance(layer, torch.nn.Linear):
            layer.weight.data[0, 0] = 1
    return network


@flavours
@settings(max_examples=20)
@given(seed=seeds)
def test_a_blob_stays_where_it_is_in_millimetres(flavour: str, seed: int) -> None:
    """Odd sizes, oblique, flipped, anisotropic; every target; to a few per cent of a voxel."""
    random = np.random.default_rng(seed)
    grid = Grid(
        (int(random.integers(13, 17)), int(random.integers(13, 17)), 15),
        random_image(random).grid.affine,
    )
    centre = (np.array(grid.shape) - 1) / 2 + random.uniform(-1, 1, 3)
    blob = np.exp(-0.5 * ((centres(grid) - centre) ** 2).sum(axis=1) / 1.3**2)
    image = Volume(blob.reshape(grid.shape), grid)
    field = VoxelField(interpolating(flavour), image, Normalisation.identity())
    targets = [
        grid.scaled(random.uniform(1, 2.7, 3).tolist()),
        grid.with_spacing(float(grid.spacing_mm.min()) / 1.2),
        grid.with_shape([17, 20, 23]),
        rotated(grid.scaled(1.5), random.uniform(-5, 5, 3)),
    ]
    for target in targets:
        result = field.on(target)
        weight = result.data.ravel().astype(np.float64)
        found = weight @ target.to_world(centres(target)) / weight.sum()
        assert np.abs(grid.to_index(found) - centre).max() < 0.03
        volume_mm3 = abs(np.linalg.det(target.affine)) * weight.sum()
        assert volume_mm3 == pytest.approx(abs(np.linalg.det(grid.affine)) * blob.sum(), rel=0.05)


@flavours
def test_the_border_holds_for_a_voxel_and_then_comes_air(flavour: str) -> None:
    """Voxels of 2 mm: the field of view ends at -1 mm, the border value at -3 mm."""
    image = volume(300 + 900 * smooth((7, 7, 7), seed=1), np.diag([2, 2, 2, 1.0]))
    field = VoxelField(interpolating(flavour), image, UNITS)
    border = field.at([-1 if flavour == "residual" else 0, 6, 6])
    leaving = np.diag([-0.25, 1, 1, 1])
    leaving[:3, 3] = -1, 6, 6
    grid = Grid((20, 1, 1), leaving)
    for values in (
        field.on(grid).data.ravel(),
        field.at(grid.to_world(centres(grid))),
        field.on(Grid(grid.shape, rotated(grid, (0, 0, 0.2)).affine)).data.ravel(),
    ):
        if flavour == "residual":
            np.testing.assert_allclose(values[:8], border, atol=20)
        else:  # the paper's features fade to zeros; half of the border's are left at the edge
            assert values[0] == pytest.approx((border + UNITS.offset) / 2, abs=5)
        assert (values[9:] == UNITS.offset).all()
    assert (field.at([[-3.1, 6, 6], [6, 15.1, 6], [6, 6, -4]]) == UNITS.offset).all()


# --- intensities ---------------------------------------------------------------------------------


def head_in_air(size: int = 20) -> Volume:
    """A textured ball; nothing around it."""
    distance = np.linalg.norm(np.indices((size,) * 3) - (size - 1) / 2, axis=0)
    texture = 0.4 + 0.6 * smooth((size,) * 3, seed=5, sigma=1.5)
    return volume(np.where(distance < size / 4, texture, 0))


def test_air_is_left_to_interpolation() -> None:
    """A network with any bias cannot light up what is empty: lattice, points and oblique alike."""
    image = head_in_air()
    network = tiny_network()
    torch.nn.init.constant_(network.decoder.last.bias, 0.3)  # type: ignore[union-attr, arg-type]
    field = VoxelField(network, image, Normalisation.identity())
    grid = image.grid.scaled(2)
    sr, cubic = field.on(grid), resample(image, grid)
    nearby = ndimage.maximum_filter(image.data, size=5).repeat(2, 0).repeat(2, 1).repeat(2, 2) > 0
    np.testing.assert_allclose(sr.data[~nearby], cubic.data[~nearby], atol=1e-6)
    assert (np.abs(sr.data - cubic.data)[nearby] > 0.1).all()
    points = grid.to_world(np.argwhere(~nearby)[::50])
    np.testing.assert_allclose(field.at(points), cubic.data[~nearby][::50], atol=1e-5)
    turned = rotated(grid, (0, 0, 20))
    off = np.abs(field.on(turned).data - resample(image, turned).data)
    assert np.mean(off < 1e-5) > 0.5 > np.mean(off > 0.1) > 0.01


def test_what_is_far_too_bright_is_interpolated_and_corrected_by_what_is_seen_of_it() -> None:
    """The correction is that to an image without it; the cubic interpolation has it."""
    network = NETWORKS["residual"]
    data = smooth((8, 8, 8), sigma=1)
    data[4, 4, 4] = 1e3
    bright, ends = volume(data), volume(data.clip(*SEEN))
    grid = bright.grid.scaled(2)
    found, expected = (
        VoxelField(network, image, Normalisation.identity(), skip_air=False).on(grid).data
        - resample(image, grid).data
        for image in (bright, ends)
    )
    np.testing.assert_allclose(found, expected, atol=3e-4)  # float32 of 1000


def test_bfloat16_agrees_with_float32_to_60_db() -> None:
    """With corrections as large as trained networks make them: a few per cent of the range."""
    image = head_in_air(16)
    grid = image.grid.scaled(2)
    network = lively_network("light")
    for parameter in network.decoder.last.parameters():  # type: ignore[union-attr]
        parameter.data *= 0.05
    exact = VoxelField(network, image, Normalisation.identity()).on(grid).data
    correction = exact - resample(image, grid).data
    assert 0.02 < correction.std() < 0.2
    rounded = VoxelField(network.bfloat16(), image, Normalisation.identity()).on(grid).data
    mean_square = float(np.mean((rounded - exact) ** 2))
    assert 0 < mean_square < np.ptp(image.data) ** 2 * 10**-6


@flavours
def test_progress_says_what_is_done(flavour: str) -> None:
    told: list[tuple[str, float]] = []
    image = random_image(np.random.default_rng(1))
    field = VoxelField(
        NETWORKS[flavour], image, UNITS, progress=lambda what, share: told.append((what, share))
    )
    assert not told
    field.on(image.grid.scaled(2), lambda what, share: told.append((what, share)))
    assert ("encoding", 1) in told and told[-1] == ("decoding", 1)
