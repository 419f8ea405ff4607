"""Scans super-resolved as tasks of Pydra 1.0 (alpha):

    pip install 'pydra==1.0a12'
    python upsample.py FLAIR.nii.gz T1.nii.gz

Each scan is one task, whose result Pydra keeps by the content of its inputs.
"""

import sys
from pathlib import Path

from fileformats.generic import File
from pydra.compose import shell


@shell.define
class Upsample(shell.Task["Upsample.Outputs"]):
    """Thick slices as fine as their plane."""

    executable = ["arssr", "upsample"]  # noqa: RUF012 - Pydra reads it so
    scan: File = shell.arg(argstr="", position=1)
    model: str = shell.arg(argstr="--model", default="light")

    class Outputs(shell.Outputs):
        """The result; its sidecar lies beside it."""

        sharper: File = shell.outarg(argstr="--out", path_template="{scan}_SR.nii.gz")


if __name__ == "__main__":
    scans = [Path(word).absolute() for word in sys.argv[1:]]
    done = Upsample().split(scan=scans)(worker="cf")
    print(*done.sharper, sep="\n")
