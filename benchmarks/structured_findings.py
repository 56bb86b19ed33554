"""Which of the paper's three findings the cells of `structured.py` show: by paired intervals over seeds."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from math import isfinite
from typing import Any, NamedTuple

from scipy.stats import t as student

from harness import Cell

__all__ = ["EXTREME", "Interval", "findings", "interval"]

MARGIN = 2.0
"""Per cent of the dense network's quality below which a difference is none."""

EXTREME = 0.1
"""The share of the MACs from which down the paper's findings about extreme rates are judged."""

OFF = 0.1
"""How far, relative to what was asked for, the MACs may lie from it before a network is said to be of another size."""

JUDGES = ("cos", "taylor", "magnitude")
"""The criteria that are compared; chance is their control."""


class Interval(NamedTuple):
    """A mean with its 95 % interval."""

    low: float
    mean: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.1f} [{self.low:+.1f}, {self.high:+.1f}]"


def interval(values: Sequence[float]) -> Interval:
    """Return mean and 95 % interval by Student's t; without bounds where there is one value.

    Args:
        values: One for each seed.
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(float("-inf"), mean, float("inf"))
    half = float(student.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    return Interval(mean - half, mean, mean + half)


class Gains:
    """The gain over the dense network of the same seed, in per cent, of every cell of one part and problem.

    Args:
        cells: The cells, of which those that were measured count, and gave numbers.

    Attributes:
        tasks: Names of the tasks.
        broken: Settings of the networks that gave no numbers.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        figures = [(cell.settings, found) for cell in cells if (found := cell.figures())]
        measured = [(told, found) for told, found in figures if all(map(isfinite, found["test"]))]
        self.broken = [told for told, found in figures if not all(map(isfinite, found["test"]))]
        self.tasks = list(measured[0][1]["tasks"]) if measured else []
        dense = {told["seed"]: found for told, found in measured if told["arm"] == "dense"}
        self._of: dict[tuple[str, str, float, int], list[float]] = {
            (told["arm"], told["criterion"], told["macs"], told["seed"]): _gains(found, dense[told["seed"]])
            for told, found in measured
            if told["seed"] in dense
        }
        self._left = {
            (told["arm"], told["criterion"], told["macs"], told["seed"]): found["MACs that stay"]
            for told, found in measured
        }

    @property
    def budgets(self) -> list[float]:
        """The budgets, largest first."""
        return sorted({macs for arm, _, macs, _ in self._of if arm != "dense"}, reverse=True)

    @property
    def arms(self) -> list[tuple[str, str]]:
        """Arms with their criteria, in the order of the cells."""
        return list(dict.fromkeys((arm, criterion) for arm, criterion, *_ in self._of if arm != "dense"))

    def each(self, arm: str, criterion: str, macs: float, read: Callable[[list[float]], float]) -> dict[int, float]:
        """Return one number of the gains of all tasks, by seed."""
        return {seed: read(gains) for (*key, seed), gains in self._of.items() if tuple(key) == (arm, criterion, macs)}

    def off(self, arm: str, criterion: str, macs: float) -> dict[int, float]:
        """Return the MACs that stay of the networks that are not of the size asked for, by seed."""
        return {
            seed: left
            for (*key, seed), left in self._left.items()
            if tuple(key) == (arm, criterion, macs) and abs(left / macs - 1) > OFF
        }

    def difference(self, one: tuple[str, str], other: tuple[str, str], macs: float) -> Interval | None:
        """Return how much better one arm and criterion is in the mean over tasks, paired by seed."""
        first, second = (self.each(*each, macs, statistics.fmean) for each in (one, other))
        pairs = [first[seed] - second[seed] for seed in first.keys() & second.keys()]
        return interval(pairs) if pairs else None


def _gains(found: dict[str, Any], dense: dict[str, Any], split: str = "test") -> list[float]:
    signs = [1 if "higher" in told else -1 for told in found["tasks"].values()]
    return [
        100 * sign * (value - base) / abs(base)
        for sign, value, base in zip(signs, found[split], dense[split], strict=True)
    ]


def findings(cells: Sequence[Cell]) -> dict[str, str]:
    """Judge each finding on each problem that was compared in full, and list means and spreads.

    Args:
        cells: All cells of the benchmark.

    Returns:
        Title to text.
    """
    told: dict[str, str] = {}
    for part in ("digits", "rooms", "nyuv2", "vgg trained"):
        gains = Gains(cell for cell in cells if cell.part == part)
        if gains.budgets:
            told |= {f"{part}, {title}": text for title, text in _judged(gains).items()}
    if best := _tuned(cells):
        told |= {f"digits, each at its own best rate, {title}": text for title, text in _judged(Gains(best)).items()}
        told["digits, best rates"] = _rates(best)
    for problem in ("rooms", "nyuv2"):
        gains = Gains(cell for cell in cells if cell.part == "elsewhere" and cell.settings["problem"] == problem)
        for macs in gains.budgets:
            told |= {f"{problem}, at {macs:g} alone, {title}": text for title, text in _alone(gains, macs).items()}
    return told | _factors(cells)


def _tuned(cells: Sequence[Cell]) -> list[Cell]:
    """Return, of each arm and criterion at each budget, the cells of the rate that is best on validation data.

    Rates are compared by the mean over tasks and seeds of what they gain over the dense network of the default rate;
    one that more seeds were trained with goes first.
    """
    tried = [cell for cell in cells if cell.part == "tuned" and cell.figures()]
    if not tried:
        return []
    budgets = {1.0, *(cell.settings["macs"] for cell in tried)}
    default = [cell for cell in cells if cell.part == "digits" and cell.figures() and cell.settings["macs"] in budgets]
    dense = {cell.settings["seed"]: cell.figures() for cell in default if cell.settings["arm"] == "dense"}
    of: dict[tuple[Any, ...], dict[float, list[Cell]]] = {}
    for cell in (*default, *tried):
        told = cell.settings
        if told["seed"] not in dense or not all(map(isfinite, cell.figures()["validation"])):
            continue
        of.setdefault((told["arm"], told["criterion"], told["macs"]), {}).setdefault(told["lr"], []).append(cell)

    def worth(chosen: list[Cell]) -> tuple[int, float]:
        gains = [_gains(cell.figures(), dense[cell.settings["seed"]], "validation") for cell in chosen]
        return len(chosen), statistics.fmean(statistics.fmean(each) for each in gains)

    return [cell for rates in of.values() for cell in max(rates.values(), key=worth)]


def _rates(best: Sequence[Cell]) -> str:
    told = [cell.settings for cell in best]
    found = {(_name(each["arm"], each["criterion"]), each["macs"]): each["lr"] for each in told}
    return "; ".join(f"{name} at {macs:g}: {lr:g}" for (name, macs), lr in found.items())


def _judged(gains: Gains) -> dict[str, str]:
    extreme = [macs for macs in gains.budgets if macs <= EXTREME]
    told = {
        f"gain over dense in %, worst task, at {macs:g} of the MACs": _listed(gains, macs) for macs in gains.budgets
    }
    told["1: criteria hardly differ"] = _alike(gains)
    for macs in extreme:
        told[f"2: at {macs:g} iterative pruning drops on all tasks"] = _drops(gains, macs)
    for macs in extreme:
        left, anew = (_better(gains, arm, macs) for arm in ("retrain", "anew"))
        told[f"3: at {macs:g} the small network retrained in what is left of the steps is better"] = left
        told[f"3: at {macs:g} the same shapes trained anew for all the steps are better"] = anew
    told["against Torch-Pruning's group norm, mean over tasks"] = _against(gains, ("group_norm", ""))
    told["against chance, mean over tasks"] = _against(gains, ("iterative", "random"))
    told[f"networks whose MACs lie more than {OFF:.0%} off what was asked for"] = _off(gains)
    told["networks that answer with no numbers, left out"] = _broken(gains)
    return told


def _alone(gains: Gains, macs: float) -> dict[str, str]:
    """Judge what the default, retrained and beside magnitude, can show at one budget."""
    beside = gains.difference(("iterative", "cos"), ("iterative", "magnitude"), macs)
    return {
        "gain over dense in %, worst task": _listed(gains, macs),
        "2: iterative pruning drops on all tasks": _drops(gains, macs),
        "3: the small network retrained in what is left of the steps is better": _better(gains, "retrain", macs),
        "CosPrune against magnitude, mean over tasks": str(beside) if beside else "not measured",
    }


def _factors(cells: Sequence[Cell]) -> dict[str, str]:
    """Say what each single factor changes, by paired seeds, in the mean over tasks."""
    full = [cell for cell in cells if cell.part == "digits"]
    varied = [cell for cell in cells if cell.part == "factors" and cell.figures()]
    told = {}
    for factor in dict.fromkeys(cell.settings["factor"] for cell in varied):
        mine = [cell for cell in varied if cell.settings["factor"] == factor]
        arm, criterion, macs = (mine[0].settings[key] for key in ("arm", "criterion", "macs"))
        default, other = (
            Gains([cell for cell in full if cell.settings["arm"] == "dense"] + others).each(
                arm, criterion, macs, statistics.fmean
            )
            for others in (full, mine)
        )
        pairs = [other[seed] - default[seed] for seed in other.keys() & default.keys()]
        if pairs:
            told[f"digits, at {macs:g}, {factor} against the default, mean over tasks"] = str(interval(pairs))
    return told


def _off(gains: Gains) -> str:
    found = [
        f"{_name(*arm)} at {macs:g}, seed {seed}: {left:.3g}"
        for arm in gains.arms
        for macs in gains.budgets
        for seed, left in gains.off(*arm, macs).items()
    ]
    return "; ".join(found) or "none"


def _broken(gains: Gains) -> str:
    names = [
        f"{_name(told['arm'], told['criterion'])} at {told['macs']:g}, seed {told['seed']}" for told in gains.broken
    ]
    return "; ".join(names) or "none"


def _name(arm: str, criterion: str) -> str:
    return f"{arm} {criterion}".strip()


def _listed(gains: Gains, macs: float) -> str:
    lines = []
    for arm in gains.arms:
        values = list(gains.each(*arm, macs, min).values())
        if values:
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            lines.append(f"{_name(*arm)} {statistics.fmean(values):+.1f} ±{spread:.1f}{_flag(gains, arm, macs)}")
    return "; ".join(lines)


def _flag(gains: Gains, arm: tuple[str, str], macs: float) -> str:
    """Say how many networks behind a figure are of another size."""
    off = gains.off(*arm, macs)
    return f" ({len(off)} of {len(gains.each(*arm, macs, min))} of another size)" if off else ""


def _alike(gains: Gains) -> str:
    pairs = {
        f"{arm} {one}-{other} at {macs:g}": gains.difference((arm, one), (arm, other), macs)
        for arm in ("iterative", "retrain")
        for macs in gains.budgets
        for one, other in combinations(JUDGES, 2)
    }
    found = {name: each for name, each in pairs.items() if each}
    apart = {name: each for name, each in found.items() if each.low > MARGIN or each.high < -MARGIN}
    within = all(each.low > -MARGIN and each.high < MARGIN for each in found.values())
    text = "; ".join(f"{name} {each}" for name, each in (apart or found).items())
    return f"{_verdict(holds=bool(found) and within, fails=bool(apart))} ({text})"


def _drops(gains: Gains, macs: float) -> str:
    each = {
        task: interval(list(found.values()))
        for index, task in enumerate(gains.tasks)
        if (found := gains.each("iterative", "cos", macs, lambda gains, index=index: gains[index]))
    }
    holds = bool(each) and all(found.high < -MARGIN for found in each.values())
    fails = any(found.low > -MARGIN for found in each.values())
    return f"{_verdict(holds=holds, fails=fails)} ({'; '.join(f'{task} {found}' for task, found in each.items())})"


def _better(gains: Gains, arm: str, macs: float) -> str:
    found = gains.difference((arm, "cos"), ("iterative", "cos"), macs)
    if found is None:
        return "undecided (not measured)"
    return f"{_verdict(holds=found.low > 0, fails=found.high < 0)} ({found})"


def _against(gains: Gains, other: tuple[str, str]) -> str:
    pairs = {macs: gains.difference(("iterative", "cos"), other, macs) for macs in gains.budgets}
    lines = [f"CosPrune at {macs:g} {found}{_flag(gains, other, macs)}" for macs, found in pairs.items() if found]
    return "; ".join(lines) or "not measured"


def _verdict(*, holds: bool, fails: bool) -> str:
    return "holds" if holds else "does not hold" if fails else "undecided"
