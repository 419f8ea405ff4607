"""The Boutiques descriptor says what the command takes, and runs it."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from boutiques import bosh
from tests.cli.conftest import Arssr, arssr  # noqa: F401 - a fixture
from tests.integrations.options import OF_THE_PIPELINE, options
from tests.phantoms import smooth, tiny_network, volume

from arssr.volume import Volume
from arssr.weights.files import save_weights

ROOT = Path(__file__).parents[2]
DESCRIPTOR = ROOT / "integrations" / "boutiques" / "arssr.json"


def written(folder: Path, **invocation: Any) -> str:
    """The file of these inputs."""
    path = folder / "invocation.json"
    path.write_text(json.dumps(invocation))
    return str(path)


def test_the_descriptor_is_that_of_the_command_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools")
    from boutiques_descriptor import descriptor

    known = json.loads(DESCRIPTOR.read_text(encoding="utf-8"))
    assert known == descriptor(), "stale: python tools/boutiques_descriptor.py"
    assert {each.get("command-line-flag") for each in known["inputs"]} - {None} == (
        set(options()) - OF_THE_PIPELINE
    )


def test_boutiques_finds_it_valid() -> None:
    bosh(["validate", str(DESCRIPTOR)])


def test_its_values_come_to_the_command_as_they_were_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = str(tmp_path / "my scan.nii.gz")
    Path(scan).touch()
    asked = written(
        tmp_path,
        **{"images": scan, "out": "my result.nii.gz", "like": scan, "transform": [scan, scan]},
        **{"ensemble": 4, "consistent": True, "report": False, "series": "echo 2"},
    )
    bosh(["exec", "simulate", str(DESCRIPTOR), "-i", asked])
    words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert words == [
        *("arssr", "upsample", scan, "--out", "my result.nii.gz", "--like", scan),
        *("--transform", scan, "--transform", scan, "--series", "echo 2", "--consistent"),
        *("--ensemble", "4"),
    ]


@pytest.mark.slow
def test_it_writes_what_the_command_writes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arssr: Arssr,  # noqa: F811
) -> None:
    scan = volume(smooth((5, 6, 4), sigma=1)).write(tmp_path / "my scan.nii.gz")
    weights = tmp_path / "tiny.safetensors"
    save_weights(weights, tiny_network(), {})
    by_hand = tmp_path / "by hand.nii.gz"
    arssr("upsample", scan, "-o", by_hand, "--scale", 1, 1, 4, "-m", weights, "--device", "cpu")
    asked = written(
        tmp_path,
        **{"images": str(scan), "out": "result.nii.gz", "scale": [1, 1, 4], "report": True},
        **{"model": str(weights), "device": "cpu"},
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    done = bosh(["exec", "launch", str(DESCRIPTOR), asked, "--skip-data-collection"])
    assert (done.exit_code, done.missing_files) == (0, [])
    assert {file.file_name for file in done.output_files} == {
        *("result.nii.gz", "result.json", "result.html")
    }
    result = tmp_path / "result.nii.gz"
    assert result.read_bytes() == by_hand.read_bytes()
    assert Volume.read(result).grid.shape == (5, 6, 16)
