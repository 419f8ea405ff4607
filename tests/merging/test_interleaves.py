"""Groups of slices that moved against each other within a stack."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation
from tests.phantoms import anatomy

import arssr
from arssr import ArSSRError, Grid, Volume
from arssr.degradation import degrade, named_degradation
from arssr.formats.slices import Slices
from arssr.interpolation import resample
from arssr.merging.interleaves import (
    _steps,
    most_interleaves,
    require_interleaves,
)
from arssr.merging.merge import (
    Merged,
    common_grid,
    describe_interleaves,
    interleaves_in_words,
    made_of,
)
from arssr.merging.posed import Interleaves
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target

DATA = 200 * ndimage.gaussian_filter(np.pad(anatomy((34, 36, 32)), 5), 0.7)
TRUTH = Volume(DATA, Grid(DATA.shape, np.eye(4)))
CENTRE = (np.array(DATA.shape) - 1) / 2
HEAD = np.argwhere(DATA > 40)
STILL = np.eye(4)


@pytest.fixture(autouse=True)
def quietly() -> Iterator[None]:
    """What is told of each result is not what is tested here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", arssr.ArSSRWarning)
        yield


def motion(shift_mm: Sequence[float], degrees: Sequence[float]) -> np.ndarray:
    """From the space of the truth to that of a scan, about the middle of the head."""
    moved = np.eye(4)
    moved[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    moved[:3, 3] = CENTRE + shift_mm - moved[:3, :3] @ CENTRE
    return moved


def stack(
    axis: int,
    motions: Sequence[np.ndarray] = (STILL,),
    profile: str = "slice",
    passes: tuple[int, ...] = (),
) -> Volume:
    """Slices of 4 mm along an axis, a motion for each of its interleaves, or passes, with noise."""
    scale = np.ones(3)
    scale[axis] = 1 / 4
    grid = TRUTH.grid.scaled(scale.tolist())
    data = np.zeros(grid.shape, np.float32)
    for group, moved in enumerate(motions):
        there = Volume(TRUTH.data, Grid(TRUTH.grid.shape, moved @ TRUTH.grid.affine))
        slices = Interleaves(axis, tuple(motions), passes).of(group)[: axis + 1]
        whole = degrade(resample(there, TRUTH.grid), 1 / scale, named_degradation(profile))
        data[slices] = whole.data[slices]
    noise = np.random.default_rng(axis).standard_normal(grid.shape)
    if not passes:
        return Volume(np.abs(data + noise), grid)
    times_s = tuple(60.0 * group + k / 9 for k, group in enumerate(passes))
    return Volume(np.abs(data + noise), grid, slices=Slices(axis, 4.0, 4.0, times_s=times_s))


MOVED = motion((1.5, -1, 1), (1, -2, 1.5))


def merged(scans: Sequence[Volume], interleaves: int | str | None) -> Merged:
    request = Request(Target(like=TRUTH.grid))
    [made] = made_of(
        arssr.load_model("light", "cpu"),
        request,
        scans,
        common_grid(request, scans),
        registered=False,
        interleaves=interleaves,
    )
    return made


def off_mm(told: dict, motions: Sequence[np.ndarray]) -> float:
    """How far the head is off on average in the worst of a scan's interleaves."""
    to_scan = np.array(told["motion"]["to_scan_ras_mm"])
    worst = 0.0
    for found, moved in zip(told["interleaves"], motions, strict=True):
        apart = np.array(found["from_first_ras_mm"]) @ to_scan - moved
        distances = np.linalg.norm(HEAD @ apart[:3, :3].T + apart[:3, 3], axis=1)
        worst = max(worst, float(distances.mean()))
    return worst


def error(volume: Volume) -> float:
    """Root mean square of the error in the head."""
    return float(np.sqrt(np.mean((volume.data - DATA)[DATA > 40] ** 2)))


def test_a_step_finds_what_moves_each_group() -> None:
    generator = torch.Generator().manual_seed(0)
    columns = torch.randn((7, 6, 8, 9), generator=generator)
    known = torch.randn((3, 7), generator=generator)
    left = torch.zeros(6, 8, 9)
    for group in range(3):
        left[:, group::3] = torch.tensordot(known[group], columns[:, :, group::3], 1)
    small, explained = _steps(columns, left, Interleaves(1).divided(3))
    np.testing.assert_allclose(small, known[:, :6], atol=1e-5)
    assert explained == pytest.approx(float(left.double().square().sum()))


@pytest.mark.slow
@pytest.mark.parametrize("asked", [2, "auto"])
def test_interleaves_that_moved_are_found_and_put_right(asked: int | str) -> None:
    scans = [stack(2), stack(0, [STILL, MOVED]), stack(1)]
    without, made = merged(scans, None), merged(scans, asked)
    told = made.facts["merged"]["scans"]
    groups = [2, 2, 2] if asked == 2 else [1, 2, 1]
    assert [len(each["interleaves"]) for each in told] == groups
    for each, moved in zip(told, ([STILL, STILL], [STILL, MOVED], [STILL, STILL]), strict=True):
        assert off_mm(each, moved[: len(each["interleaves"])]) < 0.3
    assert error(made.volume) < 0.5 * error(without.volume)
    assert any("within scan 2 every second slice moved" in note for note in made.facts["notes"])


@pytest.mark.slow
def test_passes_that_times_tell_are_found_to_have_moved() -> None:
    passes = (1, 0, 2, 1, 0, 2, 0, 1, 2, 0, 1)
    motions = [STILL, MOVED, np.linalg.inv(MOVED)]
    scans = [stack(2), stack(0, motions, passes=passes), stack(1)]
    made = merged(scans, "auto")
    told = made.facts["merged"]["scans"]
    groups = [each.get("slices") for each in told[1]["interleaves"]]
    assert groups == [[1, 4, 6, 9], [0, 3, 7, 10], [2, 5, 8]]
    assert off_mm(told[1], motions) < 0.3
    assert error(made.volume) < 0.6 * error(merged(scans, None).volume)
    assert any("within scan 2 3 passes of slices, as" in note for note in made.facts["notes"])


@pytest.mark.parametrize(
    ("times_s", "most"),
    [
        (None, 4),
        (tuple(60.0 * (k % 5) + k / 9 for k in range(15)), 5),
        (tuple(60.0 * (k % 5) + k / 9 for k in range(14)), 4),  # one pass has two slices
        (tuple(60.0 * (k // 3) + k / 9 for k in range(15)), 4),  # of neighbours
    ],
)
def test_passes_count_where_they_interleave_and_have_slices_enough(
    times_s: tuple[float, ...] | None, most: int
) -> None:
    n = len(times_s or range(15))
    scan = Volume(np.zeros((4, 4, n)), Grid((4, 4, n), np.diag([1, 1, 4, 1])))
    scan = replace(scan, slices=Slices(2, 4.0, 4.0, times_s=times_s))
    assert most_interleaves("auto", scan) == most
    assert most_interleaves(3, scan) == 3


@pytest.mark.slow
def test_slices_that_are_boxes_do_not_bias_poses() -> None:
    motions = ([STILL, STILL], [STILL, MOVED], [STILL, STILL])
    scans = [
        stack(axis, moved, "slice-box") for axis, moved in zip((2, 0, 1), motions, strict=True)
    ]
    told = merged(scans, 2).facts["merged"]["scans"]
    assert [each["slice_profile"] for each in told] == ["trapezoid"] * 3
    for each, moved in zip(told, motions, strict=True):
        assert off_mm(each, moved) < 0.3


def test_a_thin_scan_tells_how_slices_of_a_thick_one_moved() -> None:
    noise = np.random.default_rng(3).standard_normal(DATA.shape)
    thin = TRUTH.with_data(np.abs(DATA + noise), TRUTH.grid)
    made = merged([thin, stack(0, [STILL, MOVED])], "auto")
    one, other = made.facts["merged"]["scans"]
    assert len(one["interleaves"]) == 1
    assert off_mm(other, [STILL, MOVED]) < 0.3


def test_scans_that_did_not_move_are_merged_as_ever() -> None:
    scans = [stack(2), stack(0), stack(1)]
    without, made = merged(scans, None), merged(scans, "auto")
    np.testing.assert_array_equal(made.volume.data, without.volume.data)
    assert "interleaves" not in without.facts["merged"]["scans"][0]
    assert any("no slices were found to have moved" in note for note in made.facts["notes"])


def test_scans_in_one_direction_tell_nothing_of_interleaves() -> None:
    scans = [stack(2), stack(2, [STILL, MOVED])]
    with pytest.raises(ArSSRError, match="no scan can be divided into interleaves"):
        merged(scans, 2)
    assert len(merged(scans, "auto").facts["merged"]["scans"][1]["interleaves"]) == 1


def test_too_few_slices_for_so_many_interleaves_are_refused() -> None:
    with pytest.raises(ArSSRError, match="of 15 thick slices or more"):
        merged([stack(2), stack(0)], 5)


def test_what_is_no_number_of_interleaves_is_refused() -> None:
    with pytest.raises(ArSSRError, match="2 or more, or auto, not 1"):
        require_interleaves(1, False, False)
    with pytest.raises(ArSSRError, match="do not go with --separate"):
        require_interleaves("auto", True, False)
    with pytest.raises(ArSSRError, match="do not go with --even-slices"):
        require_interleaves(2, False, True)
    require_interleaves(None, True, True)


def test_motion_is_told_at_the_head_in_the_space_of_the_scan() -> None:
    to_scan = motion((0, 0, 30), (0, 0, 0))
    about_head = to_scan @ motion((0, 0, 0), (0, 90, 0)) @ np.linalg.inv(to_scan)
    told = describe_interleaves(Interleaves(0, (STILL, about_head)), to_scan, CENTRE)
    assert [(each["mm"], each["degrees"]) for each in told] == [(0, 0), (0, 90)]
    scan = {"interleaves": [{"mm": 0, "degrees": 0}] + 2 * [{"mm": 1.04, "degrees": 2}]}
    assert interleaves_in_words([scan]) == (
        "within scan 1 3 interleaves of slices moved: by 1.0 mm and 2.0 degrees, "
        "by 1.0 mm and 2.0 degrees against the first ones"
    )
