"""The field as a differentiable function of place.

`VoxelField.at` answers with numbers. Registration and fitting need to know how these change with
the place they are read at; here the same reading is done in torch, so that autograd can tell.
"""

import itertools

import numpy as np
import torch
from torch import Tensor

from arssr.errors import ArSSRError
from arssr.field import VoxelField
from arssr.interpolation import SplineCoefficients, outside, spline_at


class DifferentiableField:
    """A residual-flavour `VoxelField` to be read at tensors of points.

    cell: the size in input voxels that a value stands for, (3,) or one; as `VoxelField.at`, half
    a voxel by default. The features stay where and what they are (bfloat16 features make a rough
    gradient: encode in float32 where it matters).

    Values are continuous but for the air mask; the gradient jumps where the voxels of the input
    meet, for features are interpolated linearly. Raises ArSSRError for the paper's flavour.
    """

    def __init__(self, field: VoxelField, cell: float | Tensor = 0.5) -> None:
        if not field.network.corrects:
            raise ArSSRError("only the field of a residual network can be differentiated")
        features = field.features()
        self.field, self._decoder = field, field.network.decoder  # where the features are
        device = features.device
        self._features = features.flatten(0, 2)
        self._active = torch.from_numpy(field.active).to(device)
        spline = SplineCoefficients(field.image.cpu().numpy()).padded
        self._spline = torch.from_numpy(spline).to(device)[None]
        to_index = np.linalg.inv(field.grid.affine)
        self._to_index = torch.from_numpy(to_index).to(device)
        self._cell = torch.as_tensor(cell, dtype=torch.float64, device=device).expand(3)

    def __call__(self, points_ras_mm: Tensor) -> Tensor:
        """Values (…,) in the input's units, in the dtype of the points, at points (…, 3).

        float64 points lose nothing on the way to voxel coordinates; float32 ones are exact to
        about 1e-5 mm. Differentiable with respect to the points as often as the activation is.
        """
        index = points_ras_mm.reshape(-1, 3).double() @ self._to_index[:3, :3].mT
        index = index + self._to_index[:3, 3]
        field, shape = self.field, torch.tensor(self.field.grid.shape, device=index.device)
        nearest = (index.detach() + 0.5).floor().long().clamp(min=0).minimum(shape - 1)
        place = self._decoder.embed_place(index, self._cell.clamp(max=1), field.grid.shape)
        read = self._trilinear(index, shape)
        correction = self._decoder(read, place.to(read))[:, 0].to(index)
        values = spline_at(self._spline, index[None])[0]
        values = values + correction * self._active[tuple(nearest.T)]
        values = values * field.normalisation.scale + field.normalisation.offset
        in_air = outside(index, shape).any(dim=1)
        values = values.where(~in_air, field.normalisation.offset)
        return values.to(points_ras_mm).reshape(points_ras_mm.shape[:-1])

    def gradient(self, points_ras_mm: Tensor) -> tuple[Tensor, Tensor]:
        """Values (…,) and their gradients (…, 3), in units of the input per mm."""
        with torch.enable_grad():
            points = points_ras_mm.detach().requires_grad_()
            values = self(points)
            [gradient] = torch.autograd.grad(values.sum(), points)
        return values.detach(), gradient

    def _trilinear(self, index: Tensor, shape: Tensor) -> Tensor:
        """Features (P, F) at voxel coordinates (P, 3), the border's outside."""
        at = index.clamp(min=0).minimum((shape - 1).to(index))
        first = at.detach().floor().long().clamp(min=0).minimum((shape - 2).clamp(min=0))
        fraction = (at - first).to(self._features)
        total = torch.zeros((), dtype=self._features.dtype, device=index.device)
        for corner in itertools.product((0, 1), repeat=3):
            side = torch.tensor(corner, device=index.device)
            weight = torch.where(side == 1, fraction, 1 - fraction).prod(dim=1, keepdim=True)
            voxel = (first + side).minimum(shape - 1)
            total = total + weight * self._features[_flat(voxel, shape)]
        return total


def _flat(voxel: Tensor, shape: Tensor) -> Tensor:
    """Number (P,) of voxels (P, 3) in an array (I, J, K)."""
    return (voxel[:, 0] * shape[1] + voxel[:, 1]) * shape[2] + voxel[:, 2]
