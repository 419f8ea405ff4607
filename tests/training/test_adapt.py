"""What a scan can teach, and that nothing it is judged by is taught."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from tests.phantoms import anatomy, smooth, tiny_network, volume, zero_filled

from arssr.errors import ArSSRError
from arssr.networks import ACQUISITIONS
from arssr.training.adapt import Lesson, adapt
from arssr.training.images import Resident
from arssr.training.run import make_fabric
from arssr.training.sampler import batch
from arssr.volume import Volume
from arssr.weights.files import load_weights
from arssr.weights.registry import Weights, load

THICK = {0: (12, 60, 52), 1: (52, 12, 60), 2: (60, 52, 12)}


NETWORK = tiny_network().eval()


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return make_fabric("cpu", 1, 1, "float32")


def stack(axis: int, thickness: float = 3.0) -> Volume:
    """Slices stacked along an axis."""
    spacing = [thickness if a == axis else 1.0 for a in range(3)]
    return volume(smooth(THICK[axis], sigma=1), np.diag([*spacing, 1]))


def weights(flavour: str = "residual") -> Weights:
    """Nothing that was ever trained."""
    found = Weights("tiny", tiny_network(flavour=flavour).eval(), {"licence": "none"}, Path("x"))
    found.__dict__["sha256"] = "0"
    return found


@pytest.mark.parametrize("axis", THICK)
def test_of_a_stack_of_slices_the_sharp_axes_teach(axis: int) -> None:
    lesson = Lesson.of(stack(axis), NETWORK)
    assert axis not in lesson.axes and len(lesson.axes) == 2
    assert (lesson.acquisition, lesson.scale) == ("slice", 3.0)
    item, sampling = lesson.item(), replace(lesson.sampling(), turned=0.0)
    degraded = set()
    for step in range(4):
        drawn = batch(Resident.plain([item], 0, sampling.batch), sampling, 0, step)
        for cell, condition in zip(drawn.cell, drawn.condition, strict=True):
            [thick] = (cell < 1).nonzero().flatten().tolist()
            assert abs(1 / float(cell[thick]) - 3) < 0.1
            told = condition[:-2].view(3, -1).argmax(dim=1).tolist()
            assert [ACQUISITIONS[n] for n in told] == [
                "slice" if a == thick else "kspace" for a in range(3)
            ]
            degraded.add(thick)
    assert degraded == set(lesson.axes)


def test_an_isotropic_scan_is_degraded_once_more() -> None:
    lesson = Lesson.of(volume(smooth((40, 48, 44), sigma=1)), NETWORK, scale=2.5)
    assert (lesson.acquisition, lesson.axes, lesson.together) == ("kspace", (0, 1, 2), True)
    sampling = replace(lesson.sampling(), own_view=0.0)
    drawn = batch(Resident.plain([lesson.item()], 0, sampling.batch), sampling, 0, 0)
    torch.testing.assert_close(drawn.cell, torch.full((8, 3), 0.4))
    assert Lesson.of(volume(smooth((40, 48, 44), sigma=1)), NETWORK).scale == 2


def test_what_is_judged_is_not_taught() -> None:
    """A gap lies between; a quarter of the foreground is held out."""
    scan = stack(2)
    lesson = Lesson.of(scan, NETWORK)
    assert lesson.held_axis == 0
    taught = lesson.item().image
    assert taught.shape == (lesson.cut - 6, 52, 36)
    expected = lesson.fine.data[: lesson.cut - 6]
    np.testing.assert_allclose(taught.float(), expected, atol=1e-3)
    bright = np.nonzero(lesson.scan.data > lesson.scan.data.mean())[0]
    assert 0.2 < float((bright >= lesson.cut).mean()) < 0.3


def test_only_what_was_measured_is_judged_by() -> None:
    """Slices that lie, once made thick again, where the scan has other values cost gain."""
    lesson = Lesson.of(stack(2), NETWORK)
    wrong = replace(lesson, scan=lesson.scan.with_data(0 * lesson.scan.data, lesson.scan.grid))
    assert lesson.judge(NETWORK) != wrong.judge(NETWORK)


def test_a_network_that_corrects_nothing_gains_nothing() -> None:
    network = tiny_network().eval()
    torch.nn.init.zeros_(network.decoder.last.weight)  # type: ignore[union-attr]
    for scan in (stack(1), volume(smooth((20, 32, 20), sigma=1))):
        assert abs(Lesson.of(scan, network).judge(network)) < 1e-4


@pytest.mark.slow
def test_adapting_teaches(fabric: Fabric) -> None:
    """Weights that exaggerate every correction learn not to."""
    start = replace(load("light"), network=deepcopy(load("light").network))
    start.network.decoder.last.weight.mul_(3)  # type: ignore[union-attr,operator]
    result = adapt(stack(2), start, fabric, steps=12, lr=1e-3)
    assert result.helped and result.gain_after > result.gain_before + 0.1
    assert result.card["held_out"]["gain_after"] == round(result.gain_after, 3)
    assert result.card["started_from"]["name"] == "light" and result.card["steps"] == 12
    assert result.card["licence"] == start.card["licence"]


def test_the_start_is_kept_where_adapting_does_not_help(
    fabric: Fabric, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    start, gains = weights(), iter([1.0, 0.5])
    monkeypatch.setattr(Lesson, "judge", lambda *_: next(gains))
    result = adapt(stack(2), start, fabric, steps=2, lr=1e-3)
    assert not result.helped and result.network is start.network
    assert result.card["adapted"] is False
    result.save(tmp_path / "mine.safetensors")
    saved = load_weights(tmp_path / "mine.safetensors")[0].state_dict()
    assert all(torch.equal(saved[n], v) for n, v in start.network.state_dict().items())


def test_the_weights_it_starts_from_stay_as_they_are(fabric: Fabric) -> None:
    start = weights()
    before = {n: v.clone() for n, v in start.network.state_dict().items()}
    adapt(stack(2), start, fabric, steps=2, lr=1e-2)
    assert all(torch.equal(before[n], v) for n, v in start.network.state_dict().items())


@pytest.mark.parametrize(
    ("scan", "scale", "flavour", "reason"),
    [
        (stack(2), 1.0, "residual", "scale above 1"),
        (stack(2), 8.0, "residual", "60×52×12 voxels are too few"),
        (volume(smooth((9, 50, 50))), None, "residual", "too few"),
        (stack(2), None, "paper", "residual flavour"),
    ],
)
def test_what_cannot_be_adapted(
    scan: Volume, scale: float | None, flavour: str, reason: str, fabric: Fabric
) -> None:
    with pytest.raises(ArSSRError, match=reason):
        adapt(scan, weights(flavour), fabric, scale=scale, steps=1)


def test_a_zero_filled_scan_teaches_on_the_voxels_that_were_measured() -> None:
    """Those on which the adapted weights will be used."""
    scan = volume(anatomy((64, 72, 48)) * 100)
    filled = scan.with_data(zero_filled(scan.data, axis=1, share=0.6), scan.grid)
    lesson = Lesson.of(filled, tiny_network())
    assert 0.6 * 72 <= lesson.scan.grid.shape[1] < 0.75 * 72  # all that was measured, and no more
    assert lesson.scan.grid.shape[::2] == scan.grid.shape[::2]
