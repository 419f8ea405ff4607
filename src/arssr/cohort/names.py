"""File names of the Brain Imaging Data Structure: `sub-01_ses-a_run-1_T1w.nii.gz`.

Source: BIDS specification 1.11, https://bids-specification.readthedocs.io, "Entities".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# In the order that the specification prescribes.
# fmt: off
ENTITIES = (
    "sub", "tpl", "ses", "cohort", "sample", "task", "tracksys", "acq", "nuc", "voi", "ce", "trc",
    "stain", "rec", "dir", "run", "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi",
    "space", "split", "recording", "chunk", "atlas", "seg", "scale", "res", "den", "label", "desc",
)
# fmt: on
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


def _place(entity: str) -> float:
    """Where an entity stands in a name; one of nobody's before those that derivatives add."""
    return ENTITIES.index(entity) if entity in ENTITIES else ENTITIES.index("space") - 0.5
