"""`make demo`: a head, degraded and brought back at 2x, 3.2x and 4x, to see for yourself.

The head is the MNI152 T1 template at 1 mm that nilearn ships; no weights were trained on it. It is
an average of many heads, without noise and symmetric: the easiest kind of image.
"""

import sys
import time
from pathlib import Path

from rich.table import Table

from arssr.api import load_model
from arssr.cli.console import complain, progress_bar, stderr
from arssr.degradation import degrade, named_degradation
from arssr.errors import ArSSRError
from arssr.evaluation.head import mni152_head
from arssr.evaluation.metrics import Reference
from arssr.extras import require
from arssr.interpolation import resample
from arssr.viewing.stills import planes_figure
from arssr.volume import Volume

SCALES = (2.0, 3.2, 4.0)
ACQUISITION = "slice"
PICTURED = 3.2


def run(folder: Path, weights: str = "light") -> None:
    """Make the images, the table and the picture in `folder`."""
    require("report", "the demo", "matplotlib", "skimage")
    truth = mni152_head()
    folder.mkdir(parents=True, exist_ok=True)
    reference = Reference(truth)
    model = load_model(weights)
    truth.write(folder / "truth.nii.gz", overwrite=True)
    table = Table(title=f"MNI152 T1, 1 mm, {ACQUISITION} degradation, weights {model.name!r}")
    for column in ("scale", "method", "PSNR [dB]", "SSIM", "seconds"):
        table.add_column(column, justify="left" if column == "method" else "right")
    with progress_bar() as bar:
        steps = bar.add_task("", total=len(SCALES) * 3)
        for scale in SCALES:
            lr = degrade(truth, scale, named_degradation(ACQUISITION))
            lr.write(folder / f"lr_{scale:g}x.nii.gz", overwrite=True)
            results: dict[str, Volume] = {}
            for method in ("trilinear", "cubic", "ours"):
                bar.update(steps, description=f"{scale:g}x {method}")
                started = time.perf_counter()
                if method == "ours":
                    sr = model.upsample(lr, like=truth, acquisition=ACQUISITION)
                else:
                    sr = resample(lr, truth.grid, "linear" if method == "trilinear" else "cubic")
                seconds = time.perf_counter() - started
                score = reference.score(sr)
                table.add_row(
                    f"{scale:g}x" if not results else "",
                    method,
                    f"{score['psnr']:.2f}",
                    f"{score['ssim']:.4f}",
                    f"{seconds:.1f}",
                )
                results[method] = sr
                bar.advance(steps)
            table.add_section()
            results["ours"].write(folder / f"sr_{scale:g}x.nii.gz", overwrite=True)
            if scale == PICTURED:
                columns = [("input", lr), ("cubic", results["cubic"]), ("ours", results["ours"])]
                planes_figure(folder / "planes.png", columns, truth)
    stderr.print(table)
    stderr.print(
        "MNI152 is an average of many heads, without noise: the easiest kind of image. "
        "Gains on scans are smaller (arssr models)."
    )
    stderr.print(f"images: {folder}/*.nii.gz   picture ({PICTURED:g}x): {folder}/planes.png")
    see = f"{_program()} view {folder / f'lr_{SCALES[0]:g}x.nii.gz'}"
    stderr.print(f"see one, super-resolve it and compare, in your browser: {see}", soft_wrap=True)


def _program() -> str:
    """How a shell finds `arssr`: beside this Python, by its path from here where that is short."""
    beside = Path(sys.executable).with_name("arssr")
    if not beside.exists():
        return "arssr"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def main() -> None:
    """`python -m arssr.demo [FOLDER] [WEIGHTS]`."""
    try:
        run(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"), *sys.argv[2:3])
    except ArSSRError as error:
        complain(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
