"""What `arssr.view` shows in docs/notebooks/first_steps.md: python docs/figures/notebook.py.

Needs Chromium; without it the picture stays as it is.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.niivue import CHROMIUM, picture, shown  # noqa: E402

import arssr  # noqa: E402
from arssr.degradation import Slice, degrade  # noqa: E402
from arssr.evaluation.head import mni152_head  # noqa: E402

PICTURE = ROOT / "docs/images/notebook.png"
PART = (slice(36, 156), slice(40, 190), slice(50, 150))  # as in the notebook


def main() -> None:
    """The planes of the scan, and below them those of the result."""
    if CHROMIUM is None:
        print(f"passed over {PICTURE.name}: there is no Chromium")
        return
    head = mni152_head()
    truth = arssr.Volume(head.data[PART], head.grid.part(PART))
    scan = degrade(truth, (1, 1, 4), Slice())
    viewer = arssr.view(scan, arssr.upsample(scan, spacing=1)).children[0]
    with shown(viewer) as page:
        both = [picture(page, viewer.volumes[-1], opacity) for opacity in (0.0, 1.0)]
    drawn = np.flatnonzero((both[0] > 0).any(axis=(1, 2)))
    rows = slice(max(0, drawn[0] - 10), drawn[-1] + 10)
    Image.fromarray(np.concatenate([image[rows] for image in both])).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
