"""Memory that is kept is not asked for again: counted in page faults of a process of its own."""

import platform
import subprocess
import sys

import pytest

from niwaki.train.memory import keep_freed_memory

_FAULTS = """
import resource, sys, torch
from niwaki.train.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for turn in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step = [torch.zeros(2**21) for _ in range(12)]
    del step
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", _FAULTS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_a_step_finds_the_memory_of_the_one_before() -> None:
    assert _faults("leave") > 10 * max(_faults("keep"), 100)


def test_elsewhere_nothing_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    monkeypatch.setattr("ctypes.CDLL", lambda _: pytest.fail("no libc to ask"))
    assert keep_freed_memory() is False
