"""The networks of the paper and nothing else: no files, no devices, no progress bars."""

from arssr.networks.model import (
    ACQUISITIONS,
    CONDITION_CHANNELS,
    NATIVE,
    SEEN,
    UNKNOWN,
    ImplicitVoxelNetwork,
    ModelConfig,
    condition_vector,
)

__all__ = [
    "ACQUISITIONS",
    "CONDITION_CHANNELS",
    "NATIVE",
    "SEEN",
    "UNKNOWN",
    "ImplicitVoxelNetwork",
    "ModelConfig",
    "condition_vector",
]
