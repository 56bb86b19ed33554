"""StructuredPruning: whole channels go, at once or in rounds while training goes on."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from math import ceil
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import nn
from torch.optim import Optimizer

from niwaki.contract import Named, task_names
from niwaki.errors import ContractError
from niwaki.methods.base import Method, Run, Stage, checked_steps, methods
from niwaki.methods.prune.selecting import Dense, Planned, Round, plan_round
from niwaki.methods.prune.settings import Selection
from niwaki.surgery import Plan, follow, plans_of, recompile, unwrap
from niwaki.surgery.memory import recall

__all__ = ["PruningRun", "StructuredPruning"]


@methods.register("structured_pruning")
class StructuredPruning(Selection, Method):
    """Remove whole channels, judged by a criterion, until a budget is met.

    One round cuts before training. Several rounds cut while training goes on, evenly between two moments; each goes the
    same part of the way from the dense model's size to the budget.

    Attributes:
        rounds: Number of cuts, at least 1.
        begin: Moment from which rounds are counted, as a fraction of the steps; a single round cuts exactly there.
        until: Moment of the last round, as a fraction of the steps.

    Raises:
        SettingError: When the budget is missing or a value is not allowed.

    Examples:
        >>> method = StructuredPruning(budget={"macs": 0.5}, rounds=4)
        >>> StructuredPruning(**method.model_dump(mode="json")) == method
        True
        >>> method.moments(80)
        [10, 20, 30, 40]
    """

    stage: ClassVar[Stage] = "cut"

    kind: Literal["structured_pruning"] = "structured_pruning"
    rounds: int = Field(1, ge=1)
    begin: float = Field(0.0, ge=0, lt=1)
    until: float = Field(0.5, gt=0, le=1)

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.rounds > 1 and self.begin >= self.until:
            raise ValueError(
                f"begin={self.begin:g} must lie before until={self.until:g} where there are several rounds"
            )
        return self

    def moments(self, steps: int) -> list[int]:
        """Return after how many optimizer steps each round cuts.

        Args:
            steps: Optimizer steps in all, at least 0.

        Returns:
            One number for each round, increasing; 0 means before training.

        Raises:
            ContractError: When there are fewer steps between ``begin`` and ``until`` than rounds.
        """
        checked_steps(steps)
        if self.rounds == 1:
            return [ceil(self.begin * steps)]
        span = self.until - self.begin
        found = [ceil(steps * (self.begin + span * (index + 1) / self.rounds) - 1e-9) for index in range(self.rounds)]
        if len({0, *found}) <= self.rounds:
            raise ContractError(
                f"{self.rounds} rounds between {self.begin:g} and {self.until:g} of {steps} steps would fall together; "
                "train for more steps or ask for fewer rounds"
            )
        return found

    def start(
        self,
        model: nn.Module,
        example: Any,
        tasks: Sequence[Named] | None = None,
        *,
        steps: int,
        data: Iterable[Any] | None = None,  # noqa: ARG002 - the protocol's signature
    ) -> tuple[nn.Module, Run]:
        """Copy the model, check that the budget can be reached, and cut it if a round is due at once.

        Args:
            model: The user's model; it stays as it is.
            example: As for `niwaki.plan`.
            tasks: The tasks, or None.
            steps: Optimizer steps that will follow.
            data: Not used.

        Returns:
            The model to train, and its run.

        Raises:
            BudgetError: When the budget is out of reach.
            ContractError: When the rounds don't fit into the steps.
        """
        run = self._run(example, tasks, steps)
        copy = recompile(deepcopy(model), model)
        if run.moments[0] > 0:
            run.look_ahead(copy)
        return run.cut_if_due(copy, None), run

    def resume(
        self,
        model: nn.Module,
        example: Any,
        tasks: Sequence[Named] | None = None,
        *,
        steps: int,
        state: Mapping[str, Any],
        data: Iterable[Any] | None = None,  # noqa: ARG002 - the protocol's signature
    ) -> tuple[nn.Module, Run]:
        """Replay the plans of a saved run on a copy of the model. See `niwaki.methods.Method.resume`."""
        run = self._run(example, tasks, steps)
        run.load_state_dict(state)
        small = recompile(deepcopy(model), model)
        for plan in run.plans:
            small = plan.apply(small, verify=False)
        return small, run

    def _run(self, example: Any, tasks: Sequence[Named] | None, steps: int) -> "PruningRun":
        return PruningRun(self, example, task_names(tasks), self.moments(steps))


class PruningRun(Run):
    """Counts steps, cuts when a round is due, and remembers its plans.

    Attributes:
        method: The settings.
        moments: Steps after which each round cuts.
        step: Optimizer steps so far.
        done: Rounds so far.
        plans: The plans of the cuts so far.
        dense: The size of the model before the first round.
    """

    def __init__(self, method: StructuredPruning, example: Any, tasks: list[str] | None, moments: list[int]) -> None:
        self.method = method
        self.moments = moments
        self.step = 0
        self.done = 0
        self.plans: list[Plan] = []
        self.dense: Dense | None = None
        self._texts: tuple[str, ...] = ()
        self._example = example
        self._tasks = tasks

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> nn.Module:
        """Count a step; cut, and let the optimizer's state follow, when a round is due.

        Args:
            model: The model of this run, which the optimizer has just changed.
            optimizer: Holds its parameters.

        Returns:
            The model to go on with.

        Raises:
            ContractError: When the model is not the one that this run returned last.
        """
        self._require_own(model)
        self.step += 1
        return self.cut_if_due(model, optimizer)

    def finish(self, model: nn.Module) -> nn.Module:
        """Return the plain model; rounds that training ended too early for are made up by one cut to the budget.

        Args:
            model: The model of this run.

        Returns:
            The module inside any wrappers.

        Raises:
            ContractError: When the model is not the one that this run returned last.
        """
        self._require_own(model)
        if self.done < self.method.rounds:
            model = self._cut(model, None, self.method.rounds)
        return unwrap(model)

    def _require_own(self, model: nn.Module) -> None:
        """Compare what the model remembers with the cuts so far: texts, because plans are long to read."""
        remembered, made = recall(model), self._texts
        if remembered[len(remembered) - len(made) :] != made:
            raise ContractError(
                f"this run has cut its model {len(made)} times, but the model given does not come from these cuts; go "
                "on with what the run returns: use `model = run.after_step(model, optimizer)`"
            )

    def look_ahead(self, model: nn.Module) -> None:
        """Measure the dense model and check that the budget can be reached, without a cut."""
        self.dense = self._plan(model, self.method.rounds).dense

    def cut_if_due(self, model: nn.Module, optimizer: Optimizer | None) -> nn.Module:
        """Cut as often as the steps so far ask for."""
        while self.done < self.method.rounds and self.step >= self.moments[self.done]:
            model = self._cut(model, optimizer, self.done + 1)
        return model

    def _plan(self, model: nn.Module, number: int) -> Planned:
        turn = Round(number, self.method.rounds, self.dense)
        return plan_round(unwrap(model), self._example, self.method, tasks=self._tasks, turn=turn)

    def _cut(self, model: nn.Module, optimizer: Optimizer | None, number: int) -> nn.Module:
        planned = self._plan(model, number)
        small = planned.cut(model)
        self.plans.append(plans_of(small)[-1])
        self._texts += recall(small)[-1:]
        self.dense, self.done = planned.dense, number
        if optimizer is not None:
            follow(optimizer, model, small, self.plans[-1])
        return small

    def state_dict(self) -> dict[str, Any]:
        """Return the step, the rounds done, their plans as JSON, and the dense model's size."""
        dense = None if self.dense is None else self.dense.to_json()
        return {"step": self.step, "done": self.done, "plans": [plan.to_json() for plan in self.plans], "dense": dense}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state; the model has to have the shape it had then, as `resume` gives it."""
        self.step, self.done = int(state["step"]), int(state["done"])
        self.plans = [Plan.from_json(text) for text in state["plans"]]
        self._texts = tuple(plan.to_json() for plan in self.plans)
        self.dense = None if state["dense"] is None else Dense.from_json(state["dense"])
