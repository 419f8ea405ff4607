"""`arssr export`: weights for programs that have no torch."""

from pathlib import Path
from typing import Annotated

import typer

from arssr.cli.console import print_json, stderr
from arssr.errors import ArSSRError
from arssr.extras import require


def export(
    model: Annotated[
        str, typer.Argument(help="Shipped weights by name (arssr models), a .safetensors or .pkl.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="NAME.onnx; NAME-encoder.onnx and NAME-decoder.onnx are written."
        ),
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="What the files say of themselves, on standard output.")
    ] = False,
) -> None:
    """Write weights as ONNX, for onnxruntime and others: images of any size, places of any number.

    An encoder and a decoder; docs/onnx.md has a program of 40 lines that upsamples with them.
    """
    if out.suffix != ".onnx":
        raise typer.BadParameter(f"{out}: what is written is NAME.onnx")
    require("onnx", "arssr export")
    from arssr.export.files import export_onnx, metadata, onnx_files
    from arssr.weights.registry import load

    for path in onnx_files(out):
        if path.exists() and not overwrite:
            raise ArSSRError(f"{path}: exists already; --overwrite replaces it")
    weights = load(model)
    for path in export_onnx(weights, out):
        stderr.print(f"written: {path}", markup=False, soft_wrap=True)
    if as_json:
        print_json(metadata(weights))
