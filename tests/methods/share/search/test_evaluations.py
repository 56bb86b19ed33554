import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from niwaki.errors import FileError
from niwaki.methods.share.search.evaluations import Evaluations, fingerprint
from niwaki.methods.share.search.layer import SearchLayer
from niwaki.methods.share.search.objectives import objectives
from niwaki.methods.share.search.problem import GIVEN, Problem

MakeLayer = Callable[..., SearchLayer]


@pytest.fixture
def problem(make_layer: MakeLayer) -> Problem:
    return Problem((make_layer(0), make_layer(1)), GIVEN)


def _rows(seed: int, count: int = 10) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    return np.random.default_rng(seed).random((count, 24)) < 0.5


def test_what_was_judged_is_not_judged_again(problem: Problem, tmp_path: Path) -> None:
    rows = _rows(0)
    with Evaluations(problem, tmp_path) as first:
        values = first.of(np.concatenate([rows, rows]))
        assert first.count == 10
    with Evaluations(problem, tmp_path) as second:
        assert (second.of(rows) == values[:10]).all()
        assert second.count == 0
        second.of(_rows(1))
        assert second.count == 10
    assert (values == np.tile(problem.judge(rows), (2, 1))).all()


def test_the_file_is_plain_lines_named_by_the_problem(problem: Problem, tmp_path: Path, make_layer: MakeLayer) -> None:
    with Evaluations(problem, tmp_path) as values:
        values.of(_rows(0))
    (path,) = tmp_path.iterdir()
    assert path.name == f"search-{fingerprint(problem)}.jsonl"
    assert list(json.loads(path.read_text())) == ["rows", "values"]
    others = [
        Problem(problem.layers, GIVEN[:2]),
        Problem(problem.layers[:1], GIVEN),
        Problem((make_layer(0, least=5), make_layer(1)), GIVEN),
        Problem((make_layer(0, limits=np.ones(12, np.float32)), make_layer(1)), GIVEN),
    ]
    assert len({fingerprint(each) for each in [problem, *others]}) == 5


def test_another_function_under_an_old_name_is_another_problem(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = set()
    for power in (1, 2):
        names = {1: lambda _, kept: kept.mean(1), 2: lambda _, kept: kept.mean(1) * 2}
        monkeypatch.setitem(objectives._things, "own", names[power])
        found.add(fingerprint(Problem(problem.layers, ("own",))))
    assert len(found) == 2


@pytest.mark.parametrize("torn", ["", "{", '{"rows": ["a"], "values": [[0.5, 0.5, 0.5]]}'])
def test_a_torn_line_is_cut_off(problem: Problem, tmp_path: Path, torn: str) -> None:
    with Evaluations(problem, tmp_path) as values:
        values.of(_rows(0))
    (path,) = tmp_path.iterdir()
    whole = path.read_text()
    path.write_text(whole + torn)
    with Evaluations(problem, tmp_path) as values:
        assert path.read_text() == whole
        values.of(_rows(0))
        values.of(_rows(1))
        assert values.count == 10
    with Evaluations(problem, tmp_path) as values:
        values.of(np.concatenate([_rows(0), _rows(1)]))
        assert values.count == 0


@pytest.mark.parametrize("line", ["nothing\n", "{}\n", '{"rows": ["a"], "values": []}\n', "[1]\n"])
def test_a_damaged_line_is_named(problem: Problem, tmp_path: Path, line: str) -> None:
    path = tmp_path / f"search-{fingerprint(problem)}.jsonl"
    path.write_text(line)
    with (
        pytest.raises(FileError, match=r"jsonl:1: not a batch of values; remove the file"),
        Evaluations(problem, tmp_path),
    ):
        pass


def test_a_folder_that_can_t_be_made_is_named(problem: Problem, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="can't write"), Evaluations(problem, tmp_path / "file" / "folder"):
        pass


@pytest.mark.slow
def test_workers_give_the_same_bits(problem: Problem) -> None:
    rows = _rows(0, 70)
    with Evaluations(problem, workers=1) as shared, Evaluations(problem) as alone:
        assert (shared.of(rows) == alone.of(rows)).all()
