"""FreeSurfer's MGH and MGZ files, https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat

The header holds spacing, directions and the place of the centre in single precision.
"""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.freesurfer.mghformat import MGHHeader, MGHImage

from arssr.formats import units
from arssr.formats.opened import Opened
from arssr.formats.place import require_positive, unlike_sizes
from arssr.formats.samples import Encoding
from arssr.formats.spatial import UNHEARD, open_spatial
from arssr.formats.streams import open_reading
from arssr.formats.writing import Layout, Outline, streamed

_SAMPLES_START = 284
_HEAD = MGHHeader._hdrdtype.itemsize  # of the header; a footer lies behind the samples
_TYPES = ("u1", "i2", "i4", "f4")
_COMMAND_LINE = 3  # TAG_CMDLINE of FreeSurfer's tags.h: the tag, 8 bytes of length, a string


def open_image(path: Path) -> Opened:
    """A .mgh or .mgz file; raises what nibabel does and ArSSRError."""
    stream = open_reading(path)
    try:
        head = stream.read(_SAMPLES_START)[:_HEAD]
        header = MGHHeader(head, check=False)
        header.check_fix(UNHEARD)
        samples = ArrayProxy(stream, header, mmap=False)
        require_positive(header["delta"].tolist(), str(path))
        opened = open_spatial(samples, header.get_affine(), None, str(path), stream)
        opened.warnings.extend(
            unlike_sizes(
                opened.grid.affine, opened.grid.shape, header["delta"], "matrix Mdc", "delta"
            )
        )
        if not np.frombuffer(head, MGHHeader._hdrdtype)["goodRASFlag"].item():  # nibabel mends it
            opened.warnings.append(
                "the header does not say where the scan lies (goodRASFlag is 0): its axes are "
                "taken to run to the left, down and to the front, as FreeSurfer does"
            )
        if opened.frames == 1:
            return opened
        stream.seek(header.get_footer_offset())
        repetition_ms = np.frombuffer(stream.read(4).ljust(4, b"\0"), ">f4").item()
        timed = replace(opened.storage, repetition_s=units.seconds(repetition_ms / 1000))
        return replace(opened, storage=timed)
    except BaseException:
        stream.close()
        raise


def layout(image: Outline) -> Layout:
    """An MGH file for these samples: 8-bit unsigned, 16- and 32-bit signed integers without slope
    and intercept stay what they are, everything else is float32.
    """
    dtype = image.storage.written_unscaled(*_TYPES).newbyteorder(">")
    samples = np.broadcast_to(np.zeros((), dtype), image.shape)
    header = MGHImage(samples, image.grid.affine).header
    if image.frames > 1:
        header["tr"] = 1000 * (image.storage.repetition_s or 0)
    content = header.binaryblock
    tail = content[_HEAD:] + (_remark(image.remark) if image.remark else b"")
    return Layout(content[:_HEAD].ljust(_SAMPLES_START, b"\0"), Encoding(dtype), tail)


def _remark(text: str) -> bytes:
    """Text behind the samples, where FreeSurfer has the commands that made an image."""
    line = text.encode("ascii", "replace") + b"\0"
    return struct.pack(">iq", _COMMAND_LINE, len(line)) + line


open_sink = streamed(layout)
