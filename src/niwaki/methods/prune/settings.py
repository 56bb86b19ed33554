"""What is chosen when a model is pruned: one place for every default."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, TypedDict

from pydantic import Field, model_validator
from torch import nn

from niwaki.methods.prune.criteria import Criterion, Magnitude, criteria
from niwaki.records import ATTENTION, Attention
from niwaki.settings import Budget, Settings, family

__all__ = ["PlanOptions", "Selection"]


class Selection(Settings):
    """Which channels go.

    Attributes:
        budget: What may stay; or else
        limits: Task names or patterns to the share by which the task's loss may rise: ``{"depth": 0.02, "*": 0.05}``.
            The smallest network that keeps them on the calibration batches is looked for, layer by layer (`shrink`).
        criterion: What a channel is worth.
        allocation: How much each layer gives: the same share (``"uniform"``), or whatever the scores of all layers
            together say (``"global"``), down to the floors. Limits say it themselves.
        scope: Whose channels may go: those that two or more tasks use (``"trunk"``), those that one task uses
            (``"heads"``), or all.
        calibration_batches: Batches of ``data`` that are looked at, at least 1: for limits, and where a criterion
            judges by the tasks' gradients and no training has gone before.
        round_to: Multiple that layers are rounded to, at least 1; a group smaller than two multiples stays whole.
        floor: Channels that a layer keeps at least, at least 1; in effect ``max(floor, round_to)``.
        widths: Names or patterns of modules to the channels that each of their layers keeps at least.
        keep: Names or patterns (``"encoder.*"``) of modules or parameters that stay as they are: none of their channels
            goes, on neither side.
        attention: What goes of attention: channels inside every head, the same in all (``"widths"``), or whole heads.
        form: What the cut gives back: the model's own classes or else an error (``"module"``; channels whose number
            stands in their Python code stay), its exported programs at their new sizes (``"graph"``), or the classes,
            and the graph where they can't run at the new sizes, don't prove themselves, or keep the goal out of reach
            by such numbers (``"auto"``).

    Raises:
        SettingError: When neither a budget nor limits are given, or both, or a value is not allowed.

    Examples:
        >>> Selection(budget={"macs": 0.5}, criterion={"kind": "magnitude", "norm": 1}).criterion
        Magnitude(kind='magnitude', norm=1)
    """

    budget: Budget | None = None
    limits: dict[str, Annotated[float, Field(ge=0)]] = {}
    criterion: Annotated[Criterion, *family(criteria)] = Magnitude()
    allocation: Literal["uniform", "global"] = "uniform"
    scope: Literal["all", "trunk", "heads"] = "all"
    calibration_batches: int = Field(8, ge=1)
    round_to: int = Field(8, ge=1)
    floor: int = Field(1, ge=1)
    widths: dict[str, Annotated[int, Field(ge=1)]] = {}
    keep: tuple[str, ...] = ()
    attention: Attention = ATTENTION
    form: Literal["auto", "module", "graph"] = "auto"

    @property
    def in_time(self) -> bool:
        """Whether the budget is a time, which is measured and not counted."""
        return self.budget is not None and self.budget.kind == "latency_ms"

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        if (self.budget is None) == (not self.limits):
            raise ValueError(
                "pruning needs one goal: a budget, what may stay (budget={'macs': 0.5}), or limits, what each task may "
                "lose (limits={'depth': 0.02, '*': 0.05})"
            )
        return self


class PlanOptions(TypedDict, total=False):
    """The keyword arguments of `plan` and `prune`; those left out take the defaults of `Selection`.

    Attributes:
        channels: Fraction of the removable channels that stays, in (0, 1].
        params: Parameters that stay: a fraction in (0, 1] or a count.
        macs: Multiply-accumulates that stay: a fraction in (0, 1] or a count.
        bytes: Bytes that stay: a fraction in (0, 1] or a count.
        latency_ms: Milliseconds that one call may take in ONNX Runtime; another runtime is named by ``budget``.
        budget: The same as one value.
        limits: Task names or patterns to the share by which its loss may rise; exactly one of the seven is given.
        criterion: What a channel is worth.
        allocation: How much each layer gives.
        scope: Whose channels may go.
        calibration_batches: Batches of ``data`` that are looked at.
        round_to: Multiple that layers are rounded to.
        floor: Channels that a layer keeps at least.
        widths: The same for some modules, by name or pattern.
        keep: Modules, names or patterns of what stays as it is.
        attention: Whether channels inside heads go, or whole heads.
        form: Whether the model's own classes come back, or its graph.
    """

    channels: float
    params: int | float
    macs: int | float
    bytes: int | float
    latency_ms: float
    budget: Budget
    limits: dict[str, float]
    criterion: Criterion | dict[str, Any] | str
    allocation: Literal["uniform", "global"]
    scope: Literal["all", "trunk", "heads"]
    calibration_batches: int
    round_to: int
    floor: int
    widths: dict[str, int]
    keep: Sequence[str | nn.Module] | str | nn.Module
    attention: Attention
    form: Literal["auto", "module", "graph"]
