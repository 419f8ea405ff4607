"""The images of a run, and which of them each sample is drawn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

import numpy as np

from arssr.errors import ArSSRError
from arssr.training.data import Item


@dataclass(frozen=True)
class Order:
    """Which image each sample of a run is drawn from: it follows from seed and step alone.

    slots: the images of a turn by number, each as often as it weighs.

    A turn goes through all slots in random order, `window` of them at a time, and draws each
    `visits` times (the last batch is filled up). With all slots in one window and a single visit
    a turn is an epoch.
    """

    seed: int
    slots: tuple[int, ...]
    batch: int
    window: int
    visits: int = 1

    @classmethod
    def plain(cls, seed: int, slots: Sequence[int], batch: int) -> "Order":
        """All images at hand, each slot drawn once an epoch."""
        return cls(seed, tuple(slots), batch, window=len(slots))

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
        turn, place = divmod(step, -(-len(self.slots) * self.visits // self.batch))
        return turn, place * self.batch

    def _windows(self, turn: int) -> list[list[int]]:
        random = np.random.default_rng([self.seed, 0, turn])
        order = random.permutation(np.array(self.slots)).tolist()
        return [order[n : n + self.window] for n in range(0, len(order), self.window)]


class Images(Protocol):
    """The images of a run, all of them in memory or some of them at a time."""

    @property
    def names(self) -> list[str]:
        """Of all images, by number."""
        ...

    @property
    def order(self) -> Order:
        """Which of them each sample is drawn from."""
        ...

    def for_step(self, step: int) -> list[Item]:
        """The image of each sample of a batch; waits for those that are still being read."""
        ...


@dataclass(frozen=True)
class Resident:
    """Images that are all in memory."""

    items: Sequence[Item]
    order: Order

    @classmethod
    def plain(cls, items: Sequence[Item], seed: int, batch: int) -> "Resident":
        """Each drawn once an epoch."""
        return cls(items, Order.plain(seed, range(len(items)), batch))

    @property
    def names(self) -> list[str]:
        """See `Images.names`."""
        return [item.name for item in self.items]

    def for_step(self, step: int) -> list[Item]:
        """See `Images.for_step`."""
        return [self.items[number] for number in self.order.images(step)]


def slots_of(names: Sequence[str], weights: Mapping[str, int]) -> list[int]:
    """The slots of a turn: an image has as many as the last pattern that its name matches says.

    >>> slots_of(["a_T1w.nii", "b_T2w.nii"], {"*_T2w*": 3})
    [0, 1, 1, 1]

    Raises ArSSRError for a pattern that no name matches.
    """
    for pattern in weights:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ArSSRError(f"no image to weight is called {pattern!r}")
    slots = []
    for number, name in enumerate(names):
        matching = [weight for pattern, weight in weights.items() if fnmatchcase(name, pattern)]
        slots += [number] * (matching or [1])[-1]
    return slots
