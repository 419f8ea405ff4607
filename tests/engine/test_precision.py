"""Which floating-point type is used on which device."""

import pytest
import torch

from arssr.engine import precision
from arssr.engine.precision import named_device, named_precision
from arssr.errors import ArSSRError


def test_a_device_is_found_by_its_name() -> None:
    assert named_device("cpu") == torch.device("cpu")
    assert named_device("auto").type in ("cpu", "cuda")
    for name in ("cuda:99", "abacus"):
        with pytest.raises(ArSSRError, match=f"no device '{name}' here"):
            named_device(name)


def test_precision_is_bfloat16_only_where_it_is_fast_and_harmless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for fast, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(precision, "fast_bf16", lambda _, fast=fast: fast)
        cpu = torch.device("cpu")
        assert named_precision("auto", cpu, corrects=True) == expected
        assert named_precision("auto", cpu, corrects=False) == torch.float32
        assert named_precision("bf16", cpu, corrects=True) == torch.bfloat16
        for half in ("bf16", "fp16"):
            with pytest.raises(ArSSRError, match=f"{half} is too coarse"):
                named_precision(half, cpu, corrects=False)
    with pytest.raises(ArSSRError, match="precision"):
        named_precision("float8", torch.device("cpu"), True)
    with pytest.raises(ArSSRError, match="fp16 is not for this device"):
        named_precision("fp16", torch.device("cpu"), True)


def test_a_gpu_from_before_bfloat16_takes_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr(precision, "fast_bf16", lambda _: False)
    monkeypatch.setattr(precision, "fast_fp16", lambda _: True)
    assert named_precision("auto", gpu, corrects=True) == torch.float16
    assert named_precision("auto", gpu, corrects=False) == torch.float32
    assert named_precision("fp16", gpu, corrects=True) == torch.float16
    with pytest.raises(ArSSRError, match="bf16 is not for this device"):
        named_precision("bf16", gpu, corrects=True)
    monkeypatch.setattr(precision, "fast_fp16", lambda _: False)
    assert named_precision("auto", gpu, corrects=True) == torch.float32
    monkeypatch.setattr(precision, "fast_bf16", lambda _: True)
    assert named_precision("auto", gpu, corrects=True) == torch.bfloat16
