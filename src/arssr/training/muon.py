"""Muon: momentum whose matrices are made orthogonal before they are applied.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; scaled to the step size of Adam as
by Liu et al. 2025 (arXiv 2502.16982). Every direction of a weight matrix then moves at the same
pace. That matters here: what one acquisition asks for is a small part of the gradient of the mix.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

_QUINTIC = (3.4445, -4.7750, 2.0315)  # takes singular values of (0, 1] to about 1 in five rounds
_ROUNDS = 5
_ADAM_RMS = 0.2  # root mean square of a typical update of Adam, in units of its rate


class Muon(Optimizer):
    """Muon for weight matrices, convolutions included; Adam for biases and single outputs.

    One rate and one (decoupled) weight decay serve both. `betas` are Adam's; the momentum of the
    matrices is `momentum`.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of all parameters that have a gradient."""
        loss = closure() if closure else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                state = self.state[parameter]
                if parameter.ndim >= 2 and parameter.shape[0] > 1:
                    update = _matrix_update(parameter.grad, state, group["momentum"])
                else:
                    update = _adam_update(parameter.grad, state, *group["betas"])
                parameter.sub_(update, alpha=group["lr"])
        return loss


def _matrix_update(gradient: Tensor, state: dict[str, Any], momentum: float) -> Tensor:
    average = state.setdefault("momentum", torch.zeros_like(gradient))
    average.lerp_(gradient, 1 - momentum)
    matrix = gradient.lerp(average, momentum).flatten(1)  # Nesterov's
    return orthogonal(matrix).view(gradient.shape) * (_ADAM_RMS * max(matrix.shape) ** 0.5)


def _adam_update(gradient: Tensor, state: dict[str, Any], beta1: float, beta2: float) -> Tensor:
    """Kingma and Ba 2015 (arXiv 1412.6980), algorithm 1."""
    step = state["step"] = state.get("step", 0) + 1
    mean = state.setdefault("mean", torch.zeros_like(gradient))
    square = state.setdefault("square", torch.zeros_like(gradient))
    mean.lerp_(gradient, 1 - beta1)
    square.lerp_(gradient.square(), 1 - beta2)
    return (mean / (1 - beta1**step)) / ((square / (1 - beta2**step)).sqrt() + 1e-8)


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix (m, n) with its singular values brought to about 1 (0.7 to 1.2).

    Newton-Schulz rounds, X ← (a + b·XXᵀ + c·(XXᵀ)²) X. All factors are polynomials of the first
    XXᵀ and commute, so the rounds are done on that small matrix and X is multiplied once.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    a, b, c = _QUINTIC
    start = matrix / (matrix.norm() + 1e-12)
    gram = start @ start.T
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    product = identity
    for _ in range(_ROUNDS):
        factor = a * identity + b * gram + c * gram @ gram
        gram = factor @ factor @ gram
        product = factor @ product
    return product @ start
