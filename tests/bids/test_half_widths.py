"""Half-widths in a data set: a valid name, a sidecar of their own, made again if they are gone."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.telling import telling_weights

from arssr.bids.derivatives import Derivatives
from arssr.bids.participants import super_resolve
from arssr.formats.bids import BIDSName
from arssr.jobs.batch import ModelRef
from arssr.jobs.local import Local
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target
from arssr.volume import Volume

from .conftest import AddScan


@pytest.fixture
def network(tmp_path: Path) -> ModelRef:
    """Weights that tell them."""
    return ModelRef.find(telling_weights(tmp_path / "weights"), "cpu", "float32")


def test_they_lie_beside_the_result_and_belong_to_it(
    derivatives: Derivatives, network: ModelRef, add: AddScan
) -> None:
    scan = add("sub-01/anat/sub-01_T1w.nii.gz")
    asked = Request(Target(scale=2.0), uncertainty=True)

    def work() -> list[bool]:
        scans = derivatives.source.scans({"T1w"})
        each = super_resolve(derivatives, scans, asked, network, Local(), report=False)
        return [one.facts is not None for one in each]

    assert work() == [True] and work() == [False]
    folder = derivatives.root / "sub-01" / "anat"
    path = folder / "sub-01_res-SR_desc-arssrUncertainty_T1w.nii.gz"
    assert BIDSName.parse(path.name) is not None
    _, expected = network.load().upsample(scan, scale=2, uncertainty=True)
    np.testing.assert_allclose(Volume.read(path).data, expected.data, rtol=1e-6)
    about = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    assert about["Sources"] == ["bids::sub-01/anat/sub-01_res-SR_desc-arssr_T1w.nii.gz"]
    assert "90 %" in about["Description"] and about["SkullStripped"] is False
    assert len(derivatives.results()) == 1, "half-widths are no result of their own"
    path.unlink()
    assert work() == [True] and path.exists()
