"""What is told of a result, by every sidecar and in `--json`."""

from collections.abc import Mapping
from typing import Any, TypedDict


class Facts(TypedDict, total=False):
    """The JSON beside every result: all that it takes to make it again, and what to know of it.

    A grid is `shape` (I, J, K), `spacing_mm` along these axes and `orientation` (such as RAS).
    What is not there did not happen: no network, nothing cut, nothing to warn of.
    """

    # What was made of what
    created: str
    """When, in ISO 8601, UTC."""
    versions: Mapping[str, str]
    """Of arssr, torch, numpy, python."""
    options: Mapping[str, Any]
    """What was asked for, beyond the defaults; by the names of Python."""
    input: Mapping[str, Any]
    """The scan: `file`, `sha256`, its grid and `slices` (`Slices.describe`; null if unknown)."""
    inputs: list[Mapping[str, Any]]
    """Of several scans that were merged: `file`, `sha256` and, where one was named, `series` of
    each; `input` is the first."""
    output: Mapping[str, Any]
    """The grid of the result."""
    seconds: float
    """From reading to the end of writing."""

    # By what, where a network had a part
    model: Mapping[str, Any]
    """`name`, `sha256` and `licence` of the weights, and `config` of the network."""
    device: str
    """Where: cpu, cuda:0, …"""
    precision: str
    """In which it was computed: bf16, fp16 or float32."""
    noise: float | None
    """Standard deviation of the scan's noise in units of the image; null if unknown."""
    told: Mapping[str, Any]
    """What the network was told: `acquisition_ijk`, `noise` (of the scan's, what is beyond that
    of training images), and `because` of what, for slices that do not touch."""
    air_skipped: float
    """The share of the scan's voxels that was left to interpolation."""

    # What was done
    target: str
    """What was chosen where no target was named, and why."""
    method: str
    """How it was made without a network: copied, resampled, as labels or probabilities."""
    taken: str
    """What the scan was taken for, if not for intensities, and why."""
    constant: float
    """The value of every voxel of one of several frames, which stays as it is."""
    cut_to_band: Mapping[str, Any]
    """The grid that the scan was cut to, which is what was measured, and the verdict on the axes
    `i`, `j` and `k` (`AxisResolution.describe`)."""
    even_slices: Mapping[str, Any]
    """By what each slice was divided before all else (`Evened.describe`); of several frames that
    of the least even one, `frame`."""
    clamped_at: float | None
    """The value that lower ones were raised to; null where they were left."""
    uncertainty: Mapping[str, Any]
    """`file`, `probability` with which the truth lies within value ± half-width, `way` of
    computing; `mean` and `percentile_95` of the half-widths in units of the image, and both
    `in_words`."""
    consistency: Mapping[str, Any]
    """`in_words`, and `residual_before` and `residual_after` as `share_of` the noise or the range;
    see `Consistent.describe`."""
    agreement: Mapping[str, Any]
    """How far the result, measured again, is from the scan, evened if it was: `in_words`, and
    where it could be computed the rest of `Agreement.found`; of several frames that of the
    farthest one, `frame`."""

    merged: Mapping[str, Any]
    """What came of each of several scans (`arssr.merging.merge.facts_of`)."""
    motion: Mapping[str, Any]
    """Of a scan that was registered to another: `mm`, `degrees`, and the matrix of the motion."""

    # What to know
    notes: list[str]
    """What is as it was asked for, but perhaps not as it was meant."""
    warnings: list[str]
    """What may be wrong with the scan or the result; an error with `strict`."""
    methods: str
    """A paragraph to paste into a Methods section."""
    cite: list[str]
    """The paper and the software, to cite."""
    not_for: str
    """What the result must not be used for."""
    no_report: str
    """Why there is no report, though one was asked for."""

    # Beside what the file has
    scan: str
    """The file that was read."""
    result: str
    """The file that was written."""


def was_evened(facts: Mapping[str, Any]) -> bool:
    """Whether slices of the scan, or of one of several, were divided by anything (`evenness`)."""
    of = [facts, *facts.get("merged", {}).get("scans", ())]
    return any(f != 1 for each in of for f in each.get("even_slices", {}).get("factors", ()))
