"""The README's picture, of a clinical scan: python docs/figures/readme.py.

The scan lies in the development data beside the checkout; without them the picture stays as it is.
"""

from pathlib import Path

from PIL import Image

from arssr.api import load_model
from arssr.interpolation import resample
from arssr.viewing.stills import planes_figure
from arssr.volume import Volume

ROOT = Path(__file__).resolve().parents[2]
SCAN = ROOT.parent / "shared/data/clinical/openms-01_study1_FLAIR.nii.gz"
PICTURE = ROOT / "docs/images/clinical.png"
FINER = (1, 1, 4)  # slices of 4 mm to 1 mm


def main() -> None:
    """The slices as they are, interpolated, and super-resolved."""
    if not SCAN.exists():
        print(f"passed over {PICTURE.name}: {SCAN} is not there")
        return
    scan = Volume.read(SCAN)
    sharp = load_model("light").upsample(scan, scale=FINER)
    columns = [("4 mm slices", scan), ("cubic", resample(scan, sharp.grid)), ("ArSSR", sharp)]
    planes_figure(PICTURE, columns)
    picture = Image.open(PICTURE).convert("RGB")
    picture.quantize(64, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
