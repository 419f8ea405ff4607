"""Which licence weights can have, and whom they credit: it follows from the images behind them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

NOT_STATED = "not stated"
FREE, NON_COMMERCIAL = "CC BY 4.0", "CC BY-NC 4.0"

_ASKS_FOR_NOTHING = re.compile(r"CC0|PDDL")
_ASKS_FOR_CREDIT = re.compile(r"CC BY \d|MIT|BSD|Apache")
_NON_COMMERCIAL = re.compile(r"CC BY-NC")

# Credit that goes beyond the name of the source.
_CITED = {
    "OASIS": "OASIS (Marcus et al. 2007, doi:10.1162/jocn.2007.19.9.1498)",
    "open_ms_data": "open_ms_data (Lesjak et al. 2016, doi:10.1007/s12021-015-9249-8)",
}


def licence_of_weights(licences: Iterable[str]) -> str:
    """The licence of weights that have seen images under these licences.

    A non-commercial image makes the weights CC BY-NC 4.0. Images that anyone may use for anything,
    with credit at most, make them CC BY 4.0. Anything else, and no image at all, is "not stated".

    >>> licence_of_weights(["CC0 1.0", "MIT (repository)"])
    'CC BY 4.0'
    >>> licence_of_weights(["CC0 1.0", "CC BY-NC 4.0"])
    'CC BY-NC 4.0'
    >>> licence_of_weights(["CC0 1.0", "CC BY-SA 4.0"])
    'not stated'
    """
    found = list(licences)
    if any(_NON_COMMERCIAL.match(licence) for licence in found):
        return NON_COMMERCIAL
    free = all(_ASKS_FOR_NOTHING.match(x) or _ASKS_FOR_CREDIT.match(x) for x in found)
    return FREE if found and free else NOT_STATED


def credits_of(images: Iterable[tuple[str, str]]) -> str:
    """A sentence that names every source that asks for it; images: (source, licence).

    >>> credits_of([("someone/heads", "CC0 1.0")])
    ''
    >>> credits_of([("open_ms_data (Lesjak et al.)", "CC BY 4.0"), ("a/b", "MIT (repository)")])
    'Trained on images from open_ms_data (Lesjak et al. 2016, doi:10.1007/s12021-015-9249-8), \
CC BY 4.0; a/b, MIT.'
    """
    named = dict.fromkeys(
        f"{_cited(source)}, {_short(licence)}"
        for source, licence in images
        if not _ASKS_FOR_NOTHING.match(licence)
    )
    return f"Trained on images from {'; '.join(named)}." if named else ""


def images_behind(card: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What the weights of a card were trained on, and the weights that they started from."""
    while card:
        yield from card.get("data", ())
        card = card.get("started_from") or {}


def _cited(source: str) -> str:
    known = (text for mark, text in _CITED.items() if source.startswith(mark))
    return next(known, source.replace(";", ","))


def _short(licence: str) -> str:
    """Without the remark in brackets that says where the licence stands."""
    return re.sub(r" \(.*\)$", "", licence)
