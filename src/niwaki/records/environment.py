"""Where and with what a result was made."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from niwaki.records.base import RecordBase
from niwaki.version import __version__

__all__ = ["Environment"]

_PACKAGES = ("torch", "numpy", "scipy", "lightning-fabric", "torchmetrics", "onnx", "onnxscript", "onnxruntime")


class Environment(RecordBase):
    """The machine and the versions a result was made with.

    Attributes:
        niwaki: Version of Niwaki.
        python: Version of Python.
        packages: Versions of the packages results depend on.
        system: Operating system and architecture.
        processor: Processor, in words.
        cores: Cores this process may use.
        devices: Accelerators that were used, in words.
    """

    niwaki: str
    python: str
    packages: dict[str, str]
    system: str
    processor: str
    cores: int
    devices: tuple[str, ...] = ()

    @classmethod
    def capture(cls, devices: tuple[str, ...] = ()) -> "Environment":
        """Read the environment of this process.

        Args:
            devices: Accelerators in use, in words.

        Returns:
            The environment now.

        Examples:
            >>> Environment.capture().cores >= 1
            True
        """
        return cls(
            niwaki=__version__,
            python=platform.python_version(),
            packages={name: found for name in _PACKAGES if (found := _version(name))},
            system=f"{platform.system()} {platform.machine()}",
            processor=_processor(),
            cores=_cores(),
            devices=devices,
        )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
