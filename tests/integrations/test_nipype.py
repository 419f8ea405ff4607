"""Nipype's interface runs the command, with all of its options, and knows when to run it again."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nipype.interfaces.base import traits
from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline.engine import MapNode, Node, Workflow
from tests.integrations.options import OF_THE_PIPELINE, options, switches
from tests.phantoms import smooth, tiny_network, volume

from arssr.integrations.nipype import Upsample, UpsampleInputSpec
from arssr.weights.files import save_weights


def flags() -> dict[str, Any]:
    """The options that the interface knows, with their traits."""
    named = UpsampleInputSpec().traits(argstr=lambda text: text is not None)
    return {t.argstr.split()[0]: t for t in named.values() if t.argstr.startswith("--")}


def is_switch(trait: Any) -> bool:
    return isinstance(trait.trait_type, traits.Bool)


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """A scan, in a folder with a blank in its name, and weights."""
    scan = volume(smooth((5, 6, 4), sigma=1)).write(tmp_path / "my scans" / "head.nii.gz")
    save_weights(tmp_path / "tiny.safetensors", tiny_network(), {})
    return {"in_file": str(scan), "model": str(tmp_path / "tiny.safetensors"), "device": "cpu"}


def run(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "arssr", *map(str, words)], check=True)


def test_it_has_all_options_of_the_command_but_those_of_a_pipeline() -> None:
    assert set(flags()) == set(options()) - OF_THE_PIPELINE
    assert {name for name, trait in flags().items() if is_switch(trait)} == (
        switches() - OF_THE_PIPELINE
    )


def test_its_values_come_to_the_command_as_they_were_given(given: dict[str, Any]) -> None:
    scan = given["in_file"]
    for inputs, words in (
        ({"scale": 2}, "--scale 2.0"),
        ({"spacing": (1, 1, 0.5)}, "--spacing 1.0 1.0 0.5"),
        ({"shape": [8, 9, 10]}, "--shape 8 9 10"),
        ({"noise": 2.5}, "--noise 2.5"),
        ({"series": "echo 2; rm"}, "--series 'echo 2; rm'"),
        ({"like": scan, "transform": [scan, scan]}, f"--transform '{scan}' --transform '{scan}'"),
        ({"labels": False, "num_threads": 3}, "--threads 3"),
    ):
        line = Upsample(in_file=scan, **inputs).cmdline
        assert f" {words}" in line and f" '{scan}' " in line and "--labels" not in line


@pytest.mark.parametrize(
    ("scan", "result"),
    [("T1.nii", "T1_SR.nii"), ("T1.nii.gz", "T1_SR.nii.gz"), ("T1.zip", "T1_SR.nii.gz")],
)
def test_a_result_is_named_as_by_the_command(tmp_path: Path, scan: str, result: str) -> None:
    (tmp_path / scan).touch()
    assert f"--out {result} " in Upsample(in_file=str(tmp_path / scan)).cmdline


def test_the_inputs_are_others_when_anything_that_counts_is(given: dict[str, Any]) -> None:
    scan, weights = Path(given["in_file"]), Path(given["model"])

    def known_by(**more: Any) -> str:
        return Upsample(**{**given, "scale": 2, **more}).inputs.get_hashval("content")[1]

    before = known_by()
    assert known_by(device="cuda", num_threads=2, memory="4GB", overwrite=False) == before
    moved = shutil.copy(scan, scan.with_name("moved.nii.gz"))
    assert known_by(in_file=moved) == before
    seen = {before, known_by(scale=3), known_by(precision="float32"), known_by(labels=True)}
    scan.with_name("head.json").write_text(json.dumps({"SliceThickness": 3}))
    seen.add(known_by())
    save_weights(weights, tiny_network(seed=1), {})
    seen.add(known_by())
    volume(smooth((5, 6, 4), seed=1)).write(scan, overwrite=True)
    seen.add(known_by())
    series = scan.parent / "dicom"
    for number in range(2):
        series.mkdir(exist_ok=True)
        (series / f"{number}.dcm").touch()
        seen.add(known_by(in_file=str(series)))
    assert len(seen) == 9


@pytest.mark.slow
def test_a_node_writes_what_the_command_writes(given: dict[str, Any], tmp_path: Path) -> None:
    scan, model = given["in_file"], given["model"]
    node = Node(Upsample(**given, scale=2, report=True, num_threads=1), "sr", base_dir=tmp_path)
    made = node.run().outputs
    by_hand = tmp_path / "by hand" / "head_SR.nii.gz"
    run("upsample", scan, "-o", by_hand, "-m", model, "--device", "cpu", "--scale", 2, "--report")
    assert Path(made.out_file).read_bytes() == by_hand.read_bytes()
    assert Path(made.report).name == "head_SR.html" and Path(made.report).is_file()
    said = [
        json.loads(path.read_text())
        for path in (Path(made.sidecar), by_hand.with_name("head_SR.json"))
    ]
    assert said[0]["options"] == said[1]["options"]


@pytest.mark.slow
def test_what_an_earlier_run_left_is_no_result_of_one_that_failed(
    given: dict[str, Any], tmp_path: Path
) -> None:
    left = tmp_path / "left.nii.gz"
    left.write_bytes(Path(given["in_file"]).read_bytes())
    left.with_name("left.json").write_text("{}")
    with pytest.raises(RuntimeError, match="a scale must be greater than 0"):
        Upsample(**given, scale=0, out_file=left).run()


@pytest.mark.slow
def test_a_workflow_runs_what_changed_and_nothing_else(
    given: dict[str, Any], tmp_path: Path
) -> None:
    scan = Path(given.pop("in_file"))

    def times() -> list[int]:
        """When results were written, of one scan and of two on their way through a workflow."""
        flow = Workflow("flow", base_dir=str(tmp_path / "work"))
        source = Node(IdentityInterface(["scans"]), "source")
        source.inputs.scans = [str(scan)]
        finer = MapNode(Upsample(**given, scale=2), iterfield=["in_file"], name="finer")
        flow.connect(source, "scans", finer, "in_file")
        flow.run()
        found = sorted((tmp_path / "work").rglob("*_SR.nii.gz"))
        return [path.stat().st_mtime_ns for path in found]

    first = times()
    assert len(first) == 1 and times() == first
    scan.with_name("head.json").write_text(json.dumps({"SliceThickness": 3}))
    assert times() != first
