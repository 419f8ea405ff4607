"""Folders of images larger than the device's memory: a part of them at a time, in turn.

While one window of images is drawn from, the next is read in the background, one image after the
other. Which image a sample is drawn from follows from the seed and the step alone, so that
resuming and data-parallel training stay exact.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch

from arssr.errors import ArSSRError
from arssr.files import bytes_in_words
from arssr.training.config import TrainConfig
from arssr.training.data import CPU, Item, load_item
from arssr.training.images import Images, Order, Resident, slots_of
from arssr.training.shared import Shelves


class Rotation:
    """Images of which only some are in memory; a step turns to those that it needs."""

    def __init__(self, names: Sequence[str], order: Order, load: Callable[[int], Item]) -> None:
        self.names = list(names)
        self.order = order
        self._load = load
        self._held: dict[int, Future[Item]] = {}
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rotation")

    @property
    def held(self) -> list[int]:
        """The images that are in memory or being read."""
        return list(self._held)

    def for_step(self, step: int) -> list[Item]:
        """See `Images.for_step`. Lets go of what the step does not need, and begins to read what
        it and the next ones do.
        """
        needed = self.order.needed(step)
        for number in set(self._held) - set(needed):
            self._held.pop(number).cancel()
        for number in needed:
            if number not in self._held:
                self._held[number] = self._reader.submit(self._load, number)
        return [self._held[number].result() for number in self.order.images(step)]


def training_images(
    images: Mapping[str, Path],
    config: TrainConfig,
    device: torch.device = CPU,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    shared: bool = False,
) -> Images:
    """All images, by name, where they fit into `config.resident_gb`; else a rotation through them.

    shared: in memory that worker processes can see, whatever the device.
    Of a rotation the images that come first are read at once, which shows how many a window can
    hold; the others are read when they are due.
    Raises ArSSRError for no image, one that is too small, and where not even two fit.
    """
    if not images:
        raise ArSSRError("no images to train on")
    names, paths = list(images), list(images.values())
    patch, normalise = config.sampling.patch, config.model.normalises
    slots, batch = slots_of(names, config.weights), config.sampling.batch
    budget = config.resident_gb * 1e9
    shelves = Shelves(budget)

    def load(number: int) -> Item:
        there = CPU if shared else device
        item = load_item(paths[number], patch, normalise, there, names[number])
        return shelves.put(item) if shared else item

    items: list[Item] = []
    for number in range(len(paths)):
        items.append(load(number))
        if sum(item.nbytes for item in items) > budget:
            break
        progress(number + 1, len(paths))
    else:
        return Resident(items, Order.plain(config.seed, slots, batch))
    window = (len(items) - 1) // 2  # one is drawn from while the next is read
    if window < 1:
        size = bytes_in_words(sum(item.nbytes for item in items))
        raise ArSSRError(
            f"resident_gb of {config.resident_gb:g} is too little: {len(items)} images take {size}"
        )
    visits = -(-config.visits // batch) * batch  # so that no batch needs two windows
    order = Order(config.seed, tuple(slots), batch, window, visits)
    progress(len(paths), len(paths))
    return Rotation(names, order, load)
