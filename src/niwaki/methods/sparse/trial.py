"""The same computation in two forms, dense and as compressed rows: whether the answers agree, and the time of each."""

import math
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from niwaki.contract import Example
from niwaki.errors import ExportError, SurgeryError
from niwaki.measure import Rounds, disturbances, time_models
from niwaki.measure.rounds import Contestant
from niwaki.measure.runtimes import Subject
from niwaki.modules import evaluating
from niwaki.records import Gain

__all__ = ["answers", "clock", "difference", "gain_of", "inputs_of", "time_layer", "time_whole"]

Layer = nn.Linear | nn.Conv2d

DENSE, SPARSE, EAGER = "dense", "sparse", "eager"
_ROUNDS, _WARMUP = 15, 3
_TOLERANCE = 1e-4  # of the largest answer: sums are taken in another order
_IMAGE, _BATCH = (24, 32), 256  # stands in where no example tells the size of a layer's input


def answers(model: nn.Module, examples: Sequence[Example]) -> list[Tensor]:
    """Return every tensor of floating point numbers that a model answers with, in evaluation mode."""
    with torch.no_grad(), evaluating(model):
        found = [leaf for example in examples for leaf in tree_leaves(example.call(model))]
    return [leaf for leaf in found if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def difference(expected: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """Return how far two models' answers are apart.

    Args:
        expected: What the dense model answers.
        found: What the other answers.

    Returns:
        The largest difference of an answer, as a share of the largest value in it.

    Raises:
        SurgeryError: When it is more than the order of a sum can make.

    Examples:
        >>> difference([torch.tensor([2.0, 4.0])], [torch.tensor([2.0, 4.0001])])
        2.5033950805664062e-05
    """
    shares = [0.0]
    for one, other in zip(expected, found, strict=True):
        if one.numel():
            scale = one.abs().max().clamp(min=torch.finfo(one.dtype).tiny)
            shares.append(((one - other).abs().max() / scale).item())
    worst = max(shares, key=lambda share: (math.isnan(share), share))
    if not worst <= _TOLERANCE:
        raise SurgeryError(
            f"compressed rows answer otherwise than the dense layers: {worst:.2g} of the largest answer is more "
            f"than {_TOLERANCE:.0e}; a weight or an answer that is not finite, or random numbers in evaluation mode, "
            "are the usual causes: keep the dense model"
        )
    return worst


def inputs_of(model: nn.Module, layers: Sequence[Layer], examples: Sequence[Example]) -> dict[Layer, list[Tensor]]:
    """Return what layers are called with: an empty tensor in the shape and memory layout of each call's input.

    Args:
        model: The model, in evaluation mode.
        layers: Layers of it.
        examples: The model's inputs.

    Returns:
        Layer to the inputs of its calls, without memory; a layer that was not called is missing.
    """
    found: dict[Layer, list[Tensor]] = {}

    def note(layer: Any, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            found.setdefault(layer, []).append(torch.empty_like(args[0], device="meta"))

    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        answers(model, examples)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def time_layer(layer: Layer, sparse: nn.Module, inputs: Sequence[Tensor] | None, threads: int) -> Rounds:
    """Time a layer in both forms, after a look at the answers.

    Args:
        layer: The dense layer.
        sparse: The other form.
        inputs: As `inputs_of` returns them; None stands for an image of 24 x 32, or 256 rows.
        threads: Threads inside one operator.

    Returns:
        The times of ``"dense"`` and ``"sparse"`` in eager.

    Raises:
        SurgeryError: When the answers differ.
    """
    if inputs is None:
        inside = layer.weight.shape[1]
        inputs = [
            torch.empty((_BATCH, inside) if isinstance(layer, nn.Linear) else (1, inside, *_IMAGE), device="meta")
        ]
    generator = torch.Generator().manual_seed(0)
    drawn = [
        torch.empty_like(each, device="cpu", dtype=layer.weight.dtype).normal_(generator=generator) for each in inputs
    ]
    examples = [Example(each) for each in drawn]
    difference(answers(layer, examples), answers(sparse, examples))
    forms = {DENSE: layer, SPARSE: sparse}
    return time_models(forms, examples, runtimes=[EAGER], threads=threads, rounds=_ROUNDS, warmup=_WARMUP)


def time_whole(
    dense: nn.Module, sparse: nn.Module, examples: Sequence[Example], threads: int
) -> tuple[dict[str, Gain], tuple[str, ...]]:
    """Time a whole model in both forms: as compressed rows in eager, dense in ONNX Runtime too where it exports.

    Args:
        dense: The dense model.
        sparse: The other form.
        examples: Its inputs.
        threads: Threads inside one operator.

    Returns:
        Runtime of the dense form to the gain over it, and warnings.
    """
    forms: dict[str, Subject] = {DENSE: dense, SPARSE: partial(sparse)}  # a callable that is no module is not exported
    notes: tuple[str, ...] = ()
    how: dict[str, Any] = {"threads": threads, "rounds": _ROUNDS, "warmup": _WARMUP}
    try:
        times = time_models(forms, list(examples), runtimes=[EAGER, "onnxruntime"], **how)
    except ExportError as error:
        notes = (f"not compared with ONNX Runtime: {error}",)
        times = time_models(forms, list(examples), runtimes=[EAGER], **how)
    runtimes = [runtime for runtime, form in times.wall_ms if form == DENSE]
    return {runtime: gain_of(times, threads, runtime) for runtime in runtimes}, (*notes, *disturbances(times))


def gain_of(times: Rounds, threads: int, runtime: str = EAGER) -> Gain:
    """Return how many times faster compressed rows are, in eager, than the dense form in a runtime, round by round.

    Args:
        times: The rounds.
        threads: Threads inside one operator; see `clock`.
        runtime: Where the dense form ran.

    Examples:
        >>> times = {("eager", "dense"): (4.0, 6.0, 5.0), ("eager", "sparse"): (2.0, 2.0, 2.0)}
        >>> print(gain_of(Rounds(times, times), threads=1))
        2.50x (2.25 to 2.75)
    """
    taken = clock(times, threads)
    pairs = zip(taken[runtime, DENSE], taken[EAGER, SPARSE], strict=True)
    lower, median, upper = statistics.quantiles([one / other for one, other in pairs], n=4, method="inclusive")
    return Gain(median=median, lower=lower, upper=upper)


def clock(times: Rounds, threads: int) -> Mapping[Contestant, tuple[float, ...]]:
    """Return milliseconds of every round: of the processor for one thread, as a busy machine leaves them alone."""
    return times.cpu_ms if threads == 1 else times.wall_ms
