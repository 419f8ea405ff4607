"""The Snakemake example runs, and does what the command does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Arssr, arssr  # noqa: F401 - a fixture
from tests.phantoms import smooth, tiny_network, volume

from arssr.weights.files import save_weights

SNAKEFILE = Path(__file__).parents[2] / "integrations" / "snakemake" / "Snakefile"


@pytest.mark.slow
def test_the_snakemake_example_makes_each_result_once(tmp_path: Path, arssr: Arssr) -> None:  # noqa: F811
    scan = volume(smooth((5, 6, 4), sigma=1)).write(tmp_path / "my scans" / "head 1.nii.gz")
    weights = tmp_path / "tiny.safetensors"
    save_weights(weights, tiny_network(), {})
    arssr("upsample", scan, "-o", tmp_path / "by hand.nii.gz", "--scale", 2, "-m", weights)

    def snakemake() -> str:
        """What it says."""
        words = ["--snakefile", SNAKEFILE, "--cores", 1, "--config", "scans=my scans"]
        words += [f"model={weights}", "target=--scale 2"]
        home = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, **home, "XDG_CACHE_HOME": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    snakemake()
    result = tmp_path / "sharper" / "head 1_SR.nii.gz"
    assert result.read_bytes() == (tmp_path / "by hand.nii.gz").read_bytes()
    assert "Nothing to be done" in snakemake()
    scan.with_name("head 1.json").write_text('{"SliceThickness": 1}')
    assert "Nothing to be done" not in snakemake()
