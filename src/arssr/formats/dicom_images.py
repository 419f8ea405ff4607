"""The images in DICOM series: which slices belong together, and what to call each image.

A series may hold several images (echoes, magnitude and phase, stacks), and an image several frames
(repetitions, diffusion directions). What differs between slices of one place tells images apart; a
b-value, and which is label and which control, only frames of one image.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from arssr.errors import ArSSRError, NothingMatchesError
from arssr.formats.dicom_header import Place, Slice

_IMAGES = ("type", "units", "TE", "TI", "flip angle")  # of `Slice.varied`, in the order of asking
FRAMES = ("b", "label")  # what may differ from frame to frame
_UNITS = {"TE": " ms", "TI": " ms", "flip angle": "°"}
_TYPES = {
    **dict.fromkeys(("M", "M_FFE", "M_SE", "M_IR"), "magnitude"),
    **dict.fromkeys(("P", "PHASE MAP"), "phase"),
    **dict.fromkeys(("R", "R_FFE", "R_SE", "R_IR"), "real"),
    **dict.fromkeys(("I", "I_FFE", "I_SE", "I_IR"), "imaginary"),
}
_PLANES = ("sagittal", "coronal", "transverse")
_SAME_DIRECTION = 1e-3  # scanners write directions with some six digits
_SAME_SPACING = 1e-3
_SAME_PLACE_MM = 1e-3
_MOST_LISTED = 20
_FRAME = re.compile(r"frame(\d{1,9})")


@dataclass(frozen=True, eq=False)
class Series:
    """The slices of one SeriesInstanceUID."""

    uid: str
    number: str
    description: str
    slices: tuple[Slice, ...]


@dataclass(frozen=True, eq=False)
class Image:
    """Slices on one grid, in one or several frames.

    part: which image of its series it is, from 1; 0 for the only one.
    words: what it is beside the others of its series.
    """

    series: Series
    slices: tuple[Slice, ...]
    part: int = 0
    words: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """What it can be asked for by: the number of the series, and of the part."""
        return (self.series.number or "?") + (f".{self.part}" if self.part else "")

    @property
    def frames(self) -> int:
        """How many images there are of every place; of the most, where some are missing."""
        return max(map(len, by_place(self.slices)))

    @property
    def kinds_of_frames(self) -> dict[str, list[Slice]]:
        """The slices of frames that differ by more than time, by what they are in words."""
        kinds: dict[str, list[Slice]] = {}
        for name in FRAMES:
            values = {image.varied[name] for image in self.slices}
            if len(values) > 1:
                for image in self.slices:
                    value = image.varied[name]
                    word = f"b {value or 0:g}" if name == "b" else value or "no label"
                    kinds.setdefault(word, []).append(image)
        return kinds

    def one_frame(self) -> str:
        """How to ask for less than all frames, in words."""
        ways = [repr(way) for way in ("frame 1", *self.kinds_of_frames)]
        return f"name one with --series: {', '.join(ways[:5])}{', …' if len(ways) > 5 else ''}"

    def describe(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return {
            "series": self.number,
            "description": self.series.description,
            "uid": self.series.uid,
            "words": list(self.words),
            "images": len(self.slices),
            "frames": self.frames,
            "kinds_of_frames": list(self.kinds_of_frames),
        }

    def __str__(self) -> str:
        words = "".join(f", {word}" for word in self.words)
        size = f"{len(self.slices)} images"
        if (frames := self.frames) > 1:
            size += f" in {frames} frames"
        kinds = ", ".join(self.kinds_of_frames)
        known = self.series.uid if not self.part else ""
        return f"{self.number} {self.series.description!r}{words} (" + (
            ", ".join(part for part in (size, kinds, known) if part) + ")"
        )


def images_of(series: Series) -> list[Image]:
    """The images of a series, each with what tells it from the others; it is one at least."""
    found = [
        (words, slices)
        for stack, group in _stacks(series.slices)
        for words, slices in _told_apart(group, stack, _IMAGES)
    ]
    if len(found) == 1:
        return [Image(series, series.slices)]
    return [Image(series, tuple(s), n, w) for n, (w, s) in enumerate(found, start=1)]


def choose(series: Sequence[Series], wanted: str | None, label: Path) -> Image:
    """The only image, or the one that is wanted; ArSSRError lists them where that is not one,
    NothingMatchesError where it is none.

    wanted: UID or number of a series, part of its description, number of an image (5.2), one of
        its words (phase, TE 12.5 ms), a kind of its frames (b 1000), one of them (frame 3), or
        several of these with commas between them.
    """
    everything = [image for each in series for image in images_of(each)]
    if wanted is None:
        matches = everything
    else:
        word = wanted.strip()
        named = [s for s in series if word in (s.uid, s.number)] or [
            s for s in series if word and word.lower() in s.description.lower()
        ]
        narrowed = (_narrowed(image, wanted) for image in everything)
        matches = [image for image in everything if image.series in named] or [
            image for image in narrowed if image is not None
        ]
    if len(matches) == 1:
        return matches[0]
    shown = matches or everything
    what = "images" if any(image.part for image in shown) else "series"
    problem = (
        f"holds several {what}, name one (a scan's with --series)"
        if wanted is None
        else f"{len(matches) or 'no'} {what} match {wanted!r}"
    )
    listed = "; ".join(map(str, shown[:_MOST_LISTED]))
    more = f"; and {len(shown) - _MOST_LISTED} more" if len(shown) > _MOST_LISTED else ""
    kind = ArSSRError if matches else NothingMatchesError
    raise kind(f"{label}: {problem}: {listed}{more}")


def _narrowed(image: Image, wanted: str) -> Image | None:
    """The image, or its frames of some kind, if all that is wanted is true of it."""
    for term in wanted.split(","):
        word, squeezed = term.strip().lower(), _squeezed(term)
        if not word:
            return None
        kinds = {_squeezed(kind): slices for kind, slices in image.kinds_of_frames.items()}
        if squeezed in kinds:
            image = replace(image, slices=tuple(kinds[squeezed]))
        elif numbered := _FRAME.fullmatch(squeezed):
            n = int(numbered[1])
            at_once = [place[n - 1] for place in by_place(image.slices) if 0 < n <= len(place)]
            image = replace(image, slices=tuple(at_once))
            if not at_once:
                return None
        elif not (
            word in (image.series.uid, image.series.number, image.number)
            or squeezed in map(_squeezed, image.words)
            or word in image.series.description.lower()
        ):
            return None
    return image


def _squeezed(words: str) -> str:
    return "".join(words.split()).lower()


def by_place(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Parallel slices in order along their normal, those of one place together and in time."""
    first = next((s.place for s in slices if s.place is not None), None)
    if first is None:
        return [[each] for each in slices]
    normal = np.cross(*first.directions)
    along = [(float(s.place.position @ normal), s) for s in slices if s.place is not None]
    along.sort(key=lambda pair: pair[0])
    places: list[list[Slice]] = []
    last = -np.inf
    for mm, each in along:
        if mm - last > _SAME_PLACE_MM:
            places.append([])
            last = mm
        places[-1].append(each)
    for place in places:
        place.sort(key=lambda each: (each.order, str(each.path)))
    return places


def _stacks(slices: Sequence[Slice]) -> Iterator[tuple[tuple[str, ...], list[Slice]]]:
    """Slices of one stack, size, spacing and direction, and words for it, if it is not the only."""
    groups: list[list[Slice]] = []
    for each in slices:
        group = next((g for g in groups if _parallel(g[0], each)), None)
        if group is None:
            groups.append([each])
        else:
            group.append(each)
    planes = [_plane(group[0]) for group in groups]
    for number, (group, plane) in enumerate(zip(groups, planes, strict=True), start=1):
        if len(groups) == 1:
            yield (), group
        elif planes.count(plane) == 1:
            yield (plane,), group
        else:
            yield (f"stack {number}", plane), group


def _parallel(one: Slice, other: Slice) -> bool:
    said, also = ((s.shape_ij, s.varied["stack"], s.is_mosaic) for s in (one, other))
    if said != also or one.place is None or other.place is None:
        return said == also and one.place is other.place
    return _same_direction(one.place, other.place)


def _same_direction(one: Place, other: Place) -> bool:
    apart = np.abs(one.directions - other.directions).max()
    longer = np.abs(one.spacing_ij / other.spacing_ij - 1).max()
    return bool(apart < _SAME_DIRECTION and longer < _SAME_SPACING)


def _plane(image: Slice) -> str:
    if image.place is None:
        return "without a place"
    return _PLANES[int(np.argmax(np.abs(np.cross(*image.place.directions))))]


def _told_apart(
    slices: list[Slice], words: tuple[str, ...], names: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], list[Slice]]]:
    """Slices that differ within one place by none of these, and what they are in words."""
    if not names:
        yield words, slices
        return
    name, *others = names
    values: dict[Any, list[Slice]] = {}
    for each in slices:
        values.setdefault(each.varied[name], []).append(each)
    if not any(len({s.varied[name] for s in place}) > 1 for place in by_place(slices)):
        yield from _told_apart(slices, words, others)
        return
    order = list(values) if name == "type" else sorted(values, key=lambda v: (v is None, v))
    for value in order:
        yield from _told_apart(values[value], (*words, *_in_words(name, value, order)), others)


def _in_words(name: str, value: Any, values: Sequence[Any]) -> tuple[str, ...]:
    """What to call a value among the others."""
    if name == "type":
        common = set.intersection(*map(set, values))
        own = [_TYPES.get(word, word.lower()) for word in value if word not in common]
        return tuple(dict.fromkeys(own)) or ("of no other type",)
    if name == "units":
        return (f"in {value}" if value else "in no units",)
    if value is None:
        return (f"no {name}",)
    exact = f"{name} {value:g}{_UNITS[name]}"
    return (f"echo {values.index(value) + 1}", exact) if name == "TE" else (exact,)
