"""Overparam: compact layers train as shared factors with a scale for each task, then fold back."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from niwaki.contract import Named
from niwaki.errors import ContractError
from niwaki.methods.base import Run, checked_steps, methods
from niwaki.methods.expand.expanding import Expanding
from niwaki.methods.expand.expansion import Expansion
from niwaki.methods.expand.factors import ALL, Combine, Factors
from niwaki.methods.expand.layers import Candidate, Reach
from niwaki.methods.expand.passes import join_passes, require_whole_answers, split_passes
from niwaki.methods.expand.phases import Alternate, Phases, Scales
from niwaki.methods.expand.ranks import prices, ranks_within
from niwaki.methods.expand.run import ExpandingRun, Given
from niwaki.methods.expand.scaled import ScaledRun, kept_ranks
from niwaki.settings import Budget
from niwaki.surgery import unwrap

__all__ = ["Overparam"]


@methods.register("overparam")
class Overparam(Expanding):
    """Train each layer as ``U diag(m) V``, with U and V from all tasks and a scale ``m_t`` from each, then fold.

    *Learning Compact Neural Networks with Deep Overparameterised Multitask Learning* (arXiv 2308.13300): spatial
    singular value decomposition of every layer, task phases in which each scale learns from its own task's loss alone,
    in turn with shared phases in which everything else learns from all. The result has the plain network's size. How
    the scales combine is not published; the default is the reading that fits the text best.

    Attributes:
        combine: ``"product"``: ``m = prod_t m_t``. ``"mean"``: their mean. ``"per_task"``: task t sees its own ``m_t``
            alone, and `finish` returns one network for each task. ``"anneal"``: task t's own ``m_t`` gives way to
            the mean of all in the course of training. The last two run the network once for each task.
        alternate: What follows a phase: the other after each ``"step"`` or each ``"epoch"``; ``"joint"`` has both
            parts learn in every step.
        epoch_steps: Steps of an epoch for ``alternate="epoch"``, at least 1; by default the number of batches in
            ``data``, which are as many steps where none are accumulated.
        scales: ``"task"``: one scale for each task. ``"shared"``: a single one that learns from the balanced loss.
            ``"normalised"``: a single one that learns from all tasks' gradients at equal length. The last two are
            controls, which show what the tasks' own scales are worth.
        scale_lr: Learning rate of the scales as a share of the network's, in (0, 1].
        rank: Rank of the factors: a number, or a share in (0, 1] of the full rank; full by default. Below that the
            training begins at the nearest weights of that rank.
        rebalance: Steps between two rebalancings, in which each column of U and row of V come to equal length and the
            weight stays; 0 does none.
        keep_factored: Whether layers whose factors are cheaper than they are stay two layers in the result: a
            compression, which needs a ``rank`` or a ``budget``.
        budget: What may stay of the network where factors are kept, in ``params`` or ``macs``: each layer's rank
            follows from its singular values.
        until: Moment at which ``"anneal"`` has arrived at the mean, as a fraction of the steps, in (0, 1].

    Raises:
        SettingError: When a value is not allowed, or two don't fit.

    Examples:
        >>> method = Overparam(combine="mean", alternate="joint")
        >>> Overparam(**method.model_dump(mode="json")) == method
        True
    """

    kind: Literal["overparam"] = "overparam"
    combine: Combine = "product"
    alternate: Alternate = "step"
    epoch_steps: int | None = Field(None, ge=1)
    scales: Scales = "task"
    scale_lr: float = Field(0.5, gt=0, le=1)
    rank: int | float | None = Field(None, gt=0)
    rebalance: int = Field(0, ge=0)
    until: float = Field(0.75, gt=0, le=1)
    keep_factored: bool = False
    budget: Budget | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if isinstance(self.rank, float) and self.rank > 1:
            raise ValueError(f"rank as a share lies in (0, 1], a number is written as an int; got {self.rank:g}")
        if self.passes_by_task and self.scales != "task":
            raise ValueError(f'combine="{self.combine}" shows each task a scale of its own; it needs scales="task"')
        if self.epoch_steps is not None and self.alternate != "epoch":
            raise ValueError('epoch_steps is for alternate="epoch"; leave it out, or ask for that')
        return self

    @model_validator(mode="after")
    def _keeps_what_is_small(self) -> Self:
        if self.budget is not None and not self.keep_factored:
            raise ValueError("a budget is for factors that are kept; add keep_factored=True, or leave it out")
        if not self.keep_factored:
            return self
        if (self.rank is None) == (self.budget is None):
            raise ValueError("kept factors need exactly one of rank and budget, which say how small they are")
        if self.budget is not None and self.budget.kind not in {"params", "macs"}:
            raise ValueError(f"the budget of kept factors is in params or macs; got {self.budget}")
        if self.combine == "per_task":
            raise ValueError('combine="per_task" folds into a network for each task; it keeps no factors')
        return self

    @property
    def keeps_factors(self) -> bool:
        """Whether some layers stay two."""
        return self.keep_factored

    @property
    def passes_by_task(self) -> bool:
        """Whether the network runs once for each task."""
        return self.combine in {"per_task", "anneal"}

    def start(
        self,
        model: nn.Module,
        example: Any,
        tasks: Sequence[Named] | None = None,
        *,
        steps: int,
        data: Iterable[Any] | None = None,
    ) -> tuple[nn.Module, Run]:
        """Copy the model and factorise the chosen layers. See `Expanding.start`."""
        if self.passes_by_task:
            require_whole_answers(unwrap(model), example, self.combine)
        return super().start(model, example, tasks, steps=steps, data=data)

    def resume(
        self,
        model: nn.Module,
        example: Any,
        tasks: Sequence[Named] | None = None,
        *,
        steps: int,
        state: Mapping[str, Any],
        data: Iterable[Any] | None = None,
    ) -> tuple[nn.Module, Run]:
        """Factorise a model of the same structure, as far as the saved run had come. See `Method.resume`."""
        ranks = state.get("ranks")
        model, run = self._begin(model, Given(self, example, tasks, checked_steps(steps), data, ranks))
        run.load_state_dict(state)
        if self.combine == "anneal" and run.settled:
            join_passes(unwrap(model))
        return model, run

    def _begin(self, model: nn.Module, given: Given) -> tuple[nn.Module, ExpandingRun]:
        started, run = super()._begin(model, given)
        if isinstance(run, ScaledRun):
            run.ranks = kept_ranks(unwrap(started))
        return started, run

    def _rewire(self, model: nn.Module, reach: Reach, given: Given) -> dict[str, str]:
        plain = super()._rewire(model, reach, given)
        if self.passes_by_task and len(reach) > 1:
            split_passes(model, reach)
        return plain

    def _expander(
        self, model: nn.Module, chosen: Sequence[Candidate], given: Given
    ) -> Callable[[Candidate, int], Expansion | str]:
        if not self.keep_factored:
            return self._expand
        ranks: Mapping[str, int]
        if given.ranks is not None:
            ranks = given.ranks
        elif self.budget is not None:
            ranks = ranks_within(model, chosen, given.example, given.tasks, self.budget)
        else:
            costs = prices(model, chosen, given.example, "params")
            wanted = {each.name: self._rank(each.layout.full_rank) for each in chosen}
            ranks = {name: wanted[name] for name, price in costs.items() if price.pays(wanted[name])}

        def expand(candidate: Candidate, number: int) -> Expansion | str:  # noqa: ARG001 - nothing is drawn
            rank = ranks.get(candidate.name)
            return self._factors(candidate, rank or candidate.layout.full_rank, kept=rank is not None)

        return expand

    def _expand(self, candidate: Candidate, number: int) -> Expansion | str:  # noqa: ARG002 - nothing is drawn
        return self._factors(candidate, self._rank(candidate.layout.full_rank))

    def _factors(self, candidate: Candidate, rank: int, *, kept: bool = False) -> Factors:
        owners = candidate.tasks if self.scales == "task" else (ALL,)
        return Factors(candidate.layout, owners, rank, self.combine, kept=kept)

    def _rank(self, full: int) -> int:
        if self.rank is None:
            return full
        return min(full, self.rank) if isinstance(self.rank, int) else max(1, ceil(self.rank * full))

    def _run(self, given: Given, plain: Mapping[str, str]) -> ScaledRun:
        return ScaledRun(given, plain, self, Phases(self._period(given)))

    def _period(self, given: Given) -> int:
        if self.alternate != "epoch":
            return 1 if self.alternate == "step" else 0
        if self.epoch_steps is not None:
            return self.epoch_steps
        try:
            return max(1, len(given.data))  # type: ignore[arg-type]  # what has no length is caught
        except TypeError:
            raise ContractError(
                'alternate="epoch" needs to know how many steps an epoch has, and the data given to start has no '
                "length: say epoch_steps="
            ) from None
