"""Every gradient balancer against a slow reference in float64, on a network with a block that two of four tasks use.

The references work parameter by parameter, and never build a matrix or its Gramian; where a solver is involved they
check the conditions of its optimum.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, nnls
from torch import Tensor

from niwaki.balance import Balancer

Make = Callable[..., Balancer]
Gradient = list[Tensor]
"""A task's gradient on each shared parameter; None never: zeros where the task doesn't reach."""


def rows_of(problem: Any, seed: int = 5) -> list[Gradient]:
    found = []
    for loss in problem.losses(seed).values():
        grads = torch.autograd.grad(loss, problem.shared(), allow_unused=True, retain_graph=True)
        found.append([torch.zeros_like(p) if g is None else g for p, g in zip(problem.shared(), grads, strict=True)])
    return found


def dot(one: Gradient, other: Gradient) -> float:
    return math.fsum(float((a * b).sum()) for a, b in zip(one, other, strict=True))


def mix(weights: Any, rows: list[Gradient]) -> Gradient:
    return [
        torch.stack([float(w) * part for w, part in zip(weights, parts, strict=True)]).sum(0)
        for parts in zip(*rows, strict=True)
    ]


def length(row: Gradient) -> float:
    return math.sqrt(dot(row, row))


def flat(row: Gradient) -> np.ndarray:
    return torch.cat([part.reshape(-1) for part in row]).detach().numpy()


def found_by(balance: Balancer, problem: Any, seed: int = 5) -> Gradient:
    problem.zero_grad()
    balance(problem.losses(seed)).backward()
    return [each.grad.clone() for each in problem.shared()]


def same(one: Gradient, other: Gradient, tolerance: float = 1e-9) -> bool:
    gap = mix([1.0, -1.0], [one, other])
    return length(gap) <= tolerance * max(1.0, length(other))


def test_pcgrad_is_the_projection_in_some_order(make: Make, problem: Any) -> None:
    rows = rows_of(problem)
    choices = []
    for i in range(4):
        for order in itertools.permutations([j for j in range(4) if j != i]):
            row = rows[i]
            for j in order:
                if (product := dot(row, rows[j])) < 0:
                    row = mix([1.0, -product / dot(rows[j], rows[j])], [row, rows[j]])
            choices.append((i, row))
    per_task = [[row for task, row in choices if task == i] for i in range(4)]
    answer = found_by(make("PCGrad"), problem)
    assert any(same(answer, mix([1, 1, 1, 1], list(each))) for each in itertools.product(*per_task))
    assert not same(answer, mix([1, 1, 1, 1], rows), 1e-3)  # some did conflict


def test_gradvac_turns_two_gradients_to_their_average_cosine(make: Make, problem: Any) -> None:
    balance, target = make("GradVac", beta=0.5), np.zeros((2, 2))
    for seed in (5, 6, 7):
        problem.zero_grad()
        losses = problem.losses(seed, ("a", "b"))
        balance(losses).backward()
        answer = [each.grad.clone() for each in problem.shared()]
        rows = rows_of(problem, seed)[:2]
        turned = []
        for i, j in ((0, 1), (1, 0)):
            cosine = dot(rows[i], rows[j]) / length(rows[i]) / length(rows[j])
            row, goal = rows[i], target[i, j]
            if cosine < goal:
                weight = goal * (1 - cosine**2) ** 0.5 - cosine * (1 - goal**2) ** 0.5
                weight *= length(rows[i]) / (length(rows[j]) * (1 - goal**2) ** 0.5)
                row = mix([1.0, weight], [rows[i], rows[j]])
            target[i, j] += 0.5 * (cosine - goal)
            turned.append(row)
        assert same(answer, mix([1, 1], turned), 1e-6)


def test_graddrop_keeps_one_sign_of_each_entry(make: Make, problem: Any) -> None:
    rows = rows_of(problem)
    answer = found_by(make("GradDrop"), problem)
    for part, *parts in zip(answer, *rows, strict=True):
        stack = torch.stack(parts)
        gains, losses = stack.clamp(min=0).sum(0), stack.clamp(max=0).sum(0)
        assert ((part - gains).abs() < 1e-12).logical_or((part - losses).abs() < 1e-12).all()
    leaking = found_by(make("GradDrop", leak=dict.fromkeys("abcd", 1.0)), problem)
    assert same(leaking, mix([1, 1, 1, 1], rows))


def test_mgda_is_the_shortest_mixture(make: Make, problem: Any) -> None:
    balance = make("MGDA", epsilon=1e-9, max_iters=3000)
    answer = [part / 4 for part in found_by(balance, problem)]
    weights = [weight / 4 for weight in balance.weights.values()]
    rows = rows_of(problem)
    assert sum(weights) == pytest.approx(1)
    assert min(weights) >= 0
    assert same(answer, mix(weights, rows), 1e-6)
    for row in rows:  # the first-order condition of the shortest vector in a convex hull
        assert dot(answer, row) >= dot(answer, answer) * (1 - 5e-3)


@pytest.mark.parametrize("normalise", ["none", "l2", "loss", "loss+"])
def test_mgda_of_two_tasks_is_its_closed_form(make: Make, problem: Any, normalise: str) -> None:
    losses = problem.losses(5, ("c", "d"))
    problem.zero_grad()
    make("MGDA", normalise=normalise)(losses).backward()
    rows = rows_of(problem)[2:]
    sizes = [1.0, 1.0]
    for i, loss in enumerate(losses.values()):
        sizes[i] *= length(rows[i]) if normalise in {"l2", "loss+"} else 1.0
        sizes[i] *= loss.item() if normalise in {"loss", "loss+"} else 1.0
    one, other = (mix([1 / size], [row]) for size, row in zip(sizes, rows, strict=True))
    gap = mix([1.0, -1.0], [other, one])
    share = min(max(dot(gap, other) / dot(gap, gap), 0.0), 1.0)
    assert same([problem.trunk.grad], [mix([2 * share, 2 - 2 * share], rows)[0]], 1e-6)


def test_cagrad_solves_its_dual(make: Make, problem: Any) -> None:
    rows, radius = rows_of(problem), 0.5
    mean = mix([0.25] * 4, rows)

    def dual(weights: np.ndarray) -> float:
        mixed = mix(weights, rows)
        return dot(mixed, mean) + radius * length(mean) * length(mixed)

    starts = [np.full(4, 0.25), *np.eye(4)]
    bounds: Any = {"bounds": [(0, 1)] * 4, "constraints": {"type": "eq", "fun": lambda w: w.sum() - 1}}
    best = min((minimize(dual, s, method="SLSQP", tol=1e-12, **bounds) for s in starts), key=lambda each: each.fun)
    mixed = mix(best.x, rows)
    expected = mix([1, radius * length(mean) / length(mixed)], [mean, mixed])
    answer = found_by(make("CAGrad", c=radius), problem)
    assert same(answer, mix([4 / (1 + radius**2)], [expected]), 1e-3)


def test_cagrad_without_a_ball_is_equal_weighting(make: Make, problem: Any) -> None:
    assert same(found_by(make("CAGrad", c=0.0), problem), mix([1, 1, 1, 1], rows_of(problem)), 1e-6)


def test_nash_mtl_is_the_bargain(make: Make, problem: Any) -> None:
    """The weights solve `G w = 1 / w`: every task's gain is the inverse of its weight."""
    balance = make("Nash_MTL", max_norm=0.0, optim_niter=100)
    answer, rows = found_by(balance, problem), rows_of(problem)
    for weight, row in zip(balance.weights.values(), rows, strict=True):
        assert weight > 0
        assert dot(answer, row) * weight == pytest.approx(1, rel=0.02)
    cut = found_by(make("Nash_MTL", max_norm=0.1), problem)
    assert length(cut) == pytest.approx(0.1)


@pytest.mark.parametrize(("alpha", "power"), [(1.0, 1.0), (2.0, 0.5)])
def test_fairgrad_is_the_fair_share(make: Make, problem: Any, alpha: float, power: float) -> None:
    balance = make("FairGrad", alpha=alpha)
    answer, rows = found_by(balance, problem), rows_of(problem)
    for weight, row in zip(balance.weights.values(), rows, strict=True):
        assert dot(answer, row) == pytest.approx(weight**-power, rel=1e-3)


def test_imtl_g_is_the_closed_form_of_its_paper(make: Make, problem: Any) -> None:
    rows = rows_of(problem)
    units = [mix([1 / length(row)], [row]) for row in rows]
    first = flat(rows[0])
    gaps = np.stack([first - flat(row) for row in rows[1:]])
    turns = np.stack([flat(units[0]) - flat(unit) for unit in units[1:]])
    rest = first @ turns.T @ np.linalg.inv(gaps @ turns.T)
    weights = np.concatenate([[1 - rest.sum()], rest])
    answer = found_by(make("IMTL_G"), problem)
    assert same(answer, mix(4 * weights, rows), 1e-6)
    projections = [dot(answer, unit) for unit in units]
    assert projections == pytest.approx([projections[0]] * 4)


@pytest.mark.parametrize("mode", ["min", "median", "rmse"])
def test_aligned_mtl_has_equal_principal_parts(make: Make, problem: Any, mode: str) -> None:
    rows = rows_of(problem)
    left, sizes, right = np.linalg.svd(np.stack([flat(row) for row in rows]), full_matrices=False)
    scale = {"min": sizes.min(), "median": np.sort(sizes)[1], "rmse": np.sqrt((sizes**2).mean())}[mode]
    expected = np.ones(4) @ (scale * left @ right)
    assert np.allclose(flat(found_by(make("Aligned_MTL", scale_mode=mode), problem)), expected, atol=1e-6)
    counted = found_by(make("Aligned_MTL", preference={"a": 2, "b": 0, "c": 0, "d": 0}, scale_mode=mode), problem)
    assert np.allclose(flat(counted), 2 * (scale * left @ right)[0], atol=1e-6)


def projected(row: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the nearest vector with no negative product with a row of the matrix: `g + J^T nnls(J^T, -g)`."""
    weights, _ = nnls(matrix.T, -row)
    return np.asarray(row + weights @ matrix)


def test_upgrad_adds_projections(make: Make, problem: Any) -> None:
    matrix = np.stack([flat(row) for row in rows_of(problem)])
    expected = np.sum([projected(row, matrix) for row in matrix], axis=0)
    answer = flat(found_by(make("UPGrad"), problem))
    assert np.linalg.norm(answer - expected) < 5e-3 * np.linalg.norm(expected)
    assert (matrix @ answer).min() > -5e-3  # no task gets worse
    assert (matrix @ matrix.sum(0)).min() < 0 or (matrix @ matrix.T).min() < 0  # they did conflict


def test_dualproj_projects_the_sum(make: Make, problem: Any) -> None:
    matrix = np.stack([flat(row) for row in rows_of(problem)])
    expected = projected(matrix.sum(0), matrix)
    answer = flat(found_by(make("DualProj"), problem))
    assert np.linalg.norm(answer - expected) < 5e-3 * np.linalg.norm(expected)


def test_preferences_count_tasks(make: Make, problem: Any) -> None:
    matrix = np.stack([flat(row) for row in rows_of(problem)])
    counts = {"a": 0.5, "b": 2.0, "c": 1.0, "d": 0.5}
    expected = np.sum([c * projected(row, matrix) for c, row in zip(counts.values(), matrix, strict=True)], axis=0)
    answer = flat(found_by(make("UPGrad", preference=counts), problem))
    assert np.linalg.norm(answer - expected) < 5e-3 * np.linalg.norm(expected)


def test_config_has_one_angle_to_all(make: Make, problem: Any) -> None:
    rows = rows_of(problem)
    answer = found_by(make("ConFIG"), problem)
    cosines = [dot(answer, row) / length(answer) / length(row) for row in rows]
    assert cosines == pytest.approx([cosines[0]] * 4)
    assert cosines[0] > 0
    assert length(answer) == pytest.approx(sum(dot(answer, row) for row in rows) / length(answer))


def test_krum_takes_the_most_central(make: Make, problem: Any) -> None:
    rows = rows_of(problem)
    scores = []
    for i, row in enumerate(rows):
        gaps = sorted(length(mix([1, -1], [row, other])) for j, other in enumerate(rows) if j != i)
        scores.append(sum(gaps[:2]))
    best = min(range(4), key=scores.__getitem__)
    assert same(found_by(make("Krum"), problem), mix([4], [rows[best]]))


def test_pcd_follows_the_first_as_far_as_the_others_allow(make: Make, problem: Any) -> None:
    rows, tau = [flat(row) for row in rows_of(problem)], 0.3
    units = [row / np.linalg.norm(row) for row in rows]

    def gap(direction: np.ndarray) -> float:
        return float(((direction - units[0]) ** 2).sum())

    limits: Any = [{"type": "ineq", "fun": lambda d, unit=unit: d @ unit - tau} for unit in units[1:]]
    nearest = minimize(gap, units[0], method="SLSQP", constraints=limits, tol=1e-14).x
    answer = flat(found_by(make("PCD", tau=tau, eps=0.0), problem))
    expected = nearest * np.linalg.norm(rows[0]) / np.linalg.norm(nearest)
    assert np.allclose(answer, expected, atol=1e-4)
    assert not np.allclose(answer, rows[0], atol=1e-2)  # the others did object


def test_excessmtl_is_its_formula_over_steps(make: Make, problem: Any) -> None:
    balance = make("ExcessMTL")
    sums: list[Any] = [[0.0, 0.0] for _ in range(4)]
    weights, first = np.full(4, 0.25), None
    for seed in (3, 4, 5):
        answer, rows = found_by(balance, problem, seed), rows_of(problem, seed)
        excess = []
        for task, row in enumerate(rows):
            sums[task] = [total + part**2 for total, part in zip(sums[task], row, strict=True)]
            excess.append(sum(float((p**2 / (s + 1e-7).sqrt()).sum()) for p, s in zip(row, sums[task], strict=True)))
        ratio = np.array(excess) if first is None else np.array(excess) / (first + 1e-7)
        first = np.array(excess) if first is None else first
        weights = weights * np.exp(ratio)
        weights /= weights.sum()
        assert same(answer, mix(4 * weights, rows), 1e-6)


def test_a_trimmed_mean_leaves_out_extremes(make: Make, problem: Any) -> None:
    rows = rows_of(problem)
    answer = found_by(make("Aggregator"), problem)
    for part, *parts in zip(answer, *rows, strict=True):
        for index in np.ndindex(*part.shape):
            middle = sorted(float(each[index]) for each in parts)[1:-1]
            assert float(part[index]) == pytest.approx(sum(middle) / 2)


def test_gradnorm_is_joint_training_with_torchs_adam(make: Make, problem: Any, steps: Any) -> None:
    """The oracle puts the logits into a graph, as the paper's equation 2 says, and steps them with torch's Adam."""
    balance = make("GradNorm", alpha=1.5, lr=0.05)
    logits = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.05)
    means = np.zeros(4)
    for step, seed in enumerate(range(30, 40), start=1):
        rows = rows_of(problem, seed)
        losses = np.array([loss.item() for loss in problem.losses(seed).values()])
        means += (losses - means) / step
        pace = torch.tensor(losses / means)
        weights = 4 * logits.softmax(0)
        lengths = weights * torch.tensor([length(row) for row in rows])
        target = (lengths.mean() * (pace / pace.mean()) ** 1.5).detach()
        answer = found_by(balance, problem, seed)
        assert same(answer, mix(weights.tolist(), rows), 1e-4)
        optimizer.zero_grad()
        (lengths - target).abs().sum().backward()
        optimizer.step()
    assert list(balance.weights.values()) != pytest.approx([1.0] * 4, abs=0.1)
