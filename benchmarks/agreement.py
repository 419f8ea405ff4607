"""What comparing each result with its scan costs, and how far results usually are from it.

    python benchmarks/agreement.py ../shared/data/val/*.nii.gz [--weights light]

With `--time 3`: seconds of the processor for a result, without and with the comparison in turn, the
best of three, and what the comparison itself took of them; run it with OMP_NUM_THREADS=1, as
threads that wait count too. Else the table from which `arssr.upsampling.agreement` has what it
allows: the residual of each result as a share of the range and of the noise, and that of its
farthest box.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from slices import middle

from arssr.api import Model, load_model
from arssr.degradation import Slice, degrade, named_degradation
from arssr.errors import ArSSRError
from arssr.field import silent
from arssr.intensity import Normalisation
from arssr.jobs.job import Job
from arssr.jobs.running import run
from arssr.on_device import Finish
from arssr.upsampling.agreement import Agreement
from arssr.upsampling.request import Request
from arssr.upsampling.result import result_of, where_of
from arssr.upsampling.target import Target
from arssr.volume import Volume

SCALES = ((1, 1, 4), (1, 1, 6), (2, 2, 2), (4, 4, 4), (1.7, 1, 2.3))
WAYS = {
    "slice": Slice(),
    "slice, gap of 20 %": Slice("trapezoid", 0.2),
    "kspace": named_degradation("kspace"),
    "spline": named_degradation("spline"),
}
NOISE = 0.03  # of the range


def main() -> None:
    """Print seconds, or the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volumes", nargs="+", type=Path)
    parser.add_argument("--weights", default="light")
    parser.add_argument("--time", type=int, default=0, metavar="N", help="in turn, N times each")
    arguments = parser.parse_args()
    model = load_model(arguments.weights, "cpu")
    if not arguments.time:
        print("| volume | acquisition | scale | noise | of range | of noise | farthest | agrees |")
        print(f"|{'---|' * 8}")
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.volumes:
            if arguments.time:
                _time(model, path, Path(folder), arguments.time)
            else:
                _table(model, path)


def _time(model: Model, path: Path, folder: Path, times: int) -> None:
    for name, scale in (("slice", (1, 1, 4)), ("slice", (2, 2, 2)), ("kspace", (2, 2, 2))):
        job = Job(path, folder / "o.nii", Request(Target(scale=scale), acquisition=name))
        spent: dict[bool, list[float]] = {False: [], True: []}
        itself: list[float] = []
        for _ in range(times):
            for compared, how in ((False, _without), (True, _clocked)):
                with how() as ticks:
                    started = time.process_time()
                    run(model, job)
                    spent[compared].append(time.process_time() - started)
                itself += [sum(ticks)] if compared else []
                for file in folder.iterdir():
                    file.unlink()
        without, with_it = (min(each) for each in spent.values())
        print(
            f"{path.name} {name} {scale}: {without:.2f} s without, {with_it:.2f} s with, "
            f"{min(itself):.2f} s itself, {100 * min(itself) / with_it:.1f} %",
            flush=True,
        )


@contextmanager
def _without() -> Iterator[list[float]]:
    with patch.object(Agreement, "of", side_effect=ArSSRError("left out")):
        yield []


@contextmanager
def _clocked() -> Iterator[list[float]]:
    """Seconds of everything that compares."""
    ticks: list[float] = []

    def clocked(function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any) -> Any:
            started = time.thread_time()
            try:
                return function(*given)
            finally:
                ticks.append(time.thread_time() - started)

        return timed

    with ExitStack() as stack:
        for owner, name in ((Agreement, "found"), (Finish, "_show")):
            stack.enter_context(patch.object(owner, name, clocked(getattr(owner, name))))
        made = clocked(Agreement.of)
        stack.enter_context(patch.object(Agreement, "of", staticmethod(made)))
        yield ticks


def _table(model: Model, path: Path) -> None:
    truth = middle(Volume.read(path))
    span = Normalisation.fit(truth.data).scale
    for name, how in WAYS.items():
        for scale in SCALES:
            for level in (0.0, NOISE):
                scan = degrade(truth, scale, how)
                noise = np.random.default_rng(0).normal(0, level * span, scan.data.shape)
                told = [name.split(",")[0] if step > 1 else "kspace" for step in scale]
                facts = _facts(model, scan.with_data(scan.data + noise, scan.grid), truth, told)
                if "residual" not in facts:  # such as where a scale fits the volume badly
                    continue
                cells = [path.name[:20], name, "×".join(map(str, scale)), f"{level:g}"]
                cells += [f"{facts['share_of_range']:.4f}", f"{facts.get('times_noise', 0):.2f}"]
                cells += [f"{facts['farthest']['share_of_range']:.4f}", str(facts["agrees"])]
                print(f"| {' | '.join(cells)} |", flush=True)


def _facts(model: Model, scan: Volume, truth: Volume, told: Sequence[str]) -> Mapping[str, Any]:
    request = Request(Target(like=truth.grid), acquisition=told, as_stored=True)
    result = result_of(model, request, scan, where_of(request, scan), silent)
    result.whole()
    return result.facts["agreement"]


if __name__ == "__main__":
    main()
