"""Two numbers tell scans from what is none, whichever way these are stored."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import data
from tests.phantoms import anatomy, tissue

from arssr.degradation import degrade, named_degradation
from arssr.domain import Look
from arssr.scan import as_measured
from arssr.volume import Volume
from arssr.weights.limits import unlike_training

SHARED = Path(__file__).parents[2] / "shared" / "data"
# The range of `light`'s training, as benchmarks/domain.py has it.
SEEN = ({"roughness": 0.0391, "peak": 0.079}, {"roughness": 0.0948, "peak": 0.278})
CARD = {"name": "light", "data": [{"look": look} for look in SEEN]}
SHAPE = (60, 70, 50)


def ct(noise: float) -> np.ndarray:
    """Air, tissue with a little contrast, and bone, in Hounsfield units."""
    random = np.random.default_rng(0)
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij", sparse=True)
    radius = np.sqrt(i**2 + j**2 + k**2)
    image = np.select([radius < 0.75, radius < 0.85, radius < 0.9], [40.0, 1000.0, 0.0], -1000.0)
    image += np.where(radius < 0.75, 10 * ndimage.gaussian_filter(random.normal(size=SHAPE), 3), 0)
    return ndimage.gaussian_filter(image, 0.7) + random.normal(0, noise, SHAPE)


def labels() -> np.ndarray:
    mix = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 5)
    return np.digitize(mix, np.quantile(mix, [0.5, 0.6, 0.7, 0.8, 0.9]))


def photograph() -> np.ndarray:
    return np.repeat(data.camera()[::2, ::2, None], 20, axis=2)


def said_of(samples: np.ndarray) -> str:
    return " ".join(unlike_training(CARD, Look.of(np.asarray(samples, np.float32))))


@settings(max_examples=20)
@given(
    slope=st.floats(0.01, 1e4),
    inter=st.floats(-1e3, 1e3),
    turned=st.permutations(range(3)),
    flip=st.sets(st.integers(0, 2)),
)
def test_a_look_does_not_depend_on_units_and_axes(
    slope: float, inter: float, turned: list[int], flip: set[int]
) -> None:
    image = tissue((40, 44, 36))
    image += np.random.default_rng(0).normal(0, 4, image.shape)
    turned_image = np.flip(image.transpose(turned), tuple(flip))
    one, other = Look.of(image), Look.of((slope * turned_image + inter).astype(np.float32))
    assert one is not None and other is not None
    assert other.roughness == pytest.approx(one.roughness, rel=0.1)
    assert other.peak == pytest.approx(one.peak, abs=0.03)


def test_noise_makes_rough_and_smoothing_makes_smooth() -> None:
    image = anatomy((48, 48, 48))
    noise = np.random.default_rng(0).normal(0, 0.1, image.shape)
    looks = [Look.of(x) for x in (ndimage.gaussian_filter(image, 2), image, image + noise)]
    smooth, plain, rough = (look.roughness for look in looks if look)
    assert smooth < plain < rough


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (photograph(), "far less"),
        (labels(), "far less"),
        (ct(0), "one brightness"),
        (ct(5), "as in CT"),
        (ct(20), "as in CT"),
        (np.random.default_rng(0).normal(size=SHAPE), "little but noise"),
        (np.hypot(*np.random.default_rng(0).normal(size=(2, *SHAPE))), "little but noise"),
    ],
    ids=["photograph", "labels", "CT", "CT, 5 HU", "CT, 20 HU", "noise", "Rician noise"],
)
def test_what_is_no_scan_is_told(samples: np.ndarray, words: str) -> None:
    assert words in said_of(samples)


def test_of_next_to_nothing_nothing_is_said() -> None:
    assert Look.of(np.zeros((9, 9, 9), np.float32)) is None
    few = np.zeros((30, 30, 30), np.float32)
    few[3:6, 3:6, 3:6] = 7
    assert Look.of(few) is None
    assert unlike_training(CARD, None) == []


def test_weights_of_which_too_little_is_known_are_silent() -> None:
    look = Look(9.0, 1.0)
    assert unlike_training(CARD, look)
    assert unlike_training({}, look) == []
    others = [{"name": "another"}, {"name": "a third"}]
    assert unlike_training({"data": [*CARD["data"], *others[:1]]}, look)
    assert unlike_training({"data": [*CARD["data"], *others]}, look) == []
    assert unlike_training({"data": [{"look": None}]}, look) == []
    assert unlike_training({"data": [*CARD["data"], {"look": None}]}, look)
    assert unlike_training({**CARD, "started_from": {"data": others}}, look) == []
    wider = {**CARD, "started_from": {"data": [{"look": {"roughness": 9.0, "peak": 1.0}}]}}
    assert unlike_training(wider, look) == []


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="shared data are not there")
@pytest.mark.parametrize("folder", ["val", "clinical", "train_nc"])
def test_scans_are_not_told_of(folder: str) -> None:
    """Nor are thick slices of them; all of the other data: benchmarks/domain.py."""
    for path in sorted((SHARED / folder).glob("*.nii.gz"))[:6]:
        scan = Volume.read(path)
        thick = degrade(scan, (1, 1, 4), named_degradation("slice"))
        for volume in (scan, thick) if folder == "train_nc" else (scan,):
            assert unlike_training(CARD, Look.of(as_measured(volume).volume.data)) == [], path
