"""Weight files: safetensors with the configuration and the model card inside.

Nothing in a weight file is ever executed. Reference checkpoints (`.pkl`, written by `torch.save`)
are read with `weights_only=True` and must hold named tensors and nothing else.

The reference program reads images as (k, j, i) arrays, so its checkpoints are networks for those.
Here everything is (i, j, k): what is read from a checkpoint is turned, and turned back in it.
"""

import io
import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from arssr.errors import ArSSRError
from arssr.files import replacing
from arssr.networks import ImplicitVoxelNetwork, ModelConfig
from arssr.networks.decoder import PaperDecoder
from arssr.networks.spread import SpreadHead

_HEADER = "arssr"  # one entry: safetensors writes several in no particular order
_AXES = "ijk"  # of the arrays that the network in a file is for
_SPREAD = "spread."  # how the names of a head's parameters begin
# What is read from cards: a file may come from anywhere.
_IN_CARDS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("valid", "recipe", "versions", "results", "uncertainty", "lesions"), dict),
    **dict.fromkeys(("parameters", "steps"), int),
    "hours": (int, float),
    **dict.fromkeys(("name", "licence", "note"), str),
    "data": list,
    "started_from": (dict, NoneType),
}


def save_weights(
    path: Path,
    network: ImplicitVoxelNetwork,
    card: Mapping[str, Any],
    half: bool = False,
    spread: SpreadHead | None = None,
) -> None:
    """Write a network as safetensors, atomically; `card` is anything JSON can say.

    half: store float16, half the size. spread: the head that goes with it.
    """
    dtype = torch.float16 if half else torch.float32
    head = spread.state_dict(prefix=_SPREAD) if spread is not None else {}
    parameters = {**network.state_dict(), **head}
    state = {n: t.detach().to("cpu", dtype).contiguous() for n, t in parameters.items()}
    header = json.dumps({"axes": _AXES, "config": network.config.to_dict(), "card": card})
    with replacing(path) as temporary:
        temporary.write_bytes(to_safetensors(state, {_HEADER: header}))


def save_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write another card into a weight file, atomically; network and head stay, as float16."""
    network, _ = load_weights(path)
    save_weights(path, network, card, half=True, spread=load_spread(path))


def load_weights(path: Path) -> tuple[ImplicitVoxelNetwork, dict[str, Any]]:
    """A network in evaluation mode, in float32 on the CPU, and its card.

    Older files do not name their axes. What they hold of the paper's flavour is for (i, j, k) if
    it was trained here; if it was only converted from a checkpoint it is turned now. A head that
    tells half-widths is left aside, see `load_spread`.
    Raises ArSSRError where the file is missing, not safetensors, not ours, or does not fit.
    """
    metadata, state = _tensors(path, lambda name: not name.startswith(_SPREAD))
    if _HEADER not in metadata:
        raise ArSSRError(f"{path} is a safetensors file, but not one of ArSSR's: no configuration")
    try:
        header = json.loads(metadata[_HEADER])
        config, card = ModelConfig.from_dict(header["config"]), dict(header["card"])
    except (ValueError, TypeError, KeyError) as error:
        raise ArSSRError(f"{path} has a damaged configuration: {error}") from None
    _require_card(card, path)
    network = build(config, state, path)
    if config.flavour == "paper" and "axes" not in header and "recipe" not in card:
        network = _with_axes_reversed(network)
    return network, card


def load_spread(path: Path) -> SpreadHead | None:
    """The head in a weight file, as `load_weights` gives the network; None where there is none.

    Raises ArSSRError where the file is missing, not safetensors, or the head is damaged.
    """
    _, named = _tensors(path, lambda name: name.startswith(_SPREAD))
    if not named:
        return None
    state = {name.removeprefix(_SPREAD): tensor for name, tensor in named.items()}
    try:
        hidden, width = state["hidden.weight"].shape
        with torch.device("meta"):
            head = SpreadHead(width, hidden)
        head.load_state_dict(state, assign=True)
    except (KeyError, ValueError, RuntimeError):
        raise ArSSRError(f"{path} has a damaged head that tells half-widths") from None
    _require_finite(state, path)
    return head.eval().requires_grad_(False)


def _tensors(
    path: Path, wanted: Callable[[str], bool]
) -> tuple[Mapping[str, str], dict[str, Tensor]]:
    """The header of a file, and those of its tensors whose names are wanted, float32."""
    _require_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            names = filter(wanted, file.keys())
            return file.metadata() or {}, {n: file.get_tensor(n).float() for n in names}
    except (SafetensorError, OSError) as error:
        raise ArSSRError(f"{path} is not a readable safetensors file: {error}") from None


def load_reference(path: Path, config: ModelConfig | None = None) -> ImplicitVoxelNetwork:
    """A reference checkpoint as a network of the paper flavour, for (i, j, k) arrays.

    config: what it should be made of; None reads that from the shapes.
    Raises ArSSRError if the file holds anything but named tensors, or does not fit.
    """
    _require_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle fails in a dozen ways, IndexError among them
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArSSRError(f"{path} is refused: not a file of plain tensors ({reason})") from None
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) and value.ndim
        for name, value in state.items()
    ):
        raise ArSSRError(f"{path} is refused: it holds something other than named tensors")
    state = {name: value.float() for name, value in state.items()}
    return _with_axes_reversed(build(config or _reference_config(state, path), state, path))


# a parameter that only this encoder's checkpoints have, and the last convolution's
_REFERENCE_MARKS = {
    "rdn": ("encoder.sfe1.weight", "encoder.output.weight"),
    "rescnn": ("encoder.conv_start.0.weight", "encoder.conv_end.0.weight"),
    "srresnet": ("encoder.features.20.0.weight", "encoder.features.20.0.weight"),
}


def _reference_config(state: Mapping[str, Tensor], path: Path) -> ModelConfig:
    """What a reference checkpoint is made of, read from its names and shapes."""
    for encoder, (mark, last) in _REFERENCE_MARKS.items():
        if mark in state and last in state and "decoder.stage_one.0.weight" in state:
            linears = [n for n in state if n.startswith("decoder.stage_one") and "weight" in n]
            return ModelConfig(
                flavour="paper",
                encoder=encoder,
                feature_dim=state[last].shape[0],
                decoder_depth=2 * len(linears),
                decoder_width=state["decoder.stage_one.0.weight"].shape[0],
            )
    raise ArSSRError(f"{path} holds tensors, but not those of an RDN, ResCNN or SRResNet model")


def save_reference(path: Path, network: ImplicitVoxelNetwork) -> None:
    """Write a paper-flavour network as the reference program does: a pickled state dictionary.

    It answers there, on (k, j, i) arrays, as it does here on (i, j, k) ones.
    """
    buffer = io.BytesIO()
    torch.save(_with_axes_reversed(network).state_dict(), buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


@torch.no_grad()
def _with_axes_reversed(network: ImplicitVoxelNetwork) -> ImplicitVoxelNetwork:
    """The paper-flavour network that answers on (k, j, i) arrays as this one on (i, j, k).

    And the other way about: it is the same exchange, exact to the bit.
    """
    turned = deepcopy(network)
    for parameter in turned.parameters():  # each in memory of its own: a file may hold views
        values = parameter.data.transpose(2, 4) if parameter.ndim == 5 else parameter.data
        parameter.data = values.clone(memory_format=torch.contiguous_format)
    decoder: PaperDecoder = turned.decoder  # type: ignore[assignment]
    for xyz in decoder.coordinates():
        xyz.copy_(xyz.flip(0))
    return turned


def build(config: ModelConfig, state: Mapping[str, Tensor], path: Path) -> ImplicitVoxelNetwork:
    """The network of `config` with the parameters `state`, which came from `path`."""
    with torch.device("meta"):
        network = ImplicitVoxelNetwork(config)
    expected = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    given = {name: tuple(t.shape) for name, t in state.items()}
    if expected != given:
        odd = sorted(set(expected.items()) ^ set(given.items()))
        raise ArSSRError(
            f"{path} does not fit {config.encoder} with feature_dim {config.feature_dim}, decoder "
            f"depth {config.decoder_depth} and width {config.decoder_width}: "
            f"{len(odd)} differences, the first at {odd[0][0]}"
        )
    _require_finite(state, path)
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def _require_card(card: Mapping[str, Any], path: Path) -> None:
    known = {name: kind for name, kind in _IN_CARDS.items() if name in card}
    odd = [name for name, kind in known.items() if not isinstance(card[name], kind)]
    if "data" not in odd and not all(isinstance(image, dict) for image in card.get("data", ())):
        odd.append("data")
    if odd:
        raise ArSSRError(f"{path} has a damaged card: {', '.join(odd)}")


def _require_finite(state: Mapping[str, Tensor], path: Path) -> None:
    if not all(torch.isfinite(tensor).all() for tensor in state.values()):
        raise ArSSRError(f"{path} holds weights that are not finite numbers")


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise ArSSRError(f"no such weight file: {path}")
