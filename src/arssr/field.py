"""The continuous voxel function of one volume: built once, read anywhere.

Wu et al. 2022 (arXiv 2110.14476) call it the implicit voxel function. A scale, a spacing, another
image's grid, an oblique plane, a list of points: all the same reading with other coordinates.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike

from arssr.antialias import averaged, parts_ijk
from arssr.engine.air import active_voxels
from arssr.engine.decode import decode_lattice, decode_points, nearest_voxel
from arssr.engine.encode import encode_volume
from arssr.engine.memory import available_bytes
from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.interpolation import SplineCoefficients, apply_axis_matrices, axis_matrix
from arssr.networks import ImplicitVoxelNetwork, condition_vector
from arssr.volume import Volume

ReportProgress = Callable[[str, float], None]  # what is being done, and the share that is done

_REACH = 1.0  # voxels beyond the field of view at which the border value still stands
_OBLIQUE_CHUNK = 2**20  # points
# Voxels of an output that are no smaller than the input's: what the network was trained for.
_LARGEST_CELL = 1.0


def silent(_what: str, _share: float) -> None:
    """Reports to nobody."""


class VoxelField:
    """What `network` makes of `volume`, as a function of place. Intensities are the volume's.

    acquisition_ijk: per axis kspace, slice, spline or unknown (residual flavour only).
    noise: its standard deviation in normalised intensity, or None for unknown.
    memory: bytes that the encoder's activations may take; by default half of what is free.

    Features and arithmetic are in the network's dtype, on its device. Raises ArSSRError where the
    features do not fit into memory.
    Beyond the field of view the border value holds for one voxel; farther out lies air, the
    lowest value of the normalisation.
    """

    def __init__(
        self,
        network: ImplicitVoxelNetwork,
        volume: Volume,
        normalisation: Normalisation,
        acquisition_ijk: Sequence[str] = ("unknown",) * 3,
        noise: float | None = None,
        memory: float | None = None,
        progress: ReportProgress = silent,
    ) -> None:
        self.network = network
        self.volume = volume
        self.normalisation = normalisation
        self.acquisition_ijk = tuple(acquisition_ijk)
        self.noise = noise
        # the reference reads its images with the axes reversed, and so do its networks
        self._order = (0, 1, 2) if network.is_residual else (2, 1, 0)
        self._image = normalisation.apply(volume.data).transpose(self._order)
        self._spline: SplineCoefficients | None = None
        self._active = np.ones(self._image.shape, bool)
        condition = None
        if network.is_residual:
            self._active = active_voxels(self._image)
            condition = torch.tensor(condition_vector(acquisition_ijk, noise))
        self._features = encode_volume(
            network,
            torch.from_numpy(np.ascontiguousarray(self._image)),
            condition,
            memory or available_bytes(next(network.parameters()).device) / 2,
            lambda share: progress("encoding", share),
        )

    @property
    def grid(self) -> Grid:
        """Where the samples lie that the field was made of."""
        return self.volume.grid

    def on(self, grid: Grid, progress: ReportProgress = silent) -> Volume:
        """The field on any grid: other spacing, other axes, oblique.

        Along axes that are coarser than the input's it is read finely and averaged down.
        """
        parts = parts_ijk(grid, self.grid)
        if max(parts) > 1:
            fine = self.on(grid.scaled(parts), progress).data
            slabs = averaged([fine], parts, grid.shape[2])
            return self.volume.with_data(np.concatenate(list(slabs), axis=-1), grid)
        to_source = grid.index_map_to(self.grid)
        cell = np.linalg.norm(to_source[:3, :3], axis=1)  # of an output voxel, along input axes
        lattice = grid.axis_positions_in(self.grid)
        if lattice is None:
            return self.volume.with_data(self._on_oblique(grid, to_source, cell, progress), grid)
        positions = [np.empty(0)] * 3
        for source_axis, p in zip(lattice.axes, lattice.positions, strict=True):
            positions[source_axis] = p
        data = self._on_lattice((positions[0], positions[1], positions[2]), cell, progress)
        return self.volume.with_data(data.transpose(lattice.axes), grid)

    def at(self, points_ras_mm: ArrayLike, spacing_mm: ArrayLike | None = None) -> np.ndarray:
        """Values (…,) float32 at points (…, 3) in RAS+ mm.

        spacing_mm: the size of the voxel that a value should stand for, one or one along each of
        the input's axes; by default half the input's.
        """
        points = np.asarray(points_ras_mm, np.float64)
        if points.shape[-1:] != (3,):
            raise ArSSRError(f"points need three coordinates each; these have shape {points.shape}")
        if not np.isfinite(points).all():
            raise ArSSRError("points must be finite; these have NaN or infinite coordinates")
        size = np.full(3, self.grid.spacing_mm / 2 if spacing_mm is None else spacing_mm, float)
        if not (np.isfinite(size) & (size > 0)).all():
            raise ArSSRError(f"a voxel size must be greater than 0 and finite, not {spacing_mm!r}")
        index = self.grid.to_index(points).reshape(-1, 3)
        return self._at_index(index, size / self.grid.spacing_mm).reshape(points.shape[:-1])

    def plane(
        self, origin_ras_mm: ArrayLike, u_mm: ArrayLike, v_mm: ArrayLike, shape: tuple[int, int]
    ) -> np.ndarray:
        """Values (shape) float32 on the plane origin + a·u + b·v, for a, b = 0, 1, 2, …

        u_mm and v_mm (3,): the steps from one pixel to the next, in RAS+ mm.
        """
        u, v = np.asarray(u_mm, np.float64), np.asarray(v_mm, np.float64)
        a, b = np.indices(shape, np.float64)
        points = np.asarray(origin_ras_mm, np.float64) + a[..., None] * u + b[..., None] * v
        return self.at(points, spacing_mm=float(np.sqrt(np.linalg.norm(np.cross(u, v)))))

    def _on_lattice(
        self,
        positions: tuple[np.ndarray, np.ndarray, np.ndarray],
        cell: np.ndarray,
        progress: ReportProgress,
    ) -> np.ndarray:
        """Values on positions along the input's own axes, float32 in the input's units."""
        if self.network.is_residual:
            matrices = [
                torch.from_numpy(axis_matrix("cubic", n, p).astype(np.float32))
                for n, p in zip(self.grid.shape, positions, strict=True)
            ]
            image = torch.from_numpy(np.ascontiguousarray(self._image))
            values = apply_axis_matrices(image, matrices)
        else:
            values = torch.zeros([len(p) for p in positions])
        view = values.permute(self._order)
        i, j, k = (positions[axis] for axis in self._order)
        for box, block in decode_lattice(
            self.network,
            self._features,
            (i, j, k),
            np.minimum(cell, _LARGEST_CELL),
            self._active,
            lambda share: progress("decoding", share),
        ):
            view[box] += block.to(view.device)
        data = self.normalisation.invert(values.numpy())
        for axis, (p, n) in enumerate(zip(positions, self.grid.shape, strict=True)):
            outside = (p < -0.5 - _REACH) | (p > n - 0.5 + _REACH)
            if outside.any():
                np.moveaxis(data, axis, 0)[outside] = self.normalisation.offset
        return data

    def _on_oblique(
        self, grid: Grid, to_source: np.ndarray, cell: np.ndarray, progress: ReportProgress
    ) -> np.ndarray:
        data = np.empty(grid.shape, np.float32)
        flat = data.reshape(-1)
        for start in range(0, flat.size, _OBLIQUE_CHUNK):
            stop = min(start + _OBLIQUE_CHUNK, flat.size)
            index = np.stack(np.unravel_index(np.arange(start, stop), grid.shape), axis=-1)
            positions = index @ to_source[:3, :3].T + to_source[:3, 3]
            flat[start:stop] = self._at_index(positions, cell)
            progress("decoding", stop / flat.size)
        return data

    def _at_index(self, index: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """Values (P,) in the input's units at voxel coordinates (P, 3)."""
        order = list(self._order)
        values = decode_points(
            self.network, self._features, index[:, order], np.minimum(cell, _LARGEST_CELL)[order]
        )
        if self.network.is_residual:
            voxels = (nearest_voxel(index[:, a], n) for a, n in enumerate(self.grid.shape))
            values *= self._active[tuple(voxels)]
            if self._spline is None:
                self._spline = SplineCoefficients(self._image)
            values += self._spline.at(index)
        values = self.normalisation.invert(values)
        beyond = (index < -0.5 - _REACH) | (index > np.array(self.grid.shape) - 0.5 + _REACH)
        values[beyond.any(axis=1)] = self.normalisation.offset
        return values
