"""The methods that workers are given live at module level: a fresh process must find them."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from tests.phantoms import smooth, volume

from arssr.degradation import named_degradation
from arssr.errors import ArSSRError
from arssr.evaluation.methods import Baseline, ModelMethod, Upsample
from arssr.evaluation.metrics import consistency, score
from arssr.evaluation.protocol import Setting, combine
from arssr.evaluation.rows import Row
from arssr.evaluation.runner import JOURNAL, evaluate
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.volume import Volume

SETTINGS = combine(["slice", "kspace"], [2, "1x1x2.5"])
CUBIC = Baseline("cubic")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Two small heads on disk."""
    paths = [tmp_path / f"head{number}.nii.gz" for number in (1, 2)]
    for number, path in enumerate(paths):
        volume(100 * smooth((20, 21, 22), seed=number), np.diag([-1, 1, 1.2, 1])).write(path)
    return paths


@dataclass
class StandIn:
    """A model in all but the network: cubic interpolation that notes what it was asked."""

    asked: list[tuple[str, str]] = field(default_factory=list)

    def upsample(
        self, image: Volume, *, like: Grid, acquisition: str, noise: str, ensemble: int
    ) -> Volume:
        self.asked.append((acquisition, noise))
        return resample(image, like)


def stand_in(blind: bool = False) -> tuple[StandIn, ModelMethod]:
    model = StandIn()
    return model, ModelMethod("stand-in", "hash", lambda: model, blind)


@dataclass(frozen=True)
class Faulty:
    """A method that goes wrong with one degradation: it raises, or its process dies."""

    dies: bool = False
    name: str = "faulty"
    weights_sha256: str = ""

    def told(self, setting: Setting) -> str:
        return ""

    def load(self) -> Upsample:
        return self._upsample

    def _upsample(self, lr: Volume, grid: Grid, setting: Setting) -> Volume:
        if setting.degradation == "kspace":
            if self.dies:
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("of no\nuse")
        return resample(lr, grid)


def numbers(rows: Sequence[Row]) -> list[Row]:
    """Rows without what differs from run to run."""
    return [replace(row, seconds=None, peak_mib=None) for row in rows]


def test_a_row_for_every_volume_setting_and_method(images: list[Path]) -> None:
    rows = evaluate(images, SETTINGS, [CUBIC, stand_in()[1]])
    assert [(r.volume, r.degradation, r.scale, r.method) for r in rows] == [
        (name, setting.degradation, setting.scale, method)
        for name in ("head1", "head2")
        for setting in SETTINGS
        for method in ("cubic", "stand-in")
    ]
    assert all(not row.error and row.seconds and row.peak_mib for row in rows)


def test_the_numbers_are_those_of_doing_it_by_hand(images: list[Path]) -> None:
    truth = Volume.read(images[1])
    for row, setting in zip(evaluate(images[1:], SETTINGS, [CUBIC]), SETTINGS, strict=True):
        lr = setting.measure(truth)
        result = resample(lr, truth.grid)
        degradation = named_degradation(setting.degradation)
        expected = score(truth, result) | {
            "consistency": consistency(result, lr, setting.scale_ijk, degradation)
        }
        assert row.scores == pytest.approx(expected, rel=1e-6)


def test_models_are_told_the_acquisition_unless_they_are_to_be_blind(images: list[Path]) -> None:
    for blind, told in ((False, ["slice", "kspace"]), (True, ["unknown", "unknown"])):
        model, method = stand_in(blind)
        rows = evaluate(images[:1], [SETTINGS[0], SETTINGS[2]], [CUBIC, method])
        assert model.asked == [(acquisition, "auto") for acquisition in told]
        assert [r.acquisition for r in rows if r.method != "cubic"] == told
        assert {r.method for r in rows} == {"cubic", "stand-in (blind)" if blind else "stand-in"}


def test_all_methods_get_the_same_noise_in_every_run(images: list[Path]) -> None:
    noisy = combine(["kspace"], [2], [None, 10])
    method = stand_in()[1]
    both = evaluate(images, noisy, [CUBIC, method])
    alone = evaluate(images, noisy, [method])
    assert numbers(both[1::2]) == numbers(alone)
    assert [r.scores for r in both[::2]] == [r.scores for r in both[1::2]]
    assert alone[1].scores["psnr"] < alone[0].scores["psnr"]


def test_a_second_run_computes_nothing(images: list[Path], tmp_path: Path) -> None:
    model, method = stand_in()
    first = evaluate(images, SETTINGS, [CUBIC, method], tmp_path / "out")
    assert len(model.asked) == 8
    calls: list[tuple[int, int, Row | None]] = []
    again = evaluate(
        images, SETTINGS, [CUBIC, method], tmp_path / "out", on_row=lambda *a: calls.append(a)
    )
    assert again == first and len(model.asked) == 8 and calls == [(16, 16, None)]


def test_only_what_is_new_is_computed(images: list[Path], tmp_path: Path) -> None:
    model, method = stand_in()
    evaluate(images[:1], SETTINGS[:2], [method], tmp_path)
    renamed = images[0].rename(tmp_path / "renamed.nii.gz")
    rows = evaluate([renamed, images[1]], SETTINGS[:3], [method], tmp_path)
    assert len(model.asked) == 2 + 4
    assert {row.volume for row in rows} == {"renamed", "head2"}
    retrained = replace(method, weights_sha256="another")
    evaluate([renamed], SETTINGS[:3], [retrained], tmp_path)
    assert len(model.asked) == 2 + 4 + 3


def test_a_run_goes_on_where_it_was_interrupted(images: list[Path], tmp_path: Path) -> None:
    model, method = stand_in()

    def interrupt(done: int, total: int, row: Row | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(images, SETTINGS, [method], tmp_path, on_row=interrupt)
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-20])  # and the last row did not reach the disk
    rows = evaluate(images, SETTINGS, [method], tmp_path)
    assert len(model.asked) == 3 + 6 and len(rows) == 8
    assert numbers(rows) == numbers(evaluate(images, SETTINGS, [method]))


def test_a_failure_is_a_row_with_its_reason_and_tried_again(
    images: list[Path], tmp_path: Path
) -> None:
    rows = evaluate(images[:1], SETTINGS, [Faulty(), CUBIC], tmp_path)
    assert [row.error for row in rows] == [*[""] * 4, *["RuntimeError: of no use", ""] * 2]
    assert not rows[4].scores and rows[4].method == "faulty"
    calls: list[Row | None] = []
    evaluate(
        images[:1],
        SETTINGS,
        [Faulty(), CUBIC],
        tmp_path,
        on_row=lambda _done, _total, row: calls.append(row),
    )
    assert len(calls) == 3  # what was found, and the two that had failed


@pytest.mark.parametrize("jobs", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_damaged_volume_is_one_row_and_the_others_go_on(
    images: list[Path], tmp_path: Path, jobs: int
) -> None:
    images[0].write_bytes(images[0].read_bytes()[:2000])
    calls: list[tuple[int, int]] = []

    def count(done: int, total: int, row: Row | None) -> None:
        calls.append((done, total))

    rows = evaluate(images, SETTINGS, [CUBIC], tmp_path / "out", jobs, count)
    assert (rows[0].volume, rows[0].method) == ("head1", "") and "head1" in rows[0].error
    assert [row.volume for row in rows[1:]] == ["head2"] * 4 and not any(r.error for r in rows[1:])
    assert calls[-1] == (8, 8)


def test_a_result_on_another_grid_is_a_failure(images: list[Path]) -> None:
    class Careless(StandIn):
        def upsample(
            self, image: Volume, *, like: Grid, acquisition: str, noise: str, ensemble: int
        ) -> Volume:
            return image

    rows = evaluate(images[:1], SETTINGS[:1], [ModelMethod("careless", "x", Careless)])
    assert "grid of the truth" in rows[0].error


def test_a_folder_that_cannot_be_written_is_said(images: list[Path]) -> None:
    model, method = stand_in()
    with pytest.raises(ArSSRError, match=r"cannot (read|write)"):
        evaluate(images[:1], SETTINGS[:1], [method], images[1] / "out")
    assert not model.asked


@pytest.mark.slow
def test_workers_give_the_same_numbers(images: list[Path], tmp_path: Path) -> None:
    methods: list[Baseline] = [CUBIC, Baseline("lanczos")]
    noisy = combine(["slice"], [2], [None, 20])
    alone = evaluate(images, noisy, methods)
    together = evaluate(images, noisy, methods, tmp_path, jobs=2)
    assert [r.key for r in alone] == [r.key for r in together]
    for one, other in zip(alone, together, strict=True):
        assert one.scores == pytest.approx(other.scores, rel=1e-5)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_a_row_and_the_others_go_on(images: list[Path]) -> None:
    rows = evaluate(images, SETTINGS, [Faulty(dies=True), CUBIC], jobs=1)
    assert [row.error for row in rows if row.method == "cubic"] == [""] * 8
    errors = [row.error for row in rows if row.method == "faulty"]
    assert errors == ["", "", *["its worker process was killed twice (memory?)"] * 2] * 2


def test_volumes_in_memory_need_no_file() -> None:
    heads = [volume(smooth((16, 16, 16), seed=s)) for s in (1, 2)]
    rows = evaluate(heads, SETTINGS[:1], [CUBIC])
    assert [row.volume for row in rows] == ["volume (1)", "volume (2)"]


def test_a_constant_volume_is_one_row() -> None:
    rows = evaluate([volume(np.ones((9, 9, 9)))], SETTINGS, [CUBIC])
    assert len(rows) == 1 and "constant" in rows[0].error
