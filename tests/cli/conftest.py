"""`arssr` as it is called from a shell, in this process."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.phantoms import smooth, tiny_network, volume

from arssr.cli.main import main
from arssr.weights.files import save_weights


@dataclass(frozen=True)
class Result:
    """What a command leaves: its exit code and what it said."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one sentence of a command that failed and said nothing else."""
        [line] = self.err.splitlines()
        assert (self.code, self.out) == (1, "") and line.startswith("error: ")
        return line.removeprefix("error: ")


Arssr = Callable[..., Result]


@pytest.fixture
def arssr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Arssr:
    """Runs `arssr` with these words; whatever it does not catch comes through."""

    def run(*words: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["arssr", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            main()
        said = capsys.readouterr()
        return Result(int(exit_info.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A weight file outside the folders that the tests look into."""
    path = tmp_path / "weights" / "tiny.safetensors"
    save_weights(path, tiny_network(), {"licence": "none", "note": "random"})
    return path


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A small image that can be read."""
    return volume(smooth((5, 6, 4), sigma=1)).write(tmp_path / "scans" / "head.nii.gz")
