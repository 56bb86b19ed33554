from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from niwaki.errors import SettingError
from niwaki.methods.share.search import Calibrated, Knee, ManyObjective, Weighted
from niwaki.methods.share.search.asking import layers_of
from niwaki.methods.share.search.keeping import brief_searches, kept_searches
from niwaki.methods.share.search.problem import ADAPTIVE, GIVEN, Problem
from niwaki.methods.share.selecting import Question, Selection
from niwaki.records.front import Front

MakeQuestion = Callable[..., Question]
QUICK: dict[str, Any] = {"generations": 4, "population": 20}


def _front(question: Question, **options: Any) -> tuple[Selection, Front]:
    found = ManyObjective(**(QUICK | options)).select(question)
    assert found.front is not None
    return found.selection, found.front


def test_the_front_is_what_its_points_are_worth(make_question: MakeQuestion) -> None:
    question = make_question(0)
    selection, front = _front(question, choice="knee")
    problem = Problem(layers_of(question), GIVEN)
    rows = np.stack([problem.row([np.array(each) for each in front.kept(point)]) for point in range(len(front.bits))])
    np.testing.assert_allclose(problem.judge(rows), front.values, rtol=1e-5)
    assert front.kept(front.chosen) == selection.kept
    assert (front.objectives, front.layers, front.sizes) == (GIVEN, ("conv0", "conv1"), (12, 12))
    assert (front.picked_by, front.algorithm) == ("knee", "nsga3")
    assert front.judged == front.curve[-1][0]
    assert Front.from_json(front.to_json()) == front


def test_a_long_front_is_thinned_around_the_choice(make_question: MakeQuestion) -> None:
    selection, front = _front(make_question(0), points=5, choice="knee")
    assert len(front.bits) == len(front.values) == 5 < front.found
    assert front.kept(front.chosen) == selection.kept


def test_free_rates_are_chosen_too(make_question: MakeQuestion) -> None:
    selection, front = _front(make_question(0, None))
    assert front.objectives == ADAPTIVE
    sizes = {sum(map(len, front.kept(point))) for point in range(len(front.bits))}
    assert len(sizes) > 5
    assert all(2 <= len(rows) <= 12 for rows in selection.kept)


def test_data_decides_between_a_few(make_question: MakeQuestion) -> None:
    asked: list[Selection] = []

    def judge(selection: Selection) -> dict[str, float]:
        asked.append(selection)
        return {"a": 1.0 + (0 not in selection.kept[0]), "b": 1.0}

    question = make_question(0, judge=judge)
    selection, front = _front(question, choice=Calibrated(few=4))
    assert len(asked) == 4
    assert selection in asked
    assert front.picked_by == "best of 4 by calibration loss"
    assert 0 in selection.kept[0] or all(0 not in each.kept[0] for each in asked)


def test_weights_take_another_point(make_question: MakeQuestion) -> None:
    question = make_question(0)
    heavy, front = _front(question, choice=Weighted(weights={"importance": 1}))
    assert front.values[front.chosen][0] == min(values[0] for values in front.values)
    assert heavy != _front(question, choice=Weighted(weights={"redundancy": 1}))[0]


def test_what_was_judged_is_kept_in_a_folder(make_question: MakeQuestion, tmp_path: Path) -> None:
    plain = _front(make_question(0))
    assert _front(make_question(0), folder=tmp_path) == plain
    assert _front(make_question(0), folder=tmp_path) == plain
    assert len(list(tmp_path.glob("search-*.jsonl"))) == 1


def test_a_run_says_where_searches_are_kept(make_question: MakeQuestion, tmp_path: Path) -> None:
    with kept_searches(tmp_path / "search"):
        _front(make_question(0))
        _front(make_question(0), folder=tmp_path / "own")
    _front(make_question(0))
    assert len(list(tmp_path.glob("search/*"))) == len(list(tmp_path.glob("own/*"))) == 1


def test_a_rehearsal_searches_one_generation(make_question: MakeQuestion, tmp_path: Path) -> None:
    with kept_searches(tmp_path / "search"), brief_searches():
        _, brief = _front(make_question(0), folder=tmp_path / "own")
        _front(make_question(0))
    assert len(brief.curve) == 1
    assert not list(tmp_path.iterdir())
    assert len(_front(make_question(0))[1].curve) > 1


def test_settings_survive_plain_data_and_names_are_checked() -> None:
    for each in (ManyObjective(), ManyObjective(choice=Knee(), objectives=("importance",), folder="here", seeds=())):
        assert ManyObjective(**each.model_dump(mode="json")) == each
    for wrong, told in (
        ({"objectives": ("weight",)}, "unknown objective 'weight'"),
        ({"seeds": ("greed",)}, "did you mean 'greedy'"),
        ({"algorithm": "nsga4"}, "unknown search algorithm"),
        ({"choice": "best"}, "unknown choice"),
        ({"population": 1}, "greater than or equal to 4"),
    ):
        with pytest.raises(SettingError, match=told):
            ManyObjective(**wrong)
