"""A table of layers' times that is kept between runs: timed once on a machine, looked up ever after."""

import json
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from niwaki.atomic import cache_folder, write_atomically
from niwaki.graph import Layer
from niwaki.measure.layers import TIMED_IN, time_layers
from niwaki.measure.machine import device_in_words
from niwaki.measure.runtimes import runtimes

__all__ = ["LayerTable"]

Clock = Callable[[Sequence[Layer]], list[float]]


class LayerTable:
    """Milliseconds of single layers on this machine in one runtime of one version, one thread.

    The file lies in the user's cache folder (``NIWAKI_CACHE``) and is written whole; a damaged one is made anew.

    Args:
        runtime: Name of a runtime that single layers can be timed in.
        folder: Where the file lies; the cache folder by default.
        clock: Times layers; the machine's own by default.

    Examples:
        >>> import tempfile
        >>> layer, calls = Layer("linear", (1, 8), (4, 8), bias=True), []
        >>> def clock(layers):
        ...     calls.append(len(layers))
        ...     return [2.5 for _ in layers]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = LayerTable("eager", Path(folder), clock).milliseconds([layer, layer])
        ...     again = LayerTable("eager", Path(folder), clock).milliseconds([layer])
        >>> first, again, calls
        ([2.5, 2.5], [2.5], [1])
    """

    def __init__(self, runtime: str, folder: Path | None = None, clock: Clock | None = None) -> None:
        known = runtimes.get(runtime)
        place = f"{runtime} {known.version()} on {device_in_words([])}"
        self._file = (folder or cache_folder() / "layers") / f"{sha256(place.encode()).hexdigest()[:16]}.json"
        self._place = place
        self._clock = clock or (lambda layers: time_layers(layers, runtime))
        self._known = self._read()

    @staticmethod
    def covers(runtime: str) -> bool:
        """Tell whether single layers can be timed in a runtime."""
        return runtime in TIMED_IN

    def milliseconds(self, layers: Iterable[Layer]) -> list[float]:
        """Return the time of each layer; those that are not in the table are timed and kept.

        Args:
            layers: The layers, in any number of copies.

        Returns:
            One number for each.
        """
        wanted = list(layers)
        missing = {key: each for each in wanted if (key := _key(each)) not in self._known}
        if missing:
            times = self._clock(list(missing.values()))
            self._known |= self._read() | dict(zip(missing, times, strict=True))
            text = json.dumps({"place": self._place, "milliseconds": self._known}, indent=1)
            write_atomically(self._file, text)
        return [self._known[_key(each)] for each in wanted]

    def _read(self) -> dict[str, float]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            return {str(key): float(value) for key, value in found["milliseconds"].items()}
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return {}


def _key(layer: Layer) -> str:
    return json.dumps(layer)
