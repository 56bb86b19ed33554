"""Delta against the published golden tables and against hand-computed changes."""

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from niwaki.errors import MeasureError
from niwaki.records.delta import CONVENTIONS, Convention, DeltaRecord, delta

NAMES = {
    "segmentation": ("miou", "pixel_accuracy"),
    "depth": ("abs", "rel"),
    "normals": ("mean", "median", "within_11.25", "within_22.5", "within_30"),
}
LOWER = {"abs", "rel", "mean", "median"}
UP = {task: {name: "lower" if name in LOWER else "higher" for name in names} for task, names in NAMES.items()}
PRIMARY = {"segmentation": "miou", "depth": "abs", "normals": "mean"}

NYUV2 = {
    "STL": "38.30 63.76 .6754 .2780 25.01 19.21 30.14 57.20 69.15",
    "equal": "39.29 65.33 .5493 .2263 28.15 23.96 22.09 47.50 61.08",
    "DWA": "39.11 65.31 .5510 .2285 27.61 23.18 24.17 50.18 62.39",
    "Nash": "40.13 65.93 .5261 .2171 25.26 20.08 28.40 55.47 68.15",
    "FAMO": "38.88 64.90 .5474 .2194 25.06 19.57 29.21 56.61 68.98",
}
NYUV2_GOLDEN = {
    "equal": {"m": 5.589, "p": 0.878, "mtl": 2.900, "T_sum": -16.768},
    "DWA": {"m": 3.572, "p": 1.934, "mtl": 3.379, "T_sum": -10.716},
    "Nash": {"m": -4.047, "p": 7.647, "mtl": 8.628, "T_sum": 12.140},
    "FAMO": {"m": -4.100, "p": 6.793, "mtl": 6.755, "T_sum": 12.299},
}
CITYSCAPES = {
    "STL": "74.01 93.16 .0125 27.77",
    "equal": "75.18 93.49 .0155 46.77",
    "uncertainty": "72.02 92.85 .0140 30.13",
}


def quality(row: str) -> dict[str, dict[str, float]]:
    values = [float(value) for value in row.split()]
    pairs = [(task, name) for task, names in NAMES.items() for name in names][: len(values)]
    table: dict[str, dict[str, float]] = {}
    for (task, name), value in zip(pairs, values, strict=True):
        table.setdefault(task, {})[name] = value
    return table


def change(convention: Convention, measured: str, baseline: str) -> DeltaRecord:
    tasks = quality(baseline)
    return delta(
        quality(measured),
        tasks,
        convention=convention,
        baseline_kind="single_task",
        directions={task: UP[task] for task in tasks},
        primaries=PRIMARY,
    )


@dataclass(frozen=True)
class AnyTask:
    name: str
    directions: dict[str, str]
    primary: str
    seen: list[str] = field(default_factory=list)


@pytest.mark.parametrize("row", NYUV2_GOLDEN)
@pytest.mark.parametrize("convention", ["m", "p", "mtl", "T_sum"])
def test_nyuv2_golden_table(row: str, convention: Convention) -> None:
    found = change(convention, NYUV2[row], NYUV2["STL"])
    assert found.value == pytest.approx(NYUV2_GOLDEN[row][convention], abs=0.03)
    assert found.convention == convention


@pytest.mark.parametrize(("row", "golden"), [("equal", 22.62), ("uncertainty", 5.88)])
def test_cityscapes_golden_table(row: str, golden: float) -> None:
    assert change("m", CITYSCAPES[row], CITYSCAPES["STL"]).value == pytest.approx(golden, abs=0.03)


def test_the_winner_changes_with_the_convention() -> None:
    nash, famo = (
        {each: change(each, NYUV2[row], NYUV2["STL"]).value for each in CONVENTIONS} for row in ("Nash", "FAMO")
    )
    assert famo["m"] < nash["m"]
    assert famo["p"] < nash["p"]
    assert famo["T_sum"] > nash["T_sum"]


def test_adashares_t_is_p_under_another_name() -> None:
    one, other = change("T", NYUV2["DWA"], NYUV2["STL"]), change("p", NYUV2["DWA"], NYUV2["STL"])
    assert one.value == other.value
    assert one.convention == "T"


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_worst_task_stands_first_whatever_the_sign(convention: Convention) -> None:
    found = change(convention, NYUV2["equal"], NYUV2["STL"])
    assert found.worst == "normals"
    assert list(found.per_task) == ["normals", "segmentation", "depth"]
    values = list(found.per_task.values())
    assert values == sorted(values, reverse=found.better == "lower")


def test_task_objects_and_plain_dicts_agree() -> None:
    tasks = [AnyTask(name, UP[name], PRIMARY[name]) for name in NAMES]
    found = delta(
        quality(NYUV2["Nash"]), quality(NYUV2["STL"]), tasks, convention="mtl", baseline_kind="published:2202.01017"
    )
    assert found.value == change("mtl", NYUV2["Nash"], NYUV2["STL"]).value
    assert found.metrics == {task: (first,) for task, first in PRIMARY.items()}
    assert found.baseline_kind == "published:2202.01017"


def test_metrics_without_direction_or_baseline_are_not_counted() -> None:
    found = delta(
        {"seg": {"miou": 44.0, "pixel_accuracy": 1.0, "classes_present": 12.0}},
        {"seg": {"miou": 40.0, "classes_present": 13.0}},
        convention="p",
        baseline_kind="dense_multi_task",
        directions={"seg": {"miou": "higher", "pixel_accuracy": "higher"}},
    )
    assert found.value == pytest.approx(10.0)
    assert found.metrics == {"seg": ("miou",)}


def test_a_negative_baseline_keeps_the_sign_of_better() -> None:
    found = delta(
        {"a": {"score": -1.0}},
        {"a": {"score": -2.0}},
        convention="p",
        baseline_kind="single_task",
        directions={"a": {"score": "higher"}},
    )
    assert found.value == pytest.approx(50.0)


def test_record_reads_back_from_its_json_in_the_same_order() -> None:
    found = change("m", NYUV2["equal"], NYUV2["STL"])
    again = DeltaRecord.from_json(found.to_json())
    assert again == found
    assert list(again.per_task) == list(found.per_task)


def test_text_says_sign_convention_and_baseline() -> None:
    text = str(change("m", NYUV2["equal"], NYUV2["STL"]))
    assert text.startswith("delta m +5.59 % (lower is better; flat over metrics; against single_task)")
    assert "worst first: normals" in text


@given(st.lists(st.floats(0.1, 100.0), min_size=9, max_size=9))
def test_no_change_is_zero_in_every_convention(values: list[float]) -> None:
    row = " ".join(map(repr, values))
    for convention in CONVENTIONS:
        assert change(convention, row, row).value == 0


@given(st.floats(0.5, 2.0))
def test_one_metric_a_task_makes_all_conventions_agree(factor: float) -> None:
    ways = {"a": {"x": "higher"}, "b": {"y": "lower"}}
    for convention, rule in CONVENTIONS.items():
        found = delta(
            {"a": {"x": 3 * factor}, "b": {"y": 5.0}},
            {"a": {"x": 3.0}, "b": {"y": 5.0}},
            convention=convention,
            baseline_kind="single_task",
            directions=ways,
            primaries={"a": "x", "b": "y"},
        )
        sign = -1 if rule.better == "lower" else 1
        assert found.value == pytest.approx(sign * 50 * (factor - 1), abs=1e-9)


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_a_bad_baseline_metric_is_named(bad: float) -> None:
    with pytest.raises(MeasureError, match=r"baseline value of depth\.abs is (0\.0|nan|inf)"):
        delta(
            {"depth": {"abs": 1.0}},
            {"depth": {"abs": bad}},
            convention="m",
            baseline_kind="single_task",
            directions={"depth": {"abs": "lower"}},
        )


ONE = {"depth": {"abs": 1.0}}
FAULTS: list[tuple[dict[str, object], str]] = [
    ({"measured": {"depth": {"abs": math.nan}}}, r"measured value of depth\.abs is nan"),
    ({"measured": {}}, "measured values have no task 'depth'; they have: none"),
    ({"baseline": {"seg": {}}}, "baseline values have no task 'depth'; they have: seg"),
    ({"baseline": {"depth": {"rmse": 1.0}}}, r"baseline of task 'depth' has none of its metrics \(abs\)"),
    ({"measured": {"depth": {}}}, r"baseline has depth\.abs, but it was not measured"),
    ({"convention": "q"}, "unknown delta convention 'q'; choose one of m, p, mtl, T_sum, T"),
    ({"baseline_kind": "quoted"}, "unknown baseline kind 'quoted'"),
    ({"baseline_kind": "published:"}, "unknown baseline kind 'published:'"),
    ({"directions": {"depth": {"abs": "down"}}}, r"direction of depth\.abs is 'higher' or 'lower'; got 'down'"),
    ({"directions": None}, "delta needs the tasks, or else their `directions`"),
    ({"directions": {}}, "at least one task"),
    ({"convention": "mtl"}, "task 'depth' has none; give `primaries`"),
    (
        {"convention": "mtl", "primaries": {"depth": "rmse"}},
        "the primary metric 'rmse' of task 'depth' has no direction",
    ),
]


@pytest.mark.parametrize(("change", "message"), FAULTS)
def test_every_fault_is_named(change: dict[str, object], message: str) -> None:
    call: dict[str, object] = {
        "measured": ONE,
        "baseline": ONE,
        "convention": "p",
        "baseline_kind": "single_task",
        "directions": {"depth": {"abs": "lower"}},
    }
    with pytest.raises(MeasureError, match=message):
        delta(**(call | change))  # type: ignore[arg-type]  # wrong on purpose


def test_a_metric_that_mtl_does_not_compare_can_not_spoil_it() -> None:
    before = {"depth": {"abs": 0.5, "delta1": 0.0}}
    after = {"depth": {"abs": 0.4, "delta1": 0.1}}
    directions = {"depth": {"abs": "lower", "delta1": "higher"}}
    found = delta(
        after,
        before,
        directions=directions,
        primaries={"depth": "abs"},
        convention="mtl",
        baseline_kind="dense_multi_task",
    )
    assert found.value == pytest.approx(20.0)
