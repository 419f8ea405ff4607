import numpy as np
import pytest

from arssr.grid import Grid
from arssr.viewing.charts import HEIGHT, WIDTH, line_chart
from arssr.viewing.curves import (
    Curve,
    edge_line,
    histogram,
    profile,
    radial_power_spectrum,
)
from arssr.viewing.display import PLANES


def test_the_spectrum_of_a_wave_peaks_at_its_frequency() -> None:
    grid = Grid((64, 48, 40), np.diag([0.8, 1.0, 1.0, 1]))
    x = grid.spacing_mm[0] * np.arange(64)
    wave = np.sin(2 * np.pi * 0.25 * x).astype(np.float32)
    spectrum = radial_power_spectrum(np.broadcast_to(wave[:, None, None], grid.shape), grid)
    assert spectrum.x[np.argmax(spectrum.y)] == pytest.approx(0.25, abs=0.03)
    assert spectrum.x.max() < 0.5


def test_the_spectrum_of_white_noise_is_flat() -> None:
    noise = np.random.default_rng(1).normal(0, 3, (48, 48, 48)).astype(np.float32)
    power = radial_power_spectrum(noise, Grid(noise.shape, np.eye(4))).y[3:]
    expected = 9 * 0.375**3  # the mean square of the Hann window is 3/8 an axis
    assert np.abs(power / expected - 1).max() < 0.2


def test_the_line_crosses_the_edge_of_interest() -> None:
    grid = Grid((50, 40, 12), np.diag([1, 2, 3, 1]))
    data = np.full(grid.shape, 50, np.float32)
    data[24:] = 150
    interest = np.zeros(grid.shape, np.float32)
    interest[:, 18:22, 5] = 1
    line = edge_line(data, interest, data > 0, grid, PLANES[0])
    assert line.centre[2] == 5
    assert line.centre[0] in (23, 24)
    assert 17 <= line.centre[1] <= 22
    assert line.length_mm == 16
    ends = grid.to_world([line.start, line.end])
    assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(16)
    course = profile(data, line)
    assert (course.y[0], course.y[-1]) == (50, 150)
    assert course.x[0] == -8
    assert set(profile(data, line, linear=False).y) == {50, 150}


def test_shares_of_a_histogram_are_of_the_object() -> None:
    data = np.array([[[0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 9.0]]], np.float32)
    curve = histogram(data, data > 0, np.array([0.5, 1.5, 2.5]))
    np.testing.assert_allclose(curve.x, [1, 2])
    np.testing.assert_allclose(curve.y, [60, 20])


def test_a_chart_keeps_its_curves_inside() -> None:
    x = np.linspace(0, 0.5, 20)
    chart = line_chart(
        "t",
        "n",
        ("x", "y"),
        {"a": Curve(x, 10.0 ** -(20 * x)), "b": Curve(x, np.zeros(20) + 5)},
        log_y=True,
        y_from=1e-4,
        marks={"here": 0.25, "outside": 0.7},
    )
    points = [p.split() for p in chart.paths["a"].replace("M", "L").split("L")[1:]]
    assert 0 < len(points) < 20  # what lies under the chart is not drawn
    assert all(chart.left <= float(px) <= chart.right <= WIDTH for px, _ in points)
    assert all(chart.top <= float(py) <= chart.bottom <= HEIGHT for _, py in points)
    assert [mark.label for mark in chart.marks] == ["here"]
    assert "10⁻²" in [tick.label for tick in chart.y_ticks]


def test_a_flat_curve_is_a_chart_too() -> None:
    chart = line_chart("t", "n", ("x", "y"), {"a": Curve(np.arange(3.0), np.full(3, 7.0))})
    assert len(set(p.split()[1] for p in chart.paths["a"][1:].split("L"))) == 1


@pytest.mark.parametrize("exponent", [-140, -100, 100, 125])
def test_the_spectrum_scales_with_the_square_of_the_units(exponent: int) -> None:
    noise = np.random.default_rng(1).uniform(0, 3, (24, 24, 24)).astype(np.float32)
    grid = Grid(noise.shape, np.eye(4))
    unit = radial_power_spectrum(noise, grid).y
    scaled = radial_power_spectrum(np.ldexp(noise, exponent), grid).y
    assert scaled == pytest.approx(unit * 4.0**exponent, rel=1e-2)  # denormal: 9 bits are left
