"""One image from several scans: least squares with a prior.

Minimises Σₛ ‖Mₛ (Aₛ x − yₛ)‖² / σₛ² + λ ‖x − x̂‖² over the voxels of a mask. The Krylov space of
the normal equations is spanned once (Lanczos); in it the problem is one of a small tridiagonal
matrix, which is solved for any λ at once, so that λ follows from the discrepancy principle at no
cost. (The solution for each λ is that of so many steps of conjugate gradients.)
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arssr.discrepancy import ridge_leaving
from arssr.field import ReportProgress, silent
from arssr.interpolation import apply_axis_matrices, spline_matrix
from arssr.merging.stack import Stack

_STEPS = 30
_ENOUGH = 0.01  # of the right-hand side, left of the normal equations
_RIDGE = 1e-6  # where there is no noise, as a share of the largest eigenvalue


@dataclass(frozen=True)
class Merged:
    """The image, λ (None where x̂ explains all), and by how much A x̂ and A x miss what was
    measured, in units of the noise (root mean squares, one for each scan).
    """

    image: Tensor
    ridge: float | None
    before: list[float]
    after: list[float]
    steps: int


def solve(
    stacks: Sequence[Stack],
    prior: Tensor,
    mask: NDArray[np.bool_],
    progress: ReportProgress = silent,
    ridge: float | None = None,
) -> Merged:
    """The image (I, J, K) nearest to `prior` that explains what was measured up to its noise.

    mask: the voxels that may differ from the prior. ridge: λ, if it is known.
    """
    chosen = torch.from_numpy(np.flatnonzero(mask)).to(prior.device)
    splines = [prior.new_tensor(spline_matrix(n)) for n in prior.shape]
    transposed = [m.mT.contiguous() for m in splines]

    def coefficients(part: Tensor) -> Tensor:
        image = prior.new_zeros(prior.numel())
        image[chosen] = part
        return apply_axis_matrices(image.view(prior.shape), splines)

    def spread(differences: Iterable[Tensor]) -> Tensor:
        onto = prior.new_zeros([len(m) for m in splines])
        for stack, difference in zip(stacks, differences, strict=True):
            stack.spread(difference, onto)
        return apply_axis_matrices(onto, transposed).flatten()[chosen]

    of_prior = apply_axis_matrices(prior, splines)
    apart = [stack.apart(of_prior) for stack in stacks]
    del of_prior

    def normal(part: Tensor) -> Tensor:
        of_part = coefficients(part)
        return spread(stack.measure(of_part) for stack in stacks)

    right = spread(apart)
    squares = sum(float(r.double().square().sum()) for r in apart)
    count = sum(float(s.counts.double().square().sum()) for s in stacks)
    space = Krylov(normal, right)
    found, small = None, torch.zeros(0)
    for step in range(_STEPS):
        if not space.grow():
            break
        progress("merging", (step + 1) / _STEPS)
        found = ridge if ridge is not None else space.ridge(squares, count)
        if found is None:
            break
        small = space.solution(found)
        if space.unsolved(small) < _ENOUGH:
            break
    image, left = prior, apart
    if found is not None and len(small):
        correction = space.expand(small)
        image = prior.flatten().index_add(0, chosen, correction).view(prior.shape)
        of_correction = coefficients(correction)
        left = [r - s.measure(of_correction) for s, r in zip(stacks, apart, strict=True)]
    before, after = (
        [s.size(r) for s, r in zip(stacks, each, strict=True)] for each in (apart, left)
    )
    return Merged(image, found, before, after, len(space.basis))


class Krylov:
    """The space that H, H b, H² b … span, and H in it: a tridiagonal matrix (Lanczos 1950)."""

    def __init__(self, apply: Callable[[Tensor], Tensor], right: Tensor) -> None:
        self._apply = apply
        self.size = float(right.double().norm())
        self.basis: list[Tensor] = []
        self._next = right / self.size if self.size else None
        self._diagonal: list[float] = []
        self._beside: list[float] = []

    def grow(self) -> bool:
        """Add a dimension; False where there is none."""
        if self._next is None:
            return False
        v = self._next
        self.basis.append(v)
        w = self._apply(v)
        self._diagonal.append(float(v.double() @ w.double()))
        for _ in range(2):  # what rounding leaves of the others
            for each in self.basis:
                w.sub_(each, alpha=float(each @ w))
        beyond = float(w.double().norm())
        self._beside.append(beyond)
        self._next = w / beyond if beyond > 1e-6 * self._diagonal[0] else None
        return True

    @property
    def matrix(self) -> Tensor:
        """H in the basis, float64."""
        beside = torch.tensor(self._beside[:-1], dtype=torch.float64)
        matrix = torch.diag(torch.tensor(self._diagonal, dtype=torch.float64))
        if len(beside):
            matrix += torch.diag(beside, 1) + torch.diag(beside, -1)
        return matrix

    def solution(self, ridge: float) -> Tensor:
        """(H + λ)⁻¹ b in the basis."""
        matrix = self.matrix
        right = torch.zeros(len(matrix), dtype=torch.float64)
        right[0] = self.size
        return torch.linalg.solve(matrix + ridge * torch.eye(len(matrix)), right)

    def unsolved(self, solution: Tensor) -> float:
        """What a solution leaves of the right-hand side, as a share of it."""
        return self._beside[-1] * abs(float(solution[-1])) / self.size

    def ridge(self, squares: float, count: float) -> float | None:
        """λ by the discrepancy principle: squares of what x̂ misses, and as many as are noise."""
        values, vectors = torch.linalg.eigh(self.matrix)
        right = self.size * vectors[0]

        def left(ridge: float) -> float:
            z = right / (values + ridge)
            return math.sqrt(max(squares - float(2 * z @ right - z.square() @ values), 0.0))

        return ridge_leaving(left, math.sqrt(count), _RIDGE * float(values.max()))

    def expand(self, solution: Tensor) -> Tensor:
        """What has these coordinates in the basis."""
        total = torch.zeros_like(self.basis[0])
        for each, value in zip(self.basis, solution.tolist(), strict=True):
            total.add_(each, alpha=value)
        return total
