"""Images in, images out: what a scanner gets back of the series that it sends."""

import struct
from pathlib import Path

import ismrmrd
import nibabel as nib
import numpy as np
import pytest
from ismrmrd.image import ImageHeader
from tests.integrations.mrd.scanner import HEADER, Series, connected, serving, session, shuffled

from arssr.api import load_model
from arssr.errors import ArSSRWarning
from arssr.integrations.mrd.image import MRDImage
from arssr.integrations.mrd.messages import Limits, Stream, Text
from arssr.integrations.mrd.models import Asked, Models
from arssr.integrations.mrd.server import MRDServer
from arssr.volume import Volume

Address = tuple[str, int]
SHARED = Path(__file__).parents[4] / "shared"
FLAIR = SHARED / "data" / "clinical" / "openms-01_study1_FLAIR.nii.gz"


def split(images: list[ismrmrd.Image], *series: Series) -> tuple[list, list]:
    """Originals and results."""
    indices = {each.index for each in series}
    return (
        [image for image in images if image.image_series_index in indices],
        [image for image in images if image.image_series_index not in indices],
    )


def swap(image: ismrmrd.Image) -> None:
    """Of read and phase."""
    image.read_dir, image.phase_dir = tuple(image.phase_dir), tuple(image.read_dir)


def header_of(image: ismrmrd.Image) -> bytes:
    """Without the length of the attributes."""
    head = image.getHead()
    head.attribute_string_len = 0
    return bytes(head)


def test_an_oblique_series_in_no_order_comes_back_finer_where_it_lay(
    address: Address, models: Models
) -> None:
    series = Series()
    sent = shuffled(series.slices())
    got = session(address, sent)
    originals, [result] = split(got.images, series)
    assert got.closed and got.images[-1] is result  # originals first
    assert [header_of(i) for i in originals] == [header_of(i) for i in sent]
    assert all(np.array_equal(a.data, b.data) for a, b in zip(originals, sent, strict=True))

    expected, *_ = models.upsample(Volume(series.data, series.grid), Asked(), 10**6)
    nx, ny, nz = expected.grid.shape
    assert (nx, ny) == series.shape[:2] and nz > 20
    assert np.array_equal(result.data[0].T, np.rint(expected.data).astype(np.uint16))
    # slices from edge to edge: the field of view begins half a slice before the first centre
    depth = series.shape[2] * series.spacing_mm[2]
    middle = series.centre_mm((nx - 1) / 2, (ny - 1) / 2, (series.shape[2] - 1) / 2)
    assert np.allclose(result.field_of_view, (14 * 1.0, 12 * 1.1, depth), rtol=0.02)
    assert np.allclose(result.position, middle, atol=1.0)  # to half an output voxel
    index = np.array(result.field_of_view) / result.matrix_size
    corner = result.position - (np.array(result.field_of_view) / 2) @ series.axes
    assert np.allclose(corner, series.centre_mm(-0.5, -0.5, -0.5), atol=1e-3)
    assert np.allclose(index[:2], series.spacing_mm[:2], rtol=1e-6)
    for name, axis in zip(("read_dir", "phase_dir", "slice_dir"), series.axes, strict=True):
        assert np.allclose(getattr(result, name), axis, atol=1e-6)
    assert (result.slice, result.image_index, result.data.dtype) == (0, 1, np.uint16)


def test_the_result_says_what_it_is_and_keeps_what_is_still_true(address: Address) -> None:
    mine = {
        "ProtocolName": "t2 flair",
        "ImageComments": "left as it was",
        "ImageProcessingHistory": ["A", "B"],
        "IceMiniHead": "c2xpY2UgMw==",
        "SOPInstanceUID": "1.2.3",
        "SliceNo": "3",
        "WindowCenter": "400",
    }
    series = Series(meta=mine)
    originals, [result] = split(session(address, series.slices()).images, series)
    meta = ismrmrd.Meta.deserialize(result.attribute_string)
    assert (meta["ProtocolName"], meta["WindowCenter"]) == ("t2 flair", "400")
    assert meta["ImageProcessingHistory"] == ["A", "B", "ARSSR"]
    assert meta["SequenceDescriptionAdditional"] == "ARSSR"
    kept, said = meta["ImageComments"]
    assert kept == "left as it was" and "not for diagnosis" in said and "research use" in said
    assert not {"IceMiniHead", "SOPInstanceUID", "SliceNo"} & meta.keys()
    assert meta["NumberOfSlices"] == str(result.data.shape[1])
    row = [float(each) for each in meta["ImageRowDir"]]
    assert np.allclose(row, series.axes[0], atol=1e-6)
    before = ismrmrd.Meta.deserialize(originals[0].attribute_string)
    assert before.pop("Keep_image_geometry") == "1"
    assert before == mine


def test_a_slab_comes_back_as_its_slices_do(address: Address) -> None:
    series = Series()
    header = HEADER.format(z=7)
    _, [of_slices] = split(session(address, series.slices(), header=header).images, series)
    _, [of_slab] = split(session(address, [series.slab()], header=header).images, series)
    assert np.array_equal(of_slab.data, of_slices.data)
    assert np.allclose(of_slab.position, of_slices.position, atol=1e-4)


def test_two_series_at_once_and_repetitions_each_become_a_result(address: Address) -> None:
    one, other = Series(index=5), Series(index=2, first_mm=(0, 0, 0), seed=1)
    again = Series(index=5, seed=2).slices()
    for image in again:
        image.repetition = 1
    got = session(address, shuffled([*one.slices(), *other.slices(), *again]))
    originals, results = split(got.images, one, other)
    assert len(originals) == 21
    numbered = sorted((r.image_series_index, r.image_index, r.repetition) for r in results)
    assert [n[1:] for n in numbered] in ([(1, 0), (1, 0), (2, 1)], [(1, 0), (1, 1), (2, 0)])
    assert len({n[0] for n in numbered}) == 2


def test_where_an_image_was_turned_attributes_say_how_it_lies(address: Address) -> None:
    series = Series()
    turned = Series(
        meta={
            "ImageRowDir": [str(x) for x in series.axes[0]],
            "ImageColumnDir": [str(x) for x in series.axes[1]],
        }
    )
    sent = turned.slices()
    for image in sent:
        swap(image)
    _, [expected] = split(session(address, series.slices()).images, series)
    _, [result] = split(session(address, sent).images, series)
    assert np.allclose(result.position, expected.position, atol=1e-4)
    assert np.array_equal(result.data, expected.data)
    assert np.allclose(result.read_dir, sent[0].read_dir)


def test_phase_images_and_colours_go_back_as_they_came(address: Address) -> None:
    phase, colours = Series(index=4).slices(), Series(index=6).slices()[:1]
    for image in phase:
        image.image_type = ismrmrd.IMTYPE_PHASE
    colours[0].image_type = ismrmrd.IMTYPE_RGB
    got = session(address, [*phase, *colours], '{"parameters": {"sendoriginal": false}}')
    assert got.texts == [] and len(got.images) == 8


def test_parameters_choose_the_spacing_and_whether_originals_return(address: Address) -> None:
    series = Series()
    asked = '{"version": "1.1.0", "parameters": {"sendoriginal": "False", "spacing": "2"}}'
    got = session(address, series.slices(), asked)
    [result] = got.images
    sizes = np.array(result.field_of_view) / result.matrix_size
    assert np.allclose(sizes, 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ('{"parameters": {"model": "/etc/passwd", "sendoriginal": false}}', "no weights"),
        ('{"parameters": {"spacing": "fine"}}', "spacing is auto or a number of mm, not 'fine'"),
        ('{"parameters": {"spacing": "nan"}}', "spacing"),
        ('{"parameters": {"spacing": "1e-9"}}', ""),
        ('{"parameters": {"spacing": "0.02"}}', "with voxels of 0.02 mm the result takes"),
        ('{"parameters": {"sendoriginal": "perhaps"}}', "sendoriginal is true or false"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_lost(
    parameters: str, sentence: str, address: Address
) -> None:
    sent = Series().slices()
    got = session(address, sent, parameters)
    [text] = got.texts
    assert text.startswith("ERROR") and sentence in text
    assert [header_of(i) for i in got.images] == [header_of(i) for i in sent] and got.closed


def spoiled(which: str) -> list[ismrmrd.Image]:
    images = Series().slices()
    match which:
        case "missing":
            del images[3]
        case "twice":
            images.append(images[2])
        case "size":
            images[4].field_of_view = (9.0, 9.0, 9.0)
        case "turned":
            swap(images[4])
        case "nowhere":
            images[4].position = (float("nan"),) * 3
        case "no directions":
            for image in images:
                image.read_dir = (0.0, 0.0, 0.0)
        case "flat":
            for image in images:
                image.field_of_view = (9.0, 9.0, 0.0)
    return images


@pytest.mark.parametrize(
    ("which", "sentence"),
    [
        ("missing", "1 slices are missing"),
        ("twice", "two of its slices lie at the same place"),
        ("size", "differ in size"),
        ("turned", "not parallel"),
        ("nowhere", "has no place"),
        ("no directions", "does not say where its rows and columns run"),
        ("flat", "has no size"),
    ],
)
def test_a_bad_series_goes_back_with_a_sentence_and_the_next_is_done(
    which: str, sentence: str, address: Address
) -> None:
    bad, good = spoiled(which), Series(index=9)
    asked = '{"parameters": {"sendoriginal": false}}'
    got = session(address, [*bad, *good.slices()], asked)
    [text] = [each for each in got.texts if each.startswith("ERROR")]
    assert text.startswith("ERROR    arssr: series 3: ") and sentence in text
    back = [image for image in got.images if image.image_series_index == 3]
    assert [header_of(i) for i in back] == [header_of(i) for i in bad]
    assert len(got.images) == len(bad) + 1 and got.closed


def test_attributes_that_cannot_be_read_go_back_as_they_came(address: Address) -> None:
    with connected(address) as connection:
        client = Stream(connection, Limits())
        connection.sendall(struct.pack("<H1024s", 1, b"arssr"))
        for image in Series().slices():
            client.send_image(MRDImage(image.getHead(), b"<x/>", image.data))
        connection.sendall(struct.pack("<H", 4))
        text, *back = client.messages()
    assert isinstance(text, Text) and "its attributes are no MRD attributes" in text.text
    assert [image.attributes for image in back if isinstance(image, MRDImage)] == [b"<x/>"] * 7


def test_what_is_too_much_to_hold_goes_back_as_it_came(models: Models) -> None:
    sent = Series().slices()
    with serving(MRDServer(models, port=0, limits=Limits(session_bytes=1000))) as at:
        got = session(at, sent)
    [text] = got.texts
    assert "take more than the 1 KB" in text.replace("1000 B", "1 KB")
    assert [header_of(i) for i in got.images] == [header_of(i) for i in sent] and got.closed


def test_images_of_no_voxels_cannot_fill_the_memory(models: Models) -> None:
    empty = MRDImage(ImageHeader(data_type=1), b"", np.empty((0, 0, 0, 0), "<u2"))
    server = MRDServer(models, port=0, limits=Limits(session_bytes=100_000))
    with serving(server) as at, connected(at) as connection:
        client = Stream(connection, Limits())
        connection.sendall(struct.pack("<H1024s", 1, b"arssr"))
        for _ in range(100):
            client.send_image(empty)
        connection.sendall(struct.pack("<H", 4))
        text, *back = client.messages()
    assert isinstance(text, Text) and "take more than" in text.text and len(back) == 100


@pytest.mark.slow
@pytest.mark.skipif(not FLAIR.exists(), reason="needs the development data")
def test_a_clinical_scan_comes_back_where_its_file_says_that_it_lies() -> None:
    image = nib.load(FLAIR).slicer[90:150, 100:160, 5:25]  # type: ignore[attr-defined]
    scan = Volume(np.rint(image.get_fdata()), Volume.from_nibabel(image).grid)
    lps = np.diag([-1, -1, 1, 1]) @ scan.grid.affine
    size = scan.grid.spacing_mm
    sent = []
    for k in range(scan.grid.shape[2]):
        array = np.ascontiguousarray(scan.data[:, :, k].T.astype(np.uint16))
        made = ismrmrd.Image.from_array(array, transpose=False)
        made.position = tuple((lps @ [59 / 2, 59 / 2, k, 1])[:3])
        made.field_of_view = (60 * size[0], 60 * size[1], size[2])
        made.read_dir, made.phase_dir, made.slice_dir = map(tuple, (lps[:3, :3] / size).T)
        sent.append(made)
    with serving(MRDServer(Models("light", "cpu", "float32"), port=0)) as at:
        result = session(at, shuffled(sent), '{"parameters": {"sendoriginal": false}}').images[-1]
    with pytest.warns(ArSSRWarning):
        expected = load_model("light", "cpu", "float32").upsample(scan)
    assert np.abs(result.data[0].T - expected.data).max() < 0.51
    centre = expected.grid.to_world((np.array(expected.grid.shape) - 1) / 2)
    assert np.allclose(result.position, centre * [-1, -1, 1], atol=1e-4)


def test_a_bug_of_ours_loses_no_image(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Models, "upsample", fail)
    got = session(address, Series().slices())
    assert "a bug of ours" in got.texts[0] and len(got.images) == 7 and got.closed
