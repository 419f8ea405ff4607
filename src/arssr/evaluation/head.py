"""A head that comes with a dependency, for the demo, benchmarks and tests."""

import importlib.util
from pathlib import Path

from arssr.errors import ArSSRError
from arssr.volume import Volume

_HEAD = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def mni152_head() -> Volume:
    """The MNI152 T1 template at 1 mm, skull-stripped, from the installed nilearn.

    Raises ArSSRError where nilearn is not installed.
    """
    spec = importlib.util.find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise ArSSRError("the demo takes its image from nilearn: pip install 'arssr[demo]'")
    return Volume.read(Path(spec.origin).parent / _HEAD)
