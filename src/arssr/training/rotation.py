"""Folders of images larger than the device's memory: a part of them at a time, in turn.

Which image a sample is drawn from follows from the seed and the step alone, so that resuming and
data-parallel training stay exact. While one window of images is drawn from, the next is read in
the background, one image after the other.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import torch

from arssr.errors import ArSSRError
from arssr.files import bytes_in_words
from arssr.training.config import TrainConfig
from arssr.training.data import CPU, Item, load_item


@dataclass(frozen=True)
class Order:
    """Which of `count` images each sample of a run is drawn from.

    A turn goes through all images in random order, `window` of them at a time, and draws each
    `visits` times (the last batch is filled up). With all images in one window and a single visit
    a turn is an epoch.
    """

    seed: int
    count: int
    batch: int
    window: int
    visits: int = 1

    @classmethod
    def plain(cls, seed: int, count: int, batch: int) -> "Order":
        """All images at hand, each drawn once an epoch."""
        return cls(seed, count, batch, window=count)

    def images(self, step: int) -> list[int]:
        """The image of each sample of a batch."""
        turn, first = self._place(step)
        windows = self._windows(turn)
        found = []
        for sample in range(first, first + self.batch):
            number = min(sample // (self.window * self.visits), len(windows) - 1)
            inside = sample - number * self.window * self.visits
            found.append(windows[number][inside % len(windows[number])])
        return found

    def needed(self, step: int) -> list[int]:
        """The images of the windows that a batch is drawn from and of the one after, in order."""
        turn, first = self._place(step)
        windows = self._windows(turn)
        size = self.window * self.visits
        begin = min(first // size, len(windows) - 1)
        end = min((first + self.batch - 1) // size, len(windows) - 1)
        wanted = [*windows, self._windows(turn + 1)[0]][begin : end + 2]
        return list(dict.fromkeys(image for window in wanted for image in window))

    def _place(self, step: int) -> tuple[int, int]:
        """The turn that a step belongs to, and the number of its first sample in it."""
        turn, place = divmod(step, -(-self.count * self.visits // self.batch))
        return turn, place * self.batch

    def _windows(self, turn: int) -> list[list[int]]:
        order = np.random.default_rng([self.seed, 0, turn]).permutation(self.count).tolist()
        return [order[n : n + self.window] for n in range(0, self.count, self.window)]


class Rotation(Sequence[Item]):
    """Items of which only some are in memory; `turn_to` says which step they are needed for."""

    def __init__(self, names: Sequence[str], order: Order, load: Callable[[int], Item]) -> None:
        self.names = list(names)
        self.order = order
        self._load = load
        self._held: dict[int, Future[Item]] = {}
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rotation")

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        if index not in self._held:
            raise IndexError(index)
        return self._held[index].result()

    @property
    def held(self) -> list[int]:
        """The images that are in memory or being read."""
        return list(self._held)

    def turn_to(self, step: int) -> None:
        """Let go of what the step does not need; begin to read what it and the next ones do."""
        needed = self.order.needed(step)
        for number in set(self._held) - set(needed):
            self._held.pop(number).cancel()
        for number in needed:
            if number not in self._held:
                self._held[number] = self._reader.submit(self._load, number)


def names_of(items: Sequence[Item]) -> list[str]:
    """Of all items, those not in memory included."""
    return items.names if isinstance(items, Rotation) else [item.name for item in items]


def training_items(
    paths: Sequence[Path],
    config: TrainConfig,
    device: torch.device = CPU,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Sequence[Item]:
    """All images, where they fit into `config.resident_gb`; else a rotation through them.

    Of a rotation the images that come first are read at once, which shows how many a window can
    hold; the others are read, and refused if they must be, when they are due.
    Raises ArSSRError for no image, one that is too small, and where not even two fit.
    """
    if not paths:
        raise ArSSRError("no images to train on")
    patch, normalise = config.sampling.patch, config.model.flavour == "residual"

    def load(number: int) -> Item:
        return load_item(paths[number], patch, normalise, device)

    items: list[Item] = []
    budget = config.resident_gb * 1e9
    for number in range(len(paths)):
        items.append(load(number))
        if sum(item.nbytes for item in items) > budget:
            break
        progress(number + 1, len(paths))
    else:
        return items
    window = (len(items) - 1) // 2  # one is drawn from while the next is read
    if window < 1:
        size = bytes_in_words(sum(item.nbytes for item in items))
        raise ArSSRError(
            f"resident_gb of {config.resident_gb:g} is too little: {len(items)} images take {size}"
        )
    batch = config.sampling.batch
    visits = -(-config.visits // batch) * batch  # so that no batch needs two windows
    order = Order(config.seed, len(paths), batch, window, visits)
    progress(len(paths), len(paths))
    return Rotation([path.name for path in paths], order, load)
