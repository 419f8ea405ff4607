"""The engine on a whole 1 mm head: docs/performance.md, made again by

    python benchmarks/bench_engine.py -o docs/performance.md

Half an hour for `rdn` and `light`, on a machine that does nothing else.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

from arssr.api import Model, load_model
from arssr.benchmark.contenders import alone, engine
from arssr.benchmark.runner import run_benchmark
from arssr.benchmark.tables import to_markdown
from arssr.evaluation.head import mni152_head
from arssr.evaluation.metrics import Reference
from arssr.evaluation.tables import markdown_table
from arssr.interpolation import resample
from arssr.volume import Volume

HEAD, PART = (180, 220, 180), (90, 110, 90)
_TURNS = 3


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="*", default=["rdn", "light"], help="weights, the slowest first"
    )
    parser.add_argument("-o", "--out", type=Path, help="the page to write (Markdown)")
    arguments = parser.parse_args()
    head = mni152_head()
    scan, part = (resample(head, head.grid.with_shape(shape)) for shape in (HEAD, PART))
    models = [load_model(name, "cpu") for name in arguments.models]
    found = [run_benchmark(m.name, m.network, scan, seconds=30.0, report=print) for m in models]
    sections = {
        "Models in turn": compared(models, scan),
        "What the shortcuts change": shortcuts(arguments.models, part),
    }
    command = f"`python {' '.join(sys.argv)}`, alone on its machine."
    page = to_markdown(found, "Performance").replace("\n", f"\n\n{command}\n", 1)
    for title, table in sections.items():
        page += f"\n## {title}\n\n{table}\n"
    print(page)
    if arguments.out:
        arguments.out.write_text(page, encoding="utf-8")


def compared(models: list[Model], scan: Volume) -> str:
    """Each model at 2×, in turn, as the machine may change its speed; the median counts."""
    threads = torch.get_num_threads()
    turns = [
        [alone(engine, m.network, scan, 2.0, threads=threads).seconds for m in models]
        for _ in range(_TURNS)
    ]
    seconds = np.median(turns, axis=0)
    lines = [
        [model.name, ", ".join(f"{s:.3g}" for s in each), f"{s:.3g}", f"{seconds[0] / s:.3g}"]
        for model, each, s in zip(models, zip(*turns, strict=True), seconds, strict=True)
    ]
    return markdown_table(["model", "seconds at 2×", "median", "times as fast"], lines)


def shortcuts(names: list[str], scan: Volume) -> str:
    """What each of them saves at 2× of a 2 mm head, and how far from float32 without it ends."""
    head = Reference(resample(scan, scan.grid.scaled(2.0))).head
    lines = []
    for name in names:
        exact, seconds = upsampled(name, scan, "float32", skip_air=False)
        lines.append([name, "none", f"{seconds:.3g}", "", ""])
        for what, precision, skip_air in (
            ("bfloat16", "bf16", False),
            ("air skipped", "float32", True),
            ("both", "bf16", True),
        ):
            found, seconds = upsampled(name, scan, precision, skip_air)
            error = (found - exact) / np.ptp(exact)
            with np.errstate(divide="ignore"):  # no difference at all: inf
                head_db, all_db = (-10 * np.log10(np.mean(e**2)) for e in (error[head], error))
            lines.append([name, what, f"{seconds:.3g}", f"{head_db:.1f}", f"{all_db:.1f}"])
    header = ["model", "shortcut", "seconds", "PSNR to none, head, dB", "everywhere, dB"]
    return markdown_table(header, lines)


def upsampled(name: str, scan: Volume, precision: str, skip_air: bool) -> tuple[np.ndarray, float]:
    """The scan at 2×, and the seconds that took."""
    model = load_model(name, "cpu", precision)
    started = time.perf_counter()
    result = model.upsample(scan, scale=2, skip_air=skip_air)
    return result.data.astype(np.float64), time.perf_counter() - started


if __name__ == "__main__":
    main()
