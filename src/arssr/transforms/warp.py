"""Images of vectors, read as what they are: displacements or places, in RAS or LPS millimetres.

No header field says which. What does is how each program marks its files:

- ITK, ANTs: NIfTI with intent 1007 and nothing else, NRRD, MetaImage; displacements, LPS.
- ITK since 5.3, Slicer: NIfTI with intent 1006; displacements, RAS (itkNiftiImageIO.cxx).
- SPM: intent name "Mapping", or a description such as "Deformation"; places, RAS
  (spm_deformations.m, spm_preproc_write8.m, spm_shoot_template.m).
- NiftyReg: intent name "NREG_TRANS", the kind in intent_p1 (_reg_maths.h); places or
  displacements, RAS.
"""

from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.files import image_suffix
from arssr.formats import itk, meta, nifti
from arssr.formats.lps import TURNED
from arssr.formats.opened import damage_in_words
from arssr.formats.streams import TRAILER, open_reading
from arssr.grid import Floats, Grid
from arssr.transforms.transform import Displacement, probes
from arssr.volume import grid_of

_DISPLACEMENTS, _VECTORS = 1006, 1007  # NIfTI's intents DISPVECT and VECTOR
# A map is told by its mean gradient G: that of no deformation is 1, and G - 1 has the norm
# √8 sin(angle / 2) after a rotation. Places taken for displacements show as a G below this: up to
# 35°. Displacements do not reach it, read as places, before they stretch all axes 1.5-fold.
_LIKE_PLACES = 0.85
_COLLAPSED = 0.05  # of the volume is left: no registration shrinks a head to a twentieth


class Meaning(NamedTuple):
    """What the numbers of a field are."""

    are_places: bool  # on the moving side; else displacements towards it
    are_lps: bool


_OF_ITK = Meaning(are_places=False, are_lps=True)


def read_warp(path: Path) -> Displacement:
    """The field of vectors in an image file.

    Beyond its grid displacements are 0, as ITK has it, and places are unknown, as SPM has it;
    those that are NaN are, too. Raises ArSSRError for what is not marked as one of the fields
    above, or whose vectors contradict the mark, and what the readers of images raise.
    """
    suffix, grid = image_suffix(path), grid_of(path)
    if suffix.startswith(".mg"):
        raise ArSSRError(
            f"{path}: warps of FreeSurfer are not read; mri_warp_convert --outitk converts them"
        )
    with damage_in_words(f"{path}: cannot be read as a field of vectors"):
        if suffix.startswith(".nii"):
            meaning, vectors = _read_nifti(path)
        else:
            reader = meta if suffix.startswith(".mh") else itk
            meaning, vectors = _OF_ITK, reader.read_vectors(path)
    if vectors.shape != (*grid.shape, 3):
        raise ArSSRError(f"{path}: is no field of vectors with three components on a 3D grid")
    return displacement(vectors, meaning, grid, path)


def displacement(vectors: NDArray[Any], meaning: Meaning, grid: Grid, path: Path) -> Displacement:
    """From vectors (I, J, K, 3) of this meaning; ArSSRError names `path`."""
    known = np.isfinite(vectors).all(axis=-1)
    if not (known.any() if meaning.are_places else known.all()) or np.isinf(vectors).any():
        raise ArSSRError(f"{path}: has vectors that are NaN or infinite")
    _require_likely(vectors, meaning, grid, path)
    turned = (TURNED if meaning.are_lps else np.ones(3)).astype(np.float32)
    components = np.moveaxis(vectors * turned, -1, 0)
    if meaning.are_places:
        here = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
        components = (components - np.moveaxis(here, -1, 0)).astype(np.float32)
    outside = np.nan if meaning.are_places else 0.0
    return Displacement(np.ascontiguousarray(components, np.float32), grid, outside)


def _read_nifti(path: Path) -> tuple[Meaning, NDArray[np.float32]]:
    with open_reading(path) as stream:
        header, _ = nifti.read_header(stream)
        meaning = _meaning(header, path)
        vectors = np.asarray(ArrayProxy(stream, header, mmap=False), np.float32)
        stream.read(TRAILER)  # the check sum of what is compressed comes last
    return meaning, vectors[:, :, :, 0]


def _meaning(header: nib.Nifti1Header, path: Path) -> Meaning:
    """What a NIfTI header says of its vectors."""
    shape = header.get_data_shape()
    if len(shape) != 5 or shape[3:] != (1, 3):
        raise ArSSRError(
            f"{path}: is no field of vectors of ITK, ANTs, SPM or NiftyReg: these have the five "
            f"dimensions I×J×K×1×3, it has {'×'.join(map(str, shape))}; those of FSL, FreeSurfer "
            "and MRtrix must be converted to ITK's first"
        )
    intent = int(header["intent_code"])
    name, description = (
        bytes(header[field].item()).decode("latin-1") for field in ("intent_name", "descrip")
    )
    if name == "NREG_TRANS":
        kind = int(header["intent_p1"])
        if kind not in (0, 1):
            raise ArSSRError(
                f"{path}: holds control points or velocities of NiftyReg (kind {kind}); "
                "reg_transform -def makes a field of places of it"
            )
        return Meaning(are_places=kind == 0, are_lps=False)
    if intent == _DISPLACEMENTS:
        return Meaning(are_places=False, are_lps=False)
    if name == "Mapping" or "deformation" in description.lower():
        return Meaning(are_places=True, are_lps=False)
    if intent == _VECTORS:
        return Meaning(are_places=False, are_lps=True)
    raise ArSSRError(
        f"{path}: its header does not say what its vectors are (intent {intent}, description "
        f"{description!r}); ITK's have intent {_VECTORS} (LPS) or {_DISPLACEMENTS} (RAS)"
    )


def _require_likely(vectors: NDArray[Any], meaning: Meaning, grid: Grid, path: Path) -> None:
    """Refuse displacements that look like places, and maps that leave nothing of space."""
    at = np.rint(probes(grid.shape)).astype(int)
    found = vectors[tuple(at.T)].astype(np.float64)
    known = np.isfinite(found).all(axis=1)
    if min(grid.shape) == 1 or known.sum() < 4:
        return
    gradient = _mean_gradient(grid.to_world(at[known]), found[known])
    turned = TURNED[:, None] * gradient  # of places in LPS, which the mark may be right about
    like_places = min(np.linalg.norm(each - np.eye(3)) for each in (gradient, turned))
    if not meaning.are_places and like_places < _LIKE_PLACES:
        raise ArSSRError(
            f"{path}: its vectors look like places, not like the displacements that its header "
            'promises; SPM marks places by the intent name "Mapping"'
        )
    gradient = turned if meaning.are_lps else gradient
    mapped = gradient if meaning.are_places else np.eye(3) + gradient
    if abs(np.linalg.det(mapped)) < _COLLAPSED:
        raise ArSSRError(
            f"{path}: is marked as {'places' if meaning.are_places else 'displacements'}, but "
            "as such its vectors would lead space into a plane"
        )


def _mean_gradient(points: Floats, values: Floats) -> Floats:
    """(3, 3) G for which values = G · points + c, as nearly as can be."""
    solution, *_ = np.linalg.lstsq(points - points.mean(0), values - values.mean(0), rcond=None)
    return np.asarray(solution.T)
