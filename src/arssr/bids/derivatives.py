"""The BIDS data set of results: where each lies, what its sidecar says, and what is done already.

Source: BIDS specification, "BIDS Derivatives".
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from arssr.bids.dataset import Dataset, Scan, relative
from arssr.errors import ArSSRError
from arssr.files import sidecar, write_text
from arssr.formats.bids import DESCRIPTION, BIDSName, metadata, read_json
from arssr.grid import spacing_in_words
from arssr.jobs.batch import ModelRef
from arssr.jobs.merging import AnyJob
from arssr.jobs.provenance import write_sidecar
from arssr.jobs.resuming import is_done
from arssr.upsampling.facts import Facts
from arssr.upsampling.plain import COPIED, EVENED, RESAMPLED
from arssr.upsampling.words import method_in_words

PROVENANCE = "ArSSR"  # the key of a sidecar under which ours lies
LOGS = "logs"  # a file for every scan that failed
_BIDS_VERSION = "1.10.0"
_SOURCE = "raw"  # what the data set that we read is called in BIDS URIs
# What pages and logs are for people; the validator need not know them.
_IGNORED = f"*.html\n{LOGS}/\n"
# Said of the samples of the scan, and no longer true of finer ones.
_OF_THE_SAMPLES = {
    "AcquisitionMatrixPE",
    "BaseResolution",
    "Density",
    "EffectiveEchoSpacing",
    "ImageOrientationPatientDICOM",
    "PhaseResolution",
    "RawSources",
    "ReconMatrixPE",
    "Resolution",
    "SliceEncodingDirection",
    "SliceThickness",
    "SliceTiming",
    "Sources",
    "SpacingBetweenSlices",
    PROVENANCE,
}


@dataclass(frozen=True)
class Result:
    """Something that is done: its sidecar, its name, and what is known of its making."""

    sidecar: Path
    name: BIDSName
    made: Mapping[str, Any]

    @property
    def page(self) -> Path:
        """Where its report lies, if it has one."""
        return self.sidecar.with_suffix(".html")


class Derivatives:
    """The folder of results of one data set. Raises ArSSRError where something else lies there."""

    def __init__(self, root: Path, source: Dataset) -> None:
        self.root, self.source = root, source
        if root.resolve() == source.root.resolve():
            raise ArSSRError(f"{root} is the data set itself; name another folder for the results")
        if (root / DESCRIPTION).exists():
            makers = read_json(root / DESCRIPTION).get("GeneratedBy")
            names = [maker.get("Name") for maker in makers or [] if isinstance(maker, dict)]
            if names != ["ArSSR"]:
                raise ArSSRError(f"{root} is a data set of something else; name another folder")

    def describe(self) -> None:
        """Write what makes the folder a data set."""
        links = quote(relative(self.source.root, self.root).as_posix())
        known = self.source.description
        origin = {"URL": links, "Version": known.get("Version"), "DOI": known.get("DatasetDOI")}
        description = {
            "Name": f"{known.get('Name', self.source.root.resolve().name)}, from ArSSR",
            "BIDSVersion": _BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "ArSSR", "Version": version("arssr")}],
            "SourceDatasets": [{key: value for key, value in origin.items() if value}],
            "DatasetLinks": {_SOURCE: links},
        }
        _write_json(self.root / DESCRIPTION, description)
        for name, text in ((".bidsignore", _IGNORED), ("README.md", _README)):
            if not (self.root / name).exists():
                write_text(self.root / name, text)

    def destination(self, scan: Scan) -> Path:
        """Where the result lies: `…_res-SR_desc-arssr_T1w.nii.gz`; a `desc` of the scan's stays
        part of it, so that `desc-preproc` and `desc-brain` have a result each. Of several scans
        it is `desc-arssrmerge`.
        """
        described = scan.name.entities.get("desc")
        desc = f"{described}Arssr" if described else "arssr"
        if scan.others:
            desc += "merge"
        folder = self.root / scan.path.parent.relative_to(self.source.root)
        return folder / str(scan.name.having(res="SR", desc=desc))

    def is_done(self, job: AnyJob, network: ModelRef) -> bool:
        """Whether nothing is left to do, see `resuming.is_done`; without its record it was cut off
        before its end.
        """
        if not sidecar(job.destination).is_file():
            return False
        try:
            made = read_json(sidecar(job.destination)).get(PROVENANCE, {})
        except ArSSRError:
            return False
        return is_done(job, network.sha256, made)

    def record(self, scan: Scan, destination: Path, facts: Facts) -> None:
        """Write the sidecar of a result; from then on it is done."""
        kept = {
            key: value
            for key, value in _in_common(map(metadata, scan.paths)).items()
            if key not in _OF_THE_SAMPLES
        }
        if self.source.is_raw:  # the specification wants to know of every derived image
            kept.setdefault("SkullStripped", False)
        made = {key: value for key, value in facts.items() if key not in ("scan", "result")}
        how, description = _in_words(facts)
        ours = {
            "Description": description,
            "Sources": self._uris(scan),
            "Resolution": f"{spacing_in_words(facts['output']['spacing_mm'])}, {how}",
            PROVENANCE: made,
        }
        write_sidecar(destination, kept | ours)
        if "uncertainty" in facts:
            self._describe_half_widths(destination, facts["uncertainty"], kept)
        self.forget_failure(scan)

    def _describe_half_widths(
        self, destination: Path, told: Mapping[str, Any], kept: Mapping[str, Any]
    ) -> None:
        """The sidecar of the image of half-widths."""
        probability = f"{100 * told['probability']:.0f} %"
        name = relative(destination, self.root).as_posix()
        ours = {
            "Description": f"Half-widths of intervals around {destination.name}, in its units: the "
            f"truth lies within with a probability of {probability}.",
            "Sources": [f"bids::{name}"],
        }
        write_sidecar(destination.with_name(told["file"]), {**kept, **ours})

    def record_failure(self, scan: Scan, error: str) -> None:
        """Remember, for the overview, why there is no result."""
        self.forget_failure(scan)
        _write_json(self._log(scan), {"scans": self._uris(scan), "error": error})

    def forget_failure(self, scan: Scan) -> None:
        """There is a result now, or another failure: also of other groups that scans were in."""
        self._log(scan).unlink(missing_ok=True)
        for path in (self.root / LOGS).glob(f"sub-{scan.subject}_*rssrmerge_*.json"):
            with suppress(ArSSRError):  # gone meanwhile
                if not set(self._uris(scan)).isdisjoint(read_json(path).get("scans", ())):
                    path.unlink(missing_ok=True)

    def _uris(self, scan: Scan) -> list[str]:
        return [self.source.uri(path, _SOURCE) for path in scan.paths]

    def _log(self, scan: Scan) -> Path:
        return self.root / LOGS / sidecar(self.destination(scan)).name

    def results(self) -> list[Result]:
        """Everything that is done, by name."""
        found = [*self.root.glob("sub-*/anat/*.json"), *self.root.glob("sub-*/ses-*/anat/*.json")]
        done = []
        for path in sorted(found):
            name = BIDSName.parse(path.name)
            if name is not None and (made := read_json(path).get(PROVENANCE)):
                done.append(Result(path, name, made))
        return done

    def failures(self) -> list[tuple[BIDSName, str]]:
        """Name of the missing result and reason, of everything that failed and is there still."""
        failed = []
        for path in sorted((self.root / LOGS).glob("sub-*.json")):
            name = BIDSName.parse(path.name)
            if name is not None:
                with suppress(ArSSRError):  # gone meanwhile: another process mended it
                    note = read_json(path)
                    if all(map(self._is_there, note.get("scans", ()))):
                        failed.append((name, str(note.get("error"))))
        return failed

    def _is_there(self, uri: str) -> bool:
        """Whether a scan still lies in the data set, if only as a link that leads nowhere."""
        return os.path.lexists(self.source.root / uri.removeprefix(f"bids:{_SOURCE}:"))


def _in_common(described: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the sidecars of all scans say alike."""
    first, *others = described
    return {
        key: value
        for key, value in first.items()
        if all(key in each and each[key] == value for each in others)
    }


def _in_words(facts: Facts) -> tuple[str, str]:
    """What was done to a scan, as a participle with what it was done to, and as a sentence."""
    maker = f"ArSSR {version('arssr')}"
    if "merged" in facts:
        scans, how = facts["merged"]["scans"], method_in_words(facts)
        before = ", ".join(spacing_in_words(each["spacing_mm"]) for each in scans)
        return (
            f"merged from {before}",
            f"{how[0].upper()}{how[1:]} by {maker} with the weights {facts['model']['name']}; what "
            "no scan measured was estimated.",
        )
    measured = facts["cut_to_band"] if "cut_to_band" in facts else facts["input"]
    done, description = _of_one(facts, maker)
    return f"{done} from {spacing_in_words(measured['spacing_mm'])}", description


def _of_one(facts: Facts, maker: str) -> tuple[str, str]:
    """The participle alone, and the sentence."""
    method = facts.get("method")  # where it is not the network's
    if method == COPIED:
        return "copied", f"Copied by {maker}, sample for sample: the scan has this grid's places."
    if method == EVENED:
        return "copied", f"Copied by {maker}: {facts['even_slices']['in_words']}."
    if method == RESAMPLED:
        how = method_in_words(facts)
        return "resampled", f"Resampled by {maker}, no finer than the scan: {how}."
    if method is not None:
        return "resampled", f"Resampled by {maker}: {facts['taken']}; {method}."
    how = method_in_words(facts)
    return (
        "super-resolved",
        f"{how[0].upper()}{how[1:]} by {maker} with the weights {facts['model']['name']}; what is "
        "finer than the scan was estimated, not measured.",
    )


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


_README = """\
# Scans from ArSSR

Super-resolved by ArSSR, an implementation of the implicit voxel function of Wu et al. (IEEE JBHI
2022, doi:10.1109/JBHI.2022.3223106). `index.html` lists what was done. The key `ArSSR` of every
JSON file says how its image was made; one that is nowhere finer than its scan, and one of labels or
probabilities, was only resampled, and one on the grid of its scan only copied. What is called
`desc-arssrmerge` was made of several scans, the `Sources` of its JSON file.

Not for diagnosis: what is finer than the scan was estimated by a network, not measured.
"""
