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
    assert "| tiny |" in result.stdout and "written: " in result.stderr
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(content["rows"]) == 2 * 8 * 3
    assert {row["method"] for row in content["rows"]} == {"cubic", "wiener", "tiny"}
    assert not any(row["error"] for row in content["rows"])
    assert str(tmp_path) not in json.dumps(content)


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


def test_a_failing_volume_is_a_row_and_exit_code_1(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "heads" / "broken.nii").write_bytes(b"no image")
    result = run("--model", "none")
    assert result.exit_code == 1
    assert "broken" in result.stderr and "1 of 11 rows failed" in result.stderr
    assert "| broken |" in (tmp_path / "out" / "results.md").read_text()


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
    other = tmp_path / "other" / "tiny.safetensors"
    save_weights(other, tiny_network(seed=1), {})
    result = run("-m", str(tmp_path / "tiny.safetensors"), "-m", str(other))
    assert result.exit_code == 2 and "tiny" in result.stderr


def test_what_does_not_exist_is_said(run: Callable[..., Any]) -> None:
    for options in (("--protocol", "papers"), ("--model", "missing")):
        assert isinstance(run(*options).exception, ArSSRError)
    assert isinstance(run(volumes="nothing").exception, ArSSRError)
