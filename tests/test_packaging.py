"""What is packed, and under which name, version and licence."""

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from tests.phantoms import smooth, volume
from tests.plain import python_plainly, run_plainly

from arssr.volume import Volume
from arssr.weights.registry import load, shipped

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "src" / "arssr" / "serving" / "page"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = PROJECT["version"]
_AT_THE_ROOT = re.compile(r'(?:ROOT|parents\[\d\]) / "([\w.]+)"')
_ALWAYS = {"README.md", "LICENSE", "pyproject.toml"}  # packed by themselves


def test_a_source_distribution_holds_what_its_tests_read() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packed = set(settings["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"])
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    read = {name for text in texts for name in _AT_THE_ROOT.findall(text)} - _ALWAYS
    assert {"docs", "train.py"} <= read
    assert read - {"shared"} <= packed  # images lie beside the checkout


def build(*options: str) -> None:
    """Without a network: the backend is one of the test's own packages."""
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "build", "--no-isolation", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_wheel_super_resolves_with_nothing_but_what_it_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unpacked, with the weights in it; `make try` has pip install it."""
    build("--wheel", "--outdir", str(tmp_path), str(ROOT))
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "installed")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "installed"))
    where = python_plainly("import arssr; print(arssr.__file__, arssr.__version__)", tmp_path)
    assert where.stdout.split() == [str(tmp_path / "installed" / "arssr/__init__.py"), VERSION]
    volume(smooth((12, 11, 5)), np.diag([1.0, 1, 3, 1])).write(tmp_path / "scan.nii.gz")
    words = "upsample scan.nii.gz -o out.nii.gz --isotropic"
    done = run_plainly([words], tmp_path)[words]
    assert done.code == 0, done.said
    assert Volume.read(tmp_path / "out.nii.gz").grid.shape == (12, 11, 15)


@pytest.mark.slow
def test_wheel_and_source_distribution_are_whole_and_one_makes_the_other(tmp_path: Path) -> None:
    build("--sdist", "--wheel", "--outdir", str(tmp_path), str(ROOT))
    [wheel], [source] = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / source.name.removesuffix(".tar.gz")
    build("--wheel", "--outdir", str(tmp_path / "again"), str(unpacked))
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(tmp_path / "again" / wheel.name) as other:
        packed = {name: one.read(name) for name in one.namelist()}
        assert packed == {name: other.read(name) for name in other.namelist()}
    ours = {path for path in (ROOT / "src").rglob("*") if path.is_file()}
    ours = {path for path in ours if "__pycache__" not in path.parts}
    for path in ours:
        name = path.relative_to(ROOT / "src").as_posix()
        assert packed[name] == path.read_bytes()
        assert (unpacked / "src" / name).read_bytes() == packed[name]
    assert any(path.suffix == ".safetensors" for path in ours) and PAGE / "page.js" in ours
    about = wheel.name.split("-py3")[0] + ".dist-info"
    licences = {name for name in packed if name.startswith(f"{about}/licenses/")}
    kept = ("LICENSE", "LICENSES/CC-BY-4.0.txt", "LICENSES/CC-BY-NC-4.0.txt", "LICENSES/README.md")
    notices = (PAGE / "notices.txt").relative_to(ROOT).as_posix()
    assert licences == {f"{about}/licenses/{name}" for name in (*kept, notices)}
    said = email.message_from_bytes(packed[f"{about}/METADATA"])
    assert (said["Version"], said["License-Expression"]) == (VERSION, PROJECT["license"])
    checked = [sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(source)]
    done = subprocess.run(checked, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_licence_covers_code_weights_and_what_the_page_bundles() -> None:
    weights = {load(name).card["licence"].replace(" ", "-") for name in shipped()}
    notices = (PAGE / "notices.txt").read_text(encoding="utf-8")
    bundled = set(re.findall(r"^## \S+ - \S+ \((.+)\)$", notices, re.MULTILINE))
    assert bundled
    assert set(PROJECT["license"].split(" AND ")) == {"Apache-2.0", *weights, *bundled}
    for name in ("Dockerfile", "containers/arssr.def"):
        assert PROJECT["license"] in (ROOT / name).read_text(encoding="utf-8"), name
    texts = {path.stem for path in (ROOT / "LICENSES").glob("*.txt")}
    assert weights <= texts


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CITATION.cff", rf"^version: {re.escape(VERSION)}$"),
        ("CHANGELOG.md", rf"\A[^[]*\[[^]]*\][^[]*\[[^]]*\][^[]*## \[{re.escape(VERSION)}\] - "),
        ("containers/build.yaml", rf"^version: {re.escape(VERSION)}$"),
        ("docs/settings.md", rf"ArSSR \(version {re.escape(VERSION)};"),
    ],
)
def test_there_is_one_version(name: str, said: str) -> None:
    assert re.search(said, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)


def test_a_citation_has_the_date_of_its_release() -> None:
    cited = re.search(
        r"^date-released: (\S+)$",
        (ROOT / "CITATION.cff").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    logged = re.search(r"^## \[\S+\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert cited and logged and cited[1] == logged[1]


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("citation-file-format", "CITATION.cff"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("github-workflows", ".github/workflows/*.yml"),
    ],
)
def test_what_others_read_by_a_schema_is_valid(schema: str, pattern: str) -> None:
    pytest.importorskip("check_jsonschema")
    files = [str(path) for path in ROOT.glob(pattern)]
    assert files
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_versions_of_python_are_those_that_are_named() -> None:
    """In the metadata; the workflow that tries the wheel may try newer ones."""
    named = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if "Python :: 3." in each]
    workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    tried = re.search(r"python: \[(.*)\]", workflow)
    assert tried and re.findall(r"[\d.]+", tried[1])[: len(named)] == named
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_the_package_says_that_it_is_typed() -> None:
    assert (resources.files("arssr") / "py.typed").is_file()
