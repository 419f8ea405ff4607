"""From file to file on a GPU, part by part, beside what the card itself reaches in the same run.

python benchmarks/bench_gpu.py -o docs/gpu-measured.md
python benchmarks/bench_gpu.py --device cpu     rehearses the same code where there is no GPU

Every number is of one card and one run, some three minutes of an H100. The scan is noise on size^3
voxels, which has no air, and is read at 2x; the table's first row of a model is its first use.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from arssr.api import Model, load_model
from arssr.engine.decoding import on_gpu
from arssr.evaluation.head import mni152_head
from arssr.evaluation.tables import markdown_table
from arssr.formats.samples import Encoding
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.jobs.job import Job
from arssr.jobs.pipeline import run_each
from arssr.jobs.running import Finish as Rest
from arssr.jobs.running import Prepared, begin, run
from arssr.on_device import Finish
from arssr.scan import as_measured
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target
from arssr.volume import Volume

SCALE, TURNS = 2.0, 3
HEAD = (180, 220, 180)
CHANNELS = ((32, 64), (64, 64), (128, 64), (256, 64))
GROUPS = {
    "convolutions": ("conv", "cudnn", "implicit", "xmma", "fprop", "mkldnn"),
    "fused decoder": ("decode", "triton"),
    "matrix products": ("gemm", "cutlass", "ampere", "cublas", "nvjet", "mm"),
    "copies": ("memcpy", "memset", "copy", "cat"),
    "ReLU and limits": ("clamp", "relu"),
    "sums and other elementwise": ("elementwise", "add", "mul", "vectorized"),
}


def waited(device: torch.device) -> float:
    """The time when all that was begun is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(work: Callable[[], object], device: torch.device, tries: int = TURNS) -> float:
    """The shortest of some."""
    taken = []
    for _ in range(tries):
        started = waited(device)
        work()
        taken.append(waited(device) - started)
    return min(taken)


def kernels(work: Callable[[], object], device: torch.device) -> tuple[float, dict[str, float]]:
    """Seconds of all kernels (on a CPU: operators) of some work, and by group."""
    on_gpu = device.type == "cuda"
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with profile(activities=[activity]) as seen:
        work()
        waited(device)
    found = dict.fromkeys([*GROUPS, "others"], 0.0)
    for each in seen.key_averages():
        own = (each.self_device_time_total if on_gpu else each.self_cpu_time_total) / 1e6
        name = each.key.lower()
        words = (g for g, parts in GROUPS.items() if any(part in name for part in parts))
        found[next(words, "others")] += own
    return sum(found.values()), found


# --- the card ------------------------------------------------------------------------------------


def card(device: torch.device, dtype: torch.dtype, small: bool) -> str:
    """What the card gives: TFLOP/s of a matrix product and of convolutions."""
    n, voxels = (512, (16, 32, 32)) if small else (8192, (128, 128, 128))
    a = torch.rand(n, n, device=device, dtype=dtype)
    lines = [[f"matrix product, {n}^3", rate(2.0 * n**3, lambda: a @ a, device)]]
    for given, made in CHANNELS:
        image, kernel, bias = convolution(given, made, voxels, device, dtype)
        flops = 2.0 * 27 * given * made * np.prod(voxels)
        work = partial(F.conv3d, image, kernel, bias, padding=1)
        lines.append([f"conv3d {given} to {made} channels, 3^3", rate(flops, work, device)])
    return markdown_table(["what", "TFLOP/s"], lines)


def convolution(
    given: int, made: int, voxels: Sequence[int], device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Image, weights and bias, channels last."""
    last = torch.channels_last_3d
    image = torch.rand(1, given, *voxels, device=device, dtype=dtype)
    kernel = torch.rand(made, given, 3, 3, 3, device=device, dtype=dtype)
    bias = torch.rand(made, device=device, dtype=dtype)
    return image.contiguous(memory_format=last), kernel.contiguous(memory_format=last), bias


def rate(flops: float, work: Callable[[], object], device: torch.device) -> str:
    """In TFLOP/s."""
    work()
    return f"{flops / seconds(work, device) / 1e12:.4g}"


def joined(device: torch.device, dtype: torch.dtype, small: bool) -> str:
    """A convolution, a running sum and ReLU: one by one, and as cuDNN joins them if it can."""
    voxels = (16, 32, 32) if small else (32, 256, 256)
    image, kernel, bias = convolution(64, 64, voxels, device, dtype)
    before = F.conv3d(image, kernel, bias, padding=1)
    ones = [1] * 3

    def one_by_one() -> torch.Tensor:
        return F.conv3d(image, kernel, bias, padding=1).add_(before).relu_()

    def at_once() -> torch.Tensor:
        return torch.cudnn_convolution_add_relu(
            image, kernel, before, 1.0, bias, ones, ones, ones, 1
        )

    bare = partial(F.conv3d, image, kernel, bias, padding=1)
    lines = [
        [name, f"{1e3 * seconds(work, device):.3f}"]
        for name, work in (("convolution and bias", bare), ("then sum and ReLU", one_by_one))
    ]
    try:
        far = float((at_once() - one_by_one()).abs().max() / before.abs().max())
        lines.append([f"joined, off by {far:.1g}", f"{1e3 * seconds(at_once, device):.3f}"])
    except (RuntimeError, NotImplementedError) as error:
        lines.append([f"joined: {str(error).splitlines()[0][:90]}", ""])
    return markdown_table(["`cudnn_convolution_add_relu`, 64 channels", "ms"], lines)


def decoders(device: torch.device) -> str:
    """The fused kernel against the plain way."""
    lines = []
    for dtype in (torch.float16, torch.bfloat16):
        for width in (32, 64, 128):
            with torch.inference_mode():
                plain, fused = on_gpu.trial_seconds(*on_gpu.trial(device, dtype, 4, width))
            lines.append([f"{dtype}", str(width), f"{1e3 * plain:.3f}", f"{1e3 * fused:.3f}"])
    return markdown_table(["a block in", "width", "plain, ms", "kernel, ms"], lines)


# --- the engine ----------------------------------------------------------------------------------


def noise(size: int) -> Volume:
    """It has no air."""
    data = np.random.default_rng(0).random((size,) * 3, dtype=np.float32)
    return Volume(1000 * data, Grid(data.shape, np.eye(4)))


def array_to_array(model: Model, scan: Volume) -> Iterator[list[str]]:
    """Lines of the table of parts, one for each time."""
    device, grid = model.device, scan.grid.scaled(SCALE)
    is_gpu = device.type == "cuda"
    for turn in range(TURNS):
        if is_gpu:
            torch.cuda.reset_peak_memory_stats(device)
        started = waited(device)
        field = model.field(as_measured(scan))
        prepared = waited(device)
        field.on(grid)
        read = waited(device)
        memory = [""] * 3
        if is_gpu:
            found = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
            memory = [f"{b / 1e9:.1f}" for b in (field.plan(grid).gpu, *found)]
        times = (
            prepared - started,
            read - prepared,
            field.encode_seconds,
            read - started,
        )
        yield [model.name, str(turn + 1), *(f"{t:.3f}" for t in times), *memory]
        del field


def where_kernels_go(model: Model, scan: Volume) -> list[str]:
    """A line of the table of kernels: preparing, then encoding and decoding."""
    field = model.field(as_measured(scan))
    grid = scan.grid.scaled(SCALE)
    preparing, _ = kernels(lambda: model.field(as_measured(scan)), model.device)
    reading, groups = kernels(lambda: field.on(grid), model.device)
    cells = (f"{1e3 * s:.1f}" for s in (preparing, reading, *groups.values()))
    return [model.name, *cells]


def finishing(device: torch.device, size: int) -> str:
    """Seconds to finish a result of (2 size)^3 voxels, slab by slab."""
    slab = torch.rand(2 * size, 2 * size, min(64, 2 * size), device=device)
    count = max(1, 2 * size // slab.shape[2])
    ways = {
        "an array of float32": Finish(0.0),
        "a file of float32": Finish(0.0, Encoding(np.dtype(np.float32))),
        "a file of int16": Finish(0.0, Encoding(np.dtype(np.int16), 0.01)),
    }
    lines = []
    for name, finish in ways.items():
        taken = seconds(lambda finish=finish: finish.leaving(slab)(), device)  # type: ignore[misc]
        lines.append([name, f"{1e3 * count * taken:.1f}"])
    return markdown_table([f"{2 * size}^3 voxels to", "ms"], lines)


# --- files ---------------------------------------------------------------------------------------


def file_to_file(model: Model, scan: Volume, folder: Path) -> list[list[str]]:
    """Lines: `arssr upsample` of one head within a process, and cubic written by the same."""
    source = scan.write(folder / "head.nii.gz", overwrite=True)
    job = Job(source, folder / "sr.nii.gz", Request(Target(scale=SCALE)), overwrite=True)

    def cubic() -> None:
        read = Volume.read(source)
        resample(read, read.grid.scaled(SCALE)).write(folder / "cubic.nii.gz", overwrite=True)

    by_cubic = seconds(cubic, model.device)
    first = seconds(lambda: run(model, job), model.device, 1)
    again = seconds(lambda: run(model, job), model.device)
    cells = (f"{s:.2f}" for s in (first, again, by_cubic, again / by_cubic))
    return [[model.name, *cells]]


def many(model: Model, scan: Volume, folder: Path, count: int) -> list[str]:
    """A line: how long the kernels are busy while so many heads go from file to file."""
    sources = [scan.write(folder / f"{n}.nii.gz", overwrite=True) for n in range(count)]
    request = Request(Target(scale=SCALE))
    jobs = [Job(s, folder / "out" / s.name, request, overwrite=True) for s in sources]

    def start(job: Job, ahead: "object") -> Rest:
        return begin(model, job, ahead=ahead)  # type: ignore[arg-type]

    def all_of() -> None:
        for _, outcome in run_each(partial(Prepared, model), start, jobs):
            if isinstance(outcome, Exception):
                raise outcome

    started = waited(model.device)
    busy, _ = kernels(all_of, model.device)
    taken = waited(model.device) - started
    return [model.name, str(count), f"{taken:.2f}", f"{busy:.2f}", f"{100 * busy / taken:.0f} %"]


def measured(device: torch.device, names: Sequence[str], size: int, heads: int) -> Iterator[str]:
    """The page, section by section."""
    small = device.type != "cuda"
    name = "CPU (a rehearsal)" if small else torch.cuda.get_device_name(device)
    yield f"# Measured on one {name}\n\nPyTorch {torch.__version__}; seconds unless it says other."
    models = [load_model(each, str(device)) for each in names]
    dtype = torch.float32 if small else torch.bfloat16
    with torch.inference_mode():
        yield f"## What it gives in {dtype}\n\n{card(device, dtype, small)}"
        yield f"## Epilogues\n\n{joined(device, dtype, small)}"
    if not small:
        yield f"## Decoding a block\n\n{decoders(device)}"
    scan = noise(size)
    header = ["model", "time", "preparing", "reading", "of which encoding", "array to array"]
    header += ["GPU planned, GB", "allocated", "reserved"]
    lines = [line for model in models for line in array_to_array(model, scan)]
    yield f"## {size}^3 to {2 * size}^3 voxels\n\n{markdown_table(header, lines)}"
    header = ["kernels, ms", "preparing", "reading", *GROUPS, "others"]
    lines = [where_kernels_go(model, scan) for model in models]
    yield f"## Where the kernels' time goes\n\n{markdown_table(header, lines)}"
    yield f"## Finishing\n\n{finishing(device, size)}"
    grid = mni152_head().grid
    head = resample(mni152_head(), grid.with_shape((size,) * 3 if small else HEAD))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        header = ["model", "first", "then", "cubic", "times as long as cubic"]
        lines = [line for model in models for line in file_to_file(model, head, folder)]
        shape = "×".join(map(str, head.grid.shape))
        yield f"## A head of {shape}, .nii.gz to .nii.gz\n\n{markdown_table(header, lines)}"
        header = ["model", "heads", "seconds", "kernels", "busy"]
        lines = [many(model, head, folder, heads) for model in models]
        yield f"## Many heads\n\n{markdown_table(header, lines)}"


def main() -> None:
    """Print each section as it is known, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["light", "rdn"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, help="voxels along an axis; 256, or 24 on a CPU")
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("-o", "--out", type=Path, help="the page to write (Markdown)")
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        print("no GPU here; --device cpu rehearses")
        return
    device = torch.device(arguments.device)
    size = arguments.size or (24 if device.type == "cpu" else 256)
    sections = []
    for section in measured(device, arguments.models, size, arguments.heads):
        print(section, end="\n\n", flush=True)
        sections.append(section)
    if arguments.out:
        arguments.out.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
