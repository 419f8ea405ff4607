"""A plain installation: what works with it, and the sentence where something needs more."""

import json
import tomllib
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from tests.formats.series import write_series
from tests.phantoms import smooth, tiny_network
from tests.plain import ROOT, canonical, missing, requirements, run_plainly

from arssr.errors import ArSSRError
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
    packed = pydicom.dcmread(get_testdata_file("MR_small_jp2klossless.dcm"))
    for k in range(2):
        packed.SOPInstanceUID = f"1.2.3.{k}"
        packed.ImagePositionPatient = [0, 0, 3 * k]
        packed.InstanceNumber = k + 1
        packed.save_as(tmp_path / f"packed{k}.dcm")
    (tmp_path / "jpeg").mkdir()
    for k in range(2):
        (tmp_path / f"packed{k}.dcm").rename(tmp_path / "jpeg" / f"{k}.dcm")
    (tmp_path / "flirt.mat").write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    (tmp_path / "itk.tfm").write_text("#Insight Transform File V1.0\n")
    (tmp_path / "fs.lta").write_text("type = 1\n")
    bids = tmp_path / "bids"
    scan.write(bids / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    (bids / "dataset_description.json").write_text(
        json.dumps({"Name": "made up", "BIDSVersion": "1.8.0"})
    )
    save_weights(tmp_path / "tiny.safetensors", tiny_network(), {})
    return tmp_path


def arssr(here: Path, words: str) -> "tuple[int, str]":
    done = run_plainly(*words.split(), cwd=here)
    return done.returncode, done.stderr


# --- what is missing -----------------------------------------------------------------------------

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
    f"{LIKE} flirt.mat": ("formats", "reading flirt.mat (FSL) needs nitransforms"),
    f"{LIKE} fs.lta": ("formats", "reading fs.lta (FreeSurfer) needs nitransforms"),
    f"{LIKE} itk.tfm": ("formats", "reading itk.tfm (ITK) needs SimpleITK"),
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
    "bench": ("demo", "arssr bench needs nilearn"),
    "view --no-browser": (
        "view",
        "arssr view needs starlette, uvicorn, matplotlib and scikit-image",
    ),
}


@pytest.mark.parametrize("words", SENTENCES)
def test_what_a_plain_installation_lacks_is_one_sentence_before_any_work(
    here: Path, words: str
) -> None:
    extra, sentence = SENTENCES[words]
    code, said = arssr(here, words)
    assert said == f"error: {sentence}: pip install 'arssr[{extra}]'\n"
    assert code == 1
    assert not list(here.glob("out*")) and not list(here.glob(".arssr*"))


PROGRAMS = {
    "from arssr.demo import main; main()": ("report", "the demo"),
    "from arssr.compat.train import main; sys.exit(main(['-hr_data_train', '.']))": (
        "train",
        "train.py",
    ),
    "from arssr import Volume; Volume.read('scan.nii.gz').to_sitk()": (
        "formats",
        "an image of SimpleITK",
    ),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_so_it_is_in_other_programs(here: Path, program: str) -> None:
    extra, what = PROGRAMS[program]
    done = run_plainly(program=program, cwd=here)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert f"{what} needs " in last and last.endswith(f": pip install 'arssr[{extra}]'")


def test_a_scan_that_needs_more_does_not_keep_others_from_being_done(here: Path) -> None:
    code, said = arssr(
        here, "upsample scan.nrrd scan.mgz -m tiny.safetensors --scale 2 -o out/ --quiet"
    )
    assert code == 1 and "pip install 'arssr[formats]'" in said
    assert (here / "out" / "scan.mgz").exists()


# --- what works ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    ["--help", "--version", "models", "info light", "info scan.nii.gz", "info series --json"],
)
def test_a_plain_installation_says_what_there_is(here: Path, words: str) -> None:
    assert arssr(here, words)[0] == 0


@pytest.mark.parametrize("source", ["scan.nii.gz", "scan.mgz", "scan.mha", "series"])
@pytest.mark.parametrize("result", ["out.nii.gz", "out.mgz", "out.dicom"])
def test_a_plain_installation_makes_the_same_result(here: Path, source: str, result: str) -> None:
    if result == "out.dicom" and source != "series":
        return
    options = "-m tiny.safetensors --isotropic --device cpu --precision float32"
    code, said = arssr(here, f"upsample {source} -o {result} {options}")
    assert code == 0, said
    import arssr as package

    model = package.load_model(here / "tiny.safetensors", "cpu", "float32")
    whole = model.upsample(here / source, isotropic=True)
    whole.write(here / f"whole_{result}", made_from=here / source)
    one, other = (Volume.read(here / name) for name in (result, f"whole_{result}"))
    np.testing.assert_array_equal(one.data, other.data)


def test_a_data_set_is_done_without_reports(here: Path) -> None:
    words = "bids bids out participant --isotropic -m tiny.safetensors --no-report"
    code, said = arssr(here, words)
    assert code == 0, said
    assert (here / "out" / "index.html").exists()


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
