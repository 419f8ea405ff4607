"""One image from several scans: least squares with a prior, by conjugate gradients.

Minimises Σₛ ‖Mₛ (Aₛ x − yₛ)‖² / σₛ² + λ ‖(x − x̂) / d‖² over the voxels of a mask.

x̂ is off by more at edges than where it is flat: d², the variance of its error relative to the mean
of all voxels, goes with its slope, as in total variation. On the middle of the three heads of `val`
that is 0.1 to 0.5 dB better than d = 1 (benchmarks/merge.py --crop 64); d itself going with the
slope is up to 0.1 dB worse than the variance.

λ is one over the variance of x̂'s error, which the data tell before anything is solved: where the
error of each voxel has variance τ² d², the squares of what A x̂ misses are expected to come to
N + τ² tr(d Aᵀ W A d), and a trace is the mean of squares of A d z for random signs z (Hutchinson
1990).
N, what noise alone leaves, is the number of measured voxels; less, where x̂ holds the same noise.
That is up to 0.4 dB better than the λ of the discrepancy principle (`consistency`), which asks for
residuals as large as the noise where a solution has fitted some of it, and where a scan does not
fit it does not explain that away.

σ is more than noise where scans do not agree within it: heads move while they are scanned, blood
flows, gradients bend and profiles are known roughly. Taken for the head, all of that is amplified,
most where scans lie in nearly the same direction. No image explains it, so that residuals tell: as
long as a scan is off its image by clearly more than its σ, σ becomes that, and all is solved again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from arssr.field import ReportProgress, silent
from arssr.interpolation import apply_axis_matrices, spline_matrix
from arssr.merging.stack import Stack

_STEPS = 40
_ENOUGH = 0.01  # of the right-hand side, left of the normal equations
# Of the squares that are missed, what is taken for the guess's error at least: λ stays finite.
_LEAST = 1e-3
# By so many times its noise a scan may be off the image; 1.11 is the most that noise alone left in
# stacks that were made of one head (benchmarks/merge.py --crop 64 --axes 222). Real scans are off
# by 4 to 10 (benchmarks/merge_rescan.py), where two rounds are enough for nearly all of it.
_CLEARLY, _ROUNDS = 1.25, 5
# The slope is that around a voxel (a Gaussian of so many), and this share of the mean at least.
_AROUND, _FLAT = 1.0, 0.1


@dataclass(frozen=True)
class Solved:
    """The image, on the CPU, λ, and by how much x̂ and x miss what was measured, in units of the
    noise (root mean squares, one for each scan).

    stacks: as they were solved. raised: by how many times its noise σ of each is larger. steps: of
    the last solution.
    """

    image: Tensor
    ridge: float
    before: list[float]
    after: list[float]
    stacks: list[Stack]
    raised: list[float]
    steps: int


class Problem:
    """The normal equations of the correction x − x̂, in the voxels of a mask."""

    def __init__(self, stacks: Sequence[Stack], shape: Sequence[int], mask: Tensor) -> None:
        """mask: (V,) the voxels that are estimated, as places in a flat image."""
        self.stacks, self._shape, self._mask = stacks, tuple(shape), mask
        self._to = [_spline(n, mask.device) for n in shape]
        self._from = [m.mT.contiguous() for m in self._to]

    def coefficients(self, correction: Tensor) -> Tensor:
        """Spline coefficients of a correction (V,)."""
        image = correction.new_zeros(self._shape)
        image.view(-1)[self._mask] = correction
        return apply_axis_matrices(image, self._to)

    def spread(self, differences: Iterable[Tensor]) -> Tensor:
        """(V,) Aᵀ M / σ of what differs in each scan."""
        onto = torch.zeros([len(m) for m in self._to], device=self._mask.device)
        for stack, difference in zip(self.stacks, differences, strict=True):
            stack.spread(difference, onto)
        return apply_axis_matrices(onto, self._from).flatten()[self._mask]

    def normal(self, correction: Tensor) -> Tensor:
        """Aᵀ W A of a correction."""
        of_it = self.coefficients(correction)
        return self.spread(stack.measure(of_it) for stack in self.stacks)

    def traces(self, doubt: Tensor | float = 1.0) -> list[float]:
        """tr(d Aᵀ W A d) of each scan, by one vector of random signs; doubt: d, (V,)."""
        generator = torch.Generator().manual_seed(0)
        signs = torch.randint(0, 2, (len(self._mask),), generator=generator) * 2.0 - 1
        of_signs = self.coefficients(signs.to(self._mask.device) * doubt)
        return [_square(stack.measure(of_signs)) for stack in self.stacks]


def error_variance(
    stacks: Sequence[Stack], traces: Sequence[float], echoes: Sequence[float] = ()
) -> float:
    """τ² of what the stacks are compared with, see above; at least a small one.

    traces: those of each of them (`Problem.traces`). echoes: by how many times its noise noise
    alone leaves each of them off; by default 1, as what they are compared with holds none of it.
    """
    missed = sum(_square(stack.apart) for stack in stacks)
    alone = echoes or [1.0] * len(stacks)
    noise = sum(stack.count * echo**2 for stack, echo in zip(stacks, alone, strict=True))
    return max(missed - noise, _LEAST * missed, 1e-30) / sum(traces)


def doubt_of(guess: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(V,) by how much a guess may be off at each voxel of a mask; the mean of squares is 1."""
    squares = np.zeros_like(guess)
    for axis in range(3):
        squares += ndimage.gaussian_filter(np.gradient(guess, axis=axis) ** 2, _AROUND)
    slopes = np.sqrt(squares[mask])
    usual = max(float(slopes.mean()), float(np.finfo(np.float32).tiny))
    variance = slopes / usual + _FLAT
    return np.asarray(np.sqrt(variance / variance.mean()), np.float32)


def solve(
    stacks: Sequence[Stack],
    guess: Tensor,
    mask: NDArray[np.bool_],
    progress: ReportProgress = silent,
    ridge: float | None = None,
    echoes: Sequence[float] = (),
) -> Solved:
    """The image (I, J, K) that explains what was measured and is near to the guess x̂.

    mask: the voxels that may differ from the guess. ridge: λ, if it is known; then σ is, too.
    echoes: as in `error_variance`.
    """
    chosen = torch.from_numpy(np.flatnonzero(mask)).to(guess.device)
    doubt = torch.from_numpy(doubt_of(guess.cpu().numpy(), mask)).to(guess.device)
    raised = [1.0] * len(stacks)
    for number in range(rounds := 1 if ridge else _ROUNDS):
        doubted = [stack.noisier(times) for stack, times in zip(stacks, raised, strict=True)]
        problem = Problem(doubted, guess.shape, chosen)
        weight = ridge or 1 / error_variance(doubted, problem.traces(doubt), echoes)
        correction, steps = _correction(problem, doubt, weight, progress)
        of_it = problem.coefficients(correction)
        off = [stack.size(stack.apart - stack.measure(of_it)) for stack in doubted]
        if max(off) < _CLEARLY or number == rounds - 1:
            break
        raised = [times * max(1.0, size) for times, size in zip(raised, off, strict=True)]
    return Solved(
        guess.flatten().index_add(0, chosen, correction).view(guess.shape).cpu(),
        weight,
        [stack.size(stack.apart) for stack in stacks],
        [times * size for times, size in zip(raised, off, strict=True)],
        doubted,
        raised,
        steps,
    )


def _correction(
    problem: Problem, doubt: Tensor, ridge: float, progress: ReportProgress
) -> tuple[Tensor, int]:
    """x − x̂ in the voxels of the mask, (V,), and the steps it took."""
    right = problem.spread(stack.apart for stack in problem.stacks).mul_(doubt)
    scaled, steps = conjugate_gradients(
        lambda x: problem.normal(x * doubt).mul_(doubt).add_(x, alpha=ridge), right, progress
    )
    return scaled * doubt, steps


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor], right: Tensor, progress: ReportProgress = silent
) -> tuple[Tensor, int]:
    """x with `apply(x)` = right, but for a hundredth of it, and the steps that took.

    apply: symmetric and positive (Hestenes and Stiefel 1952).
    """
    solution, left = torch.zeros_like(right), right.clone()
    direction = left.clone()
    power = first = _square(left)
    steps = 0
    while steps < _STEPS and power > _ENOUGH**2 * first:
        through = apply(direction)
        step = power / float(direction.double() @ through.double())
        solution.add_(direction, alpha=step)
        left.sub_(through, alpha=step)
        before, power = power, _square(left)
        direction.mul_(power / before).add_(left)
        steps += 1
        progress("merging", steps / _STEPS)
    return solution, steps


def _spline(n: int, device: torch.device) -> Tensor:
    return torch.from_numpy(spline_matrix(n).astype(np.float32)).to(device)


def _square(values: Tensor) -> float:
    return float(values.double().square().sum())
