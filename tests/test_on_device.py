"""On a device intensities become what they become in memory, on the way in and on the way out."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from arssr import on_device
from arssr.errors import ArSSRError
from arssr.formats.samples import Encoding
from arssr.intensity import Normalisation
from arssr.interpolation import without_traces
from arssr.on_device import Finish, normalised, samples_on

shapes = st.tuples(st.integers(1, 40), st.integers(1, 5), st.integers(1, 40))
images = arrays(np.float32, shapes, elements=st.floats(-1e6, 1e6, width=32))
integers = st.sampled_from(["i1", "u1", "<i2", ">i2", "u2", "i4", "u4", "i8", "u8"])
encodings = st.builds(
    Encoding,
    integers.map(np.dtype),
    st.sampled_from([1.0, 0.5, -2.0, 0.1, 1e-4]),
    st.sampled_from([0.0, -1024.0, 0.3]),
) | st.builds(Encoding, st.sampled_from(["<f4", ">f4"]).map(np.dtype))
CPU = torch.device("cpu")


@given(images, st.sampled_from([0.0, -1000.0, 0.1]), st.sampled_from([1.0, 3.0, 0.7, 1e12]))
def test_a_network_is_given_what_normalisation_says(
    data: np.ndarray, offset: float, scale: float
) -> None:
    norm = Normalisation(offset, scale)
    found = normalised(samples_on(data, CPU), norm).numpy()
    np.testing.assert_array_equal(found, without_traces(norm.apply(data)))


@pytest.mark.filterwarnings("error")
def test_samples_may_lie_anyhow_and_be_locked() -> None:
    data = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for given_as in (np.asfortranarray(data), data[::-1][::-1], np.broadcast_to(data, data.shape)):
        np.testing.assert_array_equal(samples_on(given_as, CPU).numpy(), data)


@given(images, st.none() | st.sampled_from([0.0, -5.5]), st.none() | encodings)
def test_a_device_finishes_as_memory_does(
    data: np.ndarray, floor: float | None, encoding: Encoding | None
) -> None:
    finish = Finish(floor, encoding)
    here, left = finish.here(data.copy()), finish.leaving(torch.from_numpy(data.copy()))()
    np.testing.assert_array_equal(left, here)
    assert left.dtype.newbyteorder("=") == here.dtype.newbyteorder("=")
    order = left.flags.f_contiguous if encoding else left.flags.c_contiguous
    assert order, "a copy would be needed"


@given(images, st.permutations([0, 1, 2]))
def test_slabs_come_along_the_axes_of_the_result(data: np.ndarray, axes: list[int]) -> None:
    turned = data.transpose(axes)
    for finish in (Finish(), Finish(encoding=Encoding(np.dtype(np.int16)))):
        left = finish.leaving(torch.from_numpy(data.copy()).permute(axes))()
        np.testing.assert_array_equal(left, finish.here(turned.copy()))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_what_no_file_takes_is_refused(value: float, dtype: type) -> None:
    slab = np.full((2, 3, 4), 7, np.float32)
    slab[1, 2, 3] = value
    finish = Finish(encoding=Encoding(np.dtype(dtype)))
    with pytest.raises(ArSSRError, match="NaN or infinite"):
        finish.here(slab.copy())
    with pytest.raises(ArSSRError, match="NaN or infinite"):
        finish.leaving(torch.from_numpy(slab))()
    with pytest.raises(ArSSRError, match="too far"):
        Finish().leaving(torch.from_numpy(slab), "too far")()


def test_what_leaves_a_device_is_no_larger_than_what_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[torch.Tensor] = []

    def to_host(values: torch.Tensor) -> object:
        sent.append(values)
        return values.numpy

    monkeypatch.setattr(on_device, "to_host", to_host)
    Finish(0.0, Encoding(np.dtype(np.uint16), 0.5)).leaving(torch.ones(4, 5, 6))
    told, slab = sent
    assert (told.numel(), slab.numel(), slab.element_size()) == (1, 4 * 5 * 6, 2)
