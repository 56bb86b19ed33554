"""GradNorm: tasks learn at one pace, by equal gradient lengths."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from niwaki.balance.base import balancers, stacked
from niwaki.balance.gradient import GradientBalancer
from niwaki.balance.jacobian import task_gradients
from niwaki.balance.logits import Logits
from niwaki.balance.normalise import LossScale
from niwaki.balance.options import not_allowed
from niwaki.balance.roster import Roster

__all__ = ["GradNorm", "length_gradient"]


def length_gradient(logits: Tensor, lengths: Tensor, pace: Tensor, alpha: float) -> Tensor:
    """Return the gradient of `sum_t |w_t n_t - mean(w n) (r_t / mean r)^alpha|` along logits, `w = T softmax(s)`.

    It is equation 2 of the paper, in which the target counts as a constant.

    Args:
        logits: `s`, `[T]`.
        lengths: `n`, lengths of the tasks' gradients, `[T]`.
        pace: `r`, the losses over their initial ones, `[T]`.
        alpha: How strongly slow tasks are helped.

    Returns:
        `[T]`.

    Examples:
        >>> length_gradient(torch.zeros(2), torch.tensor([3.0, 1.0]), torch.ones(2), alpha=1.5).tolist()
        [2.0, -2.0]
    """
    weights = len(logits) * logits.softmax(0)
    target = (weights * lengths).mean() * (pace / pace.mean()) ** alpha
    slopes = (weights * lengths - target).sign() * lengths
    return weights * (slopes - (weights * slopes).mean())


@balancers.register("GradNorm")
class GradNorm(GradientBalancer):
    """GradNorm (arXiv 1711.02257, algorithm 1): weights for which all tasks' gradients have the length their pace asks.

    The lengths are those on the parameters that several tasks reach; the weights act on the whole losses and sum to
    the number of tasks. A loss's initial value is its mean over the first steps. The weights step inside the call,
    after the scalar is taken.

    Args:
        alpha: How strongly tasks that learn slowly are helped, at least 0; 0 asks for equal lengths.
        lr: Learning rate of the weights' logits, above 0.

    Raises:
        SettingError: When an option is outside.

    Examples:
        >>> trunk = torch.tensor(1.0, requires_grad=True)
        >>> balance = GradNorm(lr=0.1)
        >>> for _ in range(50):
        ...     _ = balance({"a": 3 * trunk, "b": trunk + 2})
        >>> {task: round(weight, 1) for task, weight in balance.weights.items()}
        {'a': 0.5, 'b': 1.5}
    """

    kind: ClassVar[str] = "GradNorm"

    def __init__(self, *, alpha: float = 1.5, lr: float = 0.025) -> None:
        super().__init__()
        if not 0 <= alpha < math.inf:
            raise not_allowed(self.kind, "alpha", alpha, "a number of at least 0")
        if not 0 < lr < math.inf:
            raise not_allowed(self.kind, "lr", lr, "a number above 0")
        self.alpha, self.lr = float(alpha), float(lr)
        self._logits = Logits(lr=self.lr)
        self._initial = LossScale(self.kind, "initial")
        self._roster = Roster()

    def describe(self) -> dict[str, Any]:
        """Return ``kind`` and the options."""
        return {"kind": self.kind, "alpha": self.alpha, "lr": self.lr}

    def reset(self) -> None:
        """Start anew: equal weights, no initial losses."""
        self._logits.reset()
        self._initial.reset()
        self._roster = Roster()

    def _combine(self, losses: dict[str, Tensor]) -> Tensor:
        values = stacked(losses)
        rows = self._roster.rows(losses, values.device)
        pace = values / self._initial.watch(self._roster, rows, values)[rows]
        weights = len(losses) * self._logits.of(losses, values.device).softmax(0)
        found = task_gradients(losses)
        if found.tasks:
            kept = self._kept(found)
            lengths = (found.matrix if kept is None else found.matrix * kept).norm(dim=1).to(values)
            there = torch.tensor([task in found.tasks for task in losses], device=values.device)
            logits = self._logits.of(found.tasks, values.device)
            self._logits.step(found.tasks, length_gradient(logits, lengths, pace[there], self.alpha))
        return self._sloped(losses, weights)

    def _state(self) -> dict[str, Any]:
        tasks = list(self._roster.tasks)
        return {"tasks": tasks, "logits": self._logits.state(), "initial": self._initial.state()}

    def _load(self, state: Mapping[str, Any]) -> None:
        self._roster = Roster(state["tasks"])
        self._logits.load(state["logits"])
        self._initial.load(state["initial"])
