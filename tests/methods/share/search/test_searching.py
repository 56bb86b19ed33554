from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from niwaki.methods.share.search.archive import hypervolume, not_dominated
from niwaki.methods.share.search.effort import Effort
from niwaki.methods.share.search.layer import SearchLayer
from niwaki.methods.share.search.problem import ADAPTIVE, GIVEN, Problem
from niwaki.methods.share.search.rankings import rankings, ranks
from niwaki.methods.share.search.searching import Found, random_search, search
from niwaki.methods.share.search.seeds import seed_rows

MakeLayer = Callable[..., SearchLayer]
RANKINGS = rankings.names()
SMALL = Effort(population=92, generations=8, rankings=RANKINGS)


@pytest.fixture(scope="module")
def problem(make_layer: MakeLayer) -> Problem:
    return Problem(tuple(make_layer(seed, filters=30) for seed in range(2)), GIVEN)


@dataclass
class Noting:
    """Writes down what it is told, and stops the search after some generations."""

    stop: int = 1000
    began: list[tuple[str, int | None]] = field(default_factory=list)
    told: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ends: int = 0

    def begin(self, what: str, total: int | None, done: int = 0) -> None:
        assert done == 0
        self.began.append((what, total))

    def advance(self, count: int = 1, **values: float) -> None:
        assert count == 1
        self.told.append(values)
        if len(self.told) == self.stop:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)

    def end(self) -> None:
        self.ends += 1


def _same(first: Found, second: Found) -> bool:
    return bool(
        (first.rows == second.rows).all() and (first.values == second.values).all() and first.curve == second.curve
    )


def test_the_front_is_sound(problem: Problem) -> None:
    found = search(problem, SMALL)
    assert not_dominated(found.values).all()
    np.testing.assert_allclose(problem.judge(found.rows), found.values, rtol=1e-5)
    for part, layer in zip(problem.slices, problem.layers, strict=True):
        assert (found.rows[:, part].sum(1) == layer.least).all()
    assert found.curve[-1][0] == 8 * 92 >= found.judged
    assert found.curve[-1][1] == pytest.approx(hypervolume(found.values))
    assert all(after >= before for (_, before), (_, after) in zip(found.curve, found.curve[1:], strict=False))


def test_it_never_loses_to_its_seeds(problem: Problem) -> None:
    found = search(problem, SMALL)
    ranked = [ranks(layer, RANKINGS) for layer in problem.layers]
    for value in problem.judge(seed_rows(problem, ranked, 92, np.random.default_rng(0))):
        assert (found.values <= value).all(1).any()


def test_equal_seeds_give_equal_fronts_and_others_others(problem: Problem) -> None:
    first, second = (search(problem, SMALL) for _ in range(2))
    assert _same(first, second)
    other = search(problem, replace(SMALL, seed=1))
    assert other.values.shape != first.values.shape or (other.values != first.values).any()


@pytest.mark.parametrize("objectives", [GIVEN, ADAPTIVE])
@pytest.mark.parametrize("end", [1, 2, 5, 7])
def test_a_search_killed_at_any_generation_ends_as_if_it_had_not_been(
    make_layer: MakeLayer, tmp_path: Path, end: int, objectives: tuple[str, ...]
) -> None:
    bounds = {} if objectives == GIVEN else {"least": 2, "most": 30}
    problem = Problem((make_layer(0, filters=30, **bounds),), objectives)
    whole = search(problem, SMALL)

    with pytest.raises(KeyboardInterrupt):
        search(problem, replace(SMALL, folder=tmp_path), Noting(stop=end))
    again = search(problem, replace(SMALL, folder=tmp_path))
    assert _same(whole, again)
    assert again.judged == whole.judged - _unique_until(problem, end)


def _unique_until(problem: Problem, generations: int) -> int:
    return search(problem, replace(SMALL, generations=generations)).judged


def test_a_search_that_ended_judges_nothing_again(problem: Problem, tmp_path: Path) -> None:
    effort = replace(SMALL, folder=tmp_path)
    first, second = search(problem, effort), search(problem, effort)
    assert _same(first, second)
    assert second.judged == 0


def test_small_layers_are_searched_out() -> None:
    for seed in range(3):
        filters = np.random.default_rng(seed).normal(size=(10, 4)).astype(np.float32)
        layer = SearchLayer("a", filters, np.arange(10) // 5, 4, 4)
        problem = Problem((layer,), GIVEN)
        every = np.array([np.isin(np.arange(10), each) for each in combinations(range(10), 4)])
        values = problem.judge(every)
        found = search(problem, Effort(generations=12, rankings=RANKINGS, seed=seed))
        assert {tuple(each) for each in found.values} == {tuple(each) for each in values[not_dominated(values)]}


def test_every_candidate_seen_ends_the_search() -> None:
    layer = SearchLayer("a", np.eye(4, dtype=np.float32), np.zeros(4, int), 2, 2)
    found = search(Problem((layer,), GIVEN), Effort(generations=50, rankings=RANKINGS))
    assert found.judged == 6


@pytest.mark.parametrize("seed", range(3))
def test_it_beats_random_search_and_one_without_seeds(make_layer: MakeLayer, seed: int) -> None:
    problem = Problem(tuple(make_layer(10 * seed + layer, filters=60, networks=3) for layer in range(3)), GIVEN)
    effort = Effort(generations=10, rankings=RANKINGS, seed=seed)
    seeded = search(problem, effort).curve[-1][1]
    assert seeded > 1.05 * search(problem, replace(effort, rankings=())).curve[-1][1]
    assert seeded > 1.05 * random_search(problem, effort).curve[-1][1]


@pytest.mark.parametrize("seed", range(3))
def test_it_goes_on_where_its_seeds_end(make_layer: MakeLayer, seed: int) -> None:
    problem = Problem(tuple(make_layer(10 * seed + layer, filters=40) for layer in range(2)), GIVEN)
    curve = search(problem, Effort(generations=10, rankings=RANKINGS, seed=seed)).curve
    assert curve[-1][1] > curve[0][1]


def test_one_objective_is_enough(make_layer: MakeLayer) -> None:
    layer = make_layer(0)
    found = search(Problem((layer,), ("importance",)), Effort(generations=5, rankings=RANKINGS))
    heaviest = np.sort(np.argsort(-layer.mass_of)[:6])
    assert np.flatnonzero(found.rows[0]).tolist() == heaviest.tolist()
    assert len(found.rows) == 1


def test_progress_is_told_each_generation(problem: Problem) -> None:
    watch = Noting()
    found = search(problem, replace(SMALL, generations=3), watch)
    assert watch.began == [("search", 3)]
    assert watch.ends == 1
    assert watch.notes == [
        f"search: {len(found.rows)} choices that none of 276 beats, hypervolume {found.curve[-1][1]:.3f}"
    ]
    assert [told["candidates"] for told in watch.told] == [92, 184, 276]
    assert 0 < watch.told[0]["hypervolume"] <= watch.told[2]["hypervolume"] < 1


def test_candidates_are_counted_where_the_hypervolume_is_seldom_taken(make_layer: MakeLayer) -> None:
    watch = Noting()
    search(Problem((make_layer(0),), ADAPTIVE), Effort(population=8, generations=4, algorithm="nsga2"), watch)
    assert [told["candidates"] for told in watch.told] == [8, 16, 24, 32]
    assert len({told["hypervolume"] for told in watch.told}) == 1


def test_who_watches_is_told_the_end_of_a_search_that_is_stopped(problem: Problem) -> None:
    watch = Noting(stop=2)
    with pytest.raises(KeyboardInterrupt):
        search(problem, SMALL, watch)
    assert (len(watch.told), watch.ends) == (2, 1)
