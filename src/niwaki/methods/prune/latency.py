"""Latency: the largest network that a runtime answers with in time, found by measuring real cuts."""

from functools import partial
from math import inf

from torch import nn

from niwaki.measure import measure_latency
from niwaki.methods.prune.choosing import Round, filled, smallest
from niwaki.methods.prune.forecast import forecast
from niwaki.methods.prune.selecting import Planned, out_of_reach, plan_round
from niwaki.methods.prune.settings import Selection
from niwaki.methods.prune.subject import Subject
from niwaki.settings import Budget
from niwaki.surgery import cut

__all__ = ["plan_in_time"]

_TRIES, _CLOSE, _ROUNDS = 6, 0.03, 15


def plan_in_time(subject: Subject, selection: Selection, turn: Round) -> Planned:
    """Plan for a latency budget.

    The times of the dense and of the smallest network bracket the budget. Between them the layers' own times, looked up
    in a table (`forecast`), say how large a network may be; it is cut, exported and timed, and the bracket shrinks,
    until a network comes within a few percent below the budget. The last word is a measurement.

    Args:
        subject: The model, with everything that its criterion has to see.
        selection: What is chosen; its budget is in ``latency_ms``.
        turn: The round.

    Returns:
        The plan of the largest network that was measured within the budget.

    Raises:
        BudgetError: When even the smallest network takes longer.
        MeasureError: When the runtime can't run the model.
    """
    budget = selection.budget
    assert budget is not None
    dense_ms = _milliseconds(subject.model, subject, budget)
    whole = plan_round(subject, selection, turn, pick=partial(filled, weigh=lambda _: 0.0, allowed=inf))
    if dense_ms <= budget.amount:
        return _told(whole, budget, dense_ms, dense_ms)
    best = plan_round(subject, selection, turn, pick=smallest)
    best_ms = _timed(best, subject, budget)
    if best_ms > budget.amount:
        text = (
            f"{budget} is out of reach: the smallest network takes {best_ms:.3g} ms in {budget.runtime} (the dense one "
            f"{dense_ms:.3g}); ask for more time, or lower round_to or floor"
        )
        raise out_of_reach(text, best.written)
    weigh = forecast(subject.channels, budget.runtime, whole.keep, best.keep)
    low, high = (weigh(best.keep), best_ms), (weigh(whole.keep), dense_ms)
    for _ in range(_TRIES):
        if best_ms >= (1 - _CLOSE) * budget.amount:
            break
        allowed = _between(low, high, (1 - _CLOSE / 2) * budget.amount)
        tried = plan_round(subject, selection, turn, pick=partial(filled, weigh=weigh, allowed=allowed))
        weight = weigh(tried.keep)
        if weight in {low[0], high[0]}:
            break
        took = _timed(tried, subject, budget)
        if took <= budget.amount:
            best, best_ms, low = tried, took, (weight, took)
        else:
            high = (weight, took)
    return _told(best, budget, best_ms, dense_ms)


def _between(low: tuple[float, float], high: tuple[float, float], wanted: float) -> float:
    """Interpolate the forecast, but stay off the ends: times are noisy."""
    share = (wanted - low[1]) / (high[1] - low[1]) if high[1] > low[1] else 0.5
    return low[0] + min(max(share, 0.1), 0.9) * (high[0] - low[0])


def _timed(planned: Planned, subject: Subject, budget: Budget) -> float:
    return _milliseconds(cut(subject.model, planned.plan, channels=planned.channels, verify=False), subject, budget)


def _told(planned: Planned, budget: Budget, took_ms: float, dense_ms: float) -> Planned:
    """Write the measurement into the plan instead of the MACs that led to it."""
    _, criterion, rest = planned.plan.asked.partition("criterion=")
    asked = f"latency_ms={budget.amount:g} in {budget.runtime}, {criterion}{rest}"
    reached = {**planned.plan.reached, "latency_ms": took_ms / dense_ms}
    note = f"measured in {budget.runtime}: {took_ms:.3g} ms, the dense model {dense_ms:.3g} ms (medians of one call)"
    told = {"asked": asked, "reached": reached, "notes": (*planned.plan.notes, note)}
    return planned._replace(plan=planned.plan.model_copy(update=told), met=True)


def _milliseconds(model: nn.Module, subject: Subject, budget: Budget) -> float:
    """Return the median time of one call of all paths, in milliseconds."""
    measured = measure_latency(
        {"model": model},
        subject.example,
        runtimes=[budget.runtime],
        rounds=_ROUNDS,
        tasks=list(subject.channels.traced.tasks),
    )
    timing = measured.of("model", budget.runtime)
    assert timing is not None
    return timing.median_ms
