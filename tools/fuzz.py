"""Fuzz the reading of a format: python tools/fuzz.py nii --seconds 60

Changed files are tried, guided by which lines of Python they reach (atheris, the extra `fuzz`). It
stops at the first one that ends in anything but a volume or an ArSSRError, takes longer than ten
seconds or more than 2 GB, and leaves it in the folder --found. --keep adds a few inputs that reach
what the others do not to tests/fuzz/corpus, where an ordinary test replays them.
"""

import argparse
import logging
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
KEPT_BYTES = 24_000  # for each format
sys.path.insert(0, str(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("format")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"))
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        fuzz(options.format, options.seconds, options.found, options.worker)
    else:
        supervise(options)


def supervise(options: argparse.Namespace) -> None:
    """Fuzz in a process that may crash; keep what it learned."""
    options.found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        inputs = Path(name)
        command = [sys.executable, __file__, options.format, "--seconds", str(options.seconds)]
        command += ["--found", str(options.found), "--worker", str(inputs)]
        done = subprocess.run(command, check=False)
        if options.keep:
            keep(options.format, inputs)
    sys.exit(done.returncode)


def fuzz(kind: str, seconds: int, found: Path, inputs: Path) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["arssr", "nibabel", "pydicom"]):
        from tests.fuzz.targets import read, seeds

    for number, content in enumerate(seeds(kind)):
        (inputs / f"seed{number}").write_bytes(content)
    folder = Path(tempfile.mkdtemp())
    warnings.simplefilter("ignore")
    logging.disable()

    def try_one(content: bytes) -> None:
        read(kind, content, folder)

    arguments = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=4096"]
    arguments += [f"-artifact_prefix={found}/{kind}-", "-print_final_stats=1", str(inputs)]
    known = CORPUS / kind
    atheris.Setup([sys.argv[0], *arguments, *([str(known)] if known.is_dir() else [])], try_one)
    atheris.Fuzz()


def keep(kind: str, inputs: Path) -> None:
    """The latest inputs that reached something new, as many as there is room for."""
    known = CORPUS / kind
    known.mkdir(parents=True, exist_ok=True)
    room = KEPT_BYTES - sum(path.stat().st_size for path in known.iterdir())
    news = [path for path in inputs.iterdir() if not path.name.startswith("seed")]
    for path in sorted(news, key=lambda p: p.stat().st_mtime, reverse=True):
        room -= path.stat().st_size
        if room < 0:
            break
        (known / path.name[:12]).write_bytes(path.read_bytes())


if __name__ == "__main__":
    main()
