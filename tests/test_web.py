"""What the browser's engine loads, and the engine itself where Node.js and Chromium are here."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tools.export_web import export, in_words

from arssr.errors import ArSSRError
from arssr.networks import ImplicitVoxelNetwork, ModelConfig
from arssr.networks.parts import convolutions
from arssr.weights.registry import Weights, load

WEB = Path(__file__).parents[1] / "web"
PAGE = WEB.parent / "src" / "arssr" / "serving" / "page"
NPM, CHROMIUM = shutil.which("npm"), shutil.which("chromium")
needs_packages = pytest.mark.skipif(
    NPM is None or not (WEB / "node_modules").is_dir(), reason="needs Node.js, and npm ci in web/"
)


@pytest.mark.parametrize("name", ["light", "rdn"])
def test_the_exported_parameters_are_those_of_the_weights(name: str, tmp_path: Path) -> None:
    weights = load(name)
    export(weights, tmp_path)
    manifest = json.loads((tmp_path / f"{name}.json").read_text())
    content = (tmp_path / f"{name}.bin").read_bytes()
    assert manifest["values_sha256"] == hashlib.sha256(content).hexdigest()
    values = np.frombuffer(content, "<f2")
    state = weights.network.state_dict()
    assert manifest["tensors"].keys() == state.keys()
    for parameter, where in manifest["tensors"].items():
        count = int(np.prod(where["shape"]))
        found = values[where["offset"] : where["offset"] + count].reshape(where["shape"])
        assert np.array_equal(found, state[parameter].half().numpy()), parameter


def test_the_page_knows_the_scans_that_weights_were_trained_on(tmp_path: Path) -> None:
    weights = load("light")
    export(weights, tmp_path)
    manifest = json.loads((tmp_path / "light.json").read_text())
    known = [image["sha256"] for image in weights.card["data"]]
    assert known
    assert [file for file, _ in manifest["trained_on"]] == known


def test_the_page_knows_how_the_images_of_a_training_look(tmp_path: Path) -> None:
    looks = [{"roughness": 0.04, "peak": 0.3}, None, {"roughness": 0.09, "peak": 0.1}]
    for known, seen in ((3, [(0.04, 0.1), (0.09, 0.3)]), (1, None)):
        data = [{"look": look} for look in looks[:known]] + [{}, {}]
        weights = load("light")
        export(replace(weights, card={**weights.card, "data": data}), tmp_path)
        manifest = json.loads((tmp_path / "light.json").read_text())
        found = manifest["looks"]
        assert (found and [(look["roughness"], look["peak"]) for look in found]) == seen


@pytest.mark.parametrize("encoder", ["light", "rdn", "rescnn", "srresnet"])
def test_the_words_of_an_encoder_name_its_convolutions_in_order(encoder: str) -> None:
    network = ImplicitVoxelNetwork(ModelConfig(encoder=encoder, feature_dim=8, decoder_width=8))
    names = {id(module): name for name, module in network.named_modules()}
    part = network.encoder.parts()
    assert part is not None
    said = list(_convolutions(in_words(part, names)))
    assert said == [names[id(conv)] for conv in convolutions(part)]


def test_a_network_of_the_papers_flavour_is_refused(tmp_path: Path) -> None:
    network = ImplicitVoxelNetwork(ModelConfig("paper", "light", 8, 4, 8))
    with pytest.raises(ArSSRError, match="residual"):
        export(Weights("own", network, {}, tmp_path / "own.safetensors"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_exported_weights_are_exact_in_float16(tmp_path: Path) -> None:
    state = load("light").network.state_dict()
    assert all(torch.equal(tensor, tensor.half().float()) for tensor in state.values())


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@needs_packages
def test_the_browsers_engine_gives_the_numbers_of_python() -> None:
    assert NPM is not None
    environment = {**os.environ, "ARSSR_PYTHON": sys.executable, "CHROMIUM": str(CHROMIUM)}
    done = subprocess.run(
        [NPM, "test"], cwd=WEB, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _convolutions(words: Any) -> Iterator[str]:
    """The names in the words of a part, in order."""
    if isinstance(words, list):
        for each in words:
            yield from _convolutions(each)
    elif isinstance(words, dict):
        for key, value in words.items():
            if key == "conv":
                yield value
            else:
                yield from _convolutions(value)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of `arssr view` as its sources make it, with what was put into each script."""
    assert NPM is not None
    folder = tmp_path_factory.mktemp("page")
    made = ["run", "build", "--", "--outDir", str(folder), "--sourcemap", "hidden"]
    done = subprocess.run([NPM, *made], cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@needs_packages
def test_the_committed_page_is_what_its_sources_make(page: Path) -> None:
    found = {path.name: path.read_bytes() for path in page.iterdir() if path.suffix != ".map"}
    committed = {path.name: path.read_bytes() for path in PAGE.iterdir()}
    stale = {name for name in found | committed if found.get(name) != committed.get(name)}
    assert not stale, "npm run build in web/, and commit src/arssr/serving/page/"


@needs_packages
def test_every_package_in_the_page_has_its_notice(page: Path) -> None:
    parts = re.split(r"^## (\S+) - .*$", (page / "notices.txt").read_text(), flags=re.MULTILINE)
    notices = dict(zip(parts[1::2], parts[2::2], strict=True))
    packages = set[str]()
    for path in page.glob("*.map"):
        for source in json.loads(path.read_text())["sources"]:
            packages |= set(re.findall(r".*node_modules/((?:@[^/]+/)?[^/]+)", source))
    assert "@niivue/niivue" in packages
    assert packages <= notices.keys()
    for name in packages:
        assert "copyright" in notices[name].lower() and len(notices[name]) > 500, name


def test_the_page_leaves_the_wheel_small() -> None:
    assert sum(path.stat().st_size for path in PAGE.rglob("*")) < 6e6
