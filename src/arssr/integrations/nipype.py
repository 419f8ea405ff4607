"""`arssr upsample` as an interface of Nipype, for nodes and workflows.

Source: Gorgolewski et al. 2011, doi:10.3389/fninf.2011.00013; https://nipype.readthedocs.io.
Needs `pip install 'arssr[pipelines]'`.
"""

import hashlib
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    CommandLine,
    CommandLineInputSpec,
    Directory,
    File,
    InputMultiObject,
    InputMultiPath,
    TraitedSpec,
    isdefined,
    traits,
)

from arssr.files import output_suffix, sha256, sidecar, stem
from arssr.formats.bids import metadata

_TARGETS = ["scale", "spacing", "shape", "like", "isotropic"]  # at most one of them
_FILE_OR_FOLDER = (File(exists=True), Directory(exists=True))


class UpsampleInputSpec(CommandLineInputSpec):
    """The options of `arssr upsample` for one scan, with the meaning that `--help` gives them."""

    in_file = traits.Either(
        *_FILE_OR_FOLDER,
        argstr="%s",
        position=0,
        mandatory=True,
        desc="the scan: an image, or a folder or .zip of DICOM files",
    )
    out_file = File(
        argstr="--out %s",
        genfile=True,
        hash_files=False,
        desc="the file to write, here: NAME_SR with the suffix of the scan",
    )
    scale = InputMultiObject(
        traits.Float(),
        maxlen=3,
        argstr="--scale %s",
        xor=_TARGETS,
        desc="output voxels per input voxel; one number, or three for i, j, k",
    )
    spacing = InputMultiObject(
        traits.Float(),
        maxlen=3,
        argstr="--spacing %s",
        xor=_TARGETS,
        desc="voxel size of the result in mm; one number or three",
    )
    shape = InputMultiObject(
        traits.Int(),
        maxlen=3,
        argstr="--shape %s",
        xor=_TARGETS,
        desc="voxels of the result, same field of view; three numbers",
    )
    like = File(
        exists=True,
        argstr="--like %s",
        xor=_TARGETS,
        desc="an image whose grid the result shall have",
    )
    isotropic = traits.Bool(
        argstr="--isotropic", xor=_TARGETS, desc="the finest stored spacing along all axes"
    )
    transform = InputMultiPath(
        File(exists=True),
        argstr="--transform %s...",
        requires=["like"],
        desc="a registration of the scan to `like`; of several the last is applied first",
    )
    labels = traits.Bool(argstr="--labels", desc="the image is a label map")
    frames = traits.Bool(argstr="--frames", desc="the image is 4D; take every frame")
    series = traits.Str(argstr="--series %s", desc="which of several DICOM images")
    as_stored = traits.Bool(
        argstr="--as-stored", desc="take it as stored, even if measured on larger voxels"
    )
    even_slices = traits.Bool(
        argstr="--even-slices", desc="first even slices that differ in brightness from others"
    )
    acquisition = traits.Str(
        argstr="--acquisition %s",
        desc="auto, 2D, 3D, slice, kspace, spline or unknown; for i, j and k with commas",
    )
    noise = traits.Either(
        traits.Enum("auto", "unknown"),
        traits.Float(),
        argstr="--noise %s",
        desc="standard deviation of the noise in units of the scan",
    )
    consistent = traits.Bool(
        argstr="--consistent", desc="measured again, the result shall give the scan back"
    )
    uncertainty = traits.Bool(
        argstr="--uncertainty", desc="also an image of half-widths of 90 % intervals"
    )
    strict = traits.Bool(argstr="--strict", desc="every warning is an error")
    no_clamp = traits.Bool(argstr="--no-clamp", desc="leave values below the scan's lowest")
    report = traits.Bool(argstr="--report", desc="also a page: input, cubic and result")
    overwrite = traits.Bool(
        True, usedefault=True, nohash=True, argstr="--overwrite", desc="replace existing files"
    )
    model = traits.Str(argstr="--model %s", desc="shipped weights by name, or a file of weights")
    ensemble = traits.Enum(1, 4, 8, argstr="--ensemble %s", desc="the mean over so many flips")
    no_skip = traits.Bool(argstr="--no-skip", desc="compute air too")
    precision = traits.Enum(
        "auto", "bf16", "fp16", "float32", argstr="--precision %s", desc="arithmetic"
    )
    # By these images differ in rounding alone.
    device = traits.Str(argstr="--device %s", nohash=True, desc="auto, cpu, cuda, cuda:1, …")
    memory = traits.Str(argstr="--memory %s", nohash=True, desc="to take at most, such as 4GB")
    num_threads = traits.Int(argstr="--threads %s", nohash=True, desc="processor threads")

    def get_hashval(self, hash_method: str | None = None) -> tuple[list[Any], str]:
        """What a node knows its inputs by: also what JSON files beside a scan say of it, the files
        of a folder, and the version of ArSSR, with which weights come.
        """
        listed, value = super().get_hashval(hash_method)
        scans = [Path(scan) for scan in _as_list(self.in_file) if isdefined(scan)]
        beyond = [
            ("metadata", [metadata(scan) for scan in scans]),  # of several in a MapNode
            ("files", [sha256(scan) for scan in scans if scan.is_dir()]),
            ("version", version("arssr")),
        ]
        return listed + beyond, hashlib.md5(f"{value}{beyond}".encode()).hexdigest()


class UpsampleOutputSpec(TraitedSpec):
    """What `arssr upsample` writes."""

    out_file = traits.Either(*_FILE_OR_FOLDER, desc="the result; of NAME.dicom a folder")
    sidecar = File(exists=True, desc="JSON: how it was made, and a paragraph for Methods")
    uncertainty = traits.Either(*_FILE_OR_FOLDER, desc="half-widths, if they were asked for")
    report = File(exists=True, desc="the page, if it was asked for and there is anything to show")


class Upsample(CommandLine):
    """Super-resolve a scan: thick slices as fine as their plane, or to a target of your choice.

    Runs `arssr upsample` of the Python that runs the node, in the node's folder.

    >>> Upsample(scale=(1, 1, 4)).inputs.scale
    [1.0, 1.0, 4.0]
    """

    _cmd = f"{shlex.quote(sys.executable)} -m arssr upsample"
    input_spec = UpsampleInputSpec
    output_spec = UpsampleOutputSpec

    def _format_arg(self, name: str, trait_spec: Any, value: Any) -> str | None:
        """Every word quoted; Nipype itself quotes a path only where nothing else is allowed."""
        if isinstance(value, bool):
            return trait_spec.argstr if value else None
        words = [shlex.quote(str(word)) for word in _as_list(value)]
        option, each, _ = trait_spec.argstr.partition("...")
        return " ".join(option % word for word in (words if each else [" ".join(words)]))

    def _run_interface(self, runtime: Any, correct_return_codes: tuple[int, ...] = (0,)) -> Any:
        """Nipype itself passes over exit codes, and would take what an earlier run left."""
        runtime = super()._run_interface(runtime, correct_return_codes)
        if runtime.returncode not in correct_return_codes:
            self.raise_exception(runtime)
        return runtime

    def _gen_filename(self, name: str) -> str:
        """The name that `arssr upsample` gives the result of a scan in a folder."""
        scan = Path(self.inputs.in_file)
        return f"{stem(scan)}_SR{output_suffix(scan)}"

    def _list_outputs(self) -> dict[str, Any]:
        from arssr.jobs.job import Job  # imports torch
        from arssr.upsampling.request import Request
        from arssr.upsampling.target import Target

        asked = self.inputs.get_traitsfree()
        result = Path(asked.get("out_file") or self._gen_filename("out_file")).absolute()
        request = Request(Target(), uncertainty=asked.get("uncertainty", False))
        job = Job(Path(self.inputs.in_file), result, request)
        outputs = self.output_spec().get()
        outputs |= {"out_file": str(result), "sidecar": str(sidecar(result))}
        if job.half_widths:
            outputs["uncertainty"] = str(job.half_widths)
        if asked.get("report") and job.page.exists():
            outputs["report"] = str(job.page)
        return outputs


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
