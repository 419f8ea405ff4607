"""Many scans in turn: each as it would be alone, in order, one read, one computed, one written."""

import pkgutil
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from tests.phantoms import smooth, tiny_network, volume

from arssr.api import Model
from arssr.errors import ArSSRError
from arssr.field import VoxelField
from arssr.files import sha256, sidecar
from arssr.jobs.job import Job
from arssr.jobs.pipeline import run_each
from arssr.jobs.running import Finish, Prepared, begin, run
from arssr.upsampling.request import Request
from arssr.upsampling.result import Facts
from arssr.upsampling.target import Target
from arssr.volume import Volume
from arssr.weights.registry import Weights

PATIENCE = 60.0  # seconds, for another thread that never comes


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """Random weights."""
    path = tmp_path / "weights"
    path.touch()
    return Model(Weights("tiny", tiny_network(), {}, path), "cpu", "float32")


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """Five, in several formats."""
    names = ("a.nii.gz", "b.nii", "c.nrrd", "d.mgz", "e.nii.gz")
    scans = [
        volume(smooth((6, 5, 4 + n), seed=n, sigma=1)).write(tmp_path / "scans" / name)
        for n, name in enumerate(names)
    ]
    return [Job(scan, tmp_path / "out" / scan.name, Request(Target(scale=2.0))) for scan in scans]


@pytest.mark.parametrize("name", ["sharper", "scan.png"])
def test_the_names_that_a_result_may_have_are_told(name: str, tmp_path: Path) -> None:
    job = Job(tmp_path / "scan.nii", tmp_path / name, Request(Target(scale=2.0)))
    with pytest.raises(ArSSRError, match=r"\.gz, .* in \.dicom for .* / for a folder") as refused:
        job.check()
    for suffix in re.findall(r"\.\w+(?:\.\w+)?(?=, )", str(refused.value)):
        replace(job, destination=tmp_path / f"scan_SR{suffix}").check()


def all_of(
    model: Model, jobs: list[Job], *tell: Callable[[Job, Facts | Exception], None]
) -> Iterator[tuple[Job, Facts | Exception]]:
    """As the command line does them."""

    def start(job: Job, prepared: Future[Prepared]) -> Finish:
        return begin(model, job, ahead=prepared)

    return run_each(partial(Prepared, model), start, jobs, *tell)


def test_each_result_is_what_it_would_be_alone_and_they_come_in_order(
    model: Model, jobs: list[Job], tmp_path: Path
) -> None:
    told: list[tuple[Job, Facts | Exception]] = []
    done = list(all_of(model, jobs, partial(_add, told)))
    assert [job for job, _ in done] == jobs and told == done
    for job, facts in done:
        alone = replace(job, destination=tmp_path / "alone" / job.destination.name)
        expected = run(model, alone)
        assert isinstance(facts, dict) and facts["seconds"] > 0
        assert sha256(job.destination) == sha256(alone.destination)
        assert sidecar(job.destination).exists()
        own = {"result", "seconds", "created"}
        assert {k: v for k, v in facts.items() if k not in own} == {
            k: v for k, v in expected.items() if k not in own
        }


@pytest.mark.parametrize("suffix", [".nii", ".nrrd"])
def test_a_result_that_cannot_be_written_is_the_only_one_missing(
    model: Model,
    jobs: list[Job],
    suffix: str,
    full_disk: Callable[[int], AbstractContextManager[None]],
) -> None:
    """One fails while it is computed, one at its end (.nrrd), those around are whole."""
    noise = np.random.default_rng(0).random((24, 24, 24), dtype=np.float32)
    large = jobs[1].source.with_name(f"large{suffix}")
    folder = jobs[1].destination.parent
    jobs[1] = replace(jobs[1], source=volume(noise).write(large), destination=folder / large.name)
    jobs[3].source.write_bytes(b"no image")
    with full_disk(60_000):
        done = list(all_of(model, jobs))
    assert [isinstance(outcome, ArSSRError) for _, outcome in done] == [0, 1, 0, 1, 0]
    assert f"cannot write {jobs[1].destination}" in str(done[1][1])
    assert "cannot be read" in str(done[3][1])
    whole = {job.destination for job in (jobs[0], jobs[2], jobs[4])}
    assert set(folder.iterdir()) == whole | {sidecar(path) for path in whole}


def test_one_is_written_while_the_next_is_computed_and_no_more_wait(jobs: list[Job]) -> None:
    started: list[Job] = []
    finished: list[Job] = []
    begun = [threading.Event() for _ in jobs]

    def start(job: Job, prepared: Future[Any]) -> Finish:
        number = len(started)
        assert len(finished) >= number - 1
        started.append(job)
        begun[number].set()

        def finish() -> Facts:
            following = begun[min(number + 1, len(jobs) - 1)]
            assert following.wait(PATIENCE), "nothing is computed meanwhile"
            finished.append(job)
            return {}

        return finish

    done = list(run_each(Job.read, start, jobs))
    assert [outcome for _, outcome in done] == [{}] * len(jobs)
    assert started == finished == jobs


def test_the_next_is_prepared_while_one_is_computed_and_no_more(
    model: Model, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one with a limit of memory only when it is its turn."""
    jobs[3] = replace(jobs[3], request=replace(jobs[3].request, memory=1e12))
    prepared = [threading.Event() for _ in jobs]
    make, before_its_turn = Model.field, list[list[bool]]()
    fields = dict[Path, weakref.ref[VoxelField]]()

    def field(self: Model, image: Any, **options: Any) -> VoxelField:
        made = make(self, image, **options)
        assert made.volume.path is not None
        fields[made.volume.path] = weakref.ref(made)
        prepared[[job.source for job in jobs].index(made.volume.path)].set()
        return made

    monkeypatch.setattr(Model, "field", field)

    def start(job: Job, ahead: Future[Prepared]) -> Finish:
        ahead.result()
        number = jobs.index(job)
        if number in (0, 1, 3):
            assert prepared[number + 1].wait(PATIENCE), "the next is not prepared"
        before_its_turn.append([event.is_set() for event in prepared])
        finish = begin(model, job, ahead=ahead)
        assert fields[job.source]() is None, "what was prepared is still held"
        return finish

    outcomes = [outcome for _, outcome in run_each(partial(Prepared, model), start, jobs)]
    assert all(isinstance(outcome, dict) for outcome in outcomes)
    assert before_its_turn[0] == [True, True, False, False, False]
    assert before_its_turn[1] == [True, True, True, False, False]
    assert not before_its_turn[2][3] and before_its_turn[3][4]


def test_with_a_limit_of_memory_the_next_waits(jobs: list[Job]) -> None:
    events: list[str] = []

    def start(job: Job, prepared: Future[Any]) -> Finish:
        events.append("computed")
        return partial(_finish, events)

    limited = [replace(job, request=replace(job.request, memory=1e9)) for job in jobs]
    assert len(list(run_each(Job.read, start, limited))) == len(jobs)
    assert events == ["computed", "written"] * len(jobs)


def test_the_field_is_given_back_before_the_result_is_written(
    model: Model, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that of a job which fails: features are what is large."""
    fields: list[weakref.ref[VoxelField]] = []
    make = Model.field

    def remembered(self: Model, *given: Any, **options: Any) -> VoxelField:
        field = make(self, *given, **options)
        fields.append(weakref.ref(field))
        return field

    monkeypatch.setattr(Model, "field", remembered)
    finish = begin(model, jobs[0])
    assert fields[0]() is None
    finish()

    held: list[int] = []

    def failing(job: Job, scan: Future[Volume]) -> Finish:
        held.append(sum(field() is not None for field in fields))
        voxel_field = model.field(scan.result())
        voxel_field.features()
        raise MemoryError

    outcomes = [outcome for _, outcome in run_each(Job.read, failing, jobs[1:3])]
    assert [type(outcome) for outcome in outcomes] == [MemoryError] * 2 and held == [0, 0]


def test_an_interruption_leaves_what_is_written_whole_and_nothing_else(
    model: Model, jobs: list[Job]
) -> None:
    def start(job: Job, prepared: Future[Any]) -> Finish:
        def progress(what: str, share: float) -> None:
            if job is jobs[1] and what == "decoding":
                raise KeyboardInterrupt

        return begin(model, job, progress, prepared)

    with pytest.raises(KeyboardInterrupt):
        list(run_each(partial(Prepared, model), start, jobs))
    first = jobs[0].destination
    assert set(first.parent.iterdir()) == {first, sidecar(first)}


def _add(told: list[tuple[Job, Facts | Exception]], job: Job, outcome: Facts | Exception) -> None:
    told.append((job, outcome))


def _finish(events: list[str]) -> Facts:
    events.append("written")
    return {}


def test_reference_and_transforms_are_read_once_whatever_the_number_of_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bold = nib.Nifti1Image(np.arange(6 * 5 * 4 * 3).reshape(6, 5, 4, 3).astype("i2") % 7, np.eye(4))
    nib.save(bold, tmp_path / "bold.nii")
    nib.save(bold, tmp_path / "reference.nii")
    np.savetxt(tmp_path / "identity.mat", np.eye(4))
    opened: list[str] = []
    _spy(monkeypatch, "arssr.volume.open_image", lambda path, *_: opened.append(Path(path).name))
    flirt = "arssr.transforms.registration._flirt"
    _spy(monkeypatch, flirt, lambda path, *_: opened.append(path.name))
    for transforms in ((), (tmp_path / "identity.mat",)):
        opened.clear()
        out = tmp_path / f"out{len(transforms)}.nii"
        target = Target(like=tmp_path / "reference.nii")
        request = Request(target, transforms=transforms, frames=True, labels=True)
        run(None, Job(tmp_path / "bold.nii", out, request))
        assert opened.count("reference.nii") == 1
        assert opened.count("identity.mat") == len(transforms)
        np.testing.assert_array_equal(nib.load(out).dataobj, bold.dataobj)


def _spy(monkeypatch: pytest.MonkeyPatch, name: str, tell: Callable[..., object]) -> None:
    """Have calls of a function told of, and made."""
    original = pkgutil.resolve_name(name)

    def spied(*args: Any) -> Any:
        tell(*args)
        return original(*args)

    monkeypatch.setattr(name, spied)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"transforms": (Path("a.mat"),)}, "another image's space"),
        ({"consistent": True, "labels": True}, "neither with labels nor"),
        ({"consistent": True, "transforms": (Path("a"),), "target": Target(like=Path("b"))}, "nor"),
        ({"labels": True, "ensemble": 4}, "labels need none"),
        ({"frames": True, "report": True}, "one 3D image"),
        ({"report": True, "transforms": (Path("a"),), "target": Target(like=Path("b"))}, "another"),
        ({"ensemble": 3}, "1, 4 or 8 members"),
        ({"acquisition": "blurred"}, "unknown acquisition 'blurred'"),
        ({"acquisition": ("slice", "slice")}, "one name or three"),
        ({"noise": "loud"}, "noise is a number"),
        ({"noise": -1.0}, "at least 0"),
    ],
)
def test_what_does_not_go_together_is_no_job(asked: dict[str, Any], reason: str) -> None:
    """For every caller, not only for the command line, and before anything is read."""
    with pytest.raises(ArSSRError, match=reason):
        report = asked.pop("report", False)
        request = Request(**{"target": Target(scale=2), **asked})
        Job(Path("scan.nii"), Path("out.nii"), request, report=report)


def test_a_misspelt_option_is_no_job() -> None:
    with pytest.raises(TypeError, match="aquisition"):
        Request(Target(scale=2), aquisition="slice")  # type: ignore[call-arg]
