"""Which images of a data set are wanted, by their names: `arssr bids --bids-filter-file`.

The file is that of fMRIPrep, sMRIPrep, QSIPrep and others, and says the same here: a JSON object of
queries, `{"t2w": {"acquisition": ["ax", "sag"]}}`. Those for other images than are at hand, such as
`bold`, are passed over, so that one file does for all these programs.

Source: fMRIPrep's documentation, "How do I select only certain files to be input to fMRIPrep?", and
`BIDSLayout.get` of PyBIDS.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from arssr.errors import ArSSRError
from arssr.formats.bids import ENTITIES, BIDSName, read_json, same_label

# What the specification or PyBIDS calls entities that have a shorter word in names of files.
# fmt: off
_KEYS = {
    "subject": "sub", "template": "tpl", "session": "ses", "acquisition": "acq", "nucleus": "nuc",
    "volume": "voi", "ceagent": "ce", "tracer": "trc", "staining": "stain",
    "reconstruction": "rec", "direction": "dir", "modality": "mod", "inversion": "inv",
    "mtransfer": "mt", "processing": "proc", "hemisphere": "hemi", "segmentation": "seg",
    "resolution": "res", "density": "den", "description": "desc",
}
# fmt: on
_SUFFIX, _REGEX = "suffix", "regex_search"
_BESIDES = ("datatype", "extension")
_ANY = "*"

Wanted = tuple[str | None, ...]  # labels, of which any will do; None: the name has no such entity


@dataclass(frozen=True)
class Query:
    """What names of images with these suffixes must say, by entity.

    is_regex: labels are regular expressions to be found in those of the name, in either case.
    """

    suffixes: frozenset[str]
    wanted: Mapping[str, Wanted]
    is_regex: bool = False

    def takes(self, name: BIDSName) -> bool:
        """Whether a name says it."""
        said = {**name.entities, "extension": name.extension, "datatype": "anat"}
        return all(
            any(_is(key, said.get(key), label, self.is_regex) for label in labels)
            for key, labels in self.wanted.items()
        )


@dataclass(frozen=True)
class Filter:
    """Queries, of which an image must meet one, if there is any for its suffix."""

    queries: tuple[Query, ...] = ()

    @classmethod
    def read(cls, path: Path, suffixes: Collection[str]) -> "Filter":
        """The queries for images of these suffixes.

        Raises ArSSRError for what is no such file, and where it has no query for these images.
        """
        content = read_json(path)
        found = (_query(f"{path}: {name}", name, said, suffixes) for name, said in content.items())
        if queries := tuple(query for query in found if query.suffixes):
            return cls(queries)
        listed, kinds = ", ".join(content) or "nothing", " or ".join(sorted(suffixes))
        raise ArSSRError(f"{path} has no query for {kinds} images, but for {listed}")

    def takes(self, name: BIDSName) -> bool:
        """Whether an image of this name is wanted."""
        ours = [query for query in self.queries if name.suffix in query.suffixes]
        return not ours or any(query.takes(name) for query in ours)


EVERYTHING = Filter()


def _query(where: str, name: str, said: object, suffixes: Iterable[str]) -> Query:
    """One of the file; without a suffix of its own it is for that by which it is called.

    One that is for none of these suffixes is not looked at any further.
    """
    if not isinstance(said, dict):
        raise ArSSRError(f"{where} is no JSON object of entities")
    is_regex = said.get(_REGEX, False)
    if not isinstance(is_regex, bool):
        raise ArSSRError(f"{where}: {_REGEX} is true or false, not {is_regex!r}")
    if _SUFFIX in said:
        labels = _labels(where, _SUFFIX, said[_SUFFIX], is_regex)
        ours = frozenset(
            each for each in suffixes if any(_is(_SUFFIX, each, of, is_regex) for of in labels)
        )
    else:
        ours = frozenset(each for each in suffixes if each.lower() == name.lower())
    wanted: dict[str, Wanted] = {}
    for entity, value in said.items() if ours else ():
        if entity not in (_SUFFIX, _REGEX):
            key = _KEYS.get(entity, entity)
            if key not in (*ENTITIES, *_BESIDES):
                raise ArSSRError(f"{where}: no entity of BIDS is called {entity}{_instead(entity)}")
            wanted[key] = _labels(where, entity, value, is_regex)
    return Query(ours, wanted, is_regex)


def _labels(where: str, entity: str, value: Any, is_regex: bool) -> Wanted:
    """What a query says of one entity. Raises ArSSRError where it is no such thing."""
    labels: list[str | None] = []
    for each in value if isinstance(value, list) and value else [value]:
        if not (each is None or isinstance(each, str | int)) or isinstance(each, bool):
            raise ArSSRError(
                f'{where}: {entity} is a label, a list of labels, null for none or "{_ANY}" for '
                f"any, not {each!r}"
            )
        labels.append(None if each is None else str(each))
        if is_regex and each is not None and each != _ANY:
            try:
                re.compile(str(each))
            except re.error as error:
                raise ArSSRError(f"{where}: {each} is no regular expression: {error}") from None
    return tuple(labels)


def _is(key: str, label: str | None, wanted: str | None, is_regex: bool) -> bool:
    if label is None or wanted is None:
        return label is wanted
    if wanted == _ANY:
        return True
    if is_regex:
        return re.search(wanted, label, re.IGNORECASE) is not None
    if key == "extension":  # as PyBIDS does it: with its point or without
        wanted = f".{wanted.lstrip('.')}"
    return same_label(key, label) == same_label(key, wanted)


def _instead(entity: str) -> str:
    close = get_close_matches(entity, (*_KEYS, *ENTITIES, *_BESIDES, _SUFFIX), 1)
    return f"; did you mean {close[0]}?" if close else ""
