"""A stand-in for Slurm: `sbatch` and `scancel` that run job scripts on this machine."""

import os
from pathlib import Path

import pytest

# Runs the job script at once; a job's id is that of its process group.
_PROGRAMS = {
    "sbatch": """#!/bin/sh
cp "$1" "$SLURM_LOGS/job.sh"
setsid sh "$SLURM_LOGS/job.sh" >"$SLURM_LOGS/worker.log" 2>&1 &
echo "Submitted batch job $!"
""",
    "scancel": """#!/bin/sh
kill -TERM -- "-$1"
""",
}


def put_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What worker processes say goes to worker.log in this folder."""
    for name, text in _PROGRAMS.items():
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_LOGS", str(folder))
