"""The state of a run on disk, so that `--resume` continues as if it had never stopped."""

import io
from pathlib import Path
from typing import Any

import torch

from arssr.errors import ArSSRError
from arssr.files import replacing

NAME = "last.ckpt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write the state (tensors and plain values only), atomically."""
    buffer = io.BytesIO()  # torch.save itself does not say when a disk is full
    torch.save(state, buffer)
    with replacing(folder / NAME) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def recipe_of(folder: Path) -> dict[str, Any]:
    """The recipe of the run in `folder`, as plain values."""
    return dict(load_checkpoint(folder, mapped=True)["config"])


def load_checkpoint(folder: Path, mapped: bool = False) -> dict[str, Any]:
    """The last complete state of the run in `folder`, on the CPU; executes nothing.

    mapped: tensors are read from the file when they are used.
    """
    path = folder / NAME
    if not path.is_file():
        raise ArSSRError(f"nothing to resume in {folder}: no {NAME}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:
        raise ArSSRError(f"{path} cannot be read as a checkpoint: {error}") from None
