"""Muon against closed forms."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from arssr.training.muon import Muon, orthogonal


@given(st.integers(1, 20), st.integers(1, 40), st.integers(0, 99))
def test_singular_values_are_brought_to_about_one(m: int, n: int, seed: int) -> None:
    matrix = torch.randn(m, n, generator=torch.Generator().manual_seed(seed))
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    if values.min() < 0.05 * values.norm():  # five rounds lift no value from nearly nothing
        return
    found = left.T @ orthogonal(matrix) @ right.T
    assert found.diag().min() > 0.6
    assert found.diag().max() < 1.3
    torch.testing.assert_close(found, found.diag().diag(), atol=1e-4, rtol=0)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_matrices_are_made_orthogonal_together_as_each_alone(m: int, n: int, seed: int) -> None:
    matrices = torch.randn(3, m, n, generator=torch.Generator().manual_seed(seed))
    matrices *= torch.tensor([1e-3, 1, 1e3])[:, None, None]
    alone = torch.stack([orthogonal(matrix) for matrix in matrices])
    # five rounds make rounding up to 3.4⁵ times as large, where a singular value is nearly nothing
    torch.testing.assert_close(orthogonal(matrices), alone, atol=1e-3, rtol=0)


def test_parameters_of_one_shape_move_as_each_alone() -> None:
    """Convolutions and matrices, in whatever layout, some of them without a gradient."""
    random = torch.Generator().manual_seed(0)
    shapes = [(4, 3, 3, 3, 3)] * 3 + [(4, 81)] * 2 + [(5, 4)] * 2 + [(1, 4), (4,)]
    gradients = [[torch.randn(s, generator=random) for s in shapes] for _ in range(3)]
    gradients[1][0] = gradients[1][0].contiguous(memory_format=torch.channels_last_3d)

    def moved(groups: list[list[int]]) -> list[torch.Tensor]:
        parameters = [torch.nn.Parameter(torch.ones(shape)) for shape in shapes]
        optimisers = [
            Muon([parameters[n] for n in group], 0.1, (0.9, 0.99), weight_decay=0.1)
            for group in groups
        ]
        for step, drawn in enumerate(gradients):
            for n, parameter in enumerate(parameters):
                parameter.grad = None if (n, step) == (3, 1) else drawn[n].clone()
            for optimiser in optimisers:
                optimiser.step()
        return [parameter.detach() for parameter in parameters]

    together, alone = moved([list(range(len(shapes)))]), moved([[n] for n in range(len(shapes))])
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_the_step_does_not_depend_on_the_size_of_the_gradient() -> None:
    moved = []
    for size in (1e-4, 1e4):
        weight = torch.nn.Parameter(torch.zeros(4, 6))
        weight.grad = torch.arange(24.0).reshape(4, 6).cos() * size
        Muon([weight], lr=0.1, betas=(0.9, 0.99), weight_decay=0.0).step()
        moved.append(weight.detach())
    torch.testing.assert_close(moved[0], moved[1])


def test_biases_and_single_outputs_move_as_with_adam() -> None:
    gradients = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    ours, theirs = (torch.nn.Parameter(torch.ones(5)) for _ in range(2))
    muon = Muon([ours], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    adam = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    for gradient in gradients:
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        muon.step()
        adam.step()
    torch.testing.assert_close(ours, theirs)


def test_weights_decay_without_a_gradient_of_their_own() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 3))
    weight.grad = torch.zeros(2, 3)
    Muon([weight], lr=0.1, betas=(0.9, 0.99), weight_decay=0.5).step()
    assert weight.detach().flatten().tolist() == pytest.approx([0.95] * 6)


def test_its_state_survives_saving() -> None:
    def run(interrupted: bool) -> torch.Tensor:
        torch.manual_seed(0)
        net = torch.nn.Linear(4, 3)
        make = lambda: Muon(net.parameters(), lr=0.1, betas=(0.9, 0.99), weight_decay=0.0)  # noqa: E731
        optimiser = make()
        for step in range(6):
            if interrupted and step == 3:
                state = optimiser.state_dict()
                optimiser = make()
                optimiser.load_state_dict(state)
            optimiser.zero_grad()
            net(torch.ones(4) * step).square().sum().backward()
            optimiser.step()
        return net.weight.detach()

    assert torch.equal(run(False), run(True))
