"""What each part of the engine is worth: one part at a time is switched off, in turn in one run.

    python benchmarks/engine_ablation.py SCAN.nii.gz -o docs/performance.md

writes a section of that page (after `bench_engine.py`, which writes the whole page). A scan of
about 48³ voxels (`rdn`: 32³) is brought to 2×, on one thread. The variants follow each other, round
after round. Seconds are those that the processor worked for this process, in the shortest round,
so other programs on the machine matter little. The engine itself has no switches: the patches are
in this file.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from arssr.api import Model, load_model
from arssr.engine.encoding import convolution, stages, stream
from arssr.engine.encoding.maps import Map
from arssr.engine.machine import cpu_model
from arssr.evaluation.tables import markdown_table
from arssr.interpolation import resample
from arssr.networks import ImplicitVoxelNetwork
from arssr.networks import decoder as decoders
from arssr.networks.encoders import Encoder
from arssr.volume import Volume

Patch = Callable[[ImplicitVoxelNetwork, ExitStack], None]


TITLE = "## What each part of the engine is worth"
NOTES = """\
Each line is the engine without one of its parts, on a single thread. Seconds are the processor's \
for this process, the shortest of all rounds, in which the variants took turns; other programs \
used the machine too, so ratios count, not seconds. The column "in each round" has the lowest and \
the highest ratio of the rounds. MB: features and activations, as planned. The difference is that \
to the whole engine's result, in dB below its range. Lines that begin with "bfloat16" lack both \
parts, and compare with the line "bfloat16"."""


@dataclass(frozen=True)
class Variant:
    """The engine without one of its parts."""

    without: str
    precision: str = "bf16"
    skip_air: bool = True
    patches: Sequence[Patch] = ()


class AtOnce(Encoder):
    """An encoder that does not say what it is made of: `forward` runs on the whole image."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self._radius = encoder, encoder.radius

    @property
    def radius(self) -> int:
        return self._radius

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


def no_stream(network: ImplicitVoxelNetwork, stack: ExitStack) -> None:
    """The encoder as it is, on as much of the image at a time as the memory allows."""
    encoder = network.encoder
    network.encoder = AtOnce(encoder)
    stack.callback(setattr, network, "encoder", encoder)


class CopiedMap(Map):
    """New planes have memory of their own, and are joined with those before them for each use."""

    def open(self, size: tuple[int, int, int], ended: bool, like: Tensor) -> Tensor:
        self._behind, self.ended = self._stop - self._start, ended
        self._stop += size[0]
        self._waited = [part.clone() for part in self._kept.take(len(self._kept))]
        self._newest = like.new_empty((*size, self.channels))
        self._joined: Tensor | None = None
        return self._newest

    def __getitem__(self, numbers: slice) -> Tensor:
        if self._joined is None:
            rows = self._newest.shape[1:]
            waited = self._waited or [self._newest.new_zeros((self._behind, *rows))]
            beyond = self._newest.new_zeros((self.ready(1) + 1 - self._stop, *rows))
            self._joined = torch.cat([*waited, self._newest, beyond])
        return self._joined[numbers.start - self._start : numbers.stop - self._start]


def copied_maps(_network: ImplicitVoxelNetwork, stack: ExitStack) -> None:
    """Layers give new tensors, which are padded and joined as they are read."""
    compute = stages.Layer.compute

    def given_anew(
        layer: stages.Layer,
        parts: list[Tensor],
        shortcut: Tensor | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        y = compute(layer, parts, shortcut)
        return y if out is None else out.set_(y)  # no copy: `out` is another name for it

    stack.enter_context(patch.object(stages.Layer, "compute", given_anew))
    stack.enter_context(patch.object(stream, "Map", CopiedMap))


def joined_inputs(_network: ImplicitVoxelNetwork, stack: ExitStack) -> None:
    """Maps that one convolution reads are joined first; there is no sum of convolutions."""
    for name in ("sum_of_convolutions", "sum_of_products"):
        compute = getattr(stages, name)

        def joined(
            parts: Sequence[Tensor],
            weights: Sequence[Tensor],
            bias: Tensor,
            compute: Callable[..., Tensor] = compute,
        ) -> Tensor:
            if len(parts) > 1:
                parts, weights = [torch.cat(list(parts), -1)], [torch.cat(list(weights), 1)]
            return compute(parts, weights, bias)

        stack.enter_context(patch.object(stages, name, joined))


def torch_convolutions(_network: ImplicitVoxelNetwork, stack: ExitStack) -> None:
    """PyTorch chooses who computes a convolution."""
    stack.enter_context(patch.object(convolution, "onednn_computes", lambda _: False))


def torch_products(_network: ImplicitVoxelNetwork, stack: ExitStack) -> None:
    """The decoder's layers and their activations are computed one after the other."""
    stack.enter_context(patch.object(decoders, "onednn_computes", lambda _: False))


VARIANTS = [
    Variant("nothing"),
    Variant("bfloat16", precision="float32"),
    Variant("skipping of air", skip_air=False),
    Variant("the stream", patches=[no_stream]),
    Variant("maps in place", patches=[copied_maps]),
    Variant("sums of convolutions", patches=[joined_inputs]),
    Variant("convolutions by oneDNN", patches=[torch_convolutions]),
    Variant("products in one go with GELU", patches=[torch_products]),
    Variant("bfloat16, oneDNN's convolutions", precision="float32", patches=[torch_convolutions]),
    Variant("bfloat16, products in one go", precision="float32", patches=[torch_products]),
    Variant(
        "any of these",
        precision="float32",
        skip_air=False,
        patches=[no_stream, torch_convolutions, torch_products],
    ),
]


@contextmanager
def without(variant: Variant, network: ImplicitVoxelNetwork) -> Iterator[None]:
    """The engine as the variant has it."""
    with ExitStack() as stack:
        for change in variant.patches:
            change(network, stack)
        yield


def computed(model: Model, variant: Variant, scan: Volume) -> tuple[np.ndarray, float, float]:
    """The scan at 2×, the seconds of the processor, and the megabytes planned for the encoder."""
    with without(variant, model.network):
        started = time.process_time()
        field = model.field(scan, noise=None, skip_air=variant.skip_air)
        layout = field.plan(scan.grid.scaled(2.0)).layout
        found = field.on(scan.grid.scaled(2.0))
        seconds = time.process_time() - started
        return found.data, seconds, (layout.features + layout.activations) / 1e6


def ablation(name: str, scan: Volume, rounds: int) -> list[list[str]]:
    """Lines of the table for shipped weights."""
    models = {each: load_model(name, "cpu", each) for each in ("bf16", "float32")}
    seconds = np.empty((rounds, len(VARIANTS)))
    results: dict[str, np.ndarray] = {}
    megabytes: dict[str, float] = {}
    for turn in range(rounds):
        for number, variant in enumerate(VARIANTS):
            model = models[variant.precision]
            found, seconds[turn, number], megabytes[variant.without] = computed(
                model, variant, scan
            )
            results[variant.without] = found
            said = f"{name}, round {turn + 1}: {seconds[turn, number]:.3g} s without"
            print(said, variant.without, flush=True)
    whole = results["nothing"].astype(np.float64)
    shortest, ratios = seconds.min(axis=0), seconds / seconds[:, :1]
    return [
        [
            name,
            variant.without,
            f"{shortest[number]:.3g}",
            f"{shortest[number] / shortest[0]:.2f}",
            f"{ratios[:, number].min():.2f}-{ratios[:, number].max():.2f}",
            f"{megabytes[variant.without]:.0f}",
            decibels(results[variant.without] - whole, float(np.ptp(whole))),
        ]
        for number, variant in enumerate(VARIANTS)
    ]


def decibels(difference: np.ndarray, extent: float) -> str:
    """How far below the range a difference lies."""
    error = float(np.sqrt(np.mean(difference**2))) / extent
    return f"{-20 * np.log10(error):.1f}" if error else "the same bytes"


def smaller(scan: Volume, side: int) -> Volume:
    """The whole scan on about side³ voxels; as much of it is air as before."""
    shape = np.array(scan.grid.shape)
    counts = np.rint(shape * side / np.prod(shape, dtype=float) ** (1 / 3))
    return resample(scan, scan.grid.with_shape(counts.astype(int).tolist()))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scan", type=Path)
    parser.add_argument("--models", nargs="+", default=["light", "rdn"])
    parser.add_argument("--sides", nargs="+", type=int, default=[48, 32], help="for each model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-o", "--out", type=Path, help="a page that has, or gets, this section")
    given = parser.parse_args()
    torch.set_num_threads(1)
    scan = Volume.read(given.scan)
    lines = [
        line
        for name, side in zip(given.models, given.sides, strict=True)
        for line in ablation(name, smaller(scan, side), given.rounds)
    ]
    header = ["model", "without", "seconds", "ratio", "in each round", "MB", "difference, dB"]
    command = f"`python benchmarks/engine_ablation.py {given.scan.name}`"
    machine = f"{cpu_model()}, torch {torch.__version__}"
    section = f"{TITLE}\n\n{command}, {machine}. {NOTES}\n\n{markdown_table(header, lines)}\n"
    print(section)
    if given.out:
        page = given.out.read_text(encoding="utf-8")
        before, _, after = page.partition(TITLE)
        _, heading, others = after.partition("\n## ")
        section += heading + others
        given.out.write_text(before.rstrip() + "\n\n" + section, encoding="utf-8")


if __name__ == "__main__":
    main()
