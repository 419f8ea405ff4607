"""`arssr prepare` as a person calls it."""

import json
from pathlib import Path

import pytest
import typer
from scipy import ndimage
from tests.phantoms import anatomy, smooth, volume
from typer.testing import CliRunner

from arssr.cli.prepare import prepare


@pytest.fixture
def app() -> typer.Typer:
    """A program of this one command."""
    app = typer.Typer()
    app.command()(prepare)
    return app


def test_folder_in_patches_out(app: typer.Typer, tmp_path: Path) -> None:
    for seed, name in enumerate(("a1", "a2", "a3")):
        volume(smooth((9, 9, 9), seed)).write(tmp_path / "hr" / f"{name}.nii.gz")
    out = tmp_path / "out"
    arguments = [str(tmp_path / "hr"), "-o", str(out), "--patch", "5", "--per-volume", "2"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((out / "manifest.json").read_text())
    assert "4 patches" in result.stderr and "2 patches" in result.stderr
    assert len(list((out / "hr_train").iterdir())) == 4
    assert len(list((out / "hr_val").iterdir())) == 2


def test_a_soft_axis_is_told_once(
    app: typer.Typer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blurred = ndimage.gaussian_filter1d(anatomy((72, 64, 40)), 1.7, axis=1)
    volume(blurred).write(tmp_path / "hr" / "a1.nii.gz")
    volume(anatomy((20, 20, 20))).write(tmp_path / "hr" / "a2.nii.gz")
    words = [str(tmp_path / "hr"), "-o", str(tmp_path / "out"), "--patch", "12", "--val-share"]
    result = CliRunner().invoke(app, [*words, "0.5"])
    assert result.exit_code == 0, result.output
    assert (caplog.text + result.stderr).count("soft along j") == 1


def test_wrong_usage_is_code_2(app: typer.Typer, tmp_path: Path) -> None:
    assert CliRunner().invoke(app, [str(tmp_path)]).exit_code == 2  # no --out
    wrong = [str(tmp_path), "-o", str(tmp_path / "out"), "--patch", "0"]
    assert CliRunner().invoke(app, wrong).exit_code == 2
