"""What a report says first: only what was computed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.phantoms import anatomy, volume, zero_filled

from arssr.consistency import Acquisition
from arssr.degradation import degrade, named_degradation
from arssr.intensity import Normalisation
from arssr.interpolation import resample
from arssr.resolution import cut_to_band, measure_resolution
from arssr.upsampling.agreement import Agreement, not_computed
from arssr.viewing.verdict import Verdict, verdict_on
from arssr.volume import Volume

CARD = {"valid": {"scale": [1, 4], "scale_of_one_thick_axis": [1, 6], "spacing_mm": [0.8, 2]}}
DONE, SCAN, AGREES, KNOWN, LOOK = (
    "What was done",
    "What the scan is",
    "Does the result agree with the scan?",
    "Do the weights know its like?",
    "What to look at",
)
TRUTH = volume(600 * anatomy((40, 36, 44), seed=3))
THICK = replace(
    degrade(TRUTH, (1, 1, 4), named_degradation("slice")), path=Path("sub-07_ses-2_FLAIR.nii.gz")
)


SLICES = ("kspace", "kspace", "slice")


def agreement(scan: Volume, result: Volume, told: tuple[str, ...], noise: float | None) -> Any:
    """What the facts have of how a result agrees with its scan."""
    acquisition = Acquisition(scan.grid, result.grid, told)
    measuring = acquisition.measuring()
    measuring.take(torch.from_numpy(result.data))
    span = Normalisation.fit(scan.data).scale
    return Agreement(torch.from_numpy(scan.data), acquisition, noise, span).found(measuring)


def made(told: tuple[str, ...] = SLICES, **others: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "model": {"name": "light"},
        "options": {"noise": "auto"},
        "noise": 0.0,
        "told": {"acquisition_ijk": list(told), "noise": 0.0},
    }
    return facts | others


def said(verdict: Verdict) -> dict[str, str]:
    return {heading: " ".join(sentences) for heading, sentences in verdict.answers.items()}


def test_a_stack_of_slices_in_words() -> None:
    known = measure_resolution(THICK)
    cubic = resample(THICK, TRUTH.grid)
    facts = made(agreement=agreement(THICK, TRUTH, SLICES, 0.0))
    verdict = verdict_on(THICK, TRUTH, facts, CARD, known, cubic)
    assert verdict.scan == "Subject 07, session 2, FLAIR"
    assert verdict.warnings == []
    answers = said(verdict)
    assert list(answers) == [DONE, SCAN, AGREES, KNOWN, LOOK]
    assert "from voxels of 1×1×4 mm to voxels of 1×1×1 mm with the weights light" in answers[DONE]
    assert "4 times finer foot–head (k)" in answers[DONE]
    assert "Foot–head (k) it was taken for 2D multi-slice (slice)." in answers[DONE]
    assert "Left–right" not in answers[DONE]
    assert f"Left–right (i): {known.axes[0].in_words()}." in answers[SCAN]
    assert "Noise: none found." in answers[SCAN]
    assert "by less than 0.01 % of its range" in answers[AGREES]
    assert "1 to 6 along one thick axis" in answers[KNOWN]
    assert "coronal and sagittal planes along foot–head" in answers[LOOK]
    assert "smaller than 4 mm foot–head was estimated" in answers[LOOK]


@pytest.mark.parametrize("noise", [None, 0.0, 12.0])
def test_the_residual_is_that_of_the_scan_in_its_range_and_its_noise(noise: float | None) -> None:
    lifted = TRUTH.with_data(TRUTH.data + 30, TRUTH.grid)  # slices of a constant are constant
    facts = made(agreement=agreement(THICK, lifted, SLICES, noise))
    answer = said(verdict_on(THICK, lifted, facts, CARD, None, lifted))[AGREES]
    share = 100 * 30 / Normalisation.fit(THICK.data).scale
    assert f"differs from it by {share:.2g} % of its range" in answer
    assert f"(cubic interpolation by {share:.2g} %)" in answer
    assert ("That is 2.5 times the noise that is left on the voxels" in answer) == (noise == 12)
    assert "within" not in answer


def test_to_agree_within_the_noise_is_said() -> None:
    lifted = TRUTH.with_data(TRUTH.data + 30, TRUTH.grid)
    facts = made(consistency={}, agreement=agreement(THICK, lifted, SLICES, 31.0))
    answer = said(verdict_on(THICK, lifted, facts, CARD, None))[AGREES]
    assert "That is within the noise that is left" in answer
    assert "made to agree" in answer and "more than can be" not in answer


def test_where_a_result_is_farthest_from_the_scan_is_said() -> None:
    data = TRUTH.data.copy()
    data[10:14, 20:24, 16:24] = 0
    spoilt = TRUTH.with_data(data, TRUTH.grid)
    facts = made(agreement=agreement(THICK, spoilt, SLICES, 5.0))
    verdict = verdict_on(THICK, spoilt, facts, CARD, None)
    answers, spoilt_places = said(verdict), verdict.places
    assert "more than can be: see the warning" in answers[AGREES]
    assert "Look twice around R 1" in answers[LOOK]
    [(sentence, centre)] = spoilt_places.items()
    assert answers[LOOK].endswith(sentence)
    assert centre == facts["agreement"]["farthest"]["centre_ras_mm"]


def test_what_was_zero_filled_is_compared_where_it_was_measured() -> None:
    truth = volume(600 * anatomy((48, 40, 40), seed=1))
    scan = truth.with_data(zero_filled(truth.data, 0, 0.6), truth.grid)
    known = measure_resolution(scan)
    assert known.axes[0].is_zero_filled
    told, cut = ("kspace",) * 3, cut_to_band(scan, known)
    facts = made(told, cut_to_band={}, agreement=agreement(cut, scan, told, None))
    verdict = verdict_on(scan, scan, facts, CARD, known)
    answers = said(verdict)
    stored = "The file has voxels of 1×1×1 mm: left–right (i) that is finer than the scan was"
    assert stored in answers[DONE]
    assert "a cut band of k-space (kspace)" in answers[DONE]
    assert "axial and coronal planes along left–right" in answers[LOOK]
    assert " by less than 0.01 %" in answers[AGREES] or " by 0.0" in answers[AGREES]


def test_what_a_result_is_not_for_comes_second_and_how_sure_it_is_last() -> None:
    facts = made(methods="A paragraph.", cite=["A paper."], not_for="Research use only. No more.")
    verdict = verdict_on(THICK, TRUTH, facts, CARD, None, sure=["Within ±3."])
    assert list(verdict.answers)[1] == "What it is not for"
    assert list(verdict.answers)[-2:] == [LOOK, "How sure is it?"]
    assert said(verdict)["How sure is it?"] == "Within ±3."
    assert said(verdict)["What it is not for"] == "Research use only. No more."
    assert verdict.to_paste == ["A paragraph.", "A paper."]


def test_axes_that_get_hardly_finer_are_left_out_beside_others() -> None:
    target = THICK.grid.with_spacing((40 / 41, 1, 1))
    answers = said(verdict_on(THICK, resample(THICK, target), made(), CARD, None))
    assert "light: 4 times finer foot–head (k)." in answers[DONE]
    assert "eft–right" not in answers[DONE] + answers[LOOK]
    target = THICK.grid.with_spacing((40 / 41, 1, 4))
    answers = said(verdict_on(THICK, resample(THICK, target), made(), CARD, None))
    assert "light: 1.03 times finer left–right (i)." in answers[DONE]


@pytest.mark.parametrize("roughness", [None, 0.001, 0.05, 9.0])
def test_whether_weights_know_such_a_scan_is_said_as_far_as_they_tell(
    roughness: float | None,
) -> None:
    look = {} if roughness is None else {"look": {"roughness": roughness, "peak": 1.0}}
    card = CARD | {"data": [{"name": "a", **look}]}
    answer = said(verdict_on(THICK, TRUTH, made(), card, None))[KNOWN]
    assert ("looks like scans that they know" in answer) == (roughness == 0.05)
    assert answer.startswith("No: neighbouring voxels differ far ") == (roughness in (0.001, 9.0))


def test_leaving_the_range_is_said_once() -> None:
    fine = resample(THICK, THICK.grid.scaled((1, 1, 8)))
    warning = "a scale of 8 along k is outside what the model was trained for, 1 to 6"
    facts = made(warnings=[warning, "voxels of 0.5 mm are …", "sform against qform"])
    verdict = verdict_on(THICK, fine, facts, CARD, None)
    assert said(verdict)[KNOWN].startswith(f"No: {warning}")
    assert warning not in verdict.warnings and "sform against qform" in verdict.warnings
    assert "names no range" in said(verdict_on(THICK, fine, made(), {}, None))[KNOWN]


def test_what_cannot_be_computed_is_said() -> None:
    facts = made(agreement=not_computed("the acquisition is unknown"))
    answers = said(verdict_on(THICK, TRUTH, facts, CARD, None))
    assert answers[AGREES] == "Not computed: the acquisition is unknown."
    coarser = resample(THICK, THICK.grid.with_spacing((2, 2, 1)))
    found = agreement(THICK, coarser, SLICES, None)
    facts = made(notes=["coarser than the scan along i, j"], agreement=found)
    answers = said(verdict_on(THICK, coarser, facts, CARD, None))
    assert "Coarser than the scan along i, j." in answers[DONE]
    assert " % of its range" in answers[AGREES]
    unknown = made(("unknown",) * 3)
    answers = said(verdict_on(THICK, TRUTH, unknown, CARD, None))
    assert "Foot–head (k) the weights were not told how it was made (unknown)" in answers[DONE]


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("copied", "Copied, sample for sample"),
        ("copied, slices evened", "Copied: the scan lies"),
        ("resampled, anti-aliased", "nowhere finer"),
        ("shares of labels", "without weights: shares of labels"),
    ],
)
def test_without_a_network_nothing_is_claimed_of_one(method: str, words: str) -> None:
    facts = {"method": method, "options": {}, "taken": "was taken for labels, because of its name"}
    verdict = verdict_on(THICK, TRUTH, facts, CARD, None)
    assert list(verdict.answers) == [DONE]
    assert words in said(verdict)[DONE]
    assert "The scan was taken for labels, because of its name." in verdict.answers[DONE]


@pytest.mark.parametrize("method", ["", "copied, slices evened", "resampled, anti-aliased"])
def test_that_slices_were_evened_is_said_however_the_result_was_made(method: str) -> None:
    told = {"in_words": "slices along k were evened", "factors": [0.9, 1.1]}
    facts = made(even_slices=told, **({"method": method} if method else {}))
    verdict = verdict_on(THICK, TRUTH, facts, CARD, None)
    assert "Slices along k were evened." in verdict.answers[DONE]
    assert "sample for sample" not in said(verdict)[DONE]


def test_a_constant_scan_has_a_verdict() -> None:
    flat = volume(np.full((30, 30, 30), 5.0))
    result: Volume = resample(flat, flat.grid.scaled(2))
    assert "twice" not in str(verdict_on(flat, result, made(), CARD, None, result))
