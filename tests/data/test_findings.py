import pytest

from niwaki.data.findings import MOST_PROBLEMS, Findings, Problem, SplitFindings, first_problems
from niwaki.errors import DataError


def found(**changes: object) -> SplitFindings:
    values = {
        "split": "train",
        "samples": 5,
        "looked_at": 5,
        "size": (2, 2),
        "labelled": {"segmentation": 7 / 8, "depth": 0.5},
        "histograms": {"segmentation": {"a": 1 / 7, "b": 6 / 7, "c": 0.0}},
        "ranges": {"depth (m)": (0.5, 3.0)},
    }
    return SplitFindings(**{**values, **changes})  # type: ignore[arg-type]  # each of its own type


def test_the_table_shows_what_was_found() -> None:
    findings = Findings(splits=(found(),))
    headings = ("split", "samples", "size", "segmentation labelled", "depth labelled", "depth (m)", "classes")
    assert findings.columns == (*headings, "most seen")
    assert findings.rows == (("train", "5", "2x2", "87.5%", "50.0%", "0.50 to 3.00", "2 of 3", "b 86%, a 14%"),)


def test_a_split_that_lacks_what_another_has_shows_it() -> None:
    bare = found(split="test", looked_at=2, size=None, labelled={"depth": 0.0}, histograms={}, ranges={})
    row = Findings(splits=(found(), bare)).rows[1]
    assert row == ("test", "5 (2 read)", "differs", "0.0%", "0.0%", "-", "0 of 0", "")


def test_several_tasks_with_classes_have_columns_of_their_own() -> None:
    findings = Findings(splits=(found(histograms={"one": {"a": 1.0}, "two": {"b": 1.0}}, ranges={}),))
    assert findings.columns[5:] == ("one: classes", "one: most seen", "two: classes", "two: most seen")
    assert findings.rows[0][5:] == ("1 of 1", "a 100%", "1 of 1", "b 100%")


def test_small_numbers_keep_their_digits() -> None:
    assert Findings(splits=(found(ranges={"depth": (0.0312, 0.49)}),)).rows[0][5] == "0.0312 to 0.4900"


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
