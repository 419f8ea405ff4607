"""What goes with a result into a paper, and what is said in the file itself."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from arssr.consistency import in_percent
from arssr.grid import SAME_STEP, spacing_in_words
from arssr.upsampling.agreement import noise_in_words
from arssr.upsampling.facts import Facts, was_evened
from arssr.upsampling.plain import EVENED

NOTICE = "computed detail, research use, not for diagnosis"
NOT_FOR = (
    "Research use only. Detail finer than the scan's voxels is computed, not measured: not for "
    "diagnosis, nor for any other decision about a person's care, and no proof that something "
    "small is there or is not."
)
# As in CITATION.cff.
PAPER = (
    "Wu Q, Li Y, Sun Y, Zhou Y, Wei H, Yu J, Zhang Y. An Arbitrary Scale Super-Resolution Approach "
    "for 3D MR Images via Implicit Neural Representation. IEEE Journal of Biomedical and Health "
    "Informatics 2023; 27(2): 1004–1015. doi:10.1109/JBHI.2022.3223106"
)
EVENED_BEFORE = "Slices that differed in brightness from their neighbours were evened before."
_SOFTWARE = (
    "The ArSSR developers. ArSSR: super-resolution of 3D MR images at any scale, version {version}."
)
_WAYS = {
    "kspace": "3D or in-plane encoding (kspace)",
    "slice": "2D multi-slice (slice)",
    "spline": "samples without averaging (spline)",
    "unknown": "unknown",
}


def remark(model: str) -> str:
    """What a file says of a result of these weights, where it has a place for a comment.

    What matters comes first: NIfTI has room for 79 characters.

    >>> remark("light").startswith("Computed detail, research use, not for diagnosis (ArSSR ")
    True
    """
    return f"{NOTICE.capitalize()} (ArSSR {version('arssr')}, {model})"


def method_in_words(facts: Mapping[str, Any]) -> str:
    """How an image was made, in a few words, for files that say so.

    >>> method_in_words({"even_slices": {"factors": [1, 1.05, 0.95]}})
    'slices evened, super-resolved'
    """
    merged = facts.get("merged")
    made = f"merged from {len(merged['scans'])} scans" if merged else "super-resolved"
    method = str(facts.get("method", made))
    return f"slices evened, {method}" if was_evened(facts) and method != EVENED else method


def software(program: str) -> str:
    """How to cite this version of the program."""
    return _SOFTWARE.format(version=program)


def words_on(facts: Mapping[str, Any]) -> Facts:
    """`methods`, `cite` and `not_for` of a sidecar, from what else it says of a network's result.

    Empty where no network had a part.
    """
    if "told" not in facts:
        return {}
    program = facts["versions"]["arssr"]
    return {
        "methods": _methods(facts),
        "cite": [PAPER, software(program)],
        "not_for": NOT_FOR,
    }


def _methods(facts: Mapping[str, Any]) -> str:
    measured = facts.get("cut_to_band", facts["input"])
    before, after = measured["spacing_mm"], facts["output"]["spacing_mm"]
    model = facts["model"]
    options = facts.get("options", {})
    said = [
        f"Images with voxels of {spacing_in_words(np.array(before))} were super-resolved to voxels "
        f"of {spacing_in_words(np.array(after))}{_scales(facts, before, after)} with ArSSR "
        f"(version {facts['versions']['arssr']}; an implementation of Wu et al., IEEE JBHI 2022, "
        f"doi:10.1109/JBHI.2022.3223106) and its weights {model['name']!r} (SHA-256 "
        f"{model['sha256']})."
    ]
    if "cut_to_band" in facts:
        stored = spacing_in_words(np.array(facts["input"]["spacing_mm"]))
        said.append(
            f"The images were stored with zero-filled voxels of {stored}; the zeros were removed "
            "before."
        )
    if was_evened(facts):
        said.append(EVENED_BEFORE)
    said.append(f"The network was told that {_told(facts['told'], facts['noise'])}.")
    if "transform" in options:
        said.append("A registration was applied in the same interpolation.")
    if (flips := options.get("ensemble", 1)) > 1:
        said.append(f"The results are means over {flips} flips of the images.")
    if "consistency" in facts:
        said.append("The results were made consistent with the measured images.")
    agreement = facts.get("agreement", {})
    if "residual" in agreement:
        times = agreement.get("times_noise")
        noise = "" if times is None else f" ({noise_in_words(times)})"
        them = "them, evened," if was_evened(facts) else "them"
        said.append(
            f"Measured again as the images were, the results differ from {them} by "
            f"{in_percent(agreement['share_of_range'])} of their range{noise}, root mean square."
        )
    said.append("Structure finer than the measured voxels is estimated, not measured.")
    return " ".join(said)


def _scales(facts: Mapping[str, Any], before: Sequence[float], after: Sequence[float]) -> str:
    """How many times finer, where the axes are the same ones."""
    moved = "transform" in facts.get("options", {})
    if moved or facts["input"]["orientation"] != facts["output"]["orientation"]:
        return ""
    scales = np.array(before) / np.array(after)
    finer = [
        f"{scale:.3g} times finer along {axis}"
        for axis, scale in zip("ijk", scales, strict=True)
        if scale > 1 + SAME_STEP
    ]
    return f" ({', '.join(finer)})" if finer else ""


def _told(told: Mapping[str, Any], of_scan: float | None) -> str:
    """What a network was told of the acquisition and the noise."""
    along: dict[str, list[str]] = {}
    for axis, name in zip("ijk", told["acquisition_ijk"], strict=True):
        along.setdefault(_WAYS.get(name, name), []).append(axis)
    ways = " and ".join(f"{way} along {', '.join(axes)}" for way, axes in along.items())
    noise = told["noise"]
    level = "unknown" if noise is None else f"{noise:.3g} (standard deviation)"
    if noise != of_scan:
        level += f", as far as the images' own of {of_scan:.3g} exceeds that of its training images"
    return f"the acquisition was {ways}, and the noise level {level}"
