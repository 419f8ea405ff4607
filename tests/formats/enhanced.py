"""Enhanced MR files made for tests: frames that say what they are in functional groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid
from tests.formats.series import STUDY

from arssr.grid import Grid


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice: k of `stored` (I, J, K) on `grid`, and what is said of it."""

    stored: NDArray[Any]
    grid: Grid
    k: int
    slope: float = 1
    inter: float = 0
    stack: str = "1"
    time: int = 1
    echo_ms: float = 2.5
    types: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "M", "NONE")
    component: str = "MAGNITUDE"
    b: float | None = None
    units: str | None = None
    label: str | None = None


def frames_of(stored: NDArray[Any], grid: Grid, **said: Any) -> list[Frame]:
    """All slices of a volume, in their order."""
    return [Frame(stored, grid, k, **said) for k in range(grid.shape[2])]


def write_enhanced(
    path: Path,
    frames: Sequence[Frame],
    number: int = 5,
    description: str = "t1_mprage",
    instance: int = 1,
    **tags: object,
) -> Path:
    """Frames in the order in which they are given; what all share is said once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first = frames[0]
    ds = Dataset()
    ds.SOPClassUID = EnhancedMRImageStorage
    ds.SOPInstanceUID = generate_uid(entropy_srcs=[str(number), str(instance), "enhanced"])
    ds.StudyInstanceUID = STUDY
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=[str(number)])
    ds.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame"])
    ds.PositionReferenceIndicator = ""
    ds.Modality, ds.PatientName, ds.PatientID = "MR", "Doe^Jane", "42"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientPosition = "19700101", "F", "HFS"
    ds.StudyDate, ds.StudyTime, ds.StudyID = "20260102", "101500", "7"
    ds.ReferringPhysicianName, ds.AccessionNumber, ds.Manufacturer = "", "", "Siemens Healthineers"
    ds.SeriesNumber, ds.SeriesDescription, ds.InstanceNumber = number, description, instance
    ds.AcquisitionNumber, ds.MRAcquisitionType = 1, "2D"
    ds.ImageType = list(first.types)
    ds.EchoPulseSequence, ds.EchoPlanarPulseSequence = "GRADIENT", "NO"
    ds.DimensionIndexSequence = [
        _item(DimensionIndexPointer=0x00209056, FunctionalGroupPointer=0x00209111),
        _item(DimensionIndexPointer=0x00209057, FunctionalGroupPointer=0x00209111),
        _item(DimensionIndexPointer=0x00209128, FunctionalGroupPointer=0x00209111),
    ]
    ds.Columns, ds.Rows = first.grid.shape[:2]
    ds.NumberOfFrames = len(frames)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 8 * first.stored.dtype.itemsize
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(first.stored.dtype.kind == "i")
    ds.SharedFunctionalGroupsSequence = [
        _item(
            MRTimingAndRelatedParametersSequence=[_item(RepetitionTime=2000, FlipAngle=90)],
            MRModifierSequence=[_item(InversionRecovery="NO", Spoiling="NONE")],
            FrameAnatomySequence=[_item(FrameLaterality="U")],
            MRReceiveCoilSequence=[_item(ReceiveCoilName="Head")],
        )
    ]
    ds.PerFrameFunctionalGroupsSequence = [_groups(frame) for frame in frames]
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    ds.PixelData = b"".join(f.stored[..., f.k].tobytes(order="F") for f in frames)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)
    return path


def _groups(frame: Frame) -> Dataset:
    grid, spacing = frame.grid, frame.grid.spacing_mm
    lps = np.diag([-1.0, -1, 1, 1]) @ grid.affine
    place = [f"{x:.10g}" for x in (lps @ (0, 0, frame.k, 1))[:3]]
    axes = [f"{x:.10g}" for x in (lps[:3, :2] / spacing[:2]).T.ravel()]
    pixels = [f"{spacing[1]:.10g}", f"{spacing[0]:.10g}"]
    groups = _item(
        FrameContentSequence=[
            _item(
                FrameAcquisitionDateTime=f"202601021015{10 + 2 * frame.time}.5",
                StackID=frame.stack,
                InStackPositionNumber=frame.k + 1,
                TemporalPositionIndex=frame.time,
                DimensionIndexValues=[1, frame.k + 1, frame.time],
            )
        ],
        PlanePositionSequence=[_item(ImagePositionPatient=place)],
        PlaneOrientationSequence=[_item(ImageOrientationPatient=axes)],
        PixelMeasuresSequence=[
            _item(
                PixelSpacing=pixels,
                SliceThickness=f"{0.8 * spacing[2]:.10g}",
                SpacingBetweenSlices=f"{spacing[2]:.10g}",
            )
        ],
        PixelValueTransformationSequence=[
            _item(RescaleSlope=frame.slope, RescaleIntercept=frame.inter, RescaleType="US")
        ],
        MREchoSequence=[_item(EffectiveEchoTime=frame.echo_ms)],
        MRImageFrameTypeSequence=[
            _item(FrameType=list(frame.types), ComplexImageComponent=frame.component)
        ],
        FrameVOILUTSequence=[_item(WindowCenter=100, WindowWidth=200)],
    )
    if frame.b is not None:
        groups.MRDiffusionSequence = [_item(DiffusionBValue=frame.b)]
    if frame.label is not None:
        groups.MRArterialSpinLabelingSequence = [_item(ASLContext=frame.label)]
    if frame.units is not None:
        units = _item(CodeValue=frame.units, CodingSchemeDesignator="UCUM", CodeMeaning="units")
        groups.RealWorldValueMappingSequence = [
            _item(
                RealWorldValueSlope=0.5,
                RealWorldValueIntercept=-100.0,
                MeasurementUnitsCodeSequence=[units],
            )
        ]
    return groups


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item
