"""An image as MRD has it: a fixed header, attributes in XML, and samples.

ISMRMRD, "Image Data": https://ismrmrd.readthedocs.io. `ismrmrd.Image` reads what `int` is on this
machine for what MRD calls 32-bit integers, so the samples are taken apart here.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from xml.etree import ElementTree

import numpy as np
from ismrmrd import Meta
from ismrmrd.image import ImageHeader
from numpy.typing import NDArray

from arssr.errors import ArSSRError

TYPES = {
    number: np.dtype(name)
    for number, name in enumerate(("<u2", "<i2", "<u4", "<i4", "<f4", "<f8", "<c8", "<c16"), 1)
}
MAGNITUDE = (0, 1)  # 0: the client does not say; it is taken for magnitude by FIRE's programs, too
KEEP_GEOMETRY = "Keep_image_geometry"  # for FIRE: turn nothing into a standard orientation


@dataclass(frozen=True)
class MRDImage:
    """A slice, or a volume where its z is above 1: samples (channels, z, y, x)."""

    header: ImageHeader
    attributes: bytes
    samples: NDArray[Any]

    @cached_property
    def meta(self) -> Meta:
        """The attributes by name, text or lists of text. Raises ArSSRError where they are none."""
        return meta_of(self.attributes)

    @property
    def is_for_a_network(self) -> bool:
        """Whether it has one intensity in each voxel: no phase, no colours, no complex numbers."""
        head = self.header
        return bool(
            head.image_type in MAGNITUDE and head.channels == 1 and self.samples.dtype.kind != "c"
        )


def sample_bytes(header: ImageHeader) -> int | None:
    """How many bytes of samples a header announces; None for a type that MRD does not have."""
    dtype = TYPES.get(header.data_type)
    if dtype is None:
        return None
    return math.prod((*header.matrix_size, header.channels, dtype.itemsize))


def meta_of(attributes: bytes) -> Meta:
    """Attributes by name. Raises ArSSRError for what is no XML of MRD's, or defines entities."""
    text = attributes.decode("utf-8", "replace").rstrip("\0")
    try:
        if "<!DOCTYPE" in text:
            raise ValueError("a document type")
        return Meta({name or "": value for name, value in Meta.deserialize(text).items()})
    except (ElementTree.ParseError, AssertionError, ValueError):
        raise ArSSRError("its attributes are no MRD attributes") from None


def attributes_of(meta: Meta) -> bytes:
    """What `meta_of` reads; a value that is empty stays so."""
    whole = Meta({k: _without_none(value) for k, value in meta.items()})
    return str(whole.serialize()).encode()


def _without_none(value: Any) -> Any:
    if isinstance(value, list):
        return ["" if each is None else each for each in value]
    return "" if value is None else value


def listed(meta: Meta, name: str) -> list[str]:
    """The values of an attribute, none where it is absent."""
    value = meta.get(name, [])
    return [str(each) for each in (value if isinstance(value, list) else [value]) if each]


def vector(meta: Meta, name: str) -> NDArray[np.float64] | None:
    """Three numbers; None where an attribute is absent, or is something else."""
    try:
        found = np.array([float(each) for each in listed(meta, name)])
    except ValueError:
        return None
    return found if found.shape == (3,) and np.isfinite(found).all() else None


def in_decimals(numbers: Iterable[float]) -> list[str]:
    """As FIRE's programs write directions."""
    return [f"{number:.18f}" for number in numbers]
