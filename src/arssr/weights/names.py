"""Which weights ship: known without loading PyTorch."""

from importlib import resources
from pathlib import Path


def shipped() -> dict[str, Path]:
    """Name and file of the weights that ship with the package."""
    folder = Path(str(resources.files("arssr.weights"))) / "shipped"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}
