"""A head that comes with a dependency, for the demo, benchmarks and tests."""

from importlib.metadata import distribution
from pathlib import Path

from arssr.extras import require
from arssr.volume import Volume

_HEAD = "nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def mni152_head() -> Volume:
    """The MNI152 T1 template at 1 mm, skull-stripped, from the installed nilearn.

    Raises ArSSRError where nilearn is not installed.
    """
    require("demo", "the MNI152 head")
    return Volume.read(Path(str(distribution("nilearn").locate_file(_HEAD))))
