"""Whether an image is one that is known already, whatever its file is called or looks like."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def samples_sha256(data: NDArray[np.floating]) -> str:
    """SHA-256 of an image's shape and samples as float32, axes and samples in order of size.

    It stays the same whatever the format, the type, the order of the axes and their directions
    that a copy is stored in (the same scan as DICOM and by dcm2niix), as long as that rounds no
    sample. Two scans never hold the very same samples by chance.

    >>> data = np.arange(24.0).reshape(2, 3, 4)
    >>> samples_sha256(data) == samples_sha256(data[::-1].transpose(2, 0, 1).astype(np.int16))
    True
    """
    digest = hashlib.sha256(str(sorted(data.shape)).encode())
    samples = np.sort(np.asarray(data, dtype="<f4"), axis=None)
    samples += 0.0  # there is no −0 among whole numbers
    digest.update(samples.tobytes())
    return digest.hexdigest()


def is_among(images: Iterable[Mapping[str, Any]], sha256: str, samples: str) -> bool:
    """Whether an image is one of those that a card lists: the same file, or the same samples."""
    return any(
        sha256 == image.get("sha256") or samples == image.get("samples_sha256") for image in images
    )
