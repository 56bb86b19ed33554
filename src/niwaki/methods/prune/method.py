"""StructuredPruning: whole channels go, at once or in rounds while training goes on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from math import ceil
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from niwaki.contract import Named
from niwaki.errors import ContractError
from niwaki.methods.base import Method, Run, Stage, checked_steps, methods
from niwaki.methods.prune.run import Given, PruningRun
from niwaki.methods.prune.settings import Selection
from niwaki.surgery import recompile

__all__ = ["StructuredPruning"]


@methods.register("structured_pruning")
class StructuredPruning(Selection, Method):
    """Remove whole channels, judged by a criterion, until a budget is met.

    One round cuts before training. Several rounds cut while training goes on, evenly between two moments; each goes the
    same part of the way from the dense model's size to the budget. With ``every`` and ``remove`` a number of channels
    goes every so many steps until the budget is met, as in the paper; at ``until`` what is still missing goes at once.

    A criterion that judges by the tasks' gradients sees every training batch since the last cut, or some batches of
    ``data`` right before each. The former takes one more backward pass a task and step, until the last cut.

    Attributes:
        rounds: Number of cuts, at least 1.
        begin: Moment from which rounds are counted, as a fraction of the steps; a single round cuts exactly there.
        until: Moment of the last round, as a fraction of the steps.
        every: Steps between two cuts, at least 1, where ``remove`` says how much goes.
        remove: Channels that go in each cut: a number, or a share in (0, 1) of those that the dense model can give.
        scored_on: ``"training"``, the batches since the last cut, or ``"calibration"``, the first of ``data``. A cut
            that no training batch goes before is always scored on ``data``.
        then: What follows the last cut: ``"finetune"`` goes on with the weights that are left, ``"retrain"`` builds the
            small network anew and trains it from random weights.
        build: Makes the dense network anew, for ``"retrain"``; without it every layer has to have `reset_parameters`.
            It is no plain data, and left out where the settings are written down.
        seed: Seed of the random weights.

    Raises:
        SettingError: When budget and limits are missing, or a value is not allowed.

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
    every: int | None = Field(None, ge=1)
    remove: int | float | None = Field(None, gt=0)
    scored_on: Literal["training", "calibration"] = "training"
    then: Literal["finetune", "retrain"] = "finetune"
    build: Callable[[], nn.Module] | None = Field(None, exclude=True, repr=False)
    seed: int = Field(0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.rounds > 1 and self.begin >= self.until:
            raise ValueError(
                f"begin={self.begin:g} must lie before until={self.until:g} where there are several rounds"
            )
        return self

    @model_validator(mode="after")
    def _steps_go_together(self) -> Self:
        if (self.every is None) != (self.remove is None):
            raise ValueError(
                "every and remove are given together: every=500, remove=100 cuts 100 channels each 500 steps"
            )
        if isinstance(self.remove, float) and self.remove >= 1:
            raise ValueError(f"remove as a share lies in (0, 1), a number is written as an int; got {self.remove:g}")
        if self.every is not None and (self.rounds > 1 or self.begin >= self.until):
            raise ValueError(f"every={self.every} needs rounds=1 and begin before until: it says itself when it cuts")
        return self

    @model_validator(mode="after")
    def _limits_at_once(self) -> Self:
        several = self.rounds > 1 or self.every is not None
        if self.limits and several:
            raise ValueError("limits are kept in one cut, since they say of no step how far it goes; give rounds=1")
        if self.in_time and several:
            raise ValueError("a latency is met in one cut, since it is measured and not counted; give rounds=1")
        return self

    @model_validator(mode="after")
    def _builds_what_it_retrains(self) -> Self:
        if self.build is not None and self.then != "retrain":
            raise ValueError('build is for then="retrain"; leave it out, or ask for that')
        if isinstance(self.build, nn.Module):
            raise ValueError(  # noqa: TRY004 - which pydantic turns into its own error
                "build is a function that makes the dense network anew, such as lambda: Net(); got a network"
            )
        return self

    @property
    def restarts(self) -> bool:
        """Whether the weights are thrown away after the last cut."""
        return self.then == "retrain"

    def moments(self, steps: int) -> list[int]:
        """Return after how many optimizer steps each round cuts, at the latest.

        Args:
            steps: Optimizer steps in all, at least 0.

        Returns:
            One number for each round, increasing; 0 means before training.

        Raises:
            ContractError: When there are fewer steps between ``begin`` and ``until`` than rounds.
        """
        checked_steps(steps)
        if self.every is not None:
            last = ceil(self.until * steps)
            return [*range(ceil(self.begin * steps) + self.every, last, self.every), last]
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
        data: Iterable[Any] | None = None,
    ) -> tuple[nn.Module, Run]:
        """Copy the model, check that the budget can be reached, and cut it if a round is due at once.

        Args:
            model: The user's model; it stays as it is.
            example: As for `niwaki.plan`.
            tasks: The tasks, or None.
            steps: Optimizer steps that will follow.
            data: Batches, of which a criterion that judges by gradients takes the first; see ``scored_on``.

        Returns:
            The model to train, and its run.

        Raises:
            BudgetError: When the budget is out of reach.
            ContractError: When the rounds don't fit into the steps, the criterion needs batches or losses that were not
                given, or the network that is to be retrained can't be built anew.
        """
        run = self._run((example, tasks, data), steps)
        copy = recompile(deepcopy(model), model)
        return run.begin(copy), run

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
        """Replay the plans of a saved run on a copy of the model. See `niwaki.methods.Method.resume`."""
        run = self._run((example, tasks, data), steps)
        run.load_state_dict(state)
        small = recompile(deepcopy(model), model)
        for plan in run.plans:
            small = plan.apply(small, verify=False)
        run.go_on(small, state)
        return small, run

    def _run(self, given: tuple[Any, Sequence[Named] | None, Iterable[Any] | None], steps: int) -> PruningRun:
        return PruningRun(self, self.moments(steps), Given(*given))
