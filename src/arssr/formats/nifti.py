"""NIfTI-1 and NIfTI-2 files, https://nifti.nimh.nih.gov/nifti-1/"""

import io
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.formats import place, units
from arssr.formats.opened import Opened
from arssr.formats.samples import Encoding
from arssr.formats.spatial import UNHEARD, open_spatial
from arssr.formats.storage import Storage
from arssr.formats.streams import open_reading
from arssr.formats.writing import Layout, Outline, streamed
from arssr.grid import Grid, spacing_in_words

# What a header says about the image as a whole, true of any resampling of it. The rest (shape,
# type, place, slice timing, vendor extensions) belongs to the samples and is written anew.
_KEPT_FIELDS = (
    *("descrip", "aux_file", "cal_min", "cal_max", "toffset"),
    *("intent_code", "intent_name", "intent_p1", "intent_p2", "intent_p3"),
)
_LONGEST_NIFTI1_AXIS = 32767
_LONGEST_REMARK = 79  # of the 80 bytes of `descrip`; some readers need a zero behind
_CIFTI_INTENTS = range(3000, 3100)


def open_image(path: Path) -> Opened:
    """A .nii, .nii.gz or .nii.zst file; raises what nibabel does and ArSSRError."""
    stream = open_reading(path)
    try:
        header, warnings = read_header(stream)
        if int(header["intent_code"]) in _CIFTI_INTENTS:
            raise ArSSRError(f"{path}: this is a CIFTI file of surfaces, not a 3D image")
        samples = ArrayProxy(stream, header, mmap=False)
        opened = open_spatial(samples, header.get_best_affine(), header, str(path), stream)
        opened.warnings.extend(warnings)
        return opened
    except BaseException:
        stream.close()
        raise


def read_header(stream: IO[bytes]) -> tuple[nib.Nifti1Header, list[str]]:
    """NIfTI-1 or -2, without the extensions, which may be of any size; and what nibabel mended in
    it, in words.

    Raises ValueError where voxels have no size, and where samples are said to begin in the header.
    """
    start = stream.read(nib.Nifti2Header.template_dtype.itemsize)
    for header_type in (nib.Nifti1Header, nib.Nifti2Header):
        if header_type.may_contain_header(start):
            content = start[: header_type.template_dtype.itemsize]
            as_written = header_type(content, check=False)
            in_use = as_written["pixdim"][1:4] if as_written["sform_code"] <= 0 else np.ones(3)
            if not in_use.all():
                raise ValueError(f"its voxels are of {spacing_in_words(in_use)} (pixdim)")
            warnings = []
            if (in_use < 0).any():
                warnings = [f"pixdim is negative, {spacing_in_words(in_use)}: its sign is left out"]
            header = header_type(content, check=False)
            header.check_fix(UNHEARD)
            for code in ("sform_code", "qform_code"):
                if header[code] != as_written[code]:
                    warnings.append(
                        f"{code} is {as_written[code]}, which means nothing: 0 is taken"
                    )
            if header.get_data_offset() < header.single_vox_offset:
                raise ValueError(
                    f"its samples are said to begin at byte {header.get_data_offset()}, inside "
                    "the header (vox_offset)"
                )
            return header, warnings
    raise ImageFileError("there is no NIfTI header at its beginning")


def as_image(
    data: NDArray[np.float32], storage: Storage, grid: Grid, remark: str = ""
) -> nib.Nifti1Image:
    """A float32 nibabel image (NIfTI-1, or -2 if need be) that shares these data."""
    header = _header(Outline(storage, grid, remark=remark), np.dtype(np.float32))
    image_type = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    return image_type(data, _affine_in_file_units(storage, grid), header)


def layout(image: Outline) -> Layout:
    """A NIfTI file for these samples: NIfTI-1, or NIfTI-2 where the image came as such or an axis
    is longer than 32767. Integer types keep type, slope and intercept, the rest is float32.
    """
    header = _header(image, image.storage.written)
    head = io.BytesIO()
    header.write_to(head)  # up to the first sample: there are no extensions
    slope, inter = header.get_slope_inter()  # as the file has them, in single precision
    return Layout(head.getvalue(), Encoding(header.get_data_dtype(), slope, inter))


open_sink = streamed(layout)


def _affine_in_file_units(storage: Storage, grid: Grid) -> NDArray[np.float64]:
    affine = grid.affine.copy()
    affine[:3] /= units.mm_per_unit(storage.header)
    return affine


def _header(image: Outline, dtype: np.dtype[Any]) -> nib.Nifti1Header:
    """A complete header for these samples stored as `dtype`, with the fields worth keeping.

    The sform is exact. A qform has no shear, and resolves a rotation by nearly 180° to 1e-3 rad:
    where it puts a voxel more than half a voxel away from the sform, its code is 0, not in use.
    """
    storage, source = image.storage, image.storage.header
    affine = _affine_in_file_units(storage, image.grid)
    long = max(image.shape) > _LONGEST_NIFTI1_AXIS
    nifti2 = long or isinstance(source, nib.Nifti2Header)
    header = nib.Nifti2Header() if nifti2 else nib.Nifti1Header()
    unit, time_unit, code = "mm", "unknown", 0
    if source is not None:
        for field in _KEPT_FIELDS:
            header[field] = source[field]
        unit, time_unit = units.names(source)
        code = int(source["sform_code"] or source["qform_code"])  # of the affine in use
    if image.remark and not header["descrip"].item():
        header["descrip"] = image.remark.encode("ascii", "replace")[:_LONGEST_REMARK]
    repetition = None if source is None else source["pixdim"][4]
    if storage.repetition_s != units.repetition_s(source):  # it comes from another format
        repetition, time_unit = storage.repetition_s, "sec"
    header.set_xyzt_units("mm" if unit == "unknown" else unit, time_unit)
    header.set_data_shape(image.shape)
    header.set_data_dtype(dtype)
    if image.frames > 1 and repetition is not None:
        header["pixdim"][4] = repetition
    whole = dtype.kind in "iu"
    header.set_slope_inter(storage.slope if whole else 1, storage.inter if whole else 0)
    header.set_sform(affine, code or "aligned")
    _set_qform(header, affine, code or "aligned")
    return header


def _set_qform(header: nib.Nifti1Header, affine: NDArray[np.float64], code: int | str) -> None:
    """Header.set_qform, with a quaternion that can be read again.

    A file holds b, c and d and readers take a = √(1 − b² − c² − d²): rounding must not make that
    the root of a negative number, which in NIfTI-2 nibabel writes but refuses to read.
    """
    header.set_qform(affine, code)
    bcd = np.array([header[f"quatern_{part}"] for part in "bcd"], dtype=np.float64)
    bcd /= max(1.0, float(np.linalg.norm(bcd)))
    header["quatern_b"], header["quatern_c"], header["quatern_d"] = bcd
    apart = place.apart_mm(affine, header.get_qform(), header.get_data_shape())
    if apart > place.half_a_voxel_mm(affine):
        header["qform_code"] = 0
