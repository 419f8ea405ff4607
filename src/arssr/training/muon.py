"""Muon: momentum whose matrices are made orthogonal before they are applied.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; scaled to the step size of Adam as
by Liu et al. 2025 (arXiv 2502.16982). Every direction of a weight matrix then moves at the same
pace. That matters here: what one acquisition asks for is a small part of the gradient of the mix.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
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
            rate = group["lr"]
            alike: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1 - rate * group["weight_decay"])
                if parameter.ndim >= 2 and parameter.shape[0] > 1:
                    alike[parameter.shape].append((parameter, parameter.grad))
                else:
                    update = _adam_update(parameter.grad, self.state[parameter], *group["betas"])
                    parameter.sub_(update, alpha=rate)
            for matrices in alike.values():
                updates = self._matrix_updates(matrices, group["momentum"])
                for (parameter, _), update in zip(matrices, updates, strict=True):
                    parameter.sub_(update, alpha=rate)
        return loss

    def _matrix_updates(
        self, matrices: Sequence[tuple[Tensor, Tensor]], momentum: float
    ) -> Sequence[Tensor]:
        """Of matrices of one shape and their gradients; a GPU makes them orthogonal together, in a
        few launches.
        """
        smoothed = []
        for parameter, gradient in matrices:
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(gradient)
            average = state["momentum"]
            average.lerp_(gradient, 1 - momentum)
            smoothed.append(gradient.lerp(average, momentum))  # Nesterov's
        flat = torch.stack(smoothed).flatten(2)
        scale = _ADAM_RMS * max(flat.shape[1:]) ** 0.5
        return (orthogonal(flat) * scale).view(-1, *smoothed[0].shape).unbind()


def _adam_update(gradient: Tensor, state: dict[str, Any], beta1: float, beta2: float) -> Tensor:
    """Kingma and Ba 2015 (arXiv 1412.6980), algorithm 1."""
    if not state:
        state |= {
            "step": 0,
            "mean": torch.zeros_like(gradient),
            "square": torch.zeros_like(gradient),
        }
    state["step"] += 1
    step, mean, square = state["step"], state["mean"], state["square"]
    mean.lerp_(gradient, 1 - beta1)
    square.lerp_(gradient.square(), 1 - beta2)
    return (mean / (1 - beta1**step)) / ((square / (1 - beta2**step)).sqrt() + 1e-8)


def orthogonal(matrix: Tensor) -> Tensor:
    """Matrices (..., m, n), each with its singular values brought to about 1 (0.7 to 1.2).

    Newton-Schulz rounds, X ← (a + b·XXᵀ + c·(XXᵀ)²) X. All factors are polynomials of the first
    XXᵀ and commute, so the rounds are done on that small matrix and X is multiplied once.
    """
    if matrix.shape[-2] > matrix.shape[-1]:
        return orthogonal(matrix.mT).mT
    a, b, c = _QUINTIC
    start = matrix / (torch.linalg.matrix_norm(matrix, keepdim=True) + 1e-12)
    gram = start @ start.mT
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    product = identity.expand_as(gram)
    for _ in range(_ROUNDS):
        factor = a * identity + b * gram + c * gram @ gram
        gram = factor @ factor @ gram
        product = factor @ product
    return product @ start
