"""One session: images in, and when the client has sent all of them, images out.

Nothing is lost by it: what no result comes of goes back as it came, with a sentence why.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any
from xml.etree import ElementTree

from arssr.errors import ArSSRError
from arssr.files import bytes_in_words
from arssr.integrations.mrd.image import MRDImage
from arssr.integrations.mrd.messages import Dropped, Id, Message, ProtocolError, Stream, Text
from arssr.integrations.mrd.models import Asked, Models, parameters_in
from arssr.integrations.mrd.stacks import grouped, original_image, result_image, stack_of
from arssr.upsampling.words import remark

# What an image takes besides: without it, images of no voxels could fill the memory.
_HEADER_BYTES = 2048

_log = logging.getLogger(__name__)


def hold(stream: Stream, models: Models) -> None:
    """Answer a session, from its first message to its last.

    Raises ProtocolError where what comes is no session, and CutOffError.
    """
    messages = stream.messages()
    first = next(messages, None)
    if first is None:
        return  # a client that only asks whether somebody is here
    if not (isinstance(first, Text) and first.kind in (Id.CONFIG_FILE, Id.CONFIG_TEXT)):
        raise ProtocolError("a session begins with a configuration")
    images, held, three_d, parameters = list[MRDImage](), 0, False, parameters_in(first.text)
    for message in messages:
        if isinstance(message, MRDImage):
            images.append(message)
            held += message.samples.nbytes + len(message.attributes) + _HEADER_BYTES
            if held > stream.limits.session_bytes:
                _pass_on(stream, images, messages)
                return
        elif isinstance(message, Text):
            if message.kind == Id.HEADER:
                three_d = encodes_a_slab(message.text)
            else:
                parameters |= parameters_in(message.text)
        elif message == Dropped(Id.ACQUISITION) and not images:
            raise ProtocolError("k-space came; this program takes images (emitter: image)")
    _answer(stream, models, images, parameters, three_d)


def _pass_on(stream: Stream, images: list[MRDImage], messages: Iterator[Message]) -> None:
    """Send back what is too much to hold, as it comes."""
    most = bytes_in_words(stream.limits.session_bytes)
    stream.say(
        "ERROR",
        f"the images take more than the {most} that a session may have (arssr mrd --limit); they "
        "go back as they came",
    )
    later = (each for each in messages if isinstance(each, MRDImage))
    for image in chain(images, later):
        stream.send_image(original_image(image))


def _answer(
    stream: Stream,
    models: Models,
    images: Sequence[MRDImage],
    parameters: dict[str, Any],
    three_d: bool,
) -> None:
    """Send originals, then results: scanners make projections of the first series."""
    results, done = list[MRDImage](), set[int]()
    try:
        asked = Asked.of(parameters)
        for result, sources in _results(stream, models, images, asked, three_d):
            results.append(result)
            done.update(map(id, sources))
    except ArSSRError as error:
        asked = Asked()
        stream.say("ERROR", f"{error}; the images go back as they came")
    for image in images:
        if asked.send_original or id(image) not in done:
            stream.send_image(original_image(image))
    for result in results:
        stream.send_image(result)


def _results(
    stream: Stream, models: Models, images: Sequence[MRDImage], asked: Asked, three_d: bool
) -> Iterator[tuple[MRDImage, Sequence[MRDImage]]]:
    """What comes of each volume, with what it was made of; a sentence where nothing does."""
    indices = _Indices(image.header.image_series_index for image in images)
    counts = Counter[int]()
    for group in grouped(image for image in images if image.is_for_a_network):
        series = int(group[0].header.image_series_index)
        try:
            stack = stack_of(group, three_d=three_d)
            most_bytes = stream.limits.session_bytes
            volume, model, told = models.upsample(stack.volume, asked, most_bytes)
            counts[series] += 1
            index, count = indices.of(series), counts[series]
            made = result_image(stack, volume, index, count, remark(model))
        except ArSSRError as error:
            named = str(error).removeprefix(f"series {series}: ").removeprefix("the image: ")
            stream.say("ERROR", f"series {series}: {named}; its images go back as they came")
            continue
        except Exception:
            _log.exception("a bug of ours")
            stream.say("ERROR", f"series {series}: a bug of ours; its images go back as they came")
            continue
        for sentence in told:
            stream.say("WARNING", f"series {series}: {sentence.removeprefix('the image: ')}")
        yield made, group


class _Indices:
    """Indices for series of results, of which no image that came has one."""

    def __init__(self, taken: Iterable[int]) -> None:
        used = {int(each) for each in taken}
        after = max(used, default=0) + 1
        every = chain(range(after, 2**16), range(1, after))
        self._free = (each for each in every if each not in used)
        self._given: dict[int, int] = {}

    def of(self, series: int) -> int:
        if series not in self._given:
            self._given[series] = next(self._free)
        return self._given[series]


def encodes_a_slab(header: str) -> bool:
    """Whether an MRD header tells of a 3D acquisition; what is no header tells of nothing."""
    if "<!DOCTYPE" in header:
        return False
    try:
        found = ElementTree.fromstring(header).find(".//{*}encodedSpace/{*}matrixSize/{*}z")
        return found is not None and int(found.text or 1) > 1
    except (ElementTree.ParseError, ValueError):
        return False
