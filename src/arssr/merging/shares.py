"""What came from where: how much of fine detail along each axis each scan measured."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from arssr.merging.solve import Problem
from arssr.merging.stack import Stack

_PERIOD = 4  # voxels of a wave: detail of two voxels


def shares_ijk(stacks: Sequence[Stack], mask: NDArray[np.bool_]) -> list[list[float]]:
    """For each scan its shares, from 0 to 1, of what is measured of detail along i, j and k.

    Of a wave along an axis of the common grid each scan measures some power, in units of its noise.
    """
    chosen = np.flatnonzero(mask)
    device = stacks[0].counts.device
    problem = Problem(stacks, mask.shape, torch.from_numpy(chosen).to(device))
    powers = np.zeros((len(stacks), 3))
    for axis in range(3):
        place = np.unravel_index(chosen, mask.shape)[axis]
        wave = torch.from_numpy(np.cos(2 * np.pi / _PERIOD * place).astype(np.float32))
        of_wave = problem.coefficients(wave.to(device))
        powers[:, axis] = [float(s.measure(of_wave).double().square().sum()) for s in stacks]
    shares: list[list[float]] = (powers / np.maximum(powers.sum(axis=0), 1e-30)).tolist()
    return shares
