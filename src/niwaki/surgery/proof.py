"""The proof of a cut: its answers are those of the dense model with the removed channels silenced."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from niwaki.errors import SurgeryError
from niwaki.graph import Channels, Program, operator_name
from niwaki.surgery.compare import Agreement, agreements, vague_outputs
from niwaki.surgery.kept import Kept, Mask
from niwaki.surgery.operators import DROPOUTS
from niwaki.surgery.rehearsal import answers, draw, has_float64, randomised, seeded
from niwaki.surgery.silence import Oracle, own_tensors
from niwaki.surgery.tensors import named_tensors

__all__ = ["Candidate", "prove"]


@dataclass(frozen=True, eq=False)
class _Expected:
    """What an oracle answers."""

    oracle: Oracle
    answers: list[Any]


@dataclass(frozen=True)
class Candidate:
    """A cut that is to be proved.

    Attributes:
        dense: The model before.
        small: The model after.
        channels: The dense model's channel classes.
        removed: By class id, whether the class went.
        operate: Makes the same cut on another checkpoint of the dense model.
        weights: Values of the dense model's tensors by canonical name, where what went is zero; None for those it was
            traced with, as they are.
    """

    dense: nn.Module
    small: nn.Module
    channels: Channels
    removed: Mask
    operate: Callable[[nn.Module], nn.Module]
    weights: dict[str, Tensor] | None = None

    def silent(self, twin: nn.Module) -> dict[str, Tensor]:
        """Return the tensors of what `randomised` made, whose weights are silent, by canonical name, all silent."""
        found = {}
        for name, tensor in named_tensors(twin).items():
            drawn = isinstance(tensor, nn.Parameter) and tensor.is_floating_point()
            stays = None if drawn else self.kept(name)
            found[self.channels.traced.names[name]] = stays.silence(tensor) if stays else tensor
        return found

    def settle(self, statistics: Mapping[str, Tensor]) -> None:
        """Take over statistics of batch norms into the weights."""
        assert self.weights is not None
        self.weights.update(statistics)

    def kept(self, name: str) -> Kept | None:
        """Tell what stays of a tensor of the dense model; None for one whose channels are not known."""
        labels = self.channels.tensors.get(self.channels.traced.names.get(name, name))
        return None if labels is None else Kept(labels, self.removed)


def prove(candidate: Candidate, *, seed: int = 0) -> tuple[str, ...]:
    """Compare a cut model with the silenced dense one, on every example and mode that differs in structure.

    What is compared are the answers to an input drawn like the example; the example itself is run as well, to see
    whether answers change. Pools that return indices decide near-ties as the oracle does; where float32 disagrees all
    the same, float64 decides on devices that have it, since a comparison may fall either way. Where an output hardly
    depends on the input, or cut weights are zero, a comparison would prove nothing: it is made on copies of both models
    with random weights, whose batch norms settle on the drawn input.

    Args:
        candidate: The cut.
        seed: Seed of the drawn inputs and weights.

    Returns:
        Remarks for the plan: what could not be proved, and why.

    Raises:
        SurgeryError: When an answer differs by 1e-4, both absolutely and relative to the largest answer, or when the
            cut model can't run; the message names the output or the module.
    """
    notes: list[str] = []
    vague: list[Program] = []
    blank = _silent_weights(candidate)
    for program in _worth_proving(candidate.channels.traced.programs):
        if program.training and _draws(program):
            notes.append(f"{_place(program)} draws random numbers; the cut is not proved there")
            continue
        rehearsal = None if blank else _Rehearsal(candidate, program, seed)
        if rehearsal is None or rehearsal.vague:
            vague.append(program)
        else:
            rehearsal.compare()
    return (*notes, *_prove_at_random(candidate, vague, seed))


def _prove_at_random(candidate: Candidate, programs: list[Program], seed: int) -> list[str]:
    if not programs:
        return []
    twin = randomised(candidate.dense, seed, kept=candidate.kept)
    again = replace(candidate, dense=twin, small=candidate.operate(twin), weights=candidate.silent(twin))
    notes = []
    for program in programs:
        rehearsal = _Rehearsal(again, program, seed)
        rehearsal.compare()
        notes += [
            f"output {name!r} in {_place(program)} does not depend on the input; the cut is not proved there"
            for name in rehearsal.vague
        ]
    return notes


class _Rehearsal:
    """A cut model and its oracle on one program.

    Attributes:
        vague: Outputs that hardly depend on the input.
    """

    def __init__(self, candidate: Candidate, program: Program, seed: int) -> None:
        self._candidate = candidate
        self._program = program
        self._inputs = [draw(program.example, seed), program.example]
        weights = (candidate.weights or own_tensors(program)).values()
        wide = any(tensor.dtype == torch.float64 for tensor in weights)
        self._may_widen = not wide and has_float64(weights)
        self._dtype = torch.float64 if wide else torch.float32
        self._expected = None if candidate.weights is None else self._settled()
        self._answers = answers(candidate.small, self._inputs, program, dtype=self._dtype)
        self.vague = vague_outputs(program, self._answers)

    def _settled(self) -> _Expected:
        """Let the batch norms of random weights settle, in the oracle and then in the cut model."""
        expected = self._expect(self._dtype, settle=True)
        tensors = named_tensors(self._candidate.small)
        for name, value in expected.oracle.settled.items():
            stays = self._candidate.kept(name)
            tensors[name].copy_(value if stays is None else stays.restrict(value))
        self._candidate.settle(expected.oracle.settled)
        return expected

    def _expect(self, dtype: torch.dtype, *, settle: bool = False) -> _Expected:
        candidate = self._candidate
        oracle = Oracle(
            self._program, candidate.channels, candidate.removed, silent=candidate.weights, dtype=dtype, settle=settle
        )
        with seeded(candidate.small):
            return _Expected(oracle, oracle.answers(self._inputs[0]))

    def compare(self) -> None:
        """Compare in float32 and, where that disagrees and the device has it, in float64."""
        found = self._agreements(self._dtype)
        if self._may_widen and not all(each.holds for each in found):
            with suppress(SurgeryError, RuntimeError):  # code that insists on float32 has only the first verdict
                found = self._agreements(torch.float64)
        wrong = next((each for each in found if not each.holds), None)
        if wrong is None:
            return
        raise SurgeryError(
            f"the cut did not prove itself: in {_place(self._program)}, output {wrong.output!r} differs by "
            f"{wrong.error:.3g} from the dense model with the removed channels silenced (largest value "
            f"{wrong.scale:.3g}, allowed 1e-4). Code that computes a factor from a size, such as dim ** -0.5, changes "
            "meaning when cut: keep those channels with keep=[...], or make the factor a constant"
        )

    def _agreements(self, dtype: torch.dtype) -> list[Agreement]:
        first = dtype == self._dtype
        expected = self._expected if first and self._expected else self._expect(dtype)
        choices = expected.oracle.choices
        if first and not choices:
            return agreements(self._program, expected.answers, self._answers[0])
        (given,) = answers(self._candidate.small, self._inputs[:1], self._program, dtype=dtype, choices=choices)
        return agreements(self._program, expected.answers, given)


def _worth_proving(programs: tuple[Program, ...]) -> list[Program]:
    """Leave out the train program where it has the operators and outputs of the eval program."""
    seen: set[tuple[Any, ...]] = set()
    chosen = []
    for program in sorted(programs, key=lambda each: each.training):
        structure = (program.index, *(str(node.target) for node in program if _matters(node)), *program.outputs)
        if structure not in seen:
            chosen.append(program)
        seen.add(structure)
    return chosen


def _matters(node: fx.Node) -> bool:
    """Tell whether a node computes something, rather than count batches or drop at random."""
    if node.op != "call_function" or operator_name(node) in DROPOUTS:
        return False
    return not (operator_name(node) == "add" and not node.users)


def _draws(program: Program) -> bool:
    """Tell whether a program draws random numbers other than for dropout, which the proof leaves out."""
    return any(
        torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        and operator_name(node) not in {*DROPOUTS, "scaled_dot_product_attention"}
        for node in program
    )


def _silent_weights(candidate: Candidate) -> bool:
    """Tell whether a cut weight is zero throughout, such as the last norm of a residual block before training."""
    traced = candidate.channels.traced
    tensors = named_tensors(candidate.dense)
    for name in traced.parameters:
        labels = candidate.channels.tensors.get(name, ())
        cut = any(classes is not None and candidate.removed[classes].any() for classes in labels)
        if cut and not name.endswith("bias") and _largest(tensors[name].detach()) < 1e-5:
            return True
    return False


def _largest(tensor: Tensor) -> float:
    if tensor.is_complex():
        return tensor.abs().max().item()
    low, high = tensor.aminmax()
    return max(-low.item(), high.item())


def _place(program: Program) -> str:
    return f"{'train' if program.training else 'eval'} mode of {program.example!r}"
