"""Training samples against the degradation of whole volumes, which is what evaluation computes."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from tests import phantoms
from tests.phantoms import volume
from torch import Tensor

from arssr.degradation import (
    KSpace,
    Slice,
    Spline,
    degrade,
    low_resolution_positions,
    named_degradation,
)
from arssr.intensity import Normalisation
from arssr.interpolation import apply_axis_matrices, axis_matrix
from arssr.networks import ACQUISITIONS, NATIVE, UNKNOWN, condition_vector
from arssr.training.config import SamplingConfig, TrainConfig
from arssr.training.data import Item
from arssr.training.draw import Contrast, Draw, Turn, draw
from arssr.training.images import Resident
from arssr.training.sampler import Batch, batch, remap, simulate

CONFIG = SamplingConfig(batch=4, patch=8, points=500, context=6, margin=2, contrast=0, noisy=0)
CENTRE = (40, 36, 38)


def smooth(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """An image that float16 holds exactly."""
    return phantoms.smooth(shape, seed).astype(np.float16).astype(np.float32)


def item(image: np.ndarray, centre: tuple[int, ...] = CENTRE, name: str = "x") -> Item:
    """An image whose foreground is a single voxel: it says where the patch will be."""
    return Item(name, torch.from_numpy(np.asarray(image, np.float16)), np.array([centre]))


def known(acquisition: str, scale: object, **changes: object) -> Draw:
    """A noise-free sample of which everything is told."""
    plain = Draw(named_degradation(acquisition), np.broadcast_to(np.asarray(scale, float), 3))
    return replace(plain, **changes)  # type: ignore[arg-type]


def sample(
    item: Item, config: SamplingConfig, what: Draw, rng: np.random.Generator
) -> dict[str, Tensor]:
    """A batch of one, without its first dimension."""
    alone = simulate([item], config, [what], [rng])
    return {f.name: getattr(alone, f.name)[0] for f in fields(Batch)}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def start_of(image: np.ndarray, scale: np.ndarray, centre: tuple[int, ...] = CENTRE) -> np.ndarray:
    """First high-resolution voxel of the patch."""
    extent = np.floor(CONFIG.patch * scale + 1e-6).astype(int)
    return np.clip(np.array(centre) - extent // 2, 0, np.array(image.shape) - extent)


def low_resolution(
    image: np.ndarray, name: str, scale: np.ndarray, start: np.ndarray, voxels: list[np.ndarray]
) -> Tensor:
    """Low-resolution voxels of the whole image, counted from `start`."""
    matrices = []
    for n, k, s, index in zip(image.shape, scale, start, voxels, strict=True):
        at = s + (index + 0.5) * k - 0.5
        degradation = named_degradation(name)
        m = degradation.axis_matrix(n, at, k) if k > 1 else np.eye(n)[at.astype(int)]
        matrices.append(torch.from_numpy(m).float())
    return apply_axis_matrices(torch.from_numpy(image), matrices)


# --- the patch is a window of the scan -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "context", "tolerance"),
    [
        ("spline", 6, 1e-3),  # the fade takes thousandths of what lies beyond the patch
        ("slice", 6, 3e-3),
        ("kspace", 6, 0.02),  # the kernel reaches further than any patch
        ("kspace", 99, 1e-5),
        ("slice", 99, 1e-5),
        ("spline", 99, 1e-5),
    ],
)
@pytest.mark.parametrize("scale", [2, 2.37, (1, 1, 3.3), (1.5, 1, 2.2)])
def test_the_patch_is_a_window_of_the_whole_volumes_scan(
    name: str, context: float, tolerance: float, scale: object
) -> None:
    image = smooth((80, 76, 78), seed=1)
    config, what = replace(CONFIG, context=context), known(name, scale)
    patch = sample(item(image), config, what, rng())["image"][0]
    window = [np.arange(CONFIG.patch)] * 3
    start = start_of(image, what.scale_ijk)
    scan = low_resolution(image, name, what.scale_ijk, start, window)
    inside = slice(1, -1)
    np.testing.assert_allclose(
        patch[inside, inside, inside], scan[inside, inside, inside], atol=tolerance
    )
    np.testing.assert_allclose(patch, scan, atol=max(10 * tolerance, 5e-3))


def test_at_a_whole_scale_the_window_is_one_of_degrade() -> None:
    """The code that evaluates, called as evaluation calls it."""
    image = smooth((80, 76, 78), seed=2)
    patch = sample(item(image), CONFIG, known("slice", 2), rng())["image"][0]
    scan = degrade(volume(image), 2, named_degradation("slice")).data
    a, b, c = start_of(image, np.full(3, 2.0)) // 2
    np.testing.assert_allclose(patch, scan[a : a + 8, b : b + 8, c : c + 8], atol=5e-3)


@pytest.mark.parametrize("name", ACQUISITIONS)
@pytest.mark.parametrize("corner", [(0, 0, 0), (999, 999, 999)])
def test_at_the_faces_of_the_image_the_patch_has_its_faces(
    name: str, corner: tuple[int, ...]
) -> None:
    """Where the field of view ends there is nothing to fade from."""
    image = smooth((48, 52, 50), seed=3)
    config = replace(CONFIG, context=99)
    patch = sample(item(image, corner), config, known(name, 2), rng())["image"][0]
    start = start_of(image, np.full(3, 2.0), corner)
    scan = low_resolution(image, name, np.full(3, 2.0), start, [np.arange(8)] * 3)
    np.testing.assert_allclose(patch, scan, atol=1e-5)


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_an_own_view_is_the_scan_of_the_crop(name: str) -> None:
    """No neighbourhood: the crop is degraded as if it were an image."""
    image = smooth((80, 76, 78), seed=4)
    what = known(name, (2, 2.4, 3), own_view=True)
    values = sample(item(image), CONFIG, what, rng())
    extent = np.floor(8 * what.scale_ijk + 1e-6).astype(int)
    a, b, c = start_of(image, what.scale_ijk)
    crop = image[a : a + extent[0], b : b + extent[1], c : c + extent[2]]
    scan = degrade(volume(np.ascontiguousarray(crop)), tuple(extent / 8), named_degradation(name))
    np.testing.assert_allclose(values["image"][0], scan.data, atol=1e-5)
    np.testing.assert_allclose(values["cell"], 8 / extent, rtol=1e-6)
    at_faces = (values["positions"] < 0.5).any(dim=0) & (values["positions"] > 6.5).any(dim=0)
    assert at_faces.all()


# --- what is asked about the patch ---------------------------------------------------------------


@pytest.mark.parametrize(("name", "tolerance"), [("spline", 0.004), ("slice", 0.004)])
def test_the_base_is_cubic_interpolation_of_the_whole_scan(name: str, tolerance: float) -> None:
    """Inside the margin; a spline forgets the patch's faces by a factor of 0.27 a voxel."""
    image, scale = smooth((80, 76, 78), seed=5), np.full(3, 2.3)
    values = sample(item(image), CONFIG, known(name, 2.3), rng())
    start = start_of(image, scale)
    voxels = [
        np.arange(-int(s // 2.3), int((n - s) // 2.3))
        for s, n in zip(start, image.shape, strict=True)
    ]
    scan = low_resolution(image, name, scale, start, voxels)
    at = values["positions"].numpy() - [v[0] for v in voxels]
    cubic = ndimage.map_coordinates(scan.numpy(), at.T, order=3, mode="nearest")
    np.testing.assert_allclose(values["base"], cubic, atol=tolerance)


@given(st.sampled_from(ACQUISITIONS), st.tuples(*[st.floats(1, 3)] * 3), st.booleans())
def test_the_base_is_cubic_interpolation_of_the_patch(
    name: str, scale: tuple[float, float, float], own_view: bool
) -> None:
    values = sample(
        item(smooth((60, 60, 60))), CONFIG, known(name, scale, own_view=own_view), rng()
    )
    assert_base_fits(values["image"], values["positions"], values["base"])


def assert_base_fits(image: Tensor, positions: Tensor, base: Tensor) -> None:
    """`base` (P,) is the patch (1, n, n, n) interpolated at `positions` (P, 3)."""
    cubic = ndimage.map_coordinates(
        image[0].double().numpy(), positions.double().numpy().T, order=3, mode="nearest"
    )
    np.testing.assert_allclose(base, cubic, atol=1e-4)


@pytest.mark.parametrize("name", ACQUISITIONS)
@pytest.mark.parametrize("scale", [1, 2, 3.7, (1, 2.5, 1)])
def test_the_truth_lies_where_the_positions_say(name: str, scale: object) -> None:
    """Of an image without detail the scan shows everything: interpolating it gives the truth.

    A voxel further along any axis the waves differ by 0.023, thick slices flatten them by 0.014.
    """
    shape = (80, 76, 78)
    phases = [4 * np.pi * np.arange(n) / n + a for a, n in enumerate(shape)]
    image = 0.5 + 0.15 * sum(np.meshgrid(*map(np.cos, phases), indexing="ij"))
    config = replace(CONFIG, context=99)
    values = sample(item(image), config, known(name, scale), rng())
    assert (values["base"] - values["truth"]).abs().max() < 0.016


@given(st.tuples(*[st.floats(1, 4)] * 3), st.integers(0, 9))
def test_positions_are_centres_of_high_resolution_voxels_inside_the_margin(
    scale: tuple[float, float, float], seed: int
) -> None:
    values = sample(item(smooth((60, 60, 60))), CONFIG, known("slice", scale), rng(seed))
    positions = values["positions"].double().numpy()
    index = (positions + 0.5) / values["cell"].double().numpy() - 0.5
    np.testing.assert_allclose(index, np.rint(index), atol=1e-4)
    assert (positions >= CONFIG.margin - 0.5).all()
    assert (positions <= CONFIG.patch - CONFIG.margin - 0.5).all()
    np.testing.assert_allclose(values["cell"], 1 / np.array(scale), rtol=1e-6)


@given(
    shape=st.tuples(*[st.integers(8, 30)] * 3),
    scale=st.tuples(*[st.floats(1, 6)] * 3),
    name=st.sampled_from(ACQUISITIONS),
    seed=st.integers(0, 99),
)
def test_any_image_that_holds_a_patch_can_be_sampled(
    shape: tuple[int, int, int], scale: tuple[float, float, float], name: str, seed: int
) -> None:
    """A scale that would not fit becomes the largest that does."""
    what = known(name, scale, own_view=seed % 2 == 0)
    values = sample(item(smooth(shape), tuple(n // 2 for n in shape)), CONFIG, what, rng(seed))
    assert values["image"].shape == (1, 8, 8, 8)
    assert (1 / values["cell"].numpy() <= np.array(shape) / 8 + 1e-5).all()
    assert all(torch.isfinite(v).all() for v in values.values())


# --- what is told --------------------------------------------------------------------------------


def test_the_condition_names_what_was_done_to_each_axis() -> None:
    told = sample(item(smooth((60,) * 3)), CONFIG, known("slice", (1, 3, 1)), rng())["condition"]
    assert told.tolist() == condition_vector((NATIVE, "slice", NATIVE), 0.0)
    what = known("slice", (1, 3, 1), told_acquisition=False, told_noise=False)
    hidden = sample(item(smooth((60,) * 3)), CONFIG, what, rng())["condition"]
    assert hidden.tolist() == condition_vector((UNKNOWN,) * 3, None)


def test_noise_is_rician_and_its_level_told() -> None:
    """Of air; a scan that was stripped after the noise has none there."""
    image = smooth((60,) * 3) * 0
    config, noisy = replace(CONFIG, patch=16), known("slice", 2, noise=0.05)
    for seed in range(10):
        values = sample(item(image), config, noisy, rng(seed))
        torch.testing.assert_close(values["condition"][-2:], torch.tensor([1.0, 1.0]))
        np.testing.assert_allclose(values["image"].mean(), 0.05 * np.sqrt(np.pi / 2), rtol=0.05)
        assert float(values["truth"].abs().max()) == 0
    assert not sample(item(image), config, replace(noisy, stripped=True), rng())["image"].any()


def test_noise_of_the_image_itself_is_told_as_well() -> None:
    noisy = replace(item(smooth((60,) * 3)), noise=0.03)
    told = sample(noisy, CONFIG, known("slice", 2, noise=0.04), rng())["condition"]
    torch.testing.assert_close(told[-2:], torch.tensor([1.0, 1.0]))


def test_samples_without_noise_are_as_in_a_batch_without_any() -> None:
    both = [item(smooth((60,) * 3))] * 2
    draws = [known("slice", 2), known("slice", 2, noise=0.05)]
    mixed = simulate(both, CONFIG, draws, [rng(), rng()])
    alone = simulate(both, CONFIG, draws[:1] * 2, [rng(), rng()])
    assert torch.equal(mixed.image[0], alone.image[0])
    assert not torch.equal(mixed.image[1], alone.image[1])


def test_a_random_contrast_keeps_the_air_and_the_geometry() -> None:
    """Remapped in order or in reverse order, shaded slowly."""
    image = smooth((60, 60, 60), seed=7)
    image[30:] = 0
    before = sample(item(image), CONFIG, known("spline", 1), rng())
    for seed in range(30):
        contrast = Contrast.draw(rng(seed))
        after = sample(item(image), CONFIG, known("spline", 1, contrast=contrast), rng())
        assert torch.equal(after["positions"], before["positions"])
        assert (after["truth"][before["truth"] == 0] == 0).all()
        # at scale 1 the image is what is asked for, so it has the same contrast
        torch.testing.assert_close(after["base"], after["truth"], atol=1e-4, rtol=1e-4)
        assert torch.isfinite(after["truth"]).all() and after["truth"].abs().max() < 2.5


def test_a_contrast_is_the_formula_that_it_states() -> None:
    x = torch.linspace(0.03, 1, 50)
    torch.testing.assert_close(remap(x, Contrast()), x)
    torch.testing.assert_close(remap(x, Contrast(inverted=True)), 1.05 - x)
    torch.testing.assert_close(remap(x, Contrast(gamma=1.7)), x**1.7)
    expected = x + x * (1 - x) * (0.4 - 0.3 * (1 - 2 * x))
    torch.testing.assert_close(remap(x, Contrast(bend=0.4, skew=-0.3)), expected)
    torch.testing.assert_close(remap(-x, Contrast(gamma=1.7)), -x)


def test_a_bias_field_lies_over_the_region_and_counts_in_the_scan() -> None:
    """Of a flat image it is all there is: 1 + slope u + curve u² along an axis, times the gain."""
    shading = np.array([[0.1, -0.05], [0, 0], [0, 0]])
    what = known("spline", 1, own_view=True, contrast=Contrast(shading=shading, gain=0.8))
    values = sample(item(np.full((60,) * 3, 0.5)), CONFIG, what, rng())
    u = torch.linspace(-1, 1, 8)
    expected = 0.4 * (1 + 0.1 * u - 0.05 * u * u)
    torch.testing.assert_close(values["image"][0], expected[:, None, None].expand(8, 8, 8))
    at = values["positions"][:, 0].round().long()
    torch.testing.assert_close(values["truth"], expected[at])


def test_an_image_can_keep_its_units() -> None:
    """The paper's networks see the file's intensities; float16 holds normalised ones."""
    plain = item(smooth((60,) * 3))
    raw = replace(plain, units=Normalisation(offset=200, scale=80_000))
    for field in ("image", "truth", "base"):
        expected = sample(plain, CONFIG, known("slice", 2), rng())[field] * 80_000 + 200
        torch.testing.assert_close(
            sample(raw, CONFIG, known("slice", 2), rng())[field], expected, rtol=1e-5, atol=0.5
        )


def test_draws_keep_to_the_recipes_shares() -> None:
    config, generator = SamplingConfig(), rng()
    draws = [draw(config, generator) for _ in range(4000)]

    def share(of: list[bool]) -> float:
        return float(np.mean(of))

    expected = {
        "kspace": (share([d.degradation.name == "kspace" for d in draws]), 0.38),
        "slice": (share([d.degradation.name == "slice" for d in draws]), 0.39),
        "hidden": (share([not d.told_acquisition for d in draws]), config.unknown),
        "hidden noise": (share([not d.told_noise for d in draws]), config.unknown),
        "noisy": (share([d.noise > 0 for d in draws]), config.noisy),
        "own view": (share([d.own_view for d in draws]), config.own_view),
        "contrast": (share([d.contrast is not None for d in draws]), config.contrast),
        "stripped": (share([d.stripped for d in draws]), 0.5),
        "turned": (share([d.turn != Turn() for d in draws]), config.turned * 47 / 48),
        "isotropic": (
            share([np.ptp(d.scale_ijk) == 0 for d in draws]),
            1 - config.thick - config.anisotropic,
        ),
    }
    for name, (actual, wanted) in expected.items():
        assert abs(actual - wanted) < 0.03, name
    scales = np.array([d.scale_ijk for d in draws])
    thick = (scales > 1).sum(axis=1) == 1
    assert scales.min() >= 1 and scales[~thick].max() <= 4 < scales[thick].max() <= 6
    assert max(d.noise for d in draws) <= config.noise


def test_what_is_drawn_is_what_scanners_make() -> None:
    """Profiles from Gaussian over trapezoid to box, gaps, k-space under a window; told as one of
    the three that the network knows."""
    config, generator = SamplingConfig(), rng()
    kinds = [draw(config, generator).degradation for _ in range(4000)]
    slices = [kind for kind in kinds if isinstance(kind, Slice)]
    windows = [kind.apodisation for kind in kinds if isinstance(kind, KSpace)]
    gaps = [kind.gap for kind in slices if kind.gap]
    ramps = [kind.ramp for kind in slices if kind.profile == "trapezoid"]
    apodised = [strength for strength in windows if strength]
    shares = {
        len(ramps) / len(slices): 1 - config.gaussian,
        len(gaps) / len(slices): config.gapped,
        len(apodised) / len(windows): config.apodised,
    }
    for actual, wanted in shares.items():
        assert abs(actual - wanted) < 0.05
    for values, (low, high) in (
        (gaps, config.gap),
        (ramps, config.ramp),
        (apodised, config.apodisation),
    ):
        np.testing.assert_allclose([min(values), max(values)], [low, high], atol=0.02)
        np.testing.assert_allclose(np.mean(values), (low + high) / 2, rtol=0.1)
    assert {kind.name for kind in kinds} == set(ACQUISITIONS)
    assert any(not kind.gap and kind.profile == "gaussian" for kind in slices)


def test_without_these_ranges_the_three_ideal_acquisitions_are_drawn() -> None:
    config, generator = SamplingConfig(gaussian=1, gapped=0, apodised=0), rng()
    kinds = {draw(config, generator).degradation for _ in range(200)}
    ramps = {kind.ramp for kind in kinds if isinstance(kind, Slice)}
    assert kinds == {KSpace(), Spline(), *(Slice(ramp=ramp) for ramp in ramps)}


def test_an_acquisition_with_a_name_of_its_own_is_drawn_as_it_is() -> None:
    config = SamplingConfig(acquisitions={"slice-gap20": 1.0})
    assert draw(config, rng()).degradation == Slice(gap=0.2)


def test_a_sample_of_the_papers_recipe_is_what_it_always_was() -> None:
    """Its only acquisition has no parameters, so that nothing is drawn for them."""
    config, generator, other = TrainConfig.read("paper").sampling, rng(3), rng(3)
    draw(config, generator)
    other.choice(1, p=[1.0])
    other.random()
    other.integers(21)
    other.random(7)
    assert generator.bit_generator.state == other.bit_generator.state


def test_a_single_thick_axis_is_one_of_those_that_may_be() -> None:
    config, generator = replace(CONFIG, thick=1.0, scale=(3, 3), thick_scale=3), rng()
    scales = np.array([draw(config, generator, (0, 2)).scale_ijk for _ in range(50)])
    assert {tuple(scale) for scale in scales} == {(3, 1, 1), (1, 1, 3)}


def test_the_papers_scales_are_tenths_from_two_to_four() -> None:
    config, generator = TrainConfig.read("paper").sampling, rng()
    scales = [draw(config, generator).scale_ijk for _ in range(800)]
    assert all(np.ptp(scale) == 0 for scale in scales)
    tenths = sorted({round(float(scale[0]) * 10, 6) for scale in scales})
    assert tenths == list(range(20, 41))


# --- batches -------------------------------------------------------------------------------------


def items(count: int) -> list[Item]:
    return [item(smooth((40, 40, 40), seed=n), (20, 20, 20), str(n)) for n in range(count)]


def at_hand(items: list[Item], config: SamplingConfig = CONFIG) -> Resident:
    return Resident.plain(items, 20, config.batch)


def assert_same(a: Batch, b: Batch) -> None:
    for f in fields(Batch):
        assert torch.equal(getattr(a, f.name), getattr(b, f.name)), f.name


def test_a_step_can_be_drawn_again() -> None:
    config, images = replace(CONFIG, noisy=1, contrast=1), at_hand(items(3))
    assert_same(batch(images, config, 20, 5), batch(images, config, 20, 5))
    for seed, step in ((20, 6), (21, 5)):
        other = batch(images, config, seed, step)
        assert not torch.equal(other.image, batch(images, config, 20, 5).image)


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_shares_of_several_processes_make_up_the_batch(ranks: int) -> None:
    config, images = replace(CONFIG, noisy=1), at_hand(items(3))
    whole = batch(images, config, 20, 7)
    for rank in range(ranks):
        share = batch(images, config, 20, 7, rank, ranks)
        for f in fields(Batch):
            assert torch.equal(getattr(share, f.name), getattr(whole, f.name)[rank::ranks]), f.name


@pytest.mark.parametrize("count", [1, 3, 4, 7])
def test_every_item_is_drawn_in_every_epoch(count: int) -> None:
    """Flat images, told apart by their intensity."""
    config = replace(CONFIG, acquisitions={"spline": 1.0})
    flat = [item(np.full((40, 40, 40), n + 1), (20, 20, 20)) for n in range(count)]
    steps = -(-count // config.batch)
    orders = []
    for epoch in range(6):
        batches = [batch(at_hand(flat), config, 20, epoch * steps + n) for n in range(steps)]
        drawn = torch.cat([b.truth[:, 0] for b in batches]).tolist()
        assert set(drawn) == set(range(1, count + 1))
        assert max(drawn.count(n) for n in set(drawn)) <= -(-steps * config.batch // count)
        orders.append(tuple(drawn))
    assert len(set(orders)) > 1 or count == 1


def test_turned_samples_keep_everything_on_the_same_axis() -> None:
    """After flips and permutations the image still has its values where the positions are, and
    cell and condition still speak of the axis that was thick."""
    config = replace(CONFIG, thick=1, anisotropic=0, acquisitions={"slice": 1.0}, own_view=0)
    axes = set()
    for step in range(12):
        drawn = batch(at_hand(items(2)), replace(config, unknown=0), 20, step)
        for n in range(config.batch):
            assert_base_fits(drawn.image[n], drawn.positions[n], drawn.base[n])
            thick = drawn.cell[n] < 1
            told = drawn.condition[n, :-2].view(3, -1)[:, ACQUISITIONS.index("slice")] == 1
            assert torch.equal(thick, told)
            steps = (drawn.positions[n] - drawn.positions[n, :1]) / drawn.cell[n]
            assert (steps - steps.round()).abs().max() < 1e-3
            axes.add(int(thick.nonzero()))
    assert axes == {0, 1, 2}


def test_turned_samples_come_in_all_orientations() -> None:
    """A ramp along i: after turning it runs up or down any axis."""
    ramp = np.broadcast_to(np.linspace(0, 1, 40)[:, None, None], (40, 40, 40))
    config = replace(CONFIG, acquisitions={"spline": 1.0}, thick=0, anisotropic=0)
    directions = set()
    for step in range(12):
        for image in batch(at_hand([item(ramp, (20, 20, 20))]), config, 20, step).image[:, 0]:
            slopes = [float(image.diff(dim=a).mean()) for a in range(3)]
            axis = int(np.argmax(np.abs(slopes)))
            directions.add((axis, slopes[axis] > 0))
    assert len(directions) == 6


def test_low_resolution_positions_fill_the_field_of_view() -> None:
    for n, scale in ((5, 2.0), (7, 3.3), (1, 4.0)):
        centres = low_resolution_positions(n, scale)
        np.testing.assert_allclose(centres[0] - scale / 2, -0.5)
        np.testing.assert_allclose(centres[-1] + scale / 2, n * scale - 0.5)
        np.testing.assert_allclose(axis_matrix("linear", 40, centres).sum(axis=1), 1)
