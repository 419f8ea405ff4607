"""A plain installation: what works with it, and the sentence where something needs more."""

import tomllib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, packages_distributions
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import RLELossless
from tests.cli.conftest import Arssr, arssr  # noqa: F401
from tests.formats.series import write_series
from tests.phantoms import smooth, tiny_network
from tests.plain import ROOT, Done, canonical, missing, python_plainly, requirements, run_plainly

from arssr.api import load_model
from arssr.errors import ArSSRError
from arssr.evaluation.tables import provenance
from arssr.extras import EXTRAS, require
from arssr.grid import Grid
from arssr.volume import Volume
from arssr.weights.files import save_weights

GRID = Grid((12, 11, 5), np.diag([1.0, 1, 3, 1]))
STORED = np.random.default_rng(0).integers(0, 900, GRID.shape).astype(np.int16)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with scans, transforms and weights."""
    scan = Volume(smooth(GRID.shape, sigma=1), GRID)
    for name in ("scan.nii.gz", "scan.mgz", "scan.nrrd", "scan.mha"):
        scan.write(tmp_path / name)
    write_series(tmp_path / "series", STORED, GRID)
    for path in write_series(tmp_path / "rle", STORED, GRID):
        image = pydicom.dcmread(path)
        image.compress(RLELossless, generate_instance_uid=False)
        image.save_as(path)
    (tmp_path / "jpeg").mkdir()
    packed = pydicom.dcmread(get_testdata_file("MR_small_jp2klossless.dcm"))
    for k in range(2):
        packed.SOPInstanceUID = f"1.2.3.{k}"
        packed.ImagePositionPatient = [0, 0, 3 * k]
        packed.save_as(tmp_path / "jpeg" / f"{k}.dcm")
    np.savetxt(tmp_path / "flirt.mat", np.eye(4))
    (tmp_path / "itk.tfm").write_text("#Insight Transform File V1.0\n")
    (tmp_path / "fs.lta").write_text("type = 1\n")
    scan.write(tmp_path / "bids" / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    (tmp_path / "bids" / "dataset_description.json").write_text(
        '{"Name": "made up", "BIDSVersion": "1.8.0"}'
    )
    save_weights(tmp_path / "tiny.safetensors", tiny_network(), {})
    return tmp_path


# --- what is missing -----------------------------------------------------------------------------

OPTIONS = "-m tiny.safetensors --isotropic --device cpu --precision float32"
RESULTS = {
    (source, result): f"upsample {source} -o {result} {OPTIONS}"
    for source, result in (
        ("scan.nii.gz", "nifti.nii.gz"),
        ("scan.mgz", "mgh.mgz"),
        ("scan.mha", "meta.nii"),
        ("series", "dicom.nii.gz"),
        ("series", "derived.dicom"),
        ("rle", "rle.nii.gz"),
    )
}
WORKS = [
    *("--help", "--version", "models", "info light", "info scan.nii.gz", "info series --json"),
    *RESULTS.values(),
    "bids bids derived participant --isotropic -m tiny.safetensors --no-report",
]
UPSAMPLE = "upsample scan.nii.gz -m tiny.safetensors --isotropic -o out.nii.gz"
LIKE = "upsample scan.nii.gz -m tiny.safetensors -o out.nii.gz --like scan.mgz --transform"
SENTENCES = {
    f"{UPSAMPLE} --report": ("report", "--report needs matplotlib and scikit-image"),
    f"{UPSAMPLE} --dask tcp://127.0.0.1:9": ("cluster", "dask needs distributed"),
    f"{UPSAMPLE} --slurm": ("cluster", "Slurm needs distributed and dask-jobqueue"),
    UPSAMPLE.replace("scan.nii", "scan.nrrd").replace("nrrd.gz", "nrrd"): (
        "formats",
        "reading scan.nrrd needs SimpleITK",
    ),
    UPSAMPLE.replace("scan.nii.gz", "jpeg"): (
        "formats",
        "reading jpeg (JPEG 2000 Image Compression (Lossless Only)) needs SimpleITK",
    ),
    **{
        UPSAMPLE.replace("out.nii.gz", f"out.{suffix}"): (
            "formats",
            f"writing out.{suffix} needs SimpleITK",
        )
        for suffix in ("nrrd", "mha", "mhd")
    },
    f"{LIKE} flirt.mat": ("formats", "scan.nii.gz: reading flirt.mat (FSL) needs nitransforms"),
    f"{LIKE} fs.lta": ("formats", "scan.nii.gz: reading fs.lta (FreeSurfer) needs nitransforms"),
    f"{LIKE} itk.tfm": ("formats", "scan.nii.gz: reading itk.tfm (ITK) needs SimpleITK"),
    "bids bids out participant --isotropic -m tiny.safetensors": (
        "bids",
        "arssr bids without --no-report needs matplotlib and scikit-image",
    ),
    "compare scan.nii.gz scan.mgz -o out.html": (
        "report",
        "arssr compare needs matplotlib and scikit-image",
    ),
    "evaluate scan.nii.gz -o out": (
        "report",
        "arssr evaluate needs matplotlib, scikit-image and PyYAML",
    ),
    "train scan.nii.gz -o out": (
        "train",
        "arssr train needs lightning, tensorboard and PyYAML",
    ),
    "adapt scan.nii.gz -o out.safetensors": (
        "train",
        "arssr adapt needs lightning, tensorboard and PyYAML",
    ),
    "merge scan.nii.gz scan.mgz -o out.nii.gz -m tiny.safetensors": (
        "formats",
        "merging (but for --no-register, register=False) needs SimpleITK",
    ),
    "merge scan.nii.gz scan.mgz -o out.nii.gz --report": (
        "report",
        "--report needs matplotlib and scikit-image",
    ),
    "export tiny.safetensors -o out.onnx": ("onnx", "arssr export needs onnx"),
    "mrd": ("mrd", "arssr mrd needs ismrmrd"),
    "bench": ("demo", "arssr bench needs nilearn"),
    "view --no-browser": (
        "view",
        "arssr view needs starlette, uvicorn, matplotlib and scikit-image",
    ),
}


@pytest.mark.slow
def test_what_a_plain_installation_lacks_is_one_sentence_before_any_work(here: Path) -> None:
    answers = run_plainly(SENTENCES, here)
    for words, (extra, sentence) in SENTENCES.items():
        told = f"error: {sentence}: pip install 'arssr[{extra}]'\n"
        assert answers[words] == Done(1, told, made=[]), words


PROGRAMS = {
    "from arssr.demo import main; main()": ("report", "the demo"),
    "from arssr.compat.train import main; sys.exit(main(['-hr_data_train', '.']))": (
        "train",
        "train.py",
    ),
    "import arssr; arssr.view('scan.nii.gz')": ("notebook", "arssr.view"),
    "from arssr import Volume; Volume.read('scan.nii.gz').to_sitk()": (
        "formats",
        "an image of SimpleITK",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_so_it_is_in_other_programs(here: Path, program: str) -> None:
    extra, what = PROGRAMS[program]
    done = python_plainly(program, here)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert f"{what} needs " in last and last.endswith(f": pip install 'arssr[{extra}]'")


def test_the_baseline_of_another_extra_is_asked_for_before_an_evaluation(
    here: Path,
    arssr: Arssr,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "arssr.extras.find_spec", lambda name: None if name == "SimpleITK" else object()
    )
    done = arssr("evaluate", here / "scan.nii.gz", "-o", here / "out")
    assert done.complaint == (
        "the baseline lanczos (others: --baselines) needs SimpleITK: pip install 'arssr[formats]'"
    )


def test_an_evaluation_names_versions_of_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(name: str) -> str:
        if name == "SimpleITK":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr("arssr.extras.version", of)
    named = provenance([])["versions"]
    assert "SimpleITK" not in named and {"arssr", "torch", "scikit-image"} <= set(named)


# --- what works ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_plain_installation_does_what_a_whole_one_does(here: Path) -> None:
    """To the bit; and a scan that needs more does not keep others from being done."""
    both = f"upsample scan.nrrd scan.mgz -o both/ {OPTIONS}"
    answers = run_plainly([*WORKS, both], here)
    for words in WORKS:
        assert answers[words].code == 0, (words, answers[words].said)
    assert answers[both].code == 1
    assert "writing both/scan_SR.nrrd needs SimpleITK" in answers[both].said
    assert str(Path("both", "scan_SR.mgz")) in answers[both].made
    model = load_model(here / "tiny.safetensors", "cpu", "float32")
    for source, result in RESULTS:
        whole = model.upsample(here / source, isotropic=True)
        whole.write(here / "whole" / result, made_from=here / source)
        one, other = (Volume.read(folder / result) for folder in (here, here / "whole"))
        np.testing.assert_array_equal(one.data, other.data)
        np.testing.assert_array_equal(one.grid.affine, other.grid.affine)


# --- the list of extras --------------------------------------------------------------------------


def test_the_modules_of_an_extra_are_those_of_its_packages() -> None:
    """Of pyproject.toml, with what an extra takes from other extras."""
    packages = packages_distributions()

    def named(extra: str) -> set[str]:
        wanted = requirements(extra)
        others = {other for one in wanted if one.name == "arssr" for other in one.extras}
        own = {canonical(one.name) for one in wanted if one.name != "arssr"}
        return own.union(*map(named, others))

    for extra, modules in EXTRAS.items():
        for module in modules:
            assert {canonical(name) for name in packages[module]} & named(extra), (extra, module)


def test_everything_that_a_user_can_ask_for_is_in_all() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [everything] = requirements("all")
    ours = {"all", "demo", "dev", "docs", "fuzz", "test"}
    assert everything.extras == set(project["optional-dependencies"]) - ours
    assert set(EXTRAS) - {"demo"} == everything.extras


def test_what_extras_bring_is_missing_from_a_plain_installation() -> None:
    """Or the tests above would prove nothing."""
    assert {"SimpleITK", "matplotlib", "lightning", "skimage", "yaml"} <= missing()
    assert not {"torch", "numpy", "nibabel", "pydicom", "arssr"} & missing()


def test_several_missing_modules_are_named_as_the_registry_calls_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    absent: Callable[[str], None] = lambda name: None  # noqa: E731
    monkeypatch.setattr("arssr.extras.find_spec", absent)
    with pytest.raises(ArSSRError, match=r"^it needs distributed and dask-jobqueue: pip install"):
        require("cluster", "it")
