"""Whether a run is the one that its checkpoint is of, told before anything is read."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arssr.errors import ArSSRError
from arssr.networks import ModelConfig
from arssr.training.config import TrainConfig
from arssr.training.images import slots_of

_log = logging.getLogger(__name__)


def without_left_out(images: Mapping[str, Path], state: Mapping[str, Any]) -> dict[str, Path]:
    """Images by name without those that could not be used when the run was begun."""
    left_out = state.get("kept", {}).get("left_out", ())
    return {name: path for name, path in images.items() if name not in left_out}


def require_same_run(state: Mapping[str, Any], config: TrainConfig, names: Sequence[str]) -> None:
    """That a checkpoint can go on with this recipe and these images.

    Only the length of a run may change: the learning rate follows the schedule of the new length
    from the step that was reached, which a warning says. Raises ArSSRError, naming what differs,
    for any other setting, other images, and fewer steps than were taken.
    """
    model = ModelConfig.from_dict(state["config"]["model"])  # an older one may say less
    if told := config.differences_from(state["config"] | {"model": model.to_dict()}):
        raise ArSSRError(f"the run to resume has another configuration: {'; '.join(told)}")
    if state["items"] != list(names):
        raise ArSSRError(
            "the run to resume was made with other images: "
            + _images_that_differ(state["items"], names)
        )
    before, items, taken = (
        TrainConfig.from_dict(state["config"]),
        len(slots_of(names, config.weights)),
        state["step"],
    )
    planned, steps = before.total_steps(items), config.total_steps(items)
    if steps < taken:
        raise ArSSRError(f"the run to resume has taken {taken} steps, more than {steps}")
    if steps != planned:
        last, following = before.lr_at(taken - 1, items), config.lr_at(taken, items)
        _log.warning(
            "the run ends at step %d now, instead of %d: the learning rate goes on as in a run of "
            "that length, from %.2g at step %d to %.2g at the next",
            *(steps, planned, last, taken, following),
        )


def _images_that_differ(then: Sequence[str], now: Sequence[str]) -> str:
    """In words, a few of them by name."""
    new, missing = ([n for n in a if n not in set(b)] for a, b in ((now, then), (then, now)))
    parts = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', …' * (len(names) > 3)})"
        for what, names in (("are new", new), ("are missing", missing))
        if names
    ]
    return " and ".join(parts) or "the same ones in another order"
