from pathlib import Path

import numpy as np
import pytest
from tests.phantoms import smooth, volume

from arssr.errors import ArSSRError
from arssr.evaluation.protocol import BenchmarkProtocol, Setting, combine, parse_scale, parse_snr


def test_the_paper_is_asked_what_the_paper_asked() -> None:
    paper = BenchmarkProtocol.read("paper")
    assert [str(s) for s in paper.settings] == [
        f"spline {k}" for k in ("2", "2.5", "3", "3.5", "4")
    ]
    assert paper.name == "paper" and len(paper.baselines) == 5


def test_the_scanner_protocols() -> None:
    slices = BenchmarkProtocol.read("scanner2d").settings
    assert [s.scale for s in slices] == [f"1x1x{k}" for k in range(2, 7)]
    assert {s.degradation for s in slices} == {"slice"}
    volumes = BenchmarkProtocol.read("scanner3d").settings
    assert {s.degradation for s in volumes} == {"kspace"}
    assert {s.snr for s in volumes} == {None, 40, 20}


def test_the_card_quotes_all_degradations_without_noise() -> None:
    card = BenchmarkProtocol.read("card")
    expected = {f"{d} {k}" for d in ("kspace", "slice", "spline") for k in (2, 2.5, 3, 3.2, 4)}
    assert {str(s) for s in card.settings} == expected | {"slice 1x1x4"}
    assert {"trilinear", "cubic"} <= set(card.baselines)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "about: Mine.\nbaselines: [cubic]\ntests:\n"
        "  - {degradations: [slice], scales: [1x1x2.5, 2], snr: [none, 20]}\n"
        "  - {degradations: [slice], scales: [2]}\n"
    )
    mine = BenchmarkProtocol.read(str(path))
    assert (mine.name, mine.about, mine.baselines) == ("mine", "Mine.", ("cubic",))
    assert [str(s) for s in mine.settings] == [  # the second test repeats the first
        "slice 1x1x2.5",
        "slice 2",
        "slice 1x1x2.5, SNR 20",
        "slice 2, SNR 20",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("about: [", "not readable YAML"),
        ("- 1", "not a protocol"),
        ("about: x", "not a protocol"),
        ("about: x\ntests: 3", "tests must be a list"),
        ("about: x\ntests: [{degradations: [slice], scale: [2]}]", "not a protocol"),
        ("about: x\ntests: [{degradations: [blur], scales: [2]}]", "unknown degradation 'blur'"),
        ("about: x\ntests: [{degradations: [slice], scales: 2}]", "scales must be a list"),
        ("about: x\nbaselines: [sinc]\ntests: [{degradations: [slice], scales: [2]}]", "baselines"),
    ],
)
def test_what_is_no_protocol_is_refused_in_words(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ArSSRError, match=message):
        BenchmarkProtocol.read(str(path))


def test_an_unknown_protocol_is_told_the_known_ones() -> None:
    with pytest.raises(ArSSRError, match="brief, card, noisy, paper, scanner2d, scanner3d"):
        BenchmarkProtocol.read("papers")


def test_scales_and_noise_levels_as_people_write_them() -> None:
    assert parse_scale(2) == parse_scale("2") == parse_scale("2x2x2") == (2, 2, 2)
    assert parse_scale("1×1×4.5") == (1, 1, 4.5)
    assert (parse_snr("none"), parse_snr(None), parse_snr("20")) == (None, None, 20)
    for text in ("", "two", "1x2", "1x2x3x4"):
        with pytest.raises(ArSSRError, match="a scale is a number"):
            parse_scale(text)
    with pytest.raises(ArSSRError, match="an SNR is"):
        parse_snr("low")


@pytest.mark.parametrize("scale", [(1, 1, 1), (0.5, 2, 2), (2, 2, float("nan"))])
def test_a_scale_must_leave_something_to_restore(scale: tuple[float, float, float]) -> None:
    with pytest.raises(ArSSRError, match="a scale is at least 1"):
        Setting("slice", scale)


@pytest.mark.parametrize("snr", [0, -3, float("inf")])
def test_an_snr_must_be_one(snr: float) -> None:
    with pytest.raises(ArSSRError, match="SNR"):
        Setting("slice", (2, 2, 2), snr)


def test_a_setting_measures_on_the_one_grid_rule() -> None:
    truth = volume(smooth((20, 21, 22)))
    setting = Setting("kspace", (2.0, 1.0, 2.5), 20)
    scans = [setting.measure(truth, np.random.default_rng(s)) for s in (1, 1, 2)]
    assert scans[0].grid.matches(truth.grid.scaled((1 / 2, 1, 1 / 2.5)))
    assert np.array_equal(scans[0].data, scans[1].data)
    assert not np.array_equal(scans[0].data, scans[2].data)


def test_the_reference_programs_own_degradation_is_told_as_spline() -> None:
    assert Setting("spline-aligned", (2, 2, 2)).acquisition == "spline"


def test_every_combination_in_order() -> None:
    assert [str(s) for s in combine(["slice", "spline"], [2, "1x1x4"], [None, 20])] == [
        *("slice 2", "slice 1x1x4", "slice 2, SNR 20", "slice 1x1x4, SNR 20"),
        *("spline 2", "spline 1x1x4", "spline 2, SNR 20", "spline 1x1x4, SNR 20"),
    ]
