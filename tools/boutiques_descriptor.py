"""Write integrations/boutiques/arssr.json, a Boutiques descriptor of `arssr upsample`, from its
options: python tools/boutiques_descriptor.py

Source: Glatard et al. 2018, doi:10.1093/gigascience/giy016; https://boutiques.github.io (0.5).
"""

import inspect
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DESCRIPTOR = ROOT / "integrations" / "boutiques" / "arssr.json"
sys.path.insert(0, str(ROOT))

_ONE_OR_THREE = {"type": "Number", "list": True, "min-list-entries": 1, "max-list-entries": 3}
# What the command line takes as text and checks itself.
_TYPES: dict[str, dict[str, Any]] = {
    "--scale": _ONE_OR_THREE,
    "--spacing": _ONE_OR_THREE,
    "--shape": {**_ONE_OR_THREE, "integer": True},
    "--like": {"type": "File"},
    "--transform": {"type": "File", "list": True, "list-separator": " --transform "},
    "--ensemble": {"type": "Number", "integer": True, "value-choices": [1, 4, 8]},
    "--precision": {"type": "String", "value-choices": ["auto", "bf16", "fp16", "float32"]},
    "--threads": {"type": "Number", "integer": True, "minimum": 1},
}


def descriptor() -> dict[str, Any]:
    """The descriptor, as its schema has it."""
    from tests.integrations.options import OF_THE_PIPELINE, options

    from arssr.cli.upsample import upsample

    taken = {name: option for name, option in options().items() if name not in OF_THE_PIPELINE}
    inputs = [
        {
            "id": "images",
            "name": "images",
            "description": "A scan, or a folder or .zip of DICOM files.",
            "type": "File",
            "value-key": "[IMAGES]",
        },
        *(_input(name, option) for name, option in taken.items()),
    ]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {
        "name": "arssr upsample",
        "tool-version": settings["project"]["version"],
        "description": inspect.cleandoc(str(upsample.__doc__)),
        "author": "The ArSSR developers",
        "url": settings["project"]["urls"]["Paper"],
        "command-line": " ".join(["arssr upsample", *(each["value-key"] for each in inputs)]),
        "schema-version": "0.5",
        "inputs": inputs,
        "groups": [
            {
                "id": "target",
                "name": "Target",
                "description": "Where the result shall lie; without one thick slices are refined.",
                "members": ["scale", "spacing", "shape", "like", "isotropic"],
                "mutually-exclusive": True,
            }
        ],
        "output-files": _outputs(),
        "error-codes": [
            {"code": 1, "description": "The scan could not be done; a sentence says why."},
            {"code": 2, "description": "Wrong usage, or an isotropic scan without a target."},
        ],
        "tags": {"domain": ["neuroinformatics", "mri", "super-resolution"]},
    }


def _input(name: str, option: Any) -> dict[str, Any]:
    key = name.removeprefix("--").replace("-", "_")
    return {
        "id": key,
        "name": name.removeprefix("--"),
        "description": option.help,
        "type": "Flag" if option.is_flag else "String",
        **_TYPES.get(name, {}),
        "optional": not option.required,
        "command-line-flag": name,
        "value-key": f"[{key.upper()}]",
    }


def _outputs() -> list[dict[str, Any]]:
    from arssr.files import format_named

    nifti = format_named(Path("image.nii"))
    assert nifti
    beside = {"path-template-stripped-extensions": list(nifti.suffixes)}
    return [
        {"id": "result", "name": "The result", "path-template": "[OUT]", "optional": False},
        {
            "id": "sidecar",
            "name": "How it was made",
            "path-template": "[OUT].json",
            "optional": False,
            **beside,
        },
        {
            "id": "half_widths",
            "name": "Half-widths of 90 % intervals (--uncertainty)",
            "path-template": "[OUT]_uncertainty.nii.gz",
            "optional": True,
            **beside,
        },
        {
            "id": "page",
            "name": "Input, cubic and result (--report)",
            "path-template": "[OUT].html",
            "optional": True,
            **beside,
        },
    ]


def main() -> None:
    """See the module's docstring."""
    DESCRIPTOR.write_text(json.dumps(descriptor(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
