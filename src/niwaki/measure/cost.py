"""Cost: parameters, non-zeros, bytes, MACs and peak memory, of the whole model and of each part."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from niwaki.contract import Named
from niwaki.graph import Parts, Program, Traced, find_parts, node_macs, operator_name, trace, uncounted
from niwaki.measure.activations import peak_activation_bytes
from niwaki.records import Cost, PartCost

__all__ = ["measure", "measure_traced"]

Tasks = frozenset[str]

_NORMS = frozenset(
    {
        "batch_norm",
        "native_batch_norm",
        "instance_norm",
        "layer_norm",
        "native_layer_norm",
        "group_norm",
        "native_group_norm",
        "rms_norm",
        "fused_rms_norm",
    }
)


def measure(model: nn.Module, example: Any, *, tasks: Sequence[str | Named] | None = None) -> Cost:
    """Count what a model costs for one example of its input; the model is left as it was.

    Parts are found from the exported program: what every task uses is trunk, what several use a branch, what one uses
    its head. A computation belongs with the parameters it reads; where it reads none, with the tasks it serves.

    Several examples (paths), such as one for each task of a routed model, are as many calls: MACs are summed over them,
    so that a trunk counts once for each call; parameters and bytes count once; the peak is the largest of any call.
    What one task needs alone, one call of its own path, is in ``per_task``.

    Args:
        model: Any module.
        example: A tensor, a tuple of positional inputs, an `Example`, or a list of these. MACs and memory are for its
            own batch size.
        tasks: Tasks or their names, in the order of the outputs, where the model returns a tuple or one tensor.

    Returns:
        The cost; one MAC is one multiply-accumulate. Bytes are those of parameters and saved buffers, dense.

    Raises:
        GraphError: When the model can't be exported.
        ContractError: When the example or the outputs are of no known form.

    Examples:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(8, 1, 1))
        >>> import torch
        >>> cost = measure(net, torch.zeros(1, 3, 10, 10), tasks=["depth"])
        >>> cost.whole.params, cost.whole.macs  # 3*8*9 + 8 + 1, and (3*8*9 + 8) * 100
        (225, 22400)
    """
    return measure_traced(model, trace(model, example, tasks=tasks))


def measure_traced(model: nn.Module, traced: Traced) -> Cost:
    """Count what a model costs, from programs that were exported already.

    Args:
        model: The model; its weights are read for the non-zeros.
        traced: What `trace` returned for it.

    Returns:
        The cost, as `measure` gives it.
    """
    parts = find_parts(traced)
    programs = traced.eval_programs
    stored = _stored(model, traced)
    bill = _Bill(stored, tuple(each for program in programs for each in _work(program, parts, traced)))
    return Cost(
        whole=bill.whole(),
        trunk=bill.part(parts.trunk, "trunk"),
        branches=bill.parts(parts.branches, "branch"),
        heads=bill.parts(parts.heads, "head"),
        norms=bill.part(_norm_tensors(programs, stored), "norms"),  # work has no such part: a norm scales and shifts
        per_task={task: bill.task(task, parts.of) for task in parts.tasks},
        peak_activation_bytes=max(peak_activation_bytes(program) for program in programs),
        uncounted=tuple(sorted({name for program in programs for name in uncounted(program)})),
    )


@dataclass(frozen=True)
class _Stored:
    """What one parameter or saved buffer holds."""

    params: int
    nonzeros: int
    bytes: int


@dataclass(frozen=True)
class _Work:
    """What one node of a program computes, for which part, and which tasks want it."""

    macs: int
    part: str
    tasks: Tasks


@dataclass(frozen=True)
class _Bill:
    """Everything that costs, and its sums."""

    stored: Mapping[str, _Stored]
    work: tuple[_Work, ...]

    def whole(self) -> PartCost:
        return self._sum(self.stored, self.work)

    def part(self, names: Iterable[str], label: str) -> PartCost:
        return self._sum(names, (each for each in self.work if each.part == label))

    def parts(self, held: Mapping[str, Iterable[str]], kind: str) -> dict[str, PartCost]:
        """Sum every branch or every head, those without parameters of their own too."""
        working = {each.part.removeprefix(f"{kind} "): () for each in self.work if each.part.startswith(f"{kind} ")}
        return {name: self.part(names, f"{kind} {name}") for name, names in {**working, **held}.items()}

    def task(self, task: str, of: Mapping[str, Tasks]) -> PartCost:
        needed = (name for name, tasks in of.items() if task in tasks)
        return self._sum(needed, (each for each in self.work if task in each.tasks))

    def _sum(self, names: Iterable[str], work: Iterable[_Work]) -> PartCost:
        held = [self.stored[name] for name in names if name in self.stored]
        return PartCost(
            params=sum(each.params for each in held),
            nonzeros=sum(each.nonzeros for each in held),
            macs=sum(each.macs for each in work),
            bytes=sum(each.bytes for each in held),
        )


def _stored(model: nn.Module, traced: Traced) -> dict[str, _Stored]:
    """Read every parameter and every buffer that is saved, tied ones once."""
    saved = model.state_dict(keep_vars=True)
    found = {
        traced.names[name]: _Stored(tensor.numel(), int(tensor.detach().count_nonzero()), _bytes(tensor))
        for name, tensor in model.named_parameters()
    }
    for name, tensor in model.named_buffers():
        if name in saved:
            found[traced.names[name]] = _Stored(0, 0, _bytes(tensor))
    return found


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _work(program: Program, parts: Parts, traced: Traced) -> Iterator[_Work]:
    reached = parts.node_tasks(program)
    for name, macs in node_macs(program).items():
        tasks = frozenset(reached.get(name, ()))
        read = [held for held in _tensors_read(program, program.node(name)) if parts.of.get(held)]
        main = max(read, key=lambda held: math.prod(traced.shapes[held]), default=None)
        yield _Work(macs, parts.part(tasks if main is None else parts.of[main]), tasks)


def _tensors_read(program: Program, node: fx.Node) -> list[str]:
    return [program.tensors[each.name] for each in node.all_input_nodes if each.name in program.tensors]


def _norm_tensors(programs: Sequence[Program], stored: Mapping[str, _Stored]) -> set[str]:
    """Find what normalisation operators read, whatever the modules, and the counters kept beside it."""
    found = {
        name
        for program in programs
        for node in program
        if operator_name(node) in _NORMS
        for name in _tensors_read(program, node)
    }
    modules = {name.rpartition(".")[0] for name in found}
    return found | {name for name, each in stored.items() if not each.params and name.rpartition(".")[0] in modules}
