"""Pruning at work in somebody's loop: it watches, counts steps, cuts when a round is due, and remembers its plans."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from niwaki.contract import Named, task_names
from niwaki.errors import ContractError
from niwaki.methods.anew import built_anew, move_afresh, require_resettable
from niwaki.methods.base import Run
from niwaki.methods.calibration import Calibration, open_calibration, task_gradients
from niwaki.methods.prune.choosing import Dense, Round
from niwaki.methods.prune.criteria import RandomScore
from niwaki.methods.prune.evidence import Evidence
from niwaki.methods.prune.reaching import plan_goal
from niwaki.methods.prune.subject import Subject, read_subject
from niwaki.surgery import Plan, follow, unwrap
from niwaki.surgery.memory import recall

if TYPE_CHECKING:  # the method makes its run
    from niwaki.methods.prune.method import StructuredPruning

__all__ = ["Given", "PruningRun"]


class Given(NamedTuple):
    """What a run was started with beside the model."""

    example: Any
    tasks: Sequence[Named] | None
    data: Iterable[Any] | None


class PruningRun(Run):
    """Watches what the criterion asks for, counts steps, cuts when a round is due, and remembers its plans.

    Attributes:
        method: The settings.
        moments: Steps after which each round cuts.
        step: Optimizer steps so far.
        done: Rounds so far; all of them as soon as the budget is met.
        dense: The size of the model before the first round.
    """

    def __init__(self, method: "StructuredPruning", moments: list[int], given: Given) -> None:
        self.method = method
        self.moments = moments
        self.step = 0
        self.done = 0
        self.dense: Dense | None = None
        self._given = given
        self._texts: tuple[str, ...] = ()
        self._subject: Subject | None = None
        self._calibration: Calibration | None = None
        self._thawed: tuple[str, ...] = ()
        self._watching = False
        self._begun: int | None = None
        self._gone = 0

    @property
    def plans(self) -> list[Plan]:
        """The plans of the cuts so far, read anew: as texts they take a hundredth of the memory."""
        return [Plan.from_json(text) for text in self._texts]

    @property
    def begun(self) -> int | None:
        """The step after which the small network was built anew, once it was."""
        return self._begun

    @property
    def settled(self) -> bool:
        """Whether the last cut is made."""
        return self.done >= len(self.moments)

    def begin(self, model: nn.Module) -> nn.Module:
        """Read a model, check that the budget can be reached, and cut it if a round is due at once."""
        if self.method.restarts:
            require_resettable(model, self.method.build, asked='then="retrain"', instead='then="finetune"')
        self._watch(model)
        self._look_ahead()
        return self._cut_if_due(model, None)

    def go_on(self, model: nn.Module, state: Mapping[str, Any]) -> None:
        """Watch a model that was cut by the plans of a saved run."""
        if self.settled:
            return
        self._watch(model)
        if self._evidence is not None and state.get("evidence") is not None:
            self._evidence.load_state_dict(state["evidence"])

    def penalty(self, model: nn.Module) -> Tensor:
        """Return the criterion's penalty, until the last cut."""
        if self.settled or self._subject is None:
            return super().penalty(model)
        self._require_own(model)
        found = self.method.criterion.penalty(unwrap(model), self._subject.channels)
        return super().penalty(model) if found is None else found

    def before_backward(self, model: nn.Module, losses: Mapping[str, Tensor]) -> None:
        """Show each task's gradient to the criterion, where it judges by training batches."""
        evidence = self._evidence
        if self.settled or evidence is None or self.method.scored_on != "training":
            return
        self._require_own(model)
        inner = unwrap(model)
        parameters = {name: inner.get_parameter(name) for name in evidence.parameters}
        with torch.no_grad():
            evidence.see(parameters, task_gradients(parameters, losses))

    def after_backward(self, model: nn.Module) -> None:
        """Leave parameters that only the criterion needs gradients of as they are."""
        for name in self._thawed:
            unwrap(model).get_parameter(name).grad = None

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> nn.Module:
        """Count a step; cut, and let the optimizer's state follow, when a round is due.

        Args:
            model: The model of this run, which the optimizer has just changed.
            optimizer: Holds its parameters.

        Returns:
            The model to go on with.

        Raises:
            ContractError: When the model is not the one that this run returned last, or the criterion has seen no
                batch since the last cut and there are no others.
        """
        self._require_own(model)
        self.step += 1
        return self._cut_if_due(model, optimizer)

    def finish(self, model: nn.Module) -> nn.Module:
        """Return the plain model; rounds that training ended too early for are made up by one cut to the budget.

        Args:
            model: The model of this run.

        Returns:
            The module inside any wrappers.

        Raises:
            ContractError: When the model is not the one that this run returned last, or it was to be retrained after a
                cut that training ended too early for.
        """
        self._require_own(model)
        if not self.settled:
            if self.method.restarts and self.step:
                raise ContractError(
                    f"training ended after {self.step} steps, before the last cut at step {self.moments[-1]}: nothing "
                    "was retrained; train longer, or set `until` lower"
                )
            model = self._cut(model, None, len(self.moments))
        return unwrap(model)

    def state_dict(self) -> dict[str, Any]:
        """Return the steps and rounds done, where weights began, plans as JSON, the dense size, what was gathered."""
        dense = None if self.dense is None else self.dense.to_json()
        evidence = None if self.settled or self._evidence is None else self._evidence.state_dict()
        told = {"step": self.step, "done": self.done, "begun": self._begun}
        return {**told, "plans": list(self._texts), "dense": dense, "evidence": evidence}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state; the model has to have the shape it had then, as `resume` gives it."""
        self.step, self.done, self._begun = int(state["step"]), int(state["done"]), state.get("begun")
        self._texts = tuple(state["plans"])
        self._gone = sum(map(_channels_gone, self.plans))
        self.dense = None if state["dense"] is None else Dense.from_json(state["dense"])

    @property
    def _evidence(self) -> Evidence | None:
        return None if self._subject is None else self._subject.evidence

    def _require_own(self, model: nn.Module) -> None:
        """Compare what the model remembers with the cuts so far: texts, because plans are long to read."""
        remembered, made = recall(model), self._texts
        if remembered[len(remembered) - len(made) :] != made:
            raise ContractError(
                f"this run has cut its model {len(made)} times, but the model given does not come from these cuts; go "
                "on with what the run returns: use `model = run.after_step(model, optimizer)`"
            )

    def _watch(self, model: nn.Module) -> None:
        """Read the channels of a model that will be cut, and open what its criterion looks at."""
        inner, given, method = unwrap(model), self._given, self.method
        self._subject = read_subject(inner, given.example, method, task_names(given.tasks))
        evidence = self._evidence
        self._watching = evidence is not None or method.criterion.penalty(inner, self._subject.channels) is not None
        if evidence is None and not method.limits:
            return
        if self._calibration is None and (given.data is not None or self._needs_data()):
            self._calibration = open_calibration(given.tasks, given.data, method.calibration_batches)
        if evidence is not None and method.scored_on == "training" and not self._thawed:
            frozen = [name for name in evidence.parameters if not inner.get_parameter(name).requires_grad]
            self._thawed = tuple(frozen)
            _set_frozen(inner, self._thawed, frozen=False)

    def _needs_data(self) -> bool:
        return self.method.scored_on == "calibration" or self.moments[0] == 0 or bool(self.method.limits)

    def _look_ahead(self) -> None:
        """Measure the dense model and check that the budget can be reached, without a cut."""
        if self.moments[0] > 0 and self._subject is not None and not (self.method.limits or self.method.in_time):
            blind = self.method.model_copy(update={"criterion": RandomScore()})
            whole = Round(len(self.moments), len(self.moments))
            self.dense = plan_goal(self._subject, blind, whole).dense

    def _cut_if_due(self, model: nn.Module, optimizer: Optimizer | None) -> nn.Module:
        """Cut as often as the steps so far ask for."""
        while not self.settled and self.step >= self.moments[self.done]:
            model = self._cut(model, optimizer, self.done + 1)
        return model

    def _cut(self, model: nn.Module, optimizer: Optimizer | None, number: int) -> nn.Module:
        turn = Round(number, len(self.moments), self.dense, self.method.remove, self._gone)
        if turn.steps_by_channels and self.dense is not None and not turn.due(self.dense.channels):
            self.done = number
            return model
        planned = plan_goal(self._judged(model), self.method, turn)
        small = planned.cut(model)
        self._subject, self.dense = None, planned.dense
        self.done = len(self.moments) if planned.met else number
        self._texts += recall(small)[-1:]
        self._gone += _channels_gone(planned.plan)
        if optimizer is not None:
            follow(optimizer, model, small, planned.plan)
        if self.settled:
            return self._settle(small, optimizer)
        if self._watching:
            self._watch(small)
        return small

    def _judged(self, model: nn.Module) -> Subject:
        """Return the model with all its criterion has to see; channels that were read before are used again."""
        if self._subject is None or not self._subject.still_of(unwrap(model)):
            gathered = None if self._evidence is None else self._evidence.state_dict()
            self._watch(model)
            if gathered is not None and self._evidence is not None:
                self._evidence.load_state_dict(gathered)
        subject, evidence = self._subject, self._evidence
        assert subject is not None
        unseen = evidence is not None and not evidence.batches
        blank = unseen or (evidence is not None and self.method.scored_on == "calibration")
        last = self.moments[self.done - 1] if self.done else 0
        if unseen and self.method.scored_on == "training" and self.step > last:
            self._tell_unseen()
        if blank and self._calibration is None:
            self._calibration = open_calibration(self._given.tasks, self._given.data, self.method.calibration_batches)
        if blank and self._calibration is not None:
            return subject.looked_at(self._calibration)
        return replace(subject, calibration=self._calibration)

    def _tell_unseen(self) -> None:
        text = (
            f"the criterion {self.method.criterion.kind!r} has seen no training batch since the last cut: call "
            "run.before_backward(model, losses) in every step, before backward()"
        )
        if self._given.data is None:
            raise ContractError(f"{text}, or give `data` to `start`")
        warnings.warn(f"{text}; it is scored on `data` instead", UserWarning, stacklevel=6)

    def _settle(self, small: nn.Module, optimizer: Optimizer | None) -> nn.Module:
        """After the last cut: freeze again what was frozen, let go of the batches, and start afresh where asked."""
        _set_frozen(unwrap(small), self._thawed, frozen=True)
        self._thawed, self._calibration = (), None
        if not self.method.restarts:
            return small
        self._begun = self.step
        fresh = built_anew(small, self.method.build, self.method.seed)
        self._texts = recall(fresh)[len(recall(fresh)) - len(self._texts) :]
        if optimizer is not None:
            move_afresh(optimizer, small, fresh)
        return fresh


def _channels_gone(plan: Plan) -> int:
    return sum(group.size - len(group.kept) for group in plan.groups)


def _set_frozen(model: nn.Module, names: Iterable[str], *, frozen: bool) -> None:
    for name in names:
        model.get_parameter(name).requires_grad = not frozen
