"""What registration programs write, as transforms in the pull direction.

ITK's own formats are read by SimpleITK, which knows all of its linear transforms (nitransforms
knows the affine one only); FSL's and FreeSurfer's by nitransforms; images of vectors by
`arssr.transforms.warp`. docs/transforms.md has the list, and what no file says.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arssr.errors import ArSSRError
from arssr.extras import require
from arssr.files import is_image
from arssr.formats.itk import name_for_itk
from arssr.formats.lps import lps_to_ras, lps_transform_to_ras
from arssr.formats.opened import reason
from arssr.grid import Floats, Grid
from arssr.transforms.transform import Affine, Step, Transform
from arssr.transforms.warp import Meaning, displacement, read_warp

_FAR_MM = 1e3  # over which a linear transform is measured
_START = 4096  # bytes, in which a text file of 16 numbers ends
_SINGULAR = 1e-6  # of a volume is left
_SAME_PLACE = 0.1  # voxels: header and registration file round differently
_ITK = (".mat", ".txt", ".tfm", ".h5", ".hdf5")
_FORMATS = (
    "ITK/ANTs .mat, .txt, .tfm and .h5, FSL .mat, FreeSurfer .lta, fields of vectors of ITK, ANTs, "
    "SPM and NiftyReg"
)
# How files of other programs begin, and what to do with them. ITK reads the first one, wrongly.
_OTHERS = {
    b"MNI Transform File": "is an MNI .xfm; lta_convert --inmni makes an .lta of it",
    b"MATLAB": "is a file of MATLAB, such as SPM's _sn.mat; give the field y_*.nii of its "
    "Deformations tool",
    b"(Transform": "is a file of elastix; give the field that transformix -def all makes of it",
}


def load_transform(
    paths: str | Path | Sequence[str | Path], moving: Grid, reference: Grid
) -> Transform:
    """The transform in these files, from the space of `reference` to that of `moving`.

    Several are composed as antsApplyTransforms does: a point takes the *last* one first. Formats
    are told apart by name and content: ITK/ANTs (.mat, .txt, .tfm, .h5, composites included), FSL
    (flirt, a .mat of 4 x 4 numbers, which means something only with both grids), FreeSurfer (.lta,
    whose source is the moving scan), and images of vectors (see `arssr.transforms.warp`).
    Raises ArSSRError for a file that is none of these or damaged, and for B-spline transforms.
    """
    paths = [paths] if isinstance(paths, str | Path) else paths
    steps: list[Step] = []
    for path in reversed([Path(path) for path in paths]):
        steps += _read(path, moving, reference)
    return Transform(tuple(steps))


def _read(path: Path, moving: Grid, reference: Grid) -> list[Step]:
    """The steps in one file, in the order in which a point takes them."""
    if not path.is_file():
        raise ArSSRError(f"no such transform: {path}")
    try:
        if is_image(path):
            return [read_warp(path)]
        with path.open("rb") as file:
            start = file.read(_START).lstrip()
        for beginning, advice in _OTHERS.items():
            if start.startswith(beginning):
                raise ArSSRError(f"{path}: {advice}")
        if path.suffix.lower() == ".lta":
            return [_affine(_lta(path, moving, reference), path)]
        if _is_plain_matrix(start):
            return [_affine(_flirt(path, moving, reference), path)]
        if path.suffix.lower() not in _ITK:
            raise ValueError(f"its name ends in {path.suffix or 'nothing'}")
        return _itk_steps(path)
    except ArSSRError:
        raise
    except Exception as error:  # each reader has exceptions of its own, AssertionError included
        raise ArSSRError(
            f"{path} is not a transform that can be read ({_FORMATS}): {reason(error)}"
        ) from None


def _affine(matrix: Floats, path: Path) -> Affine:
    """Refuse what no registration gives, but a damaged file may."""
    finite = np.isfinite(matrix).all() and np.allclose(matrix[3], [0, 0, 0, 1])
    if not (finite and abs(np.linalg.det(matrix)) > _SINGULAR):
        raise ArSSRError(f"{path}: its matrix is no map of space onto space")
    return Affine(matrix)


def _lta(path: Path, moving: Grid, reference: Grid) -> Floats:
    """FreeSurfer's matrix leads from its source volume to its destination: pulled, it is inverted.

    Raises ArSSRError where these volumes are the two images, but the other way round.
    """
    require("formats", f"reading {path} (FreeSurfer)", "nitransforms")
    from nitransforms.io.lta import FSLinearTransform

    lta = FSLinearTransform.from_filename(path)
    volumes = [lta[name] for name in ("src", "dst")]
    if all(volume["valid"] for volume in volumes):
        source, destination = (
            Grid(tuple(volume["volume"].tolist()), volume.as_affine()) for volume in volumes
        )
        if _same(source, reference) and _same(destination, moving) and not _same(source, moving):
            raise ArSSRError(
                f"{path}: leads from the reference to the scan; turn it round with lta_convert "
                "--invert"
            )
    elif lta["type"] != 1:
        raise ArSSRError(f"{path}: counts in voxels, and does not say where they lie")
    return np.asarray(lta.to_ras())


def _same(one: Grid, other: Grid) -> bool:
    return one.matches(other, _SAME_PLACE)


def _is_plain_matrix(text: bytes) -> bool:
    """Whether these are 4 x 4 numbers, as flirt writes."""
    try:
        return len([float(word) for word in text.split()]) == 16
    except ValueError:
        return False


def _flirt(path: Path, moving: Grid, reference: Grid) -> Floats:
    require("formats", f"reading {path} (FSL)", "nitransforms")
    from nitransforms.io.fsl import FSLLinearTransform

    if path.suffix.lower() != ".mat":
        raise ArSSRError(
            f"{path}: 16 numbers do not say whose they are; name it .mat if they are FSL's "
            "(NiftyReg's and MRtrix's mean something else)"
        )
    fsl = FSLLinearTransform.from_filename(path)
    return np.asarray(fsl.to_ras(moving=moving, reference=reference))


def _itk_steps(path: Path) -> list[Step]:
    require("formats", f"reading {path} (ITK)", "SimpleITK")
    import SimpleITK as sitk  # noqa: N813 - its customary name

    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # they would go to standard error
    transforms = _flat(sitk.ReadTransform(name_for_itk(path)).Downcast())
    _require_whole(path, transforms)
    return [_itk_step(transform, path) for transform in reversed(transforms)]


def _flat(transform: Any) -> list[Any]:
    """The transforms of a composite, in its order; a point takes the last one first."""
    import SimpleITK as sitk  # noqa: N813

    if not isinstance(transform, sitk.CompositeTransform):
        return [transform]
    nested = (transform.GetNthTransform(n) for n in range(transform.GetNumberOfTransforms()))
    return [inner for each in nested for inner in _flat(each.Downcast())]


def _require_whole(path: Path, transforms: Sequence[Any]) -> None:
    """Refuse a file that says something else than what ITK read in it.

    ITK takes parameters that are missing for those of the identity, or for whatever is in memory,
    and of several transforms side by side the first.
    """
    if (recorded := _recorded(path)) is None:
        return
    read = [t.GetParameters() for t in transforms], [t.GetFixedParameters() for t in transforms]
    for found, expected in zip(read, recorded, strict=True):
        same = len(found) == len(expected) and all(
            len(a) == len(b) and np.allclose(a, b) for a, b in zip(found, expected, strict=True)
        )
        if not same:
            raise ArSSRError(f"{path}: is cut short or damaged, or holds more than one transform")


def _recorded(path: Path) -> tuple[list[Floats], list[Floats]] | None:
    """The parameters in a file, and the fixed ones; None for HDF5: cut short, it is not read."""
    if path.suffix.lower() == ".mat":
        from scipy.io import loadmat

        values = {name: np.ravel(v) for name, v in loadmat(path).items() if name[0] != "_"}
        fixed = values.pop("fixed")
        return [*values.values()], [fixed]
    if path.suffix.lower() in (".h5", ".hdf5"):
        return None
    lines = [line.partition(":") for line in path.read_text("latin-1").splitlines()]
    parameters, fixed_parameters = (
        [np.array(words.split(), float) for name, _, words in lines if name.strip() == wanted]
        for wanted in ("Parameters", "FixedParameters")
    )
    return parameters, fixed_parameters


def _itk_step(transform: Any, path: Path) -> Step:
    import SimpleITK as sitk  # noqa: N813

    if transform.IsLinear() or isinstance(transform, sitk.TranslationTransform):
        origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
        ends = [transform.TransformPoint(end) for end in (_FAR_MM * np.eye(3)).tolist()]
        matrix = np.eye(4)
        matrix[:3, :3] = (np.array(ends) - origin).T / _FAR_MM
        matrix[:3, 3] = origin
        return _affine(lps_transform_to_ras(matrix), path)
    if isinstance(transform, sitk.DisplacementFieldTransform):
        image = transform.GetDisplacementField()
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        affine[:3, 3] = image.GetOrigin()
        vectors = sitk.GetArrayViewFromImage(image).transpose(2, 1, 0, 3)
        grid = Grid(tuple(image.GetSize()), lps_to_ras(affine))
        return displacement(vectors, Meaning(are_places=False, are_lps=True), grid, path)
    raise ArSSRError(
        f"{path} has a {transform.GetName()}, which is neither linear nor a displacement field; "
        "convert it to a displacement field first"
    )
