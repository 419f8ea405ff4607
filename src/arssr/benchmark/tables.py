"""What was measured, as tables: title, header, lines."""

from collections.abc import Sequence

from arssr.benchmark.contenders import EngineRun
from arssr.benchmark.runner import AtScale, Benchmark
from arssr.evaluation.tables import markdown_table
from arssr.files import bytes_in_words, counted
from arssr.grid import shape_in_words

Table = tuple[str, list[str], list[list[str]]]

NOTES = """\
Each line is a process of its own; memory is the most that it had resident. `engine` is what \
`arssr upsample` computes, without files. Work of air that is skipped is not counted; everything \
that is not encoding counts as decode, cubic interpolation included.

Shares compare encoding with bare convolutions, and decoding with bare matrix products, of the \
same precision. "At best": the fastest of them before and after all else. "Meanwhile": what they \
reached on average when they were tried twice a second during that very run (their own time is \
not counted); where others use the machine too, that is less. Together: the seconds that both \
would take at that speed, over the seconds taken."""


def tables(benchmark: Benchmark) -> list[Table]:
    """All there is to show."""
    shown = [_work(benchmark), _shares(benchmark), _predictions(benchmark)]
    shown += [_contenders(at) for at in benchmark.scales]
    part, scale = shape_in_words(benchmark.part_shape), f"{benchmark.scales[0].scale:g}×"
    shown += [
        _runs(f"Threads: {part} voxels, {scale}", "threads", _named(benchmark.by_threads)),
        _runs(
            f"Voxels of the input: {scale}",
            "input",
            {shape_in_words(shape): run for shape, run in benchmark.by_voxels.items()},
        ),
        _runs(f"Scale: {part} voxels", "scale", _named(benchmark.by_scale)),
    ]
    return [table for table in shown if table[2]]


def headline(benchmark: Benchmark) -> str:
    """The model, the input and the machine, in a line."""
    machine, best = benchmark.machine, benchmark.best
    threads = counted(machine["threads"], "thread")
    return (
        f"{benchmark.name} ({benchmark.network['encoder']}, "
        f"{benchmark.network['parameters']:,} parameters, {benchmark.precision}) on a head of "
        f"{shape_in_words(benchmark.shape)} voxels. {machine['cpu']}, {threads}, torch "
        f"{machine['torch']}; at its best {best.convolution / 1e9:.0f} GFLOP/s in convolutions "
        f"and {best.product / 1e9:.0f} GFLOP/s in matrix products."
    )


def to_markdown(benchmarks: Sequence[Benchmark], title: str) -> str:
    """A page of several benchmarks."""
    parts = [f"# {title}", NOTES]
    for benchmark in benchmarks:
        parts += [f"## {benchmark.name}", headline(benchmark)]
        for name, header, lines in tables(benchmark):
            parts += [f"### {name}", markdown_table(header, lines)]
    return "\n\n".join(parts) + "\n"


def _work(benchmark: Benchmark) -> Table:
    lines = []
    for at in benchmark.scales:
        run, plan = at.run, at.run.plan
        line = [f"{at.scale:g}×", f"{run.air:.0%}"]
        rest = run.seconds - run.encode_seconds
        for flops, seconds in (
            (plan.layout.flops, run.encode_seconds),
            (plan.decode_flops, rest),
        ):
            line += [f"{flops / 1e12:.3g}", _seconds(seconds), f"{flops / seconds / 1e9:.0f}"]
        lines.append(line)
    header = ["scale", "air skipped", "encode TFLOP", "s", "GFLOP/s"]
    return "Work", [*header, "decode TFLOP", "s", "GFLOP/s"], lines


def _shares(benchmark: Benchmark) -> Table:
    lines = []
    for at in benchmark.scales:
        for when, speed in (("at best", benchmark.best), ("meanwhile", at.run.pace)):
            line = [f"{at.scale:g}×", when]
            line += [f"{flops / 1e9:.0f}" for flops in (speed.convolution, speed.product)]
            lines.append([*line, *(f"{share:.0%}" for share in benchmark.shares(at.run, speed))])
    header = ["scale", "bare work", "convolution GFLOP/s", "product GFLOP/s"]
    return "Share of bare work", [*header, "encode", "decode", "together"], lines


def _predictions(benchmark: Benchmark) -> Table:
    lines = []
    for at in benchmark.scales:
        run, plan = at.run, at.run.plan
        seconds, memory = plan.seconds(benchmark.best), plan.memory
        line = [f"{at.scale:g}×", _seconds(seconds), _seconds(run.seconds)]
        line += [f"{seconds / run.seconds:.2f}", bytes_in_words(memory)]
        lines.append([*line, bytes_in_words(run.peak_bytes), f"{memory / run.peak_bytes:.2f}"])
    header = ["scale", "predicted s", "measured s", "ratio", "planned memory", "measured", "ratio"]
    return "What was predicted", header, lines


def _contenders(at: AtScale) -> Table:
    run = at.run
    lines = [["engine", _seconds(run.seconds), "1", bytes_in_words(run.peak_bytes), ""]]
    lines += [
        [
            other.name,
            _seconds(other.seconds),
            f"{other.seconds / run.seconds:.3g}",
            "" if other.peak_bytes is None else bytes_in_words(other.peak_bytes),
            other.note,
        ]
        for other in at.others
    ]
    title = f"{at.scale:g}×, to {shape_in_words(at.shape)} voxels"
    return title, ["", "seconds", "times the engine", "memory", "how"], lines


def _runs(title: str, what: str, runs: dict[str, EngineRun]) -> Table:
    lines = [
        [
            name,
            _seconds(run.seconds),
            _seconds(run.encode_seconds),
            _seconds(run.seconds - run.encode_seconds),
            bytes_in_words(run.peak_bytes),
        ]
        for name, run in runs.items()
    ]
    return title, [what, "seconds", "encode", "decode", "memory"], lines


def _named(runs: dict[int, EngineRun] | dict[float, EngineRun]) -> dict[str, EngineRun]:
    return {f"{key:g}": run for key, run in runs.items()}


def _seconds(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
