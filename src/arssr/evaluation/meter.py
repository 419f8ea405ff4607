"""How long a piece of work took, and how much memory its process held meanwhile."""

import re
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

_CLEAR_REFS, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_RESET_PEAK = "5"  # proc(5): the peak becomes what is resident now
_MIB = 2**20


class Meter:
    """`with Meter() as meter: …`, then `meter.seconds` and `meter.peak_mib`.

    The peak is the kernel's own record of resident memory, begun anew with the block; where there
    is none (other systems than Linux), what is resident at its end. Memory of a GPU not included.
    """

    seconds: float
    peak_mib: float

    def __enter__(self) -> "Meter":
        with suppress(OSError):
            _CLEAR_REFS.write_text(_RESET_PEAK)
        self._start = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._start
        self.peak_mib = _peak_bytes() / _MIB


def _peak_bytes() -> int:
    try:
        found = re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text())
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else psutil.Process().memory_info().rss
