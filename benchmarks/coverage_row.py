"""One row of `coverage.py`: a network halved by Niwaki in both forms, and by Torch-Pruning; CPU seconds, one thread."""

import resource
import signal
import time
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import coverage_models
from niwaki.contract import as_examples, describe_example
from niwaki.errors import NiwakiError
from niwaki.graph import Channels, find_channels, trace
from niwaki.graph.code import Code, from_exported
from niwaki.quiet import quiet
from niwaki.records import GroupPlan
from niwaki.surgery import Plan, cut, plans_of

__all__ = ["half_of_each_group", "measure", "measure_peer"]

torch.set_num_threads(1)
trace(nn.Linear(1, 1), torch.zeros(1, 1))  # torch imports its exporter at the first use


def measure(name: str) -> dict[str, Any]:
    """Halve a network without naming a layer.

    Args:
        name: One of `coverage_models.all_names`.

    Returns:
        The row: groups, forms, what held, seconds of each stage, memory.
    """
    model, example = coverage_models.build(name)
    dense = sum(parameter.numel() for parameter in model.parameters())
    row: dict[str, Any] = {"shapes": "no", "proved": "no", "backward": "no", "module": "no", "graph": "no"}
    marks = [time.process_time()]
    try:
        channels = find_channels(trace(model, example))
        marks.append(time.process_time())
        plan = plan_of(channels, half_of_each_group(channels), example)
        marks.append(time.process_time())
        small = cut(model, plan, channels=channels)
        marks.append(time.process_time())
    except NiwakiError as error:
        return {**row, "failure": f"{type(error).__name__}: {error}"[:600]}
    told = plans_of(small)[-1]
    row |= {
        "groups": sum(group.reason is None for group in channels.groups),
        "frozen": len(channels.frozen),
        "unknown": sorted({each.operator for each in channels.unknown}),
        "form": told.form,
        "proved": "yes" if not any("does not depend" in note for note in told.notes) else "vacuous",
        "left": sum(parameter.numel() for parameter in small.parameters()) / dense,
        "rescaled": len(told.rescales),
        "repaired": len(told.repairs),
        "notes": list(told.notes),
        "seconds": [b - a for a, b in pairwise(marks)],
        "shapes": "yes" if shapes(model, example) == shapes(small, example) else "no",
        "backward": "yes" if _learns(small, example) else "no",
        "unproved_seconds": _unproved_seconds(model, plan, channels),
        "as_exported": "yes" if _as_exported(model, example, channels) else "no",
    }
    row[told.form] = "yes"
    if told.form == "module":
        row |= _as_graph(model, example, channels)
    row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return row


def _unproved_seconds(model: nn.Module, plan: Plan, channels: Channels) -> float:
    """Measure the cut without its proof, which the peer has none of."""
    began = time.process_time()
    cut(model, plan, channels=channels, verify=False)
    return time.process_time() - began


def _as_exported(model: nn.Module, example: Any, channels: Channels) -> bool:
    """Tell whether what was read in eval mode is what ``torch.export`` reads, but for checks that this adds."""
    (inputs,) = as_examples(example)
    try:
        with quiet():
            exported = torch.export.export(model.eval(), inputs.args, inputs.kwargs, strict=False)
    except Exception:  # noqa: BLE001 - whatever it can't read
        return False
    return _operators(channels.traced.programs[0].code) == _operators(from_exported(exported))


def _operators(code: Code) -> list[tuple[str, list[Any]]]:
    """Return the operators of a program in order, each with where its tensors come from."""
    places: dict[Any, Any] = {}
    found = []
    for node in code.graph.nodes:
        if node.op == "placeholder":
            places[node] = code.targets.get(node.name, "constant" if node.name in code.held else "input")
        elif node.op != "get_attr" and "_assert_tensor_metadata" not in str(node.target):
            found.append((str(node.target), [places[source] for source in node.all_input_nodes]))
            places[node] = len(found)
    return found


def _as_graph(model: nn.Module, example: Any, channels: Channels) -> dict[str, Any]:
    """Halve the same network by graph surgery, where channels may be permuted."""
    began = time.process_time()
    try:
        free = find_channels(channels.traced, permutations=True)
        small = cut(model, plan_of(free, half_of_each_group(free), example), channels=free, form="graph")
        learns = _learns(small, example)
    except NiwakiError as error:
        return {"graph": "no", "graph_failure": str(error)[:600]}
    return {"graph": "yes" if learns else "no backward", "graph_seconds": time.process_time() - began}


def half_of_each_group(channels: Channels, seed: int = 0) -> NDArray[np.bool_]:
    """Choose half of every stratum of every group at random; what must stay equal and does not stays whole.

    Args:
        channels: The channel classes.
        seed: Seed of the choice.

    Returns:
        By class id, whether the class goes.
    """
    generator = np.random.default_rng(seed)
    gone = np.zeros(channels.count, dtype=np.bool_)
    for group in channels.groups:
        for stratum in np.unique(group.strata) if group.reason is None else ():
            classes = group.classes[group.strata == stratum]
            classes = classes[channels.removable[classes]]
            gone[generator.permutation(classes)[: len(classes) // 2]] = True
    while True:
        counts = [(pieces, {int(gone[piece].sum()) for piece in pieces}) for pieces in channels.equal_chunks]
        uneven = next((pieces for pieces, found in counts if len(found) > 1), None)
        if uneven is None:
            return gone
        gone[np.concatenate(uneven)] = False


def plan_of(channels: Channels, gone: NDArray[np.bool_], example: Any) -> Plan:
    """Write a choice down as a plan."""
    groups = tuple(
        GroupPlan(
            name=group.name,
            size=group.size,
            kept=tuple(np.flatnonzero(~gone[group.classes]).tolist()),
            slices=group.slices,
            reason=group.reason,
        )
        for group in channels.groups
    )
    return Plan(groups=groups, examples=tuple(describe_example(each) for each in as_examples(example)))


@torch.no_grad()
def shapes(model: nn.Module, example: Any) -> list[tuple[int, ...]]:
    """Return the shapes of everything a model answers in eval mode."""
    model.eval()
    answers = [each.call(model) for each in as_examples(example)]
    return [tuple(leaf.shape) for leaf in pytree.tree_leaves(answers) if isinstance(leaf, Tensor)]


def _learns(model: nn.Module, example: Any) -> bool:
    """Tell whether gradients reach a parameter of the small model, and no answer or gradient is broken."""
    (inputs,) = as_examples(example)
    answers = [leaf for leaf in pytree.tree_leaves(inputs.call(model.eval())) if isinstance(leaf, Tensor)]
    sum(leaf.float().square().mean() for leaf in answers if leaf.requires_grad).backward()  # type: ignore[union-attr]  # a tensor
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return bool(gradients) and all(bool(leaf.isfinite().all()) for leaf in (*answers, *gradients))


def measure_peer(name: str, limit: float) -> dict[str, Any]:
    """Halve a network with Torch-Pruning, which is told the layers that make the outputs: it can't know them.

    Args:
        name: One of `coverage_models.all_names`.
        limit: CPU seconds after which it is stopped.

    Returns:
        ``right``, ``outputs cut``, or what it raised; share of parameters left; CPU seconds.
    """
    import torch_pruning  # noqa: PLC0415 - a peer, in this benchmark only

    model, example = coverage_models.build(name)
    dense = sum(parameter.numel() for parameter in model.parameters())
    before = shapes(model, example)
    last = _output_layers(model, example)
    signal.signal(signal.SIGPROF, _stop)
    began = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, limit)
    try:
        pruner = torch_pruning.pruner.BasePruner(
            model,
            example,
            importance=torch_pruning.importance.RandomImportance(),
            pruning_ratio=0.5,
            ignored_layers=last,
        )
        pruner.step()
    except TimeoutError:
        return {"peer": f"stopped after {limit:.0f} s"}
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is its row
        return {"peer": f"fails: {type(error).__name__}"}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = time.process_time() - began
    left = sum(parameter.numel() for parameter in model.parameters()) / dense
    try:
        after = shapes(model, example)
    except Exception as error:  # noqa: BLE001 - the same
        return {"peer": f"breaks: {type(error).__name__}", "peer_left": left}
    verdict = "right" if after == before and left < 1 else "outputs cut" if after != before else "nothing cut"
    return {"peer": verdict, "peer_left": left, "peer_seconds": seconds}


def _output_layers(model: nn.Module, example: Any) -> list[nn.Module]:
    """Return the layers whose channels are a model's outputs, for a peer that must be told."""
    frozen = find_channels(trace(model, example)).frozen
    names = [name.rpartition(".")[0] for name, reason in frozen.items() if reason.startswith("frozen by the output")]
    return [model.get_submodule(name) for name in names]


def _stop(*_: object) -> None:
    raise TimeoutError
