"""Comparing an exported file with its model: which inputs, how many, at which batch sizes, by which metrics."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from niwaki.contract import as_examples, read_batch, route
from niwaki.errors import ContractError, ExportError
from niwaki.export.calls import Call, FlatCall, read_call
from niwaki.export.inputs import draw_like, with_batch
from niwaki.export.result import Agreement
from niwaki.export.runtime import FileAnswers, OwnAnswers
from niwaki.export.verdict import Trial, compare_one, judge

__all__ = ["Comparing", "Findings", "Program", "Scorer", "compare"]

_WANTED = 3  # inputs that count
_MOST = 20  # inputs drawn to find them
_PATIENCE = 8  # inputs without one that counts, after which the rest would hardly hold three
_OWN_MOST = 2  # samples of the example's own batch; more cost time and show nothing new
_SHAKES = 4  # answers a few roundings off, to find near-ties that float64 happens to break alike
_OTHER = 3  # another batch size: not 1, which broadcasting hides, nor 2, at which programs are captured


class Scorer(Protocol):
    """What measures quality on labelled data, such as ``niwaki.tasks.Evaluation``."""

    def update(self, outputs: Mapping[str, Any], targets: Mapping[str, Any]) -> None:
        """Take in one batch."""

    def compute(self) -> Mapping[str, Mapping[str, float]]:
        """Return task to metric to value."""

    def reset(self) -> None:
        """Start anew."""


@dataclass(frozen=True)
class Comparing:
    """How an export is compared with its model.

    Attributes:
        check: Whether to compare at all.
        tolerance: Largest difference allowed, as a fraction of max(1, largest answer).
        data: Batches ``(inputs, {task: target})``, or ``{task: (inputs, target)}``, to compare on before drawn inputs;
            at most 20 are read.
        evaluation: Measures the metrics of model and file on ``data``.
        seed: Seed of the drawn inputs.
    """

    check: bool = True
    tolerance: float = 1e-4
    data: Iterable[Any] | None = None
    evaluation: Scorer | None = None
    seed: int = 0


@dataclass(frozen=True)
class Program:
    """What is known of an exported program before it is run.

    Attributes:
        dynamic: Whether it takes any batch size.
        chooses: Whether it holds operators whose answer jumps at a tie, as for `judge`.
    """

    dynamic: bool
    chooses: bool


@dataclass(frozen=True)
class Findings:
    """What a comparison found."""

    counted: int
    tried: int
    batches: tuple[int, ...]
    agreement: dict[str, Agreement]
    runtime: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Labelled:
    own: dict[str, Tensor]
    file: dict[str, Tensor]
    targets: Mapping[str, Any]


def compare(
    file: FileAnswers, port: FlatCall, call: Call, names: Sequence[str], how: Comparing, program: Program
) -> Findings:
    """Compare a file's answers with a model's.

    Args:
        file: The exported file.
        port: The model.
        call: The example.
        names: Names of the outputs.
        how: What to compare on.
        program: What the file is known to be.

    Returns:
        The findings.

    Raises:
        ExportError: When the answers differ in form or value.
    """
    own = OwnAnswers(port)
    trials: list[list[Trial]] = []
    batches: list[int] = []
    labelled: list[_Labelled] = []
    for tensors, targets in _candidates(port, call, how, dynamic=program.dynamic):
        wanted = targets is not None and how.evaluation is not None
        if not wanted and _enough(trials) and (len(set(batches)) > 1 or not program.dynamic):
            break
        mine, theirs = own(tensors), file(tensors)
        _same_form(names, theirs, mine)
        trials.append(_trial(theirs, mine, _others(own, tensors, how, program), how.tolerance))
        batches.append(replace(call, tensors=tuple(tensors)).batch)
        if targets is not None:
            labelled.append(
                _Labelled(dict(zip(names, mine, strict=True)), dict(zip(names, theirs, strict=True)), targets)
            )
    verdict = judge(names, trials, chooses=program.chooses)
    agreement = _with_metrics(verdict.agreement, labelled, how.evaluation)
    notes = _notes(verdict.counted, verdict.flipped, len(trials))
    return Findings(verdict.counted, len(trials), tuple(dict.fromkeys(batches)), agreement, file.name, notes)


def _candidates(
    port: FlatCall, call: Call, how: Comparing, *, dynamic: bool
) -> Iterator[tuple[list[Tensor], Mapping[str, Any] | None]]:
    left = _MOST
    for raw in how.data or ():
        inputs, targets = _read(raw, port, call)
        each_place = [inputs.tensors[place] for place in inputs.places]
        tensors = [each_place[call.places.index(index)] for index in range(len(call.tensors))]
        if not dynamic and [each.shape for each in tensors] != [each.shape for each in call.tensors]:
            continue
        yield tensors, targets
        left -= 1
        if not left:
            return
    generator = torch.Generator().manual_seed(how.seed)
    # one sample at a time is cheapest, and the least likely to hold a near-tie
    sizes = [min(call.batch, _OWN_MOST), _OTHER, *[1] * _MOST] if dynamic else [0] * _MOST
    for i, size in enumerate(sizes[:left]):
        like = with_batch(call, size) if dynamic else list(call.tensors)
        yield (draw_like(like, generator) if i else like), None


def _read(raw: Any, port: FlatCall, call: Call) -> tuple[Call, Mapping[str, Any]]:
    """Read a labelled batch; with several paths it has inputs for each of them, or one that all take."""
    tasks = list(port.tasks or ())
    if isinstance(raw, Mapping):
        raw = [raw[task][0] for task in tasks], read_batch(raw, tasks, port.model).targets
    inputs, targets = raw
    given = as_examples(inputs)
    if len(call.examples) == 1:
        return read_call(port.model, given[0]), targets
    if len(tasks) != len(call.examples):
        raise ContractError(
            f"{len(call.examples)} paths with {len(tasks)} tasks named can't be compared on data; name one task for "
            "each path with tasks=[...], or leave data out"
        )
    given = given if len(given) > 1 else given * len(tasks)
    paths = [route(port.model, each, task) for each, task in zip(given, tasks, strict=True)]
    return read_call(port.model, *paths, labels=tasks), targets


def _others(own: OwnAnswers, tensors: Sequence[Tensor], how: Comparing, program: Program) -> Iterator[list[Tensor]]:
    """Answer anew in ways that should change nothing: in float64 and, where ties are broken, a few roundings off."""
    exact = own.exact(tensors)
    if exact is not None:
        yield exact
    generator = torch.Generator().manual_seed(how.seed)
    for _ in range(_SHAKES if program.chooses else 0):
        yield own.shaken(tensors, generator)


def _trial(
    theirs: Sequence[Tensor], mine: Sequence[Tensor], others: Iterator[list[Tensor]], tolerance: float
) -> list[Trial]:
    """Compare the answers on one input; only where they differ, other answers of the model say whether it counts."""

    def row_beside(beside: Sequence[Tensor]) -> list[Trial]:
        return [compare_one(*each, tolerance) for each in zip(theirs, mine, beside, strict=True)]

    row = row_beside(mine)
    if all(each.counts and each.agrees for each in row):
        return row
    rows = [row_beside(beside) for beside in others]
    return max(rows, key=lambda each: sum(trial.own_differing for trial in each), default=row)


def _enough(trials: Sequence[Sequence[Trial]]) -> bool:
    counted = [row for row in trials if all(each.counts for each in row)]
    good = sum(all(each.agrees for each in row) for row in counted)
    return good >= _WANTED or len(counted) - good >= _WANTED or (len(trials) >= _PATIENCE and not good)


def _same_form(names: Sequence[str], theirs: Sequence[Tensor], mine: Sequence[Tensor]) -> None:
    for name, there, here in zip(names, theirs, mine, strict=True):
        if there.shape != here.shape:
            raise ExportError(
                f"the exported file gives {name!r} the shape {list(there.shape)} where the model gives "
                f"{list(here.shape)}: a size was baked in; export with dynamic_batch=False"
            )


def _with_metrics(
    agreement: dict[str, Agreement], labelled: Sequence[_Labelled], evaluation: Scorer | None
) -> dict[str, Agreement]:
    if evaluation is None or not labelled:
        return agreement
    scores = []
    for side in ("own", "file"):
        evaluation.reset()
        for batch in labelled:
            evaluation.update(getattr(batch, side), batch.targets)
        scores.append({task: dict(values) for task, values in evaluation.compute().items()})
    own, file = scores
    return {
        name: each.model_copy(
            update={"metrics": {m: (float(v), float(file[name][m])) for m, v in own.get(name, {}).items()}}
        )
        for name, each in agreement.items()
    }


def _notes(counted: int, flipped: int, tried: int) -> tuple[str, ...]:
    notes = []
    if counted < _WANTED <= tried:
        notes.append(
            f"only {counted} of {tried} inputs count: on the others the model's own float32 answers are not those of "
            "float64, or of inputs a rounding away, so the share of differing elements is reported"
        )
    if flipped:
        notes.append(f"on {flipped} inputs a near-tie was decided the other way in ONNX Runtime; they do not count")
    return tuple(notes)
