"""The machine while something is timed: its threads, its devices, and whether it was busy with something else."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

from niwaki.measure.rounds import Rounds
from niwaki.records import Environment

__all__ = ["device_in_words", "disturbances", "load_warning", "torch_threads"]

_AT_WORK = 0.9  # share of wall time the process had a processor, below which something else had it
_OVERLOADED = 1.25  # runnable processes for each core; a busy process of our own may count one for each


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Give torch's operators a number of threads for a while.

    Args:
        threads: Threads inside one operator, at least 1.

    Examples:
        >>> before = torch.get_num_threads()
        >>> with torch_threads(1):
        ...     torch.get_num_threads()
        1
        >>> torch.get_num_threads() == before
        True
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_in_words(devices: Iterable[torch.device]) -> str:
    """Name the processor, and each accelerator among some devices.

    Args:
        devices: Where models lie.

    Returns:
        Such as ``"AMD EPYC (2 cores)"`` or ``"cuda:0 NVIDIA H200, AMD EPYC (16 cores)"``.
    """
    here = Environment.capture()
    others = sorted({device for device in devices if device.type != "cpu"}, key=str)
    return ", ".join([*(_accelerator(device) for device in others), f"{here.processor} ({here.cores} cores)"])


def load_warning() -> str | None:
    """Return a warning when more processes want the machine than it has cores, judged by the last minute's load.

    Returns:
        The warning, or None; also None where the system does not know its load.
    """
    if not hasattr(os, "getloadavg"):
        return None
    load, cores = os.getloadavg()[0], Environment.capture().cores
    if load <= _OVERLOADED * cores:
        return None
    return f"the machine was busy before the first round: load {load:.1f} on {cores} cores"


def disturbances(times: Rounds) -> tuple[str, ...]:
    """Return a warning for each contestant that waited for a processor, judged by CPU time beside wall time.

    Args:
        times: Rounds taken on the CPU, where a call that is not disturbed works all the time.

    Returns:
        Warnings, empty on a quiet machine.

    Examples:
        >>> disturbances(Rounds({("eager", "dense"): (4.0, 6.0)}, {("eager", "dense"): (3.0, 3.0)}))
        ('dense in eager had a processor only 60% of the time; something else runs on this machine',)
    """
    shares = {who: sum(times.cpu_ms[who]) / max(sum(wall), 1e-9) for who, wall in times.wall_ms.items()}
    return tuple(
        f"{model} in {runtime} had a processor only {share:.0%} of the time; something else runs on this machine"
        for (runtime, model), share in shares.items()
        if share < _AT_WORK
    )


def _accelerator(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{device} {name}"
