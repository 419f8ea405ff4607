"""What a run writes of itself while it goes on, for people and for TensorBoard.

`recipe.yaml` has every value, and is a recipe itself; `train.log` says what was done when, with
all warnings; `metrics.csv` has what TensorBoard shows: step, metric, value.
"""

import csv
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Self

import numpy as np
import yaml

from arssr.errors import ArSSRError
from arssr.files import replacing, write_text
from arssr.training.config import TrainConfig
from arssr.training.loop import Progress

RECIPE, LOG, METRICS = "recipe.yaml", "train.log", "metrics.csv"
_HEADER = ["step", "metric", "value"]
_ZOOM = 4  # pixels along each side of a voxel in a picture
_EVERY = 20  # steps from one loss to the next


@contextmanager
def remembering() -> Iterator[MemoryHandler]:
    """Keeps the package's warnings for a `Diary` that does not exist yet."""
    early = MemoryHandler(capacity=0, flushOnClose=False)  # keeps all without a target
    logging.getLogger("arssr").addHandler(early)
    try:
        yield early
    finally:
        logging.getLogger("arssr").removeHandler(early)


class Diary:
    """The files of the run in `folder`, which goes on after `step`; to be used in `with`.

    early: warnings from before there was a folder (`remembering`), which come first.

    A run that was cut off has written of steps after its checkpoint, which are now taken again:
    what it wrote of them goes. Raises ArSSRError where the folder cannot be written.
    """

    def __init__(
        self, folder: Path, config: TrainConfig, step: int, early: MemoryHandler | None = None
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter

        write_text(folder / RECIPE, yaml.safe_dump(config.to_dict(), sort_keys=False))
        rows = [row for row in _rows(folder / METRICS) if int(row[0]) <= step]
        with (
            replacing(folder / METRICS) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            csv.writer(file).writerows([_HEADER, *rows])
        try:
            self._metrics = (folder / METRICS).open("a", encoding="utf-8", newline="")
            self._handler = logging.FileHandler(
                folder / LOG, encoding="utf-8", errors="backslashreplace"
            )
            self._writer = SummaryWriter(folder, purge_step=step + 1)
        except OSError as error:
            raise ArSSRError(f"cannot write {folder}: {error.strerror or error}") from None
        except UnicodeEncodeError:
            raise ArSSRError(f"{folder}: TensorBoard takes only names that are UTF-8") from None
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        self._log = logging.Logger("run")  # of its own: the terminal hears of it in another way
        self._log.addHandler(self._handler)
        logging.getLogger("arssr").addHandler(self._handler)
        if early is not None:
            early.setTarget(self._handler)
            early.flush()

    def note(self, sentence: str, *values: object) -> None:
        """A line in the log."""
        self._log.info(sentence, *values)

    def on_step(self, progress: Progress) -> None:
        """Loss and learning rate, every 20 steps and at the end."""
        if progress.step % _EVERY == 0 or progress.step == progress.total:
            self._put({"train/loss": progress.loss, "train/lr": progress.lr}, progress.step)

    def on_validation(
        self, values: Mapping[str, float], pictures: Mapping[str, np.ndarray], step: int
    ) -> None:
        """What was measured, and pictures (H, W) in [0, 1] by what they show."""
        self._put({f"val/{name}": value for name, value in values.items()}, step)
        for name, picture in pictures.items():
            seen = picture.repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1)
            self._writer.add_image(f"val/{name}_2x", seen, step, dataformats="HW")
        self.note(
            "step %d: gain over cubic %+.3f dB, at worst %+.3f dB",
            *(step, values["gain"], values["worst"]),
        )

    def _put(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        csv.writer(self._metrics).writerows((step, n, f"{v:.6g}") for n, v in values.items())
        self._metrics.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None:
            self.note("ended: %s", str(error) or type(error).__name__)
        logging.getLogger("arssr").removeHandler(self._handler)
        self._handler.close()
        self._metrics.close()
        self._writer.close()


def _rows(path: Path) -> list[list[str]]:
    """The whole lines below the header; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.reader(file) if len(row) == len(_HEADER) and row != _HEADER]
