import json
from pathlib import Path

import pytest
import typer
from tests.viewing.heads import head, las_grid
from typer.testing import CliRunner

from arssr.cli.compare import compare
from arssr.errors import ArSSRError
from arssr.files import sidecar
from arssr.interpolation import resample

app = typer.Typer()
app.command()(compare)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    truth = head(las_grid())
    lr = resample(truth, truth.grid.scaled(0.5))
    volumes = {"truth": truth, "lr": lr, "cubic": resample(lr, truth.grid)}
    return [str(v.write(tmp_path / f"{name}.nii.gz")) for name, v in volumes.items()]


def test_a_page_with_metrics_and_provenance(files: list[str], tmp_path: Path) -> None:
    truth, lr, cubic = files
    sidecar(Path(cubic)).write_text(json.dumps({"model": "none", "seconds": 1.5}))
    out = tmp_path / "out.html"
    CliRunner().invoke(app, [lr, cubic, "--truth", truth, "-o", str(out)], catch_exceptions=False)
    page = out.read_text()
    assert "lr, cubic against the truth" in page
    assert "PSNR" in page
    assert "<dd>1.5</dd>" in page
    assert page.count("no .json file beside it") == 2
    with pytest.raises(ArSSRError, match="exists already"):
        CliRunner().invoke(app, [lr, cubic, "-o", str(out)], catch_exceptions=False)
    done = CliRunner().invoke(app, [lr, cubic, "-o", str(out), "--overwrite"])
    assert done.exit_code == 0
    assert "PSNR, dB" not in out.read_text()


def test_names(files: list[str], tmp_path: Path) -> None:
    _, lr, cubic = files
    out = tmp_path / "out.html"
    result = CliRunner().invoke(app, [lr, cubic, "-o", str(out), "--names", "before, after"])
    assert result.exit_code == 0
    assert "<h1>before, after</h1>" in out.read_text()
    wrong = CliRunner().invoke(app, [lr, cubic, "-o", str(out), "--names", "one"])
    assert wrong.exit_code == 2
    assert "1 names for 2 images" in wrong.output


def test_files_of_one_name_go_by_their_folders(files: list[str], tmp_path: Path) -> None:
    copies = []
    for folder, source in zip(("a", "b"), files[1:], strict=True):
        copies.append(tmp_path / folder / "T1.nii.gz")
        copies[-1].parent.mkdir()
        copies[-1].write_bytes(Path(source).read_bytes())
    out = tmp_path / "out.html"
    CliRunner().invoke(app, [*map(str, copies), "-o", str(out)], catch_exceptions=False)
    assert "<h1>a/T1, b/T1</h1>" in out.read_text()


def test_a_broken_sidecar_is_said(files: list[str], tmp_path: Path) -> None:
    sidecar(Path(files[1])).write_text("{")
    with pytest.raises(ArSSRError, match="cannot be read as JSON"):
        CliRunner().invoke(
            app, [*files[1:], "-o", str(tmp_path / "out.html")], catch_exceptions=False
        )
