"""The Brain Imaging Data Structure: file names, `sub-01_ses-a_run-1_T1w.nii.gz`, and sidecars.

Source: BIDS specification 1.11, https://bids-specification.readthedocs.io, "Entities" and "The
Inheritance Principle".
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arssr.errors import ArSSRError
from arssr.files import json_beside

DESCRIPTION = "dataset_description.json"  # lies at the root of a data set

# In the order that the specification prescribes.
# fmt: off
ENTITIES = (
    "sub", "tpl", "ses", "cohort", "sample", "task", "tracksys", "acq", "nuc", "voi", "ce", "trc",
    "stain", "rec", "dir", "run", "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi",
    "space", "split", "recording", "chunk", "atlas", "seg", "scale", "res", "den", "label", "desc",
)
# fmt: on
_INDICES = ("run", "echo", "flip", "inv", "split", "chunk")  # their labels are numbers
_NAME = re.compile(
    r"(?P<entities>([a-z]+-[a-zA-Z0-9+]+_)*)(?P<suffix>[a-zA-Z0-9]+)(?P<extension>(\.[a-zA-Z0-9]+)+)"
)


@dataclass(frozen=True)
class BIDSName:
    """What a name says: entities (`sub` → `01`), suffix (`T1w`) and extension (`.nii.gz`).

    >>> name = BIDSName.parse("sub-01_run-2_T1w.nii.gz")
    >>> str(name.having(desc="arssr", ses="a"))
    'sub-01_ses-a_run-2_desc-arssr_T1w.nii.gz'
    """

    entities: Mapping[str, str]
    suffix: str
    extension: str

    @classmethod
    def parse(cls, name: str) -> "BIDSName | None":
        """The parts of a file name; None where it is not one of BIDS."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        pairs = [pair.split("-", 1) for pair in match["entities"].split("_")[:-1]]
        entities = {key: label for key, label in pairs}
        if len(entities) < len(pairs):  # one of them twice
            return None
        return cls(entities, match["suffix"], match["extension"])

    def __str__(self) -> str:
        pairs = [f"{key}-{self.entities[key]}" for key in sorted(self.entities, key=_place)]
        return "_".join([*pairs, self.suffix]) + self.extension

    def having(self, **entities: str) -> "BIDSName":
        """The same name with these entities set."""
        return BIDSName({**self.entities, **entities}, self.suffix, self.extension)


def same_label(entity: str, label: str) -> str:
    """A label as it is compared: of an index, zeros before it do not count.

    >>> same_label("run", "01"), same_label("acq", "01")
    ('1', '01')
    """
    return label.lstrip("0") or "0" if entity in _INDICES else label


def _place(entity: str) -> float:
    """Where an entity stands in a name; one of nobody's before those that derivatives add."""
    return ENTITIES.index(entity) if entity in ENTITIES else ENTITIES.index("space") - 0.5


def metadata(image: Path) -> dict[str, Any]:
    """What sidecars say of an image: the JSON file of its name, as dcm2niix leaves it there, and
    for an image of a BIDS data set all that it inherits.

    Sidecars nearer to the image win, then those that name more of it. Raises ArSSRError for those
    that cannot be read.
    """
    image = image.absolute()
    name = BIDSName.parse(image.name)
    depth = next(
        (n for n, folder in enumerate(image.parents, 1) if (folder / DESCRIPTION).is_file()), 0
    )
    if name is None or not depth:
        beside = json_beside(image)
        return read_json(beside) if beside else {}
    known: dict[str, Any] = {}
    for folder in reversed(image.parents[:depth]):
        for path in sorted(_applicable(folder, name), key=lambda p: p.name.count("_")):
            known |= read_json(path)
    return known


def _applicable(folder: Path, image: BIDSName) -> Iterator[Path]:
    for path in folder.glob(f"*{image.suffix}.json"):
        name = BIDSName.parse(path.name)
        if name is None or name.suffix != image.suffix:
            continue
        if name.entities.items() <= image.entities.items():
            yield path


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises ArSSRError where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ArSSRError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ArSSRError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ArSSRError(f"{path} holds no JSON object")
    return content
