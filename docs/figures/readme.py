"""The README's pictures, from the MNI152 head that nilearn ships: python docs/figures/readme.py."""

from pathlib import Path

from PIL import Image

from arssr.api import load_model
from arssr.degradation import degrade, named_degradation
from arssr.demo import mni152_head
from arssr.evaluation.figure import planes_figure, scales_figure
from arssr.interpolation import resample

IMAGES = Path(__file__).parent.parent / "images"
THICK = (1.0, 1.0, 4.0)


def main() -> None:
    """A thick-slice scan brought to 1 mm, and one scan at several scales."""
    head, model = mni152_head(), load_model("light")
    thick = degrade(head, THICK, named_degradation("slice"))
    sharp = model.upsample(thick, like=head, acquisition="slice")
    columns = [("4 mm slices", thick), ("cubic", resample(thick, head.grid)), ("ArSSR", sharp)]
    planes_figure(IMAGES / "planes.png", columns, head)
    small = degrade(head, 3.2, named_degradation("slice"))
    results = [
        (f"{scale:g}×", model.upsample(small, scale=scale, acquisition="slice"))
        for scale in (2.0, 3.2, 4.0)
    ]
    scales_figure(IMAGES / "scales.png", small, results)
    for picture in IMAGES.glob("*.png"):  # 256 colours are plenty here
        Image.open(picture).quantize(256).save(picture, optimize=True)


if __name__ == "__main__":
    main()
