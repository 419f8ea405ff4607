"""`arssr.merge` as Python calls it."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from tests.phantoms import anatomy, rotated

import arssr
from arssr import ArSSRError, Grid, Volume
from arssr.degradation import degrade, named_degradation
from arssr.field import silent
from arssr.interpolation import resample
from arssr.merging.brightness import match
from arssr.merging.seen import Seen, see
from arssr.merging.together import echoes_of
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target

DATA = 200 * ndimage.gaussian_filter(np.pad(anatomy((30, 34, 30)), 5), 0.7)
TRUTH = Volume(DATA, Grid(DATA.shape, np.eye(4)))
TISSUE = ndimage.binary_erosion(DATA > 40, iterations=3)


@pytest.fixture(autouse=True)
def quietly() -> Iterator[None]:
    """What is told of each result is not what is tested here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", arssr.ArSSRWarning)
        yield


def noisy(volume: Volume, seed: int, sigma: float = 4.0) -> Volume:
    """With noise of its own."""
    noise = np.random.default_rng(seed).standard_normal(volume.grid.shape)
    return volume.with_data(np.abs(volume.data + sigma * noise), volume.grid)


def thick(axis: int, seed: int = 0) -> Volume:
    """Slices of 4 mm along an axis."""
    scale = np.ones(3)
    scale[axis] = 1 / 4
    return noisy(resample(TRUTH, TRUTH.grid.scaled(scale.tolist())), seed, 1.0)


def off(volume: Volume) -> float:
    """Root mean square of the error in tissue."""
    return float(np.sqrt(np.mean((volume.data - TRUTH.data)[TISSUE] ** 2)))


def test_the_noise_of_repeats_falls_as_it_should() -> None:
    repeats = [noisy(TRUTH, seed) for seed in range(4)]
    for count in (2, 4):
        merged = arssr.merge(repeats[:count])
        assert off(merged) == pytest.approx(off(repeats[0]) / count**0.5, rel=0.1)


def test_a_scan_misses_less_than_its_noise_of_a_guess_that_holds_it() -> None:
    model, request = arssr.load_model("light", "cpu"), Request(Target(like=TRUTH.grid), noise=1.0)
    everywhere = np.ones(TRUTH.grid.shape, np.float32)
    thin, stack = (see(model, request, scan, TRUTH.grid, silent) for scan in (TRUTH, thick(2)))
    even = match(TRUTH.data, TRUTH.data, everywhere, TRUTH.grid)

    def echoes(seen: list[Seen]) -> list[float]:
        n = len(seen)
        trusted = [np.ones(each.measured.shape[2]) for each in seen]
        known = ([np.eye(4)] * n, [even] * n, [everywhere] * n)
        return echoes_of(seen, *known, everywhere > 0, trusted, TRUTH.grid)

    assert echoes([stack, stack]) == [1, 1]
    assert echoes([thin, thin]) == pytest.approx([0.5**0.5] * 2, rel=0.03)
    of_stack, of_thin = echoes([stack, thin])
    assert of_thin == pytest.approx(0.5, rel=0.03) and 1 < of_stack < 1.2


def test_orthogonal_stacks_are_better_together_than_any_alone() -> None:
    scans = [thick(2), thick(0, 1), thick(1, 2)]
    alone = min(off(arssr.upsample(scan, like=TRUTH)) for scan in scans)
    assert off(arssr.merge(scans)) < 0.85 * alone


@pytest.mark.parametrize("factor", [1e-3, 30.0, 1e4])
def test_the_units_of_another_scan_do_not_matter(factor: float) -> None:
    first, second = thick(2), thick(0, 1)
    merged = arssr.merge([first, second], register=False)
    other = second.with_data(factor * second.data, second.grid)
    again = arssr.merge([first, other], register=False)
    np.testing.assert_allclose(again.data, merged.data, atol=0.01 * DATA.max())


def test_a_scan_at_an_angle_is_read_where_it_lies() -> None:
    oblique = resample(TRUTH, rotated(TRUTH.grid, (15, -10, 25)).scaled((1, 1, 0.25)))
    first = thick(2)
    merged = arssr.merge([first, noisy(oblique, 1, 1.0)])
    assert merged.grid == first.grid.scaled((1, 1, 4))
    assert off(merged) < 0.95 * off(arssr.upsample(first, like=TRUTH))


@pytest.mark.parametrize("profile", ["slice", "slice-box"])
def test_scans_tell_of_each_other_what_profile_their_slices_have(profile: str) -> None:
    made = [
        noisy(degrade(TRUTH, scale, named_degradation(profile)), seed, 1.0)
        for seed, scale in enumerate([(1, 1, 4), (4, 1, 1)])
    ]
    alone = off(arssr.upsample(made[0], like=TRUTH))
    assert off(arssr.merge(made, register=False)) < 0.7 * alone


def test_no_step_is_left_where_a_scan_ends() -> None:
    part = TRUTH.grid.part((slice(0, 20), slice(None), slice(None)))
    half = noisy(resample(TRUTH, part.scaled((1, 1 / 4, 1))), 1, 1.0)
    error = arssr.merge([thick(2), half], register=False).data - TRUTH.data
    steps = np.sqrt(np.mean(np.diff(error, axis=0)[:, 8:-8, 8:-8] ** 2, axis=(1, 2)))
    assert steps[16:22].max() < 1.5 * np.median(steps[6:-6])


def test_what_merging_cannot_do_is_refused() -> None:
    scans = [thick(2), thick(0)]
    with pytest.raises(ArSSRError, match="two scans or more"):
        arssr.merge(scans[:1])
    with pytest.raises(ArSSRError, match="needs the noise level"):
        arssr.merge(scans, noise=None)
    with pytest.raises(ArSSRError, match=r"needs .* of memory"):
        arssr.merge(scans, memory=1e6)
    with pytest.raises(ArSSRError, match=r"^axial\.nii: how the scan was made along an axis"):
        arssr.merge([replace(scans[0], path=Path("axial.nii")), scans[1]], acquisition="unknown")


def test_contrasts_that_are_kept_apart_lie_where_the_first_does() -> None:
    moved = np.eye(4)
    moved[:3, 3] = (3, -2, 1)
    other = thick(0)
    inverted = np.where(other.data > 20, 260 - other.data, 0)
    scans = [thick(2), Volume(inverted, Grid(other.grid.shape, moved @ other.grid.affine))]
    first, second = arssr.merge(scans, separate=True)
    assert first.grid == second.grid
    expected = np.where(TRUTH.data > 20, 260 - TRUTH.data, 0)
    assert np.corrcoef(second.data[TISSUE], expected[TISSUE])[0, 1] > 0.85


def test_where_a_contrast_that_is_kept_apart_was_not_measured_lies_air() -> None:
    part = TRUTH.grid.part((slice(0, 20), slice(None), slice(None)))
    half = resample(TRUTH, part)
    _, other = arssr.merge([thick(2), half], separate=True, register=False)
    np.testing.assert_allclose(other.data[:20], half.data, atol=1e-3)
    assert (other.data[21:] == 0).all()  # one voxel farther its border is repeated
