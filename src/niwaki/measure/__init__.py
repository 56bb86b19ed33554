"""What a model costs and how long it takes."""

from niwaki.measure.activations import peak_activation_bytes
from niwaki.measure.cost import measure, measure_traced
from niwaki.measure.latency import measure_latency, time_models
from niwaki.measure.layer_table import LayerTable
from niwaki.measure.layers import time_layers
from niwaki.measure.machine import device_in_words, disturbances, load_warning
from niwaki.measure.rounds import Rounds, time_rounds
from niwaki.measure.runtimes import runtimes

__all__ = [
    "LayerTable",
    "Rounds",
    "device_in_words",
    "disturbances",
    "load_warning",
    "measure",
    "measure_latency",
    "measure_traced",
    "peak_activation_bytes",
    "runtimes",
    "time_layers",
    "time_models",
    "time_rounds",
]
