"""How the samples of an image are stored in a file, whatever its format."""

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np

from arssr.formats import units


@dataclass(frozen=True)
class Storage:
    """How samples are stored: value = stored * slope + inter, in a type, under a header.

    dtype: the type in the file; None where there is none, or no single one. Integer types come
        back as integers, with this slope and intercept; everything else is written as float32.
    header: what a NIfTI file says beside place and samples: description, codes and units.
    repetition_s: seconds from one frame to the next; that of the header, if not named.

    >>> Storage(np.dtype("int16"), slope=0.5).written
    dtype('int16')
    >>> Storage(np.dtype("float64")).written
    dtype('float32')
    """

    dtype: np.dtype[Any] | None = None
    slope: float = 1.0
    inter: float = 0.0
    header: nib.Nifti1Header | None = None
    repetition_s: float | None = None

    def __post_init__(self) -> None:
        if self.dtype is not None:
            object.__setattr__(self, "dtype", np.dtype(self.dtype))
        if self.repetition_s is None:
            object.__setattr__(self, "repetition_s", units.repetition_s(self.header))

    @property
    def is_whole(self) -> bool:
        """Whether the samples are stored as integers."""
        return self.dtype is not None and self.dtype.kind in "iu"

    @property
    def written(self) -> np.dtype[Any]:
        """The type that results are stored as: integers stay what they are, the rest is float32."""
        return self.dtype if self.dtype is not None and self.is_whole else np.dtype(np.float32)

    def written_unscaled(self, *known: str) -> np.dtype[Any]:
        """The same for a format of these types only, without slope and intercept."""
        fits = self.written in map(np.dtype, known) and (self.slope, self.inter) == (1, 0)
        return self.written if fits else np.dtype(np.float32)


IN_MEMORY = Storage()  # of an image that no file holds
