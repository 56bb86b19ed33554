import numpy as np
import pytest

from niwaki.data.findings import MOST_PROBLEMS, Findings, Problem, Tally, first_problems
from niwaki.errors import DataError


def tally_of_two() -> Tally:
    tally = Tally(("a", "b", "c"))
    normals = np.zeros((2, 2, 3), np.float32)
    normals[0, 0] = (0, 0, -1)
    tally.add(np.array([[0, 1], [1, -1]]), np.array([[1.0, 2.0], [0.0, 0.5]]), normals)
    tally.add(np.array([[1, 1], [1, 1]]), np.array([[1.0, 3.0], [1.0, 1.0]]), normals)
    return tally


def test_a_tally_counts_by_hand() -> None:
    found = tally_of_two().findings("train", 2)
    assert found.size == (2, 2)
    assert found.labelled == {"segmentation": 7 / 8, "depth": 7 / 8, "normals": 2 / 8}
    assert found.histogram == pytest.approx({"a": 1 / 7, "b": 6 / 7, "c": 0})
    assert found.depth == (0.5, 3.0)


def test_the_table_shows_it() -> None:
    findings = Findings(splits=(tally_of_two().findings("train", 2),))
    assert findings.columns[:3] == ("split", "samples", "size")
    assert findings.rows == (
        ("train", "2", "2x2", "87.5%", "87.5%", "25.0%", "0.50 to 3.00", "2 of 3", "b 86%, a 14%"),
    )


def test_sizes_that_differ_and_missing_depth_are_said() -> None:
    tally = Tally(("a",))
    for side in (1, 2):
        tally.add(np.zeros((side, side), int), np.zeros((side, side)), np.zeros((side, side, 3)))
    row = Findings(splits=(tally.findings("val", 5),)).rows[0]
    assert row[1:3] == ("5 (2 read)", "differs")
    assert row[6] == "-"


def test_an_empty_tally_is_empty() -> None:
    found = Tally(("a", "b")).findings("val", 0)
    assert found.histogram == {"a": 0, "b": 0}
    assert found.size is None


def test_only_the_first_problems_are_looked_for() -> None:
    seen = []

    def problems() -> object:
        for number in range(100):
            seen.append(number)
            yield Problem(f"{number}.npy", "this", "that")

    assert len(first_problems(problems())) == MOST_PROBLEMS  # type: ignore[arg-type]  # a generator is iterable
    assert len(seen) == MOST_PROBLEMS


def test_problems_raise_with_one_line_each() -> None:
    with pytest.raises(DataError, match=r"a.npy: found x; expected y\nb.npy: found z; expected w"):
        Findings(problems=(Problem("a.npy", "x", "y"), Problem("b.npy", "z", "w"))).raise_if_wrong()
    assert Findings().raise_if_wrong() is None  # type: ignore[func-returns-value]  # silence is the point
