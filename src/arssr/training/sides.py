"""The images of a run, looked at before it begins: those to train on, and those for validation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from arssr.errors import ArSSRError
from arssr.survey import Seen, require_apart, settle, survey
from arssr.training.config import TrainConfig
from arssr.training.data import require_truth


@dataclass(frozen=True)
class Sides:
    """Images that can be used; `left_out` are the names of those to train on that cannot."""

    train: Sequence[Seen]
    val: Sequence[Seen]
    left_out: Sequence[str]

    def describe(self) -> dict[str, Any]:
        """What a checkpoint keeps of them."""
        return {
            "data": [image.describe() for image in self.train],
            "left_out": list(self.left_out),
        }


def find_data(
    train: Mapping[str, Path],
    val: Mapping[str, Path],
    config: TrainConfig,
    skip_unusable: bool | None = False,
    kept: Mapping[str, Any] = MappingProxyType({}),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Sides:
    """Look at every image, by name.

    skip_unusable: None where the command has no option that says so.
    kept: what `Sides.describe` said when the run was begun; files that are the same are not read.
    Raises ArSSRError for images that cannot be used, all at once, for those on both sides, and
    for those of the run that have changed.
    """
    before: Sequence[Mapping[str, Any]] = kept.get("data", ())
    require = partial(
        require_truth,
        smallest=config.sampling.patch,
        normalise=config.model.normalises,
    )
    total = len(train) + len(val)
    done = count(1)
    found, unusable = survey(
        train,
        require,
        lambda: progress(next(done), total),
        {image["sha256"]: image for image in before},
    )
    judges, others = survey(val, require, lambda: progress(next(done), total))
    skip = False if before and unusable else skip_unusable
    settle([*unusable, *others], total, skip)
    for side, usable, given in (("to train on", found, train), ("for validation", judges, val)):
        if given and not usable:
            raise ArSSRError(f"none of the images {side} can be used")
    require_apart(found, judges)
    changed = [
        now.name
        for now, then in zip(found, before, strict=False)
        if now.samples_sha256 != then["samples_sha256"]
    ]
    if changed:
        raise ArSSRError(f"images have changed since the run was begun: {', '.join(changed[:3])}")
    names = {image.name for image in found}
    left_out = [*kept.get("left_out", ()), *(name for name in train if name not in names)]
    return Sides(found, judges, left_out)
