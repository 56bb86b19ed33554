"""Forecast: how long a choice of channels will take, from times of single layers, to steer a search by."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from niwaki.graph import Channels, Layer, planned_layers, planned_size
from niwaki.measure import LayerTable

__all__ = ["Forecast", "forecast"]

Keep = NDArray[np.bool_]
Forecast = Callable[[Keep], float]
"""Gives a choice of channels a number that grows with the time it takes; only its ratios mean something."""


def forecast(channels: Channels, runtime: str, whole: Keep, least: Keep) -> Forecast:
    """Return a forecast from the times of a model's layers at their largest and smallest width.

    Between the two a layer's time follows its multiply-accumulates. Operators without weights are taken to follow the
    layers. Where single layers can't be timed in the runtime, the forecast is the multiply-accumulates themselves.

    Args:
        channels: The channels of the model.
        runtime: Where it is to run.
        whole: By class id, whether the class stays in the largest network.
        least: The same of the smallest.

    Returns:
        The forecast.
    """
    if not LayerTable.covers(runtime):
        return lambda keep: float(planned_size(channels, keep)[1])
    ends = [planned_layers(channels, keep) for keep in (least, whole)]
    times = LayerTable(runtime).milliseconds([*ends[0], *ends[1]])
    lines = list(zip(*ends, times[: len(ends[0])], times[len(ends[0]) :], strict=True))

    def milliseconds(keep: Keep) -> float:
        layers = planned_layers(channels, keep)
        return sum(_between(layer, *line) for layer, line in zip(layers, lines, strict=True))

    return milliseconds


def _between(layer: Layer, small: Layer, large: Layer, small_ms: float, large_ms: float) -> float:
    """Interpolate; a layer that was timed slower when it was smaller does not count as shrinking."""
    if large.work == small.work:
        return large_ms
    share = (layer.work - small.work) / (large.work - small.work)
    return small_ms + share * max(large_ms - small_ms, 0.0)
