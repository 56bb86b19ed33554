"""Chain: several methods one after the other, in the order rewire, cut, sparsify."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, combinations, pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from niwaki.contract import Named
from niwaki.errors import ContractError
from niwaki.methods.anew import move_afresh
from niwaki.methods.base import Method, Run, Stage, carry_over, checked_steps, methods
from niwaki.records import RecordBase
from niwaki.settings import Settings, family
from niwaki.surgery import unwrap

__all__ = ["Chain"]

_ORDER: tuple[Stage, ...] = ("rewire", "cut", "sparsify")
_BACKWARDS: dict[tuple[Stage, Stage], str] = {
    ("cut", "rewire"): "a rewire adds weights to layers whose channels were already judged and cut",
    ("sparsify", "rewire"): "a rewire replaces the weights that the masks belong to",
    ("sparsify", "cut"): "a cut judges channels that the masks have already emptied, and leaves masks that fit nothing",
}


class _OnePositional(type(Settings)):  # type: ignore[misc]  # the metaclass has no public name
    """Lets the parts be given without their name."""

    def __call__(cls, *parts: Any, **values: Any) -> Any:
        if len(parts) == 1 and "parts" not in values:
            return super().__call__(parts=parts[0], **values)
        return super().__call__(*parts, **values)


@methods.register("chain")
class Chain(Method, metaclass=_OnePositional):
    """Methods that run one after the other, each on what the one before it finished.

    Attributes:
        parts: The methods, in the order rewire, cut, sparsify; equal stages keep their order.
        shares: Share of the steps that each part gets, each at least 0, together 1; equal ones by default.

    Raises:
        SettingError: When the chain goes back a stage, is empty or nested, or the shares don't fit the parts.

    Examples:
        >>> prune = methods.get("structured_pruning")
        >>> twice = Chain([prune(budget={"channels": 0.75}), prune(budget={"macs": 0.5})], shares=(0.25, 0.75))
        >>> twice.lengths(1000)
        [250, 750]
    """

    stage: ClassVar[Stage] = "rewire"

    kind: Literal["chain"] = "chain"
    parts: tuple[Annotated[Method, *family(methods)], ...] = Field(min_length=1)
    shares: tuple[float, ...] | None = None

    def __init__(self, parts: Sequence[Method | Mapping[str, Any]], **values: Any) -> None:
        super().__init__(parts=parts, **values)  # type: ignore[call-arg]  # pydantic reads the fields of this class

    @model_validator(mode="after")
    def _goes_forward(self) -> Self:
        if any(isinstance(part, Chain) for part in self.parts):
            raise ValueError("a chain holds methods, not chains; put the inner chain's parts in the list")
        for former, later in pairwise(self.parts):
            if _ORDER.index(former.stage) > _ORDER.index(later.stage):
                raise ValueError(
                    f"{later.kind} ({later.stage}) can't come after {former.kind} ({former.stage}): "
                    f"{_BACKWARDS[former.stage, later.stage]}; the order is {', '.join(_ORDER)}"
                )
        return self

    @model_validator(mode="after")
    def _rewires_for_good(self) -> Self:
        former: list[str] = []
        for part in self.parts:
            if part.restarts and former:
                raise ValueError(
                    f"{part.kind} that trains from random weights in the end can't come after {', '.join(former)}: it "
                    "would throw away what that trained; put them into two chains, or fine-tune"
                )
            former += [part.kind] if part.stage == "rewire" else []
        return self

    @model_validator(mode="after")
    def _finds_its_layers(self) -> Self:
        for former, later in combinations(self.parts, 2):
            if former.hides_layers and later.needs_layers:
                raise ValueError(
                    f"{later.kind} can't come after {former.kind}: it works on torch's own layers, and {former.kind} "
                    f"leaves others in their place; put {later.kind} first"
                )
        return self

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.shares is None:
            return self
        if len(self.shares) != len(self.parts):
            raise ValueError(f"{len(self.parts)} parts need as many shares, not {len(self.shares)}")
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(f"the shares are at least 0 and add up to 1; got {list(self.shares)}")
        return self

    @property
    def searches_size(self) -> bool:
        """Whether a search decides the size that one of the parts leaves."""
        return any(part.searches_size for part in self.parts)

    def lengths(self, steps: int) -> list[int]:
        """Return how many of the steps each part gets.

        Args:
            steps: Optimizer steps in all, at least 0.

        Returns:
            One number for each part; they add up to ``steps``.

        Raises:
            ContractError: When ``steps`` is no whole number, or negative.
        """
        checked_steps(steps)
        shares = self.shares or (1 / len(self.parts),) * len(self.parts)
        ends = [round(steps * sum(shares[: i + 1])) for i in range(len(shares))]
        return [end - start for start, end in pairwise([0, *ends])]

    def moments(self, steps: int) -> list[int]:
        """Return after how many optimizer steps the model changes its shape, at the latest. See `Method.moments`."""
        lengths = self.lengths(steps)
        starts = accumulate(lengths, initial=0)
        parts = zip(self.parts, starts, lengths, strict=False)  # the last start is the end
        return [start + each for part, start, length in parts for each in part.moments(length)]

    def start(
        self,
        model: nn.Module,
        example: Any,
        tasks: Sequence[Named] | None = None,
        *,
        steps: int,
        data: Iterable[Any] | None = None,
    ) -> tuple[nn.Module, Run]:
        """Start the first part; the others start when it is their turn. See `Method.start`."""
        parts = _Parts(self.parts, tuple(self.lengths(steps)), example, tasks, data)
        model, first = parts.start(0, model)
        run = _ChainRun(parts, [first])
        return run.pass_empty(model), run

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
        """Rebuild the parts that were finished, and go on inside the one that was not. See `Method.resume`."""
        parts = _Parts(self.parts, tuple(self.lengths(steps)), example, tasks, data)
        runs: list[Run] = []
        for index, part_state in enumerate(state["runs"]):
            model = runs[-1].finish(model) if runs else model
            model, run = parts.resume(index, model, part_state)
            runs.append(run)
        chain = _ChainRun(parts, runs)
        chain.done = int(state["done"])
        chain.groups = state.get("groups")
        return model, chain


@dataclass(frozen=True)
class _Parts:
    """What a chain needs to start any of its parts."""

    methods: tuple[Method, ...]
    lengths: tuple[int, ...]
    example: Any
    tasks: Sequence[Named] | None
    data: Iterable[Any] | None

    def start(self, index: int, model: nn.Module) -> tuple[nn.Module, Run]:
        part = self.methods[index]
        return part.start(model, self.example, self.tasks, steps=self.lengths[index], data=self.data)

    def resume(self, index: int, model: nn.Module, state: Mapping[str, Any]) -> tuple[nn.Module, Run]:
        part = self.methods[index]
        return part.resume(model, self.example, self.tasks, steps=self.lengths[index], state=state, data=self.data)


class _ChainRun(Run):
    """The part at work, and the final states of the parts before it."""

    def __init__(self, parts: _Parts, runs: list[Run]) -> None:
        self.parts = parts
        self.runs = runs
        self.done = 0
        self.groups: list[list[str]] | None = None

    @property
    def current(self) -> Run:
        """The run of the part at work."""
        return self.runs[-1]

    @property
    def settled(self) -> bool:
        return self.current.settled and len(self.runs) == len(self.parts.methods)

    @property
    def begun(self) -> int | None:
        starts = [0, *accumulate(self.parts.lengths)]
        return max((starts[i] + run.begun for i, run in enumerate(self.runs) if run.begun is not None), default=None)

    @property
    def masks(self) -> Mapping[str, Tensor]:
        return self.current.masks

    def parameter_groups(self, model: nn.Module, *, lr: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        if self.groups is None:
            return self.current.parameter_groups(model, lr=lr, weight_decay=weight_decay)
        parameters = dict(unwrap(model).named_parameters())  # an optimizer that was carried over is made anew
        return [
            {"params": [parameters[name] for name in names], "lr": lr, "weight_decay": weight_decay}
            for names in self.groups
        ]

    def penalty(self, model: nn.Module) -> Tensor:
        return self.current.penalty(model)

    def before_backward(self, model: nn.Module, losses: Mapping[str, Tensor]) -> None:
        self.current.before_backward(model, losses)

    def after_backward(self, model: nn.Module) -> None:
        self.current.after_backward(model)

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> nn.Module:
        after = self.current.after_step(model, optimizer)
        if after is not model and self.groups is not None:
            self.groups = _names_of(optimizer, after)
        self.done += 1
        return self.pass_empty(after, optimizer)

    def finish(self, model: nn.Module) -> nn.Module:
        while len(self.runs) < len(self.parts.methods):
            model = self._next(model)
        return self.current.finish(model)

    def findings(self) -> Mapping[str, RecordBase]:
        return {field: found for run in self.runs for field, found in run.findings().items()}

    def pass_empty(self, model: nn.Module, optimizer: Optimizer | None = None) -> nn.Module:
        """Start the next part when the one at work has had its steps."""
        while self.done >= self.parts.lengths[len(self.runs) - 1] and len(self.runs) < len(self.parts.methods):
            model = self._next(model, optimizer)
        return model

    def _next(self, model: nn.Module, optimizer: Optimizer | None = None) -> nn.Module:
        finished = self.current.finish(model)
        started, run = self.parts.start(len(self.runs), finished)
        if optimizer is not None:
            carry_over(optimizer, model, finished)
            forgets = self.parts.methods[len(self.runs)].forgets
            (move_afresh if forgets else carry_over)(optimizer, finished, started)
            self.groups = _names_of(optimizer, started)
        self.runs.append(run)
        self.done = 0
        return started

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done, "groups": self.groups, "runs": [run.state_dict() for run in self.runs]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if len(state["runs"]) != len(self.runs):
            raise ContractError(
                f"this run is in part {len(self.runs)} of its chain and the state in part {len(state['runs'])}: "
                "use Chain.resume, which rebuilds the finished parts first"
            )
        for run, part_state in zip(self.runs, state["runs"], strict=True):
            run.load_state_dict(part_state)
        self.done = int(state["done"])
        self.groups = state.get("groups")


def _names_of(optimizer: Optimizer, model: nn.Module) -> list[list[str]]:
    """Return the names of a model's parameters by the optimizer's groups, so that it can be made anew on resuming."""
    names = {id(parameter): name for name, parameter in unwrap(model).named_parameters()}
    return [[names[id(each)] for each in group["params"] if id(each) in names] for group in optimizer.param_groups]
