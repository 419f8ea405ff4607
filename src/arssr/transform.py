"""Spatial transforms, so that a scan is interpolated once on its way to another image's grid.

Registration programs describe where a point of the reference lies in the moving scan (the pull
direction). Composed with the field of the scan that is a super-resolved image on the reference's
grid, and nothing in between is ever resampled.

ITK's own formats are read by SimpleITK, which knows all of its linear transforms (nitransforms
knows the affine one only); FSL, FreeSurfer and ITK's displacement images by nitransforms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from arssr.antialias import averaged, parts_of
from arssr.errors import ArSSRError
from arssr.files import is_image
from arssr.formats.lps import TURNED, lps_to_ras, lps_transform_to_ras
from arssr.formats.opened import reason
from arssr.grid import Grid
from arssr.volume import Volume

if TYPE_CHECKING:
    from arssr.field import ReportProgress, VoxelField

Floats = NDArray[np.float64]

_FAR_MM = 1e3  # over which a linear transform is measured
_SLAB_POINTS = 2**20
# What a voxel at an angle to the scan gains from being read in two parts along each axis: 0.1 to
# 0.3 dB on the average over its centre alone (benchmarks/transform.py), for 8 times the work.
_SAMPLES = 2
_LONGEST_MATRIX = 4096  # bytes of a text file with 16 numbers
_PROBES = 9  # along each axis of a grid, to see how a transform stretches it
_FORMATS = "ITK/ANTs .mat, .txt, .tfm and .h5, FSL .mat, FreeSurfer .lta, ITK warps .nii.gz"


class Step(Protocol):
    """One transform of a chain."""

    def map(self, points_ras_mm: Floats) -> Floats:
        """Points (P, 3) in RAS+ mm on the reference's side to the moving side."""
        ...


@dataclass(frozen=True)
class Affine:
    """A matrix (4, 4) on RAS+ millimetres."""

    matrix: Floats

    def map(self, points_ras_mm: Floats) -> Floats:
        """See `Step.map`."""
        return np.asarray(apply_affine(self.matrix, points_ras_mm))


@dataclass(frozen=True)
class Displacement:
    """Displacements (3, I, J, K) in RAS+ mm on a grid: linear in between, none outside (as ITK)."""

    components: NDArray[np.float32]
    grid: Grid

    def map(self, points_ras_mm: Floats) -> Floats:
        """See `Step.map`."""
        index = self.grid.to_index(points_ras_mm)
        inside = ((index >= -0.5) & (index <= np.array(self.grid.shape) - 0.5)).all(axis=1)
        moved = np.array(points_ras_mm, np.float64)
        for axis, component in enumerate(self.components):
            moved[inside, axis] += ndimage.map_coordinates(
                component, index[inside].T, output=np.float64, order=1, mode="nearest"
            )
        return moved


@dataclass(frozen=True)
class Transform:
    """Steps from reference space to moving space, in the order in which a point takes them."""

    steps: tuple[Step, ...]

    def map(self, points_ras_mm: ArrayLike) -> Floats:
        """(…, 3) RAS+ mm in the reference's space to (…, 3) RAS+ mm in the moving scan's."""
        points = np.asarray(points_ras_mm, np.float64)
        moved = points.reshape(-1, 3)
        for step in self.steps:
            moved = step.map(moved)
        return moved.reshape(points.shape)

    @property
    def matrix(self) -> Floats | None:
        """The steps as one matrix (4, 4); None where one of them is not affine."""
        matrix = np.eye(4)
        for step in self.steps:
            if not isinstance(step, Affine):
                return None
            matrix = step.matrix @ matrix
        return matrix


def load_transform(
    paths: str | Path | Sequence[str | Path], moving: Grid, reference: Grid
) -> Transform:
    """The transform in these files, from the space of `reference` to that of `moving`.

    Several are composed as antsApplyTransforms does: a point takes the *last* one first. Formats
    are told apart by name and content: ITK/ANTs (.mat, .txt, .tfm, .h5, composites included) and
    ITK displacement images (.nii, .nii.gz), FSL (flirt, a text file of 4 x 4 numbers, which means
    something only with both grids), FreeSurfer (.lta, whose source is the moving scan).
    Raises ArSSRError for a file that is none of these, and for B-spline transforms.
    """
    paths = [paths] if isinstance(paths, str | Path) else paths
    steps: list[Step] = []
    for path in reversed([Path(path) for path in paths]):
        steps += _read(path, moving, reference)
    return Transform(tuple(steps))


def resample_through(
    field: VoxelField,
    transform: Transform,
    grid: Grid,
    samples: int = _SAMPLES,
    progress: ReportProgress | None = None,
) -> Volume:
    """What the field of a moving scan looks like on a grid in the reference's space.

    Where the transform leads outside the scan, there is air. See `slabs_through`.
    """
    slabs = list(slabs_through(field, transform, grid, samples, progress))
    moving = replace(field.volume, slices=None)  # on a grid like its own they would lie elsewhere
    return moving.with_data(np.concatenate(slabs, axis=-1), grid)


def slabs_through(
    field: VoxelField,
    transform: Transform,
    grid: Grid,
    samples: int = _SAMPLES,
    progress: ReportProgress | None = None,
) -> Iterator[NDArray[np.float32]]:
    """`resample_through` in slabs (I, J, n) that follow each other along the last axis.

    samples: how often a voxel is read along each axis before the values are averaged (more often
    where it is coarser than the scan). Where the transform leaves the axes of the grid along
    those of the scan, it is read as any such grid. Otherwise the size of a voxel in the scan is
    the median over the grid, one for all, so that no seams arise.
    """
    tell = progress or (lambda _what, _share: None)
    if transform.matrix is not None:
        there = Grid(grid.shape, transform.matrix @ grid.affine)
        if there.axis_positions_in(field.grid) is not None:
            yield from field.slabs(there, tell)
            return
    steps = steps_through(transform, grid, field.grid)
    i, j, k = (max(n, samples) for n in parts_of(np.median(np.linalg.norm(steps, axis=1), axis=0)))
    cell = np.median(np.linalg.norm(steps / (i, j, k), axis=2), axis=0)
    fine = grid.scaled((i, j, k))

    def read(field: VoxelField, fine: Grid, tell: ReportProgress) -> Iterator[NDArray[np.float32]]:
        n = max(1, _SLAB_POINTS // (fine.shape[0] * fine.shape[1]))
        for start in range(0, fine.shape[2], n):
            part = fine.part((slice(None), slice(None), slice(start, start + n)))
            points = part.to_world(np.moveaxis(np.indices(part.shape), 0, -1))
            yield field.at(transform.map(points), spacing_mm=cell * field.grid.spacing_mm)
            tell("decoding", min((start + n) / fine.shape[2], 1.0))

    yield from averaged(field.read_by(read, fine, tell), (i, j, k), grid.shape[2])


def steps_through(transform: Transform, grid: Grid, source: Grid) -> Floats:
    """(P, source axis, grid axis): in source voxels, how far a step of the grid leads."""
    probes = [np.linspace(0, n - 1, min(n, _PROBES)) for n in grid.shape]
    at = np.stack(np.meshgrid(*probes, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    half = np.eye(3) / 2
    ends = [source.to_index(transform.map(grid.to_world(at + h))) for h in (-half, half)]
    return np.swapaxes(ends[1] - ends[0], 1, 2)


def _read(path: Path, moving: Grid, reference: Grid) -> list[Step]:
    """The steps in one file, in the order in which a point takes them."""
    if not path.is_file():
        raise ArSSRError(f"no such transform: {path}")
    try:
        if is_image(path):
            return [_itk_warp(path)]
        if path.suffix == ".lta":
            from nitransforms.io.lta import FSLinearTransform

            return [Affine(FSLinearTransform.from_filename(path).to_ras())]
        if _is_plain_matrix(path):
            from nitransforms.io.fsl import FSLLinearTransform

            fsl = FSLLinearTransform.from_filename(path)
            return [Affine(fsl.to_ras(moving=moving, reference=reference))]
        import SimpleITK as sitk  # noqa: N813 - its customary name

        return _itk_steps(sitk.ReadTransform(str(path)), path)
    except ArSSRError:
        raise
    except Exception as error:  # each reader has exceptions of its own, AssertionError included
        raise ArSSRError(
            f"{path} is not a transform that can be read ({_FORMATS}): {reason(error)}"
        ) from None


def _is_plain_matrix(path: Path) -> bool:
    """Whether this is a text file of 4 x 4 numbers, as flirt writes."""
    with path.open("rb") as file:
        words = file.read(_LONGEST_MATRIX).split()
    try:
        return len([float(word) for word in words]) == 16
    except ValueError:
        return False


def _itk_warp(path: Path) -> Displacement:
    """A displacement image (I, J, K, 1, 3), as ANTs writes."""
    import nibabel as nib
    from nitransforms.io.itk import ITKDisplacementsField

    image: Any = nib.load(path)
    if len(image.shape) != 5:  # FSL's warps have four, and other units
        raise ArSSRError(
            f"{path} is no displacement field of ITK or ANTs: these have five dimensions, it has "
            f"{len(image.shape)}"
        )
    field = ITKDisplacementsField.from_image(image)  # LPS to RAS
    return _displacement(np.asarray(field.dataobj), field.affine, path)


def _itk_steps(transform: Any, path: Path) -> list[Step]:
    import SimpleITK as sitk  # noqa: N813 - its customary name

    transform = transform.Downcast()
    if isinstance(transform, sitk.CompositeTransform):
        nested = (transform.GetNthTransform(n) for n in range(transform.GetNumberOfTransforms()))
        return [step for inner in reversed([*nested]) for step in _itk_steps(inner, path)]
    if transform.IsLinear() or isinstance(transform, sitk.TranslationTransform):
        origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
        ends = [transform.TransformPoint(end) for end in (_FAR_MM * np.eye(3)).tolist()]
        matrix = np.eye(4)
        matrix[:3, :3] = (np.array(ends) - origin).T / _FAR_MM
        matrix[:3, 3] = origin
        return [Affine(lps_transform_to_ras(matrix))]
    if isinstance(transform, sitk.DisplacementFieldTransform):
        image = transform.GetDisplacementField()
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        affine[:3, 3] = image.GetOrigin()
        lps = sitk.GetArrayViewFromImage(image).transpose(2, 1, 0, 3)
        return [_displacement(lps * TURNED, lps_to_ras(affine), path)]
    raise ArSSRError(
        f"{path} has a {transform.GetName()}, which is neither linear nor a displacement field; "
        "convert it to a displacement field first"
    )


def _displacement(field: NDArray[Any], affine: Floats, path: Path) -> Displacement:
    """From displacements (I, J, K, 3) in RAS+ mm."""
    components = np.ascontiguousarray(np.moveaxis(field, -1, 0), np.float32)
    if not np.isfinite(components).all():
        raise ArSSRError(f"{path} has displacements that are NaN or infinite")
    i, j, k = components.shape[1:]
    return Displacement(components, Grid((i, j, k), affine))
