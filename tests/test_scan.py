"""What a scan says of itself, and what is done about it."""

from pathlib import Path

import numpy as np
import pytest
from tests.phantoms import anatomy, smooth, tiny_network, volume, zero_filled

from arssr.api import Model
from arssr.networks import ImplicitVoxelNetwork
from arssr.scan import as_measured
from arssr.volume import Volume
from arssr.weights.registry import Weights


def model_of(network: ImplicitVoxelNetwork) -> Model:
    return Model(Weights("tiny", network, {}, Path("tiny.safetensors")), "cpu", "float32")


@pytest.fixture(scope="module")
def filled() -> Volume:
    """Stored on 0.5 mm in plane, of which 0.6 was measured."""
    data = zero_filled(zero_filled(anatomy((64, 64, 12)), 0, 0.6), 1, 0.6)
    return volume(data, np.diag([0.5, 0.5, 4, 1]))


def test_a_zero_filled_scan_is_taken_back_to_its_voxels(filled: Volume) -> None:
    measured = as_measured(filled)
    assert measured.cut_ijk == (True, True, False)
    i, j, k = measured.volume.grid.shape
    assert 38 <= i <= 44 and 38 <= j <= 44 and k == 12
    assert measured.describe()["cut_to_band"]["shape"] == [i, j, k]


def test_a_smooth_scan_and_a_sharp_one_stay_as_they_are() -> None:
    for data in (smooth((40, 40, 40)), anatomy((64, 64, 40))):
        scan = volume(data)
        measured = as_measured(scan)
        assert measured.volume is scan and measured.describe() == {}


def test_upsampling_starts_from_what_was_measured(filled: Volume) -> None:
    model = model_of(tiny_network())
    grid = filled.grid.scaled((1, 1, 2))
    cut = as_measured(filled).volume
    told = ("kspace", "kspace", "slice")
    ours = model.upsample(filled, like=grid)
    assert ours.grid == grid
    np.testing.assert_array_equal(
        ours.data, model.upsample(cut, like=grid, acquisition=told, as_stored=True).data
    )
    stored = model.upsample(filled, like=grid, as_stored=True)
    np.testing.assert_array_equal(stored.data, model.field(filled, towards=grid).on(grid).data)
    assert np.abs(stored.data - ours.data).max() > 1e-3


def test_the_flavour_of_the_paper_takes_scans_as_stored(filled: Volume) -> None:
    model = model_of(tiny_network(flavour="paper"))
    grid = filled.grid.scaled((1, 1, 2))
    results = [model.upsample(filled, like=grid, as_stored=stored).data for stored in (True, False)]
    np.testing.assert_array_equal(*results)


def test_auto_says_what_it_knows(filled: Volume) -> None:
    def told(scan: Volume, scale: float | tuple[float, float, float]) -> tuple[str, ...]:
        measured = as_measured(scan)
        return tuple(measured.acquisition("auto", scan.grid.scaled(scale), {}))

    assert told(filled, 1.5) == ("kspace", "kspace", "slice")
    sharp = volume(anatomy((64, 64, 40)))
    assert told(sharp, 2) == ("unknown",) * 3
    assert told(sharp, (2, 1, 1)) == ("unknown", "kspace", "kspace")
    twice = volume(sharp.data, np.diag([1, 1, 2, 1]))
    assert told(twice, (1, 1, 2)) == ("kspace", "kspace", "slice")
    assert told(twice, 2) == ("unknown",) * 3
    tiny = volume(smooth((6, 6, 6)))
    assert told(tiny, 2) == ("kspace",) * 3
    assert as_measured(sharp).acquisition("spline", sharp.grid.scaled(2), {}) == "spline"


def test_python_knows_the_words_of_a_clinic_for_acquisitions() -> None:
    image = (np.random.default_rng(0).random((9, 8, 7)) + 1, np.eye(4))
    model = model_of(tiny_network())
    assert model.field(image, acquisition="2D").acquisition_ijk == ("slice",) * 3
    mixed = model.field(image, acquisition=("3d", "2d", "spline"))
    assert mixed.acquisition_ijk == ("kspace", "slice", "spline")
