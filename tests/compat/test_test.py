"""`python test.py`: the reference's numbers, sizes and names, and headers that tell the truth."""

import json
from collections import OrderedDict
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from tests.phantoms import rotated, smooth, tiny_config, tiny_network

from arssr.compat.test import main
from arssr.grid import Grid
from arssr.networks import ImplicitVoxelNetwork
from arssr.volume import Storage, Volume
from arssr.weights.files import save_reference, save_weights

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"
TINY = ["-feature_dim", "8", "-depth", "4", "-width", "8", "-is_gpu", "0"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paper_network(seed: int = 0) -> ImplicitVoxelNetwork:
    """A tiny network that answers with something other than zeros."""
    network = tiny_network("rescnn", "paper", seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.abs_()
        network.decoder.stage_two[-2].bias.fill_(0.5)  # type: ignore[operator,union-attr,index]
    return network


def write_input(
    folder: Path, name: str = "lr.nii.gz", shape: tuple[int, ...] = (6, 7, 5)
) -> Volume:
    """A small oblique image in units of its own."""
    grid = rotated(Grid((shape[0], shape[1], shape[2]), np.diag([-1, 0.9, 2, 1])), (10, 25, -5))
    volume = Volume(100 * smooth(shape), grid)
    volume.write(folder / name)
    return volume


def reference_answer(checkpoint: Path, kji: np.ndarray, scale: float) -> np.ndarray:
    """What the reference computes on a (k, j, i) array: every output voxel by its coordinate."""
    network = ImplicitVoxelNetwork(tiny_config("rescnn", "paper"))
    network.load_state_dict(torch.load(checkpoint, weights_only=True))
    shape = [int(n * scale) for n in kji.shape]
    axes = [(2 * np.arange(n) + 1) / n - 1 for n in shape]  # voxel centres in [-1, 1]
    normalised = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(1, -1, 3)
    positions = (normalised + 1) / 2 * kji.shape - 0.5
    image = torch.from_numpy(np.ascontiguousarray(kji, np.float32))[None, None]
    with torch.no_grad():
        values = network(image, None, torch.from_numpy(positions).float(), torch.ones(1, 3))
    return values.numpy().reshape(shape)


def test_intensities_are_the_references(here: Path) -> None:
    save_reference(here / "w.pkl", paper_network())
    volume = write_input(here / "in")
    arguments = ["-input_path", "in", "-output_path", "out", "-encoder_name", "ResCNN", *TINY]
    assert main([*arguments, "-pre_trained_model", "w.pkl", "-scale", "1.7"]) == 0
    result = Volume.read(here / "out" / "ArSSR_ResCNN_recon_1d7x_lr.nii.gz")
    expected = reference_answer(here / "w.pkl", volume.data.transpose(2, 1, 0), 1.7)
    assert np.ptp(expected) > 1e-3
    tolerance = 1e-5 * np.ptp(expected)
    np.testing.assert_allclose(result.data.transpose(2, 1, 0), expected, atol=tolerance, rtol=0)


def test_header_says_where_the_voxels_are(here: Path) -> None:
    save_reference(here / "w.pkl", paper_network())
    volume = write_input(here / "in")
    arguments = ["-input_path", "in", "-output_path", "a/b", "-encoder", "rescnn", *TINY]
    assert main([*arguments, "-pre_trained_model", "w.pkl", "-scale", "2.3"]) == 0
    image = nib.load(here / "a" / "b" / "ArSSR_rescnn_recon_2d3x_lr.nii.gz")
    assert image.shape == (13, 16, 11)  # int(n * 2.3)
    assert image.get_data_dtype() == np.float32
    np.testing.assert_allclose(image.get_sform(), image.get_qform(), atol=1e-4)
    result = Grid(image.shape, image.affine)
    for corner in np.ndindex(2, 2, 2):  # edges of the field of view
        np.testing.assert_allclose(
            result.to_world(np.multiply(corner, result.shape) - 0.5),
            volume.grid.to_world(np.multiply(corner, volume.grid.shape) - 0.5),
            atol=1e-4,
        )


def test_integer_input_gives_unrounded_output(here: Path) -> None:
    save_reference(here / "w.pkl", paper_network())
    grid = Grid((5, 5, 5), np.eye(4))
    Volume(np.rint(9 * smooth((5, 5, 5))), grid, Storage("uint8")).write(here / "in" / "a.nii")
    arguments = ["-input_path", "in", "-output_path", "out", "-encoder", "ResCNN", *TINY]
    assert main([*arguments, "-pre_trained_model", "w.pkl"]) == 0
    image = nib.load(here / "out" / "ArSSR_ResCNN_recon_2d0x_a.nii")
    assert image.get_data_dtype() == np.float32
    values = np.asarray(image.dataobj)
    assert not np.array_equal(values, np.rint(values))


def test_one_bad_image_does_not_stop_the_others(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_reference(here / "w.pkl", paper_network())
    for name in ("a.nii.gz", "c.nii.gz"):
        write_input(here / "in", name)
    (here / "in" / "b.nii.gz").write_bytes(b"not an image")
    arguments = ["-input_path", "in", "-output_path", "out", "-encoder", "ResCNN", *TINY]
    assert main([*arguments, "-pre_trained_model", "w.pkl"]) == 1
    assert sorted(path.name for path in (here / "out").iterdir()) == [
        "ArSSR_ResCNN_recon_2d0x_a.nii.gz",
        "ArSSR_ResCNN_recon_2d0x_c.nii.gz",
    ]
    told = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("error:") for line in told) == 1
    assert {"out/ArSSR_ResCNN_recon_2d0x_a.nii.gz", "out/ArSSR_ResCNN_recon_2d0x_c.nii.gz"} < {
        *told
    }


def test_own_weights_answer_in_the_units_of_the_image(here: Path) -> None:
    save_weights(here / "w.safetensors", tiny_network(), {})
    volume = write_input(here / "in")
    arguments = ["-input_path", "in", "-output_path", "out", "-encoder", "light", *TINY]
    assert main([*arguments, "-pre_trained_model", "w.safetensors"]) == 0
    result = Volume.read(here / "out" / "ArSSR_light_recon_2d0x_lr.nii.gz")
    # untrained, it is cubic interpolation but for a thousandth
    assert result.data.mean() == pytest.approx(volume.data.mean(), rel=0.02)


def test_shipped_weights_of_the_named_encoder(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_weights(here / "light.safetensors", tiny_network(), {})
    monkeypatch.setattr(
        "arssr.weights.registry.shipped", lambda: {"light": here / "light.safetensors"}
    )
    write_input(here / "in")
    arguments = ["-input_path", "in", "-is_gpu", "0"]
    assert main([*arguments, "-encoder_name", "Light"]) == 0
    assert (here / "test" / "output" / "ArSSR_Light_recon_2d0x_lr.nii.gz").exists()
    capsys.readouterr()
    assert main(arguments) == 1
    assert "no weights for RDN ship" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["-encoder", "-depth", "-width", "-feature_dim"])
def test_weights_of_another_network_are_refused(
    here: Path, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save_reference(here / "w.pkl", paper_network())
    write_input(here / "in")
    right = {"-encoder": "ResCNN", "-depth": "4", "-width": "8", "-feature_dim": "8"}
    wrong = right | {flag: "RDN" if flag == "-encoder" else "16"}
    flags = [word for pair in wrong.items() for word in pair]
    assert main(["-input_path", "in", "-pre_trained_model", "w.pkl", *flags]) == 1
    assert "w.pkl does not fit" in capsys.readouterr().err
    assert not (here / "test").exists()


def golden_weight(name: str, shape: tuple[int, ...], seed: int = 20) -> torch.Tensor:
    """The rule of ../shared/golden/README.md."""
    rng = np.random.default_rng([seed, *name.encode()])
    if shape == (1,):
        return torch.full(shape, 0.5)
    values = rng.standard_normal(shape)
    factor = 0.05 if len(shape) == 1 else np.sqrt(1 / np.prod(shape[1:]))
    return torch.from_numpy((factor * values).astype(np.float32))


@pytest.mark.slow
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs ../shared/golden")
@pytest.mark.parametrize("answer", sorted(path.stem for path in GOLDEN.glob("*.npy")))
def test_golden_answers(here: Path, answer: str) -> None:
    network, scale = answer.rsplit("_x", 1)
    encoder, feature_dim, depth, width = network.split("_")
    layout = json.loads((GOLDEN / "state_dict_layout.json").read_text())[network]
    state = OrderedDict((name, golden_weight(name, tuple(shape))) for name, shape in layout.items())
    torch.save(state, here / "w.pkl")
    (here / "in").mkdir()
    (here / "in" / "lr.nii.gz").write_bytes((GOLDEN / "lr.nii.gz").read_bytes())
    arguments = ["-input_path", "in", "-output_path", "out", "-encoder_name", encoder]
    arguments += ["-feature_dim", feature_dim[1:], "-decoder_depth", depth[1:]]
    arguments += ["-decoder_width", width[1:], "-pre_trained_model", "w.pkl", "-is_gpu", "0"]
    assert main([*arguments, "-scale", scale]) == 0
    name = f"ArSSR_{encoder}_recon_{scale.replace('.', 'd')}x_lr.nii.gz"
    result = np.asarray(nib.load(here / "out" / name).dataobj).transpose(2, 1, 0)
    expected = np.load(GOLDEN / f"{answer}.npy")
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() <= 1e-4 * np.ptp(expected)
