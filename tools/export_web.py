"""Write the weights that the browser's engine loads, and Python's answers for its tests.

    python tools/export_web.py light --to web/public/models
    python tools/export_web.py light rdn --to web/test/golden/models --golden web/test/golden

`NAME.bin` holds the parameters as float16, in the order of the manifest `NAME.json`: configuration,
what the encoder is made of (in the words of `networks/parts.py`), the shape and the place of each
parameter, what the card says of limits, the images that were trained on, and the range of how they
look. The answers are small volumes with what Python makes of them in float32. All of it is derived
from what is committed, and is not committed itself.
"""

import argparse
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import arssr
from arssr.domain import Look
from arssr.errors import ArSSRError
from arssr.export.about import about
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.interpolation import axis_matrix
from arssr.networks import SEEN, parts
from arssr.networks.parts import Part
from arssr.noise import estimate_noise
from arssr.scan import as_measured
from arssr.volume import Volume
from arssr.weights.licence import images_behind
from arssr.weights.limits import looks_seen, most_noise, too_noisy, unlike_training
from arssr.weights.registry import Weights, load


@dataclass(frozen=True)
class Case:
    """A volume and what is asked of it."""

    name: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    scale: tuple[float, float, float]
    skip_air: bool = True


CASES = (
    Case("double", (24, 24, 24), (1, 1, 1), (2, 2, 2)),
    Case("fraction", (16, 16, 16), (1, 1, 1), (3.2, 3.2, 3.2)),
    Case("slices", (16, 16, 11), (1, 1, 4), (1, 1, 4)),
    Case("odd", (13, 17, 11), (1, 0.9, 1.3), (1.7, 1.0, 2.3)),
    Case("everywhere", (9, 14, 11), (1, 1, 1), (2, 1.5, 1), skip_air=False),
    Case("wide", (3, 8, 72), (2, 1, 1), (2, 1, 1)),
)
FEW = Case("few", (5, 6, 7), (1, 1, 1), (2, 1, 1))  # larger networks take seconds for these


def export(weights: Weights, folder: Path) -> None:
    """Write `NAME.bin` and `NAME.json`. Raises ArSSRError for what the browser cannot compute."""
    network, config = weights.network, weights.network.config
    encoder = network.encoder.parts()
    if encoder is None or config.flavour != "residual":
        raise ArSSRError(f"{weights.name}: the browser computes residual networks made of parts")
    names = {id(module): name for name, module in network.named_modules()}
    tensors, values, offset = {}, [], 0
    for name, parameter in network.state_dict().items():
        tensors[name] = {"shape": list(parameter.shape), "offset": offset}
        values.append(parameter.numpy().astype("<f2").ravel())
        offset += parameter.numel()
    content = np.concatenate(values).tobytes()
    looks = looks_seen(weights.card)
    manifest = {
        **about(weights),
        "seen": list(SEEN),
        "encoder": in_words(encoder, names),
        "hidden": [names[id(layer)] for layer in network.decoder.layers()[:-1]],
        "tensors": tensors,
        "values_sha256": hashlib.sha256(content).hexdigest(),
        "trained_on": [
            [image.get("sha256"), image.get("samples_sha256")]
            for image in images_behind(weights.card)
        ],
        "looks": None if looks is None else [look.describe() for look in looks],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{weights.name}.bin").write_bytes(content)
    (folder / f"{weights.name}.json").write_text(json.dumps(manifest) + "\n")


def in_words(part: Part, names: dict[int, str]) -> dict[str, Any]:
    """A part of an encoder as plain values; convolutions by their names."""

    def inner(each: tuple[Part, ...]) -> list[dict[str, Any]]:
        return [in_words(one, names) for one in each]

    def layers(each: tuple[parts.Layer, ...]) -> list[dict[str, Any]]:
        return [{"conv": names[id(layer.conv)], "relu": layer.relu} for layer in each]

    match part:
        case parts.Layers(given, shortcut):
            return {"part": "layers", "layers": layers(given), "shortcut": shortcut}
        case parts.DenseBlock(given):
            return {"part": "dense", "layers": layers(given)}
        case parts.Chain(given):
            return {"part": "chain", "parts": inner(given)}
        case parts.Residual(branch, width):
            return {"part": "residual", "branch": in_words(branch, names), "width": width}
        case parts.Fusion(given, conv):
            return {"part": "fusion", "parts": inner(given), "conv": names[id(conv)]}


def head(case: Case, seed: int) -> Volume:
    """Smooth tissue with edges and a little noise, in air of 0."""
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.normal(size=case.shape), 1.5)
    at = np.indices(case.shape).reshape(3, -1).T / (np.array(case.shape) - 1) * 2 - 1
    inside = (np.linalg.norm(at, axis=1) < 0.85).reshape(case.shape)
    data = np.where(inside, 400 + 300 * np.sign(blobs) + 2000 * blobs, 0)
    data = data + np.where(inside, rng.normal(0, 10, case.shape), 0)
    grid = Grid(case.shape, np.diag([*case.spacing_mm, 1.0]))
    return Volume(data.astype(np.float32), grid)


def golden(models: list[Weights], folder: Path) -> None:
    """Write volumes, and what Python makes of them: all cases with the first of the models."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = [(models[0], case, case.name) for case in CASES]
    asked += [(weights, FEW, f"{FEW.name}-{weights.name}") for weights in models[1:]]
    described = []
    for seed, (weights, case, name) in enumerate(asked):
        volume = head(case, seed)
        grid = volume.grid.scaled(case.scale)
        model = arssr.load_model(weights.name, device="cpu", precision="float32")
        field = model.field(volume, towards=grid, skip_air=case.skip_air)
        for what, data in (("in", volume.data), ("out", field.on(grid).data)):
            np.ascontiguousarray(data, "<f4").tofile(folder / f"{name}.{what}.f32")
        described.append(
            {
                "name": name,
                "model": weights.name,
                "shape": volume.grid.shape,
                "affine": volume.grid.affine.tolist(),
                "scale": case.scale,
                "skip_air": case.skip_air,
                "target_shape": grid.shape,
                "target_affine": grid.affine.tolist(),
                "told": field.acquisition_ijk,
                "noise": field.noise,
                "told_noise": field.told_noise,
                "offset": field.normalisation.offset,
                "range": field.normalisation.scale,
                "air": field.air,
                "look": look_of(volume),
            }
        )
    spectra = resolutions(folder)
    answers = {"cases": described, "ranges": ranges(), "axes": axes(), "spectra": spectra}
    answers["unlike"] = unlike()
    answers["noisy"] = noisy()
    (folder / "golden.json").write_text(json.dumps(answers) + "\n")


def resolutions(folder: Path) -> list[dict[str, Any]]:
    """Write scans that were cut, smoothed or noisy along one axis, and what their spectra tell."""
    rng, shape = np.random.default_rng(11), (64, 48, 40)
    i, j, k = (np.abs(np.fft.fftfreq(n)) for n in shape)
    frequency = np.sqrt(i[:, None, None] ** 2 + j[:, None] ** 2 + k**2) + 0.01
    anatomy = np.fft.fftn(rng.normal(size=shape)) / frequency**1.5

    def image(of: NDArray[Any]) -> NDArray[np.float32]:
        real = np.fft.ifftn(of).real
        return np.asarray(500 + 100 * real / real.std(), np.float32)

    images = {
        "native": image(anatomy),
        "zero-filled": image(anatomy * (i < 0.3)[:, None, None]),
        "smoothed": image(anatomy * np.exp(-30 * j**2)[:, None]),
        "noisy": image(anatomy) + rng.normal(0, 60, shape).astype(np.float32),
        "thin": image(anatomy)[:, :, :12],
    }
    head = np.hypot(*(np.indices(shape[:2]) - 28))[..., None] < 20
    images["in air"] = images["zero-filled"] * np.where(head, 1, 0.02)
    found = []
    for name, data in images.items():
        affine = np.diag([1.0, 1.0, 3.0 if name == "thin" else 1.0, 1.0])
        volume = Volume(np.ascontiguousarray(data, np.float32), Grid(data.shape, affine))
        volume.data.astype("<f4").tofile(folder / f"{name}.in.f32")
        measured = as_measured(volume)
        told = [
            {
                "share": axis.share,
                "low": axis.low,
                "high": axis.high,
                "ending": axis.ending,
                "dropDb": axis.drop_db,
                "floor": axis.floor,
            }
            for axis in measured.resolution.axes
        ]
        cut = measured.volume
        found.append(
            {
                "name": name,
                "shape": volume.grid.shape,
                "affine": volume.grid.affine.tolist(),
                "axes": told,
                "noise": estimate_noise(volume),
                "look": look_of(volume),
                "band": {"shape": cut.grid.shape, "affine": cut.grid.affine.tolist()},
                "middle": cut.data[tuple(n // 2 for n in cut.data.shape)].item(),
                "acquisition": [
                    {"scale": s, "told": measured.acquisition("auto", cut.grid.scaled(s), {})}
                    for s in ((2, 2, 2), (1, 1, 2), (1, 1, 1))
                ],
            }
        )
    return found


def ranges() -> list[dict[str, Any]]:
    """Normalisations of images that go each their own way through `Normalisation.fit`."""
    rng = np.random.default_rng(7)
    plain = ndimage.gaussian_filter(rng.normal(size=(12, 11, 10)), 1) * 100
    images: dict[str, NDArray[Any]] = {
        "plain": plain + 200,
        "negative": plain,
        "spike": np.where(np.arange(1320).reshape(12, 11, 10) % 300 == 7, 50000, plain + 200),
        "ringing": np.where(plain > 0, plain * 20, plain * 0.1),
        "mostly air": np.where(np.arange(1320).reshape(12, 11, 10) == 700, 5, 0),
    }
    found = []
    for name, image in images.items():
        data = image.round(3).astype(np.float32)
        norm = Normalisation.fit(data)
        found.append(
            {
                "name": name,
                "shape": data.shape,
                "data": data.ravel().tolist(),
                "offset": norm.offset,
                "range": norm.scale,
            }
        )
    return found


def unlike() -> list[dict[str, Any]]:
    """What is said of images that look like those of a training, and of others."""
    seen = [look.describe() for look in (Look(0.04, 0.08), Look(0.09, 0.28))]
    card = {"name": "light", "data": [{"look": look} for look in seen]}
    asked = [(0.05, 0.2), (0.019, 0.2), (0.021, 0.41), (0.179, 0.43), (0.2, 0.1), (0, 0.9)]
    return [
        {"look": asdict(look), "seen": seen, "said": unlike_training(card, look)}
        for look in (Look(*numbers) for numbers in asked)
    ]


def noisy() -> list[dict[str, Any]]:
    """What is said of noise that is named, in normalised intensity."""
    card = {"name": "light", "recipe": {"sampling": {"noise": 0.06}}}
    return [
        {
            "noise": noise,
            "unit": unit,
            "most": most_noise(card),
            "said": too_noisy(card, noise, unit),
        }
        for noise, unit in ((0.06, 400.0), (0.12, 400.0), (0.1201, 1234.5), (0.5, 0.0321))
    ]


def look_of(volume: Volume) -> dict[str, float] | None:
    """The two numbers in full."""
    look = Look.of(volume.data)
    return None if look is None else asdict(look)


def axes() -> list[dict[str, Any]]:
    """The grid rule along an axis, and cubic interpolation there."""
    found = []
    for n, scale in ((24, 2.0), (25, 2.3), (7, 3.2), (1, 4.0), (40, 1.0), (9, 0.5)):
        source = Grid((n, 1, 1), np.eye(4))
        grid = source.scaled((scale, 1, 1))
        lattice = grid.axis_positions_in(source)
        assert lattice is not None
        positions = lattice.positions[0]
        matrix = axis_matrix("cubic", n, positions)
        found.append(
            {"n": n, "scale": scale, "positions": positions.tolist(), "matrix": matrix.tolist()}
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="names of shipped weights")
    parser.add_argument("--to", type=Path, required=True, help="folder of the weights")
    parser.add_argument("--golden", type=Path, help="folder of Python's answers")
    asked = parser.parse_args()
    models = [load(name) for name in asked.models]
    for weights in models:
        export(weights, asked.to)
    if asked.golden:
        golden(models, asked.golden)


if __name__ == "__main__":
    main()
