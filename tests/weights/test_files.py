"""Weight files: they come back as they were, and nothing in them is trusted."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.phantoms import tiny_config, tiny_network

from arssr.errors import ArSSRError
from arssr.networks import ImplicitVoxelNetwork, ModelConfig
from arssr.weights.files import load_reference, load_weights, save_reference, save_weights

CARD = {"data": [{"name": "T1.nii.gz"}], "hours": 0.5, "note": "größer"}


class _Boobytrap:
    """What a malicious checkpoint holds: on loading, it touches a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple:
        return Path.touch, (self.proof,)


def header(config: object, card: object = None) -> str:
    """What a weight file of ours says beside its tensors."""
    return json.dumps({"config": config, "card": card or {}})


def written(tmp_path: Path, **changes: object) -> Path:
    """A weight file of ours, with some of its tensors or metadata changed."""
    network = tiny_network()
    state = dict(network.state_dict())
    metadata = {"arssr": header(network.config.to_dict())}
    for name, value in changes.items():
        where = metadata if name.startswith("arssr") else state
        name = name if name.startswith("arssr") else name.replace("__", ".")
        if value is None:
            del where[name]
        else:
            where[name] = value  # type: ignore[assignment]
    save_file(state, tmp_path / "w.safetensors", metadata)
    return tmp_path / "w.safetensors"


# --- ours ----------------------------------------------------------------------------------------


def test_loading_does_not_import_the_compiler() -> None:
    """Which takes longer than all the rest."""
    script = "import sys, arssr; arssr.load_model('light'); print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize("flavour", ["paper", "residual"])
@pytest.mark.parametrize("encoder", ["rdn", "rescnn", "srresnet", "light"])
def test_a_network_comes_back_bit_for_bit(tmp_path: Path, encoder: str, flavour: str) -> None:
    network = tiny_network(encoder, flavour)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    save_weights(tmp_path / "w.safetensors", network, CARD)
    loaded, card = load_weights(tmp_path / "w.safetensors")
    assert card == CARD
    assert loaded.config == network.config
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert list(loaded.state_dict()) == list(network.state_dict())
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_half_precision_is_for_the_disk_only(tmp_path: Path) -> None:
    network = tiny_network().half()
    save_weights(tmp_path / "w.safetensors", network, {})
    loaded, _ = load_weights(tmp_path / "w.safetensors")
    for name, value in loaded.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, network.state_dict()[name].float())


def test_acquisitions_travel_with_the_weights(tmp_path: Path) -> None:
    config = replace(tiny_config(), acquisitions=("slice", "spiral"))
    save_weights(tmp_path / "w.safetensors", ImplicitVoxelNetwork(config), {})
    assert load_weights(tmp_path / "w.safetensors")[0].config == config


def test_a_file_that_names_no_acquisitions_means_the_three_that_there_were(tmp_path: Path) -> None:
    config = tiny_config().to_dict()
    del config["acquisitions"]
    loaded, _ = load_weights(written(tmp_path, arssr=header(config)))
    assert loaded.config.acquisitions == ("kspace", "slice", "spline")


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_weights(tmp_path / name, tiny_network(), CARD)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_full_disk_leaves_the_weights_that_were_there(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    ours, theirs = tmp_path / "w.safetensors", tmp_path / "w.pkl"
    save_weights(ours, tiny_network(), CARD)
    save_reference(theirs, tiny_network(flavour="paper"))
    before = ours.read_bytes(), theirs.read_bytes()
    with full_disk(10_000):
        with pytest.raises(ArSSRError, match="cannot write"):
            save_weights(ours, tiny_network(seed=1), CARD)
        with pytest.raises(ArSSRError, match="cannot write"):
            save_reference(theirs, tiny_network(flavour="paper", seed=1))
    assert (ours.read_bytes(), theirs.read_bytes()) == before


@pytest.mark.parametrize(
    ("flavour", "card", "turned"),
    [
        ("paper", {}, True),
        ("paper", {"recipe": {"lr": 1e-4}, "steps": 7}, False),
        ("residual", {}, False),
        ("residual", {"recipe": {"lr": 1e-4}, "steps": 7}, False),
    ],
)
def test_files_from_before_axes_were_named_are_for_the_arrays_they_were_made_for(
    tmp_path: Path, flavour: str, card: dict, turned: bool
) -> None:
    """Training has always been on (i, j, k); what was converted is for (k, j, i)."""
    network = tiny_network("rescnn", flavour)
    state = dict(network.state_dict())
    path, checkpoint = tmp_path / "old.safetensors", tmp_path / "w.pkl"
    save_file(state, path, {"arssr": header(network.config.to_dict(), card)})
    torch.save(network.state_dict(), checkpoint)
    expected = load_reference(checkpoint).state_dict() if turned else state
    loaded, _ = load_weights(path)
    assert all(torch.equal(loaded.state_dict()[name], expected[name]) for name in state)
    save_weights(path, loaded, card)  # and from now on the file says it
    loaded, _ = load_weights(path)
    assert all(torch.equal(loaded.state_dict()[name], expected[name]) for name in state)
    assert any(not torch.equal(expected[name], state[name]) for name in state) == turned


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arssr": None}, "no configuration"),
        ({"arssr": "{"}, "damaged configuration"),
        ({"arssr": "[1]"}, "damaged configuration"),
        ({"arssr": "{}"}, "damaged configuration"),
        ({"arssr": header([1])}, "not a model configuration"),
        ({"arssr": header({"encoder": "unet"})}, "unknown encoder"),
        ({"arssr": header({"taste": 1})}, "not a model configuration"),
        ({"arssr": header(tiny_network().config.to_dict(), card=7)}, "damaged"),
        ({"decoder__last__bias": None}, "does not fit light.*decoder.last.bias"),
        ({"decoder__last__bias": torch.zeros(2)}, "does not fit light.*decoder.last.bias"),
        ({"extra": torch.zeros(1)}, "does not fit light.*extra"),
        ({"decoder__last__bias": torch.tensor([np.nan])}, "not finite"),
        ({"decoder__last__bias": torch.tensor([np.inf])}, "not finite"),
    ],
)
def test_a_file_that_is_not_quite_ours_is_refused(
    tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(ArSSRError, match=message):
        load_weights(written(tmp_path, **changes))


def test_another_configuration_than_the_tensors_is_refused(tmp_path: Path) -> None:
    config = tiny_network("srresnet").config.to_dict()
    with pytest.raises(ArSSRError, match="does not fit srresnet"):
        load_weights(written(tmp_path, arssr=header(config)))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ArSSRError, match=r"w\.safetensors is not a readable safetensors file"):
        load_weights(path)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    for load in (load_weights, load_reference):
        for path in (tmp_path, tmp_path / "none"):
            with pytest.raises(ArSSRError, match="no such weight file"):
                load(path)


# --- the reference's -----------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["rdn", "rescnn", "srresnet"])
@pytest.mark.parametrize(("depth", "width"), [(8, 16), (4, 5), (6, 11)])
def test_a_reference_checkpoint_says_what_it_is_made_of(
    tmp_path: Path, encoder: str, depth: int, width: int
) -> None:
    config = ModelConfig("paper", encoder, 7, depth, width)
    save_reference(tmp_path / "w.pkl", ImplicitVoxelNetwork(config))
    assert load_reference(tmp_path / "w.pkl").config == config
    assert load_reference(tmp_path / "w.pkl", config).config == config


@pytest.mark.parametrize("depth", [2, 4, 8])
@pytest.mark.parametrize("width", [4, 10])
def test_a_reference_checkpoint_is_for_reversed_axes(
    tmp_path: Path, depth: int, width: int
) -> None:
    """Of any depth, and as wide as the decoder's input, so that no size tells what is what."""
    torch.manual_seed(depth)
    theirs = ImplicitVoxelNetwork(ModelConfig("paper", "rescnn", 7, depth, width))
    for parameter in theirs.decoder.parameters():
        torch.nn.init.normal_(parameter, mean=0.1, std=0.5)
    torch.save(theirs.state_dict(), tmp_path / "w.pkl")
    ours = load_reference(tmp_path / "w.pkl")
    image, positions, cell = (
        torch.rand(1, 1, 4, 5, 6),
        6 * torch.rand(1, 99, 3) - 1,
        torch.ones(1, 3),
    )
    with torch.no_grad():
        found = ours(image, None, positions, cell)
        expected = theirs(image.permute(0, 1, 4, 3, 2), None, positions.flip(-1), cell)
        unturned = theirs(image, None, positions, cell)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.max()))
    assert (found - unturned).abs().max() > 0.1 * expected.max()


def test_parameters_of_a_checkpoint_may_share_memory(tmp_path: Path) -> None:
    state = tiny_network("rescnn", "paper").state_dict()
    views = {n: torch.arange(float(v.shape[-1])).expand(v.shape) for n, v in state.items()}
    torch.save(views, tmp_path / "w.pkl")
    save_reference(tmp_path / "again.pkl", load_reference(tmp_path / "w.pkl"))
    again = torch.load(tmp_path / "again.pkl", weights_only=True)
    assert all(torch.equal(again[name], value) for name, value in views.items())


def test_a_reference_checkpoint_of_other_sizes_than_asked_is_refused(tmp_path: Path) -> None:
    save_reference(tmp_path / "w.pkl", tiny_network("rdn", "paper"))
    for other in (
        ModelConfig("paper", "rescnn", 8, 4, 8),
        ModelConfig("paper", "rdn", 8, 6, 8),
        ModelConfig("paper", "rdn", 8, 4, 9),
        ModelConfig("paper", "rdn", 9, 4, 8),
    ):
        with pytest.raises(ArSSRError, match=f"w.pkl does not fit {other.encoder}"):
            load_reference(tmp_path / "w.pkl", other)


@pytest.mark.parametrize("protocol", ["zip", "legacy", "pickle"])
def test_a_malicious_pickle_is_refused_and_executes_nothing(tmp_path: Path, protocol: str) -> None:
    path, proof = tmp_path / "w.pkl", tmp_path / "executed"
    content = {"encoder.sfe1.weight": torch.zeros(1), "trap": _Boobytrap(proof)}
    if protocol == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=protocol == "zip")
    with pytest.raises(ArSSRError, match=r"w\.pkl is refused"):
        load_reference(path)
    assert not proof.exists()
    torch.load(path, weights_only=False) if protocol != "pickle" else pickle.loads(
        path.read_bytes()
    )
    assert proof.exists()  # so the trap was a real one


@pytest.mark.parametrize(
    "content",
    [
        tiny_network(flavour="paper"),
        [torch.zeros(3)],
        {"a": torch.zeros(3), "b": 1},
        {1: torch.zeros(3)},
        {"encoder.sfe1.weight": torch.tensor(1.0), "encoder.output.weight": torch.tensor(1.0)},
        torch.zeros(3),
        "weights",
    ],
    ids=["a network", "a list", "a number inside", "a number as name", "0D", "one tensor", "text"],
)
def test_anything_but_named_tensors_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pkl")
    with pytest.raises(ArSSRError, match=r"w\.pkl is refused"):
        load_reference(tmp_path / "w.pkl")


def test_tensors_of_something_else_are_refused(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "w.pkl")
    with pytest.raises(ArSSRError, match="not those of an RDN, ResCNN or SRResNet"):
        load_reference(tmp_path / "w.pkl")


def test_reference_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    network = tiny_network("rdn", "paper")
    network.encoder.sfe1.bias.data[3] = np.nan  # type: ignore[union-attr,index]
    save_reference(tmp_path / "w.pkl", network)
    with pytest.raises(ArSSRError, match="not finite"):
        load_reference(tmp_path / "w.pkl")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [False, True])
def test_damage_anywhere_is_told_in_words(tmp_path: Path, legacy: bool) -> None:
    """Bytes changed, bytes missing, nothing but noise: never another exception."""
    path, rng = tmp_path / "w.pkl", np.random.default_rng(0)
    state = {f"a{n}": torch.rand(3, 4) for n in range(3)}
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    good = np.frombuffer(path.read_bytes(), np.uint8)
    for attempt in range(300):
        bad = good.copy()
        if attempt % 3 == 0:
            bad = bad[: rng.integers(len(bad))]
        elif attempt % 3 == 1:
            bad[rng.integers(min(700, len(bad)), size=4)] = rng.integers(256, size=4)
        else:
            bad = rng.choice(np.frombuffer(b"\x80\x02(cq}.sRtblaeu\x00K]N", np.uint8), 40)
        path.write_bytes(bad.tobytes())
        with pytest.raises(ArSSRError, match=r"w\.pkl"):  # these are no weights, damaged or not
            load_reference(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("valid", [[1]]),
        ("valid", None),
        ("data", True),
        ("data", ["a head"]),
        ("steps", "many"),
        ("parameters", "9"),
        ("started_from", "light"),
        ("results", [1, 2]),
        ("uncertainty", -1),
    ],
)
def test_a_card_that_is_none_is_refused(tmp_path: Path, name: str, value: object) -> None:
    save_weights(tmp_path / "a.safetensors", tiny_network(), {"licence": "none", name: value})
    with pytest.raises(ArSSRError, match=f"a damaged card: {name}$"):
        load_weights(tmp_path / "a.safetensors")
