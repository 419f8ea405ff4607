"""Layers of napari and volumes: a result overlays its scan, wherever that lies."""

import json
from pathlib import Path

import dask.array as da
import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import notification_manager
from scipy import ndimage
from tests.phantoms import smooth

from arssr import ArSSRError, Grid, Volume, load_model
from arssr.integrations.napari.files import get_reader, read, write_image, write_labels
from arssr.integrations.napari.layers import grid_of, opened, overlaid, volume_of

SHAPE = (5, 7, 6)
angles = st.floats(-180, 180)
lengths = st.floats(0.3, 5)
shifts = st.floats(-200, 200)
signs = st.sampled_from([-1, 1])


def three(of: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[float, float, float]]:
    return st.tuples(of, of, of)


def to_ras(world: np.ndarray) -> np.ndarray:
    """What the documents say of the world: inferior, posterior, left."""
    return -world[..., ::-1]


def shown(volume: Volume, labels: bool = False) -> Image | Labels:
    return Layer.create(*opened(volume, labels=labels))


@settings(max_examples=25)  # a layer takes 0.1 s
@given(
    scale=three(lengths),
    mirrored=three(signs),
    translate=three(shifts),
    rotate=three(angles),
    shear=three(st.floats(-0.3, 0.3)),
    turned=three(angles),
    factors=three(st.sampled_from([0.5, 1.0, 1.7, 2.0, 3.0])),
    unit=st.sampled_from(["pixel", "mm", "um"]),
)
def test_a_result_overlays_a_layer_that_lies_anyhow(
    scale, mirrored, translate, rotate, shear, turned, factors, unit
) -> None:
    """Oblique, anisotropic, sheared and left-handed; the grid rule says which indices correspond:
    the field of view stays, index i of the scan is (i + 1/2) k - 1/2 of the result.
    """
    affine = np.eye(4)
    affine[:3, :3] = nib.eulerangles.euler2mat(*np.radians(turned)) @ np.diag(mirrored)
    layer = Image(
        smooth(SHAPE),
        scale=scale,
        translate=translate,
        rotate=rotate,
        shear=shear,
        affine=affine,
        units=(unit,) * 3,
    )
    scan = volume_of(layer)
    per_axis = factors[::-1]  # a volume has its axes in reversed order
    grid = scan.grid.scaled(per_axis)
    made = scan.with_data(np.zeros(grid.shape), grid)
    result = Layer.create(*overlaid(made, layer, layer))
    assert result.units == layer.units
    corners = np.indices((2, 2, 2)).reshape(3, -1).T * (np.array(SHAPE) - 1.0)
    for corner in corners:
        there = (corner + 0.5) * factors - 0.5
        apart = np.subtract(layer.data_to_world(corner), result.data_to_world(there))
        assert np.abs(apart).max() < 1e-3


def test_micrometres_are_millimetres_to_a_network() -> None:
    layer = Image(smooth(SHAPE), scale=(3000, 1000, 1000), units=("um",) * 3)
    np.testing.assert_allclose(volume_of(layer).grid.spacing_mm, (1, 1, 3))


@pytest.mark.parametrize("axes", ["RAS", "LPS", "ASR", "PIR", "SLA", "RSA"])
def test_a_file_is_shown_where_it_lies_as_radiologists_look(axes: str, tmp_path: Path) -> None:
    """Whatever its order, an oblique one too: its voxels at their RAS+ mm, planes nearly axial,
    anterior up and the patient's right on the left.
    """
    tilt = nib.eulerangles.euler2mat(0.2, -0.1, 0.15)
    straight = nib.orientations.inv_ornt_aff(
        nib.orientations.axcodes2ornt(axes), SHAPE
    )  # of voxels as named → RAS
    affine = np.eye(4)
    affine[:3, :3] = tilt @ np.diag([1.1, 0.9, 3.0]) @ straight[:3, :3]
    affine[:3, 3] = (12, -30, 8)
    volume = Volume(smooth(SHAPE), Grid(SHAPE, affine))
    layer = shown(Volume.read(volume.write(tmp_path / "scan.nii.gz")))
    inside = np.array(layer.data.shape) // 2
    ras = to_ras(np.array(layer.data_to_world(inside)))
    index = np.rint(volume.grid.to_index(ras)).astype(int)
    np.testing.assert_allclose(volume.grid.to_world(index), ras, atol=1e-3)
    assert layer.data[tuple(inside)] == pytest.approx(volume.data[tuple(index)])
    steps = [
        np.subtract(layer.data_to_world(inside + step), layer.data_to_world(inside))
        for step in np.eye(3, dtype=int)
    ]
    assert [int(np.abs(step).argmax()) for step in steps] == [0, 1, 2]
    assert layer.axis_labels == ("inferior", "posterior", "left")
    assert {str(unit) for unit in layer.units} == {"millimeter"}


def test_a_blob_stays_where_it_is() -> None:
    """Its centre of mass, computed from voxels and napari's own matrices."""
    affine = np.diag([-0.8, 1.2, 3, 1]) + 0.1 * np.eye(4, k=1)
    affine[3] = (0, 0, 0, 1)
    data = np.zeros((24, 22, 12))
    data[9, 12, 5] = 1
    scan = Volume(ndimage.gaussian_filter(data, 2), Grid(data.shape, affine))
    viewer = ViewerModel()
    layer = viewer.add_layer(shown(scan))
    model = load_model("light", device="cpu")
    made = model.upsample(volume_of(layer), scale=(1, 1, 3))
    result = viewer.add_layer(Layer.create(*overlaid(made, layer, layer)))
    assert result.data.shape == (36, 22, 24)
    before, after = (
        np.array(each.data_to_world(ndimage.center_of_mass(np.asarray(each.data, float))))
        for each in (layer, result)
    )
    np.testing.assert_allclose(before, after, atol=0.05)


def test_a_layer_gives_what_its_file_gives(tmp_path: Path) -> None:
    """To the last bit, for a sagittal scan with gaps too: axes, slices and type are kept."""
    affine = np.array([[0, 0, 4, -20], [-1.0, 0, 0, 9], [0, 1, 0, -7], [0, 0, 0, 1]])
    scan = Volume(1000 * smooth((16, 15, 6)), Grid((16, 15, 6), affine)).stored_as("int16")
    path = scan.write(tmp_path / "scan.nii.gz")
    described = {"SliceThickness": 3.0, "SpacingBetweenSlices": 4.0, "MRAcquisitionType": "2D"}
    (tmp_path / "scan.json").write_text(json.dumps(described))
    layer = Layer.create(*read(str(path))[0])
    assert layer.data.shape == (15, 16, 6)  # inferior, posterior, left
    again = volume_of(layer)
    assert again.slices == Volume.read(path).slices
    assert again.slices is not None and again.slices.gap == pytest.approx(0.25)
    model = load_model("light", device="cpu")
    of_file, of_layer = (model.upsample(image, spacing=1) for image in (path, again))
    np.testing.assert_array_equal(of_file.data, of_layer.data)
    assert of_layer.storage.written == np.int16


def test_thickness_is_not_believed_of_a_layer_that_was_stretched(tmp_path: Path) -> None:
    path = Volume(smooth(SHAPE), Grid(SHAPE, np.diag([1, 1, 4, 1]))).write(tmp_path / "a.nii")
    (tmp_path / "a.json").write_text(json.dumps({"SliceThickness": 3.0}))
    layer = Layer.create(*read(str(path))[0])
    assert volume_of(layer).slices is not None
    layer.scale = (2, 1, 1)
    assert volume_of(layer).slices is None


def test_labels_stay_labels() -> None:
    data = np.zeros(SHAPE, np.uint16)
    data[1:4, 2:6, 1:5] = 1024
    layer = Labels(data, scale=(3, 1, 1))
    scan = volume_of(layer)
    made = load_model("light", device="cpu").upsample(scan, labels=True, isotropic=True)
    result = Layer.create(*overlaid(made, layer, layer))
    assert isinstance(result, Labels)
    assert result.data.dtype == np.uint16 and set(np.unique(result.data)) == {0, 1024}
    assert result.data.shape == (15, 7, 6)


def test_a_result_on_the_grid_of_another_layer_lies_there() -> None:
    layer = shown(Volume(smooth(SHAPE), Grid(SHAPE, np.diag([1, 1, 3, 1]))))
    like = Image(np.zeros((4, 6, 5)), scale=(500, 2000, 700), units=("um",) * 3)
    grid = grid_of(like)
    made = volume_of(layer).with_data(np.zeros(grid.shape), grid)
    result = Layer.create(*overlaid(made, layer, like))
    assert result.data.shape == like.data.shape
    assert result.units == like.units
    np.testing.assert_allclose(result.data_to_world((3, 5, 4)), like.data_to_world((3, 5, 4)))


def test_pyramids_and_lazy_arrays_are_read_where_they_are_finest() -> None:
    data = smooth((8, 10, 6))
    pyramid = Image([data, data[::2, ::2, ::2]], multiscale=True, scale=(3, 1, 1))
    for layer in (pyramid, Image(da.from_array(data), scale=(3, 1, 1))):
        volume = volume_of(layer)
        np.testing.assert_array_equal(volume.data, data.T)
        assert volume.grid == grid_of(layer)
        np.testing.assert_allclose(volume.grid.spacing_mm, (1, 1, 3))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Image(np.ones((4, 5))), "is no 3D image"),
        (Image(np.ones((2, 4, 5, 6))), "is no 3D image"),
        (Image(np.ones((4, 5, 6, 3)), rgb=True), "is no 3D image"),
        (Image(np.full((4, 5, 6), np.nan), contrast_limits=(0, 1)), "NaN"),
    ],
)
def test_what_is_no_3d_image_is_refused_in_a_sentence(layer: Image, reason: str) -> None:
    with pytest.raises(ArSSRError, match=reason):
        volume_of(layer)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mgz", ".nrrd", ".mha"])
def test_what_was_opened_is_saved_as_it_was(suffix: str, tmp_path: Path) -> None:
    affine = np.array([[0, -1.0, 0.1, 3], [0, 0.1, 4, -2], [-2, 0, 0, 1], [0, 0, 0, 1]])
    scan = Volume(np.rint(100 * smooth(SHAPE)), Grid(SHAPE, affine)).stored_as("int16")
    path = scan.write(tmp_path / f"scan{suffix}")
    reader = get_reader(str(path))
    assert reader is not None
    layer = Layer.create(*reader(str(path))[0])
    data, attributes, _ = layer.as_layer_data_tuple()
    saved = write_image(str(tmp_path / f"saved{suffix}"), data, attributes)
    again = Volume.read(saved[0])
    assert again.grid.matches(scan.grid) and again.storage.written == np.int16
    np.testing.assert_array_equal(again.data, scan.data)


def test_label_maps_open_and_are_saved_as_label_maps(tmp_path: Path) -> None:
    data = np.zeros(SHAPE)
    data[2, 3, 4] = 17
    path = Volume(data, Grid(SHAPE, np.eye(4))).stored_as("uint8").write(tmp_path / "a_dseg.nii")
    layer = Layer.create(*read(str(path))[0])
    assert isinstance(layer, Labels) and layer.data.dtype == np.uint8
    data, attributes, _ = layer.as_layer_data_tuple()
    again = Volume.read(write_labels(str(tmp_path / "b_dseg.nii.gz"), data, attributes)[0])
    assert again.data.sum() == 17 and again.storage.written == np.uint8


def test_a_file_that_contradicts_itself_says_so(tmp_path: Path) -> None:
    image = nib.Nifti1Image(smooth(SHAPE), np.diag([1, 1, 3, 1]))
    image.set_qform(np.diag([2, 1, 3, 1]), code=1)
    nib.save(image, tmp_path / "scan.nii")
    with notification_manager:
        read(str(tmp_path / "scan.nii"))
        told = [str(record.message) for record in notification_manager.records]
    assert any(sentence.startswith("scan: ") and "qform" in sentence for sentence in told)


def test_folders_without_dicom_are_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "image.zarr").mkdir()
    assert get_reader(str(tmp_path / "image.zarr")) is None
    assert get_reader([str(tmp_path / "a.nii"), str(tmp_path / "b.nii")]) is None
