"""Half-widths are one more file of a result, where they were asked for."""

from pathlib import Path

import numpy as np
import pytest
from tests.telling import telling_weights

from arssr.jobs.batch import ModelRef, model_of
from arssr.volume import Volume

from .conftest import Page
from .test_session import samples, sent


@pytest.fixture
def network(tmp_path: Path) -> ModelRef:
    """Weights that tell them."""
    return ModelRef.find(telling_weights(tmp_path / "weights"), "cpu", "float32")


def test_they_are_taken_home_like_the_result(
    page: Page, thick: Path, tmp_path: Path, network: ModelRef
) -> None:
    key = sent(page, thick)
    asked = {"target": {"scale": 2}, "uncertainty": True}
    run = page.call("POST", f"scans/{key}/runs", 201, json=asked)["id"]
    assert page.done(run)["state"] == "done", page.done(run)["error"]
    assert page.done(run)["facts"]["uncertainty"]["probability"] == 0.9
    found = samples(page.call("GET", f"runs/{run}/uncertainty"), tmp_path)
    _, expected = model_of(network).upsample(Volume.read(thick), scale=2, uncertainty=True)
    np.testing.assert_allclose(found.data, expected.data, rtol=1e-6)


def test_a_result_without_them_has_no_such_file(page: Page, thick: Path) -> None:
    key = sent(page, thick)
    asked = {"target": {"scale": 2}}
    run = page.call("POST", f"scans/{key}/runs", 201, json=asked)["id"]
    assert page.done(run)["state"] == "done"
    assert "no such file" in page.call("GET", f"runs/{run}/uncertainty", 404)
    asked = {"target": {"scale": 2}, "uncertainty": True, "ensemble": 4}
    run = page.call("POST", f"scans/{key}/runs", 201, json=asked)["id"]
    assert "calibrated for plain, consistent" in page.done(run)["error"]
