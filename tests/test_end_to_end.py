"""A real head, in and out: what ships is better than interpolation, from Python and the shell."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from tests.formats.series import write_series
from tests.phantoms import smooth, tiny_network, tissue, volume

from arssr.api import Model, load_model
from arssr.degradation import degrade, named_degradation
from arssr.evaluation.head import mni152_head
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.volume import Storage, Volume
from arssr.weights.files import save_weights
from arssr.weights.registry import shipped

needs_light = pytest.mark.skipif(
    "light" not in shipped(), reason="no light.safetensors in arssr/weights/shipped yet"
)


@pytest.fixture(scope="module")
def head() -> Volume:
    """64 mm a side of the MNI152 T1 at 1 mm: cortex, ventricles, deep nuclei."""
    pytest.importorskip("nilearn")
    whole = mni152_head()
    start = np.array(whole.grid.shape) // 2 - (32, 10, 32)
    i, j, k = (slice(s, s + 64) for s in start.tolist())
    affine = whole.grid.affine.copy()
    affine[:3, 3] = whole.grid.to_world(start)
    return whole.with_data(whole.data[i, j, k], Grid((64, 64, 64), affine))


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("light", "cpu")


def psnr(image: Volume, truth: Volume) -> float:
    """dB, over the range of the truth."""
    assert image.grid.matches(truth.grid)
    mean_square = float(np.mean((image.data - truth.data) ** 2, dtype=np.float64))
    return 10 * np.log10(float(np.ptp(truth.data)) ** 2 / mean_square)


@needs_light
@pytest.mark.parametrize("scale", [2, (1, 1, 4)], ids=["2x", "thick slices"])
def test_what_ships_beats_cubic_interpolation_on_a_head_it_has_never_seen(
    head: Volume, model: Model, scale: float | tuple[float, float, float]
) -> None:
    lr = degrade(head, scale, named_degradation("slice"))
    ours = model.upsample(lr, like=head, acquisition="slice")
    assert psnr(ours, head) > psnr(resample(lr, head.grid), head) + 0.5


@needs_light
@pytest.mark.parametrize("thickness", [3, 2])
def test_slices_with_gaps_and_a_box_profile_are_not_sharpened_too_much(
    model: Model, thickness: int, tmp_path: Path
) -> None:
    """2 or 3 mm of every 4 mm are measured, evenly, and the DICOM headers say so."""
    truth = tissue((72, 72, 64))
    quarters = ndimage.zoom(truth, (1, 1, 4), order=1, grid_mode=True, mode="nearest")
    half = 2 * thickness
    slices = [quarters[..., k - half : k + half].mean(axis=-1) for k in range(8, 256, 16)]
    scan = np.rint(10 * np.stack(slices, axis=-1)).astype(np.int16)
    grid = Grid(scan.shape, np.diag([-1, -1, 4, 1]))
    write_series(tmp_path, scan, grid, SliceThickness=thickness, SpacingBetweenSlices=4)

    def error(image: Volume) -> float:
        return float(np.sqrt(np.mean((image.data / 10 - truth) ** 2)))

    series = Volume.read(tmp_path)
    ours = model.upsample(series, isotropic=True)
    assert error(ours) <= 1.02 * error(resample(series, ours.grid))


@needs_light
def test_arithmetic_does_not_show(head: Volume) -> None:
    """bfloat16 against float32: 60 dB or more, air skipped or not."""
    lr = degrade(head, 2, named_degradation("slice"))
    exact, rounded = (
        load_model("light", "cpu", precision).upsample(lr, like=head, acquisition="slice")
        for precision in ("float32", "bf16")
    )
    assert psnr(rounded, exact) > 60


@needs_light
def test_from_a_shell_with_nothing_but_a_scale(head: Volume, tmp_path: Path) -> None:
    lr = degrade(head, (1, 1, 4), named_degradation("slice"))
    lr.write(tmp_path / "scan.nii.gz")
    command = [sys.executable, "-m", "arssr.cli.main", "upsample", "scan.nii.gz"]
    command += ["-o", "sharp.nii.gz", "--scale", "1", "1", "4", "--device", "cpu", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    [facts] = json.loads(done.stdout)
    assert facts["model"]["name"] == "light"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "scan.nii.gz",
        "sharp.json",
        "sharp.nii.gz",
    ]
    ours = Volume.read(tmp_path / "sharp.nii.gz")
    assert psnr(ours, head) > psnr(resample(lr, head.grid), head) + 0.5


def test_any_weights_from_a_shell_keep_things_in_place(tmp_path: Path) -> None:
    """A fresh process: an oblique blob of 16-bit integers through a random network."""
    save_weights(tmp_path / "random.safetensors", tiny_network(), {})
    affine = np.array([[-0.9, 0.3, 0, 40], [0.3, 0.9, 0.3, -20], [0.2, -0.2, 2.5, 5], [0, 0, 0, 1]])
    data = np.zeros((15, 17, 11))
    data[7, 8, 5] = 1
    data = np.rint(30000 * ndimage.gaussian_filter(data, 1.5) + 20 * smooth(data.shape))
    scan = Volume(data, volume(data, affine).grid, storage=Storage("int16"))
    scan.write(tmp_path / "oblique scan.nii.gz")
    command = [sys.executable, "-m", "arssr.cli.main", "upsample", "oblique scan.nii.gz", "-o", "."]
    command += ["--spacing", "0.7", "--model", "random.safetensors", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    result = Volume.read(tmp_path / "oblique scan_SR.nii.gz")
    assert result.storage.dtype == np.dtype(np.int16)
    np.testing.assert_allclose(result.grid.spacing_mm, 0.7)
    brightest = np.unravel_index(result.data.argmax(), result.grid.shape)
    distance = np.linalg.norm(result.grid.to_world(brightest) - scan.grid.to_world((7, 8, 5)))
    assert distance < 0.7
