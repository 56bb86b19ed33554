"""Whether an exported file gives the model's answers: the comparison of one input, and the verdict over many."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from niwaki.errors import ExportError
from niwaki.export.result import Agreement

__all__ = ["COUNTS_TO", "Trial", "Verdict", "compare_one", "judge"]

COUNTS_TO = 1e-4
"""An input counts when the model's own answers agree to this, as a fraction of max(1, largest)."""

_SHARE = 0.01  # elements that a near-tie may move without anybody being at fault
_TIMES = 3.0  # and how many times more than the model's own float noise


@dataclass(frozen=True)
class Trial:
    """One output on one input.

    Attributes:
        difference: Largest absolute difference between the file and the model, over finite answers.
        own_difference: The same between two answers of the model; infinite where one is not finite.
        scale: Largest absolute finite answer.
        differing: Elements of the file that differ by more than the tolerance.
        own_differing: Elements of the model's answer that differ so from its other answer.
        elements: Number of elements.
        tolerance: Largest difference allowed, as a fraction of max(1, scale).
    """

    difference: float
    own_difference: float
    scale: float
    differing: int
    own_differing: int
    elements: int
    tolerance: float

    @property
    def counts(self) -> bool:
        """Whether the model's own answers agree."""
        return self.own_difference <= COUNTS_TO * max(1.0, self.scale)

    @property
    def agrees(self) -> bool:
        """Whether the file's answers agree with the model's."""
        return self.differing == 0


@dataclass(frozen=True)
class Verdict:
    """What all trials say together."""

    counted: int
    flipped: int
    agreement: dict[str, Agreement]


def compare_one(file: Tensor, own: Tensor, exact: Tensor, tolerance: float) -> Trial:
    """Compare the answers for one output on one input.

    Args:
        file: The exported file's answer.
        own: The model's answer, the same shape.
        exact: Its answer in float64, or a few roundings off, the same shape.
        tolerance: Largest difference allowed, as a fraction of max(1, largest answer).

    Returns:
        The comparison.

    Examples:
        >>> one = torch.ones(4)
        >>> compare_one(one + torch.tensor([0, 0, 0, 0.5]), one, one.double(), 1e-4).differing
        1
    """
    file, own, exact = (each.detach().double() for each in (file, own, exact))
    finite = own.isfinite() & exact.isfinite()
    scale = _largest(own[finite])
    allowed = tolerance * max(1.0, scale)
    return Trial(
        difference=_largest((file - own)[finite]),
        own_difference=_largest((own - exact)[finite]) if bool(finite.all()) else float("inf"),
        scale=scale,
        differing=int((~torch.isclose(file, own, rtol=0.0, atol=allowed, equal_nan=True)).sum()),
        own_differing=int((~torch.isclose(own, exact, rtol=0.0, atol=allowed, equal_nan=True)).sum()),
        elements=own.numel(),
        tolerance=tolerance,
    )


def judge(names: Sequence[str], trials: Sequence[Sequence[Trial]], *, chooses: bool) -> Verdict:
    """Judge an exported file by its trials.

    An input on which the model's own answers agree must be answered alike. On the others, and where a program that
    chooses (pool indices, argmax…) flips single elements, the file may differ in little more of the elements than the
    model differs from itself.

    Args:
        names: Names of the outputs.
        trials: For each input one trial for each output.
        chooses: Whether the program holds operators whose answer jumps at a tie.

    Returns:
        How many inputs counted, how many flipped, and the comparison of each output.

    Raises:
        ExportError: When the answers differ; the message names the task.
    """
    counted, others, flipped = [], [], 0
    for row in trials:
        counts = all(each.counts for each in row)
        if counts and (not chooses or all(each.agrees for each in row) or not _few(row)):
            counted.append(row)
        else:
            others.append(row)
            flipped += counts
    for i, name in enumerate(names):
        _accept(name, [row[i] for row in counted], [row[i] for row in others])
    agreement = {
        name: _agreement([row[i] for row in counted or trials], [row[i] for row in trials])
        for i, name in enumerate(names)
    }
    return Verdict(len(counted), flipped, agreement)


def _accept(name: str, counted: Sequence[Trial], others: Sequence[Trial]) -> None:
    for trial in counted:
        if not trial.agrees:
            raise ExportError(
                f"the exported file answers {name!r} differently: by {trial.difference:.3g} where answers reach "
                f"{trial.scale:.3g}, in {_share([trial]):.1%} of the elements (allowed: {trial.tolerance:g} of the "
                "largest answer). Nothing was written; pass a larger tolerance=, or check=False to look at the file"
            )
    if others and not _few(others):
        own = sum(each.own_differing for each in others) / sum(each.elements for each in others)
        raise ExportError(
            f"the exported file answers {name!r} differently in {_share(others):.1%} of the elements; the model itself "
            f"differs from itself in {own:.1%}. Nothing was written; check=False writes it unchecked"
        )


def _few(trials: Sequence[Trial]) -> bool:
    elements = sum(each.elements for each in trials)
    own = sum(each.own_differing for each in trials)
    return sum(each.differing for each in trials) <= _TIMES * own + _SHARE * elements


def _agreement(judged: Sequence[Trial], tried: Sequence[Trial]) -> Agreement:
    elements = max(1, sum(each.elements for each in tried))
    return Agreement(
        max_difference=max((each.difference for each in judged), default=0.0),
        scale=max((each.scale for each in judged), default=0.0),
        differing=_share(tried),
        own_differing=sum(each.own_differing for each in tried) / elements,
    )


def _share(trials: Sequence[Trial]) -> float:
    return sum(each.differing for each in trials) / max(1, sum(each.elements for each in trials))


def _largest(values: Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0
