import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.phantoms import smooth, tiny_network, volume
from typer.testing import CliRunner

from arssr.cli.evaluate import evaluate
from arssr.errors import ArSSRError
from arssr.files import sha256
from arssr.identity import samples_sha256
from arssr.volume import Volume
from arssr.weights.files import save_weights

app = typer.Typer()
app.command()(evaluate)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """`arssr evaluate` in this process, into tmp_path/out, with two heads at hand."""
    for number in (1, 2):
        head = volume(smooth((14, 15, 16), seed=number))
        head.write(tmp_path / "heads" / f"head{number}.nii.gz", overwrite=True)
    save_weights(tmp_path / "tiny.safetensors", tiny_network(), {})

    def run(*options: str, volumes: str = "heads") -> Any:
        words = [str(tmp_path / volumes), "-o", str(tmp_path / "out"), "--jobs", "0", *options]
        return CliRunner().invoke(app, words)

    return run


def test_a_table_of_models_and_baselines(run: Callable[..., Any], tmp_path: Path) -> None:
    chosen = ("--degradations", "slice,spline", "--scales", "2,1x1x2.5", "--snr", "none,20")
    weights = str(tmp_path / "tiny.safetensors")
    result = run(*chosen, "-m", weights, "--baselines", "cubic,wiener", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[0] == "2 volumes × 8 settings × 3 methods"
    assert "| tiny |" in result.stdout and "written: " in result.stderr
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(content["rows"]) == 2 * 8 * 3
    assert {row["method"] for row in content["rows"]} == {"cubic", "wiener", "tiny"}
    assert not any(row["error"] for row in content["rows"])
    assert str(tmp_path) not in json.dumps(content)


def test_weights_of_several_runs_are_told_apart(run: Callable[..., Any], tmp_path: Path) -> None:
    """`arssr train` calls all of them weights.safetensors."""
    for name in ("a", "b"):
        save_weights(tmp_path / "runs" / name / "best.safetensors", tiny_network(), {})
    runs = [str(tmp_path / "runs" / name / "best.safetensors") for name in ("a", "b")]
    words = [word for path in runs for word in ("-m", path)]
    result = run(*words, "--baselines", "cubic", "--device", "cpu", volumes="heads/*1.nii.gz")
    assert result.exit_code == 0, result.output
    assert "| a/best |" in result.stdout and "| b/best |" in result.stdout


def test_a_protocol_on_ones_own_data(run: Callable[..., Any], tmp_path: Path) -> None:
    result = run("--protocol", "paper", "--model", "none", "--json", volumes="heads/*1.nii.gz")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["name"] == "paper"
    assert content["provenance"]["volumes"].keys() == {"head1"}
    assert len(content["rows"]) == 5 * 5
    assert (tmp_path / "out" / "results.md").read_text().startswith("# Evaluation: paper")


def test_the_blind_case_is_named(run: Callable[..., Any], tmp_path: Path) -> None:
    result = run("-m", str(tmp_path / "tiny.safetensors"), "--blind", "--device", "cpu")
    assert result.exit_code == 0 and "tiny (blind)" in result.stdout


def test_an_ensemble_is_a_method_of_its_own(run: Callable[..., Any], tmp_path: Path) -> None:
    words = ("-m", str(tmp_path / "tiny.safetensors"), "--device", "cpu", "--baselines", "cubic")
    for options in ((), ("--ensemble", "4"), ("--ensemble", "8", "--blind")):
        assert run(*words, *options, volumes="heads/*1.nii.gz").exit_code == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").open()]
    scores = {row["method"]: row["scores"]["psnr"] for row in rows}
    names = ["cubic", "tiny", "tiny (ensemble 4)", "tiny (blind, ensemble 8)"]
    assert list(scores) == names and len(rows) == len(set(scores.values())) == 4
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert content["provenance"]["options"]["ensemble"] == 8


def test_what_cannot_be_used_is_named_before_anything_starts(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "heads" / "broken.nii").write_bytes(b"no image")
    (tmp_path / "heads" / "deep").mkdir()
    (tmp_path / "heads" / "deep" / "other.nii").write_bytes(b"no image either")
    refused = run("--model", "none").exception
    assert isinstance(refused, ArSSRError) and "2 of 4 images cannot be used" in str(refused)
    assert "broken.nii" in str(refused) and "other.nii" in str(refused)
    assert not (tmp_path / "out").exists()
    assert run("--model", "none", "--skip-unusable").exit_code == 0
    assert "broken" not in (tmp_path / "out" / "results.md").read_text()


def test_volumes_that_weights_were_trained_on_are_marked(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    """One by its samples, though its file is another; one by what the weights started from."""
    weights, heads = tmp_path / "tiny.safetensors", tmp_path / "heads"
    first, second = (Volume.read(path) for path in sorted(heads.iterdir()))
    data = [{"name": "a", "sha256": "?", "samples_sha256": samples_sha256(first.data)}]
    before = [{"name": "b", "sha256": sha256(second.path or heads)}]
    volume(smooth((14, 15, 16), seed=3)).write(heads / "new.nii")
    save_weights(weights, tiny_network(), {"data": data, "started_from": {"data": before}})
    words = ("-m", str(weights), "--baselines", "cubic", "--device", "cpu")
    for _ in range(2):  # the second time from the journal
        result = run(*words)
        assert result.exit_code == 0, result.output
        told = "tiny was trained on head1, head2: what it does there says nothing about other scans"
        assert told in " ".join(result.stderr.split())
        content = json.loads((tmp_path / "out" / "results.json").read_text())
        marked = {(r["method"], r["volume"]) for r in content["rows"] if r["trained_on"]}
        assert marked == {("tiny", "head1"), ("tiny", "head2")}
    page = (tmp_path / "out" / "results.md").read_text()
    assert told in page and page.count("(trained on)") == 2


@pytest.mark.parametrize(
    "options",
    [
        ("--protocol", "paper", "--scales", "2"),
        ("--scales", "two"),
        ("--scales", "1"),
        ("--degradations", "blur"),
        ("--snr", "0"),
        ("--baselines", "sinc"),
        ("--baselines", ","),
        ("--jobs", "-1"),
        ("--ensemble", "2"),
    ],
)
def test_wrong_usage_is_exit_code_2(run: Callable[..., Any], options: tuple[str, ...]) -> None:
    assert run("--model", "none", *options).exit_code == 2


def test_two_models_of_one_name_are_wrong_usage(run: Callable[..., Any], tmp_path: Path) -> None:
    other = tmp_path / "light.safetensors"
    save_weights(other, tiny_network(seed=1), {})
    result = run("-m", "light", "-m", str(other))
    assert result.exit_code == 2 and "two models are called light" in result.stderr


def test_what_does_not_exist_is_said(run: Callable[..., Any]) -> None:
    for options in (("--protocol", "papers"), ("--model", "missing")):
        assert isinstance(run(*options).exception, ArSSRError)
    assert isinstance(run(volumes="nothing").exception, ArSSRError)
