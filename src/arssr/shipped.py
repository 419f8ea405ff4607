"""YAML files that go by a name because they ship with the package, or lie where the user says."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from arssr.errors import ArSSRError


def shipped_yaml(package: str, folder: str) -> dict[str, str]:
    """The text of every YAML file in a folder of a package, by its name without the suffix."""
    return {
        Path(entry.name).stem: entry.read_text(encoding="utf-8")
        for entry in (resources.files(package) / folder).iterdir()
        if entry.name.endswith(".yaml")
    }


def read_yaml(name_or_path: str, shipped: Mapping[str, str], what: str) -> Any:
    """What one of the `shipped` texts says, or the file at that path.

    what: what such a file is called, for the ArSSRError where there is none, or no YAML in it.
    """
    import yaml

    path = Path(name_or_path)
    if name_or_path not in shipped and not path.is_file():
        known = ", ".join(sorted(shipped))
        raise ArSSRError(f"no {what} {name_or_path!r}: neither a file nor one of {known}")
    try:
        text = shipped.get(name_or_path) or path.read_text(encoding="utf-8")
        return yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ArSSRError(f"{name_or_path} is not readable YAML: {error}") from None
