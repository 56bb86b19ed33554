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
        "ranges": {"depth": (0.5, 3.0)},
        "units": {"depth": "m"},
    }
    return SplitFindings(**{**values, **changes})  # type: ignore[arg-type]  # each of its own type


def test_the_table_has_a_row_for_each_task_and_names_a_split_once() -> None:
    findings = Findings(splits=(found(), found(split="test", labelled={"normals": 1.0})))
    assert findings.columns == ("split", "size", "task", "what it holds", "labelled", "samples")
    assert findings.rows == (
        ("train", "2x2", "segmentation", "2 of 3 classes: b 86%, a 14%", "87.5%", "5"),
        ("", "", "depth", "0.50 to 3.00 m", "50.0%", ""),
        ("test", "2x2", "normals", "", "100.0%", "5"),
    )
    assert findings.columns[findings.words :] == ("labelled", "samples")


def test_what_was_not_found_or_not_read_is_said() -> None:
    bare = found(looked_at=2, size=None, histograms={"segmentation": {"a": 0.0}}, ranges={})
    assert Findings(splits=(bare,)).rows == (
        ("train", "differs", "segmentation", "0 of 1 classes", "87.5%", "5 (2 read)"),
        ("", "", "depth", "", "50.0%", ""),
    )


def test_small_numbers_keep_their_digits() -> None:
    row = Findings(splits=(found(ranges={"depth": (0.0312, 0.49)}, units={}),)).rows[1]
    assert row[3] == "0.0312 to 0.4900"


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
