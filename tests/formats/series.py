"""DICOM series made for tests: a volume whose every sample is known, as a scanner writes it."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from arssr.grid import Grid

STUDY = generate_uid(entropy_srcs=["study"])


def write_series(
    folder: Path,
    stored_ijk: ArrayLike,
    grid: Grid,
    number: int = 5,
    description: str = "t1_mprage",
    slope: float | None = None,
    inter: float = 0.0,
    **tags: object,
) -> list[Path]:
    """One file for each slice, in an order that says nothing; returns their paths by k."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = np.asarray(stored_ijk)
    lps = np.diag([-1.0, -1, 1, 1]) @ grid.affine
    spacing = grid.spacing_mm
    paths = []
    for k in range(grid.shape[2]):
        ds = Dataset()
        ds.SOPClassUID = MRImageStorage
        ds.SOPInstanceUID = generate_uid(entropy_srcs=[str(number), str(k)])
        ds.StudyInstanceUID = STUDY
        ds.SeriesInstanceUID = generate_uid(entropy_srcs=[str(number)])
        ds.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame"])
        ds.Modality, ds.PatientName, ds.PatientID = "MR", "Doe^Jane", "42"
        ds.SeriesNumber, ds.SeriesDescription = number, description
        ds.InstanceNumber = k + 1
        ds.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        ds.ImagePositionPatient = [f"{x:.10g}" for x in (lps @ (0, 0, k, 1))[:3]]
        axes = (lps[:3, :2] / spacing[:2]).T
        ds.ImageOrientationPatient = [f"{x:.10g}" for x in axes.ravel()]
        ds.PixelSpacing = [f"{spacing[1]:.10g}", f"{spacing[0]:.10g}"]
        ds.SliceThickness = f"{spacing[2]:.10g}"
        ds.Columns, ds.Rows = grid.shape[:2]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated = ds.BitsStored = 8 * stored.dtype.itemsize
        ds.HighBit = ds.BitsStored - 1
        ds.PixelRepresentation = int(stored.dtype.kind == "i")
        if slope is not None:
            ds.RescaleSlope, ds.RescaleIntercept = str(slope), str(inter)
        ds.SmallestImagePixelValue = 0
        ds.add_new((0x0029, 0x0010), "LO", "SOME VENDOR")
        ds.add_new((0x0029, 0x1001), "LO", "what only the vendor knows")
        for keyword, value in tags.items():
            setattr(ds, keyword, value)
        ds.PixelData = stored[..., k].tobytes(order="F")
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"{(7 * k + number) % 1009:04d}.{number}"  # no suffix, no order
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths
