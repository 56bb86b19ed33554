"""Memory that is kept is not asked for again: counted in page faults of a process of its own."""

import inspect
import platform
import subprocess
import sys

import pytest

from niwaki.train.memory import keep_freed_memory

FILE = inspect.getsourcefile(keep_freed_memory)
_FAULTS = """
import ctypes, resource, runpy, sys
if sys.argv[1] == "keep":  # the file alone: torch has memory of its own to find
    assert runpy.run_path(sys.argv[2])["keep_freed_memory"]()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
faults = []
for turn in range(4):
    held = [libc.malloc(2**23) for _ in range(12)]
    for each in held:
        libc.memset(each, 1, 2**23)
    for each in reversed(held):
        libc.free(each)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[3] - faults[1])
"""


def _faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", _FAULTS, how, str(FILE)], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_a_step_finds_the_memory_of_the_one_before() -> None:
    assert _faults("leave") > 10 * max(_faults("keep"), 100)


def test_elsewhere_nothing_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    monkeypatch.setattr("ctypes.CDLL", lambda _: pytest.fail("no libc to ask"))
    assert keep_freed_memory() is False
