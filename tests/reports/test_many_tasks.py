"""Reports of many tasks: what repeats is folded, the worst come first, and answers in words are cards."""

import json
from pathlib import Path

import pytest
from PIL import Image

from niwaki.errors import FileError
from niwaki.records import Cost, Environment, PartCost, Record
from niwaki.reports import write_report
from niwaki.reports.charts import curve_chart, validation_chart
from niwaki.reports.material import Answer, read_material
from niwaki.reports.tables import cost_table, verdict

TASKS = [f"task_{number:02}" for number in range(20)]
DENSE = {task: {"accuracy": 50.0} for task in TASKS}
SMALL = {task: {"accuracy": 50.0 - number} for number, task in enumerate(TASKS)}
ROWS = [
    {"stage": stage, "step": step, "epoch": 0, "loss": {task: float(number) for number, task in enumerate(TASKS)}}
    for stage in ("dense", "small")
    for step in range(3)
]


def part(scale: int) -> PartCost:
    return PartCost(params=scale, nonzeros=scale, macs=10 * scale, bytes=4 * scale)


def cost(scale: int, heads: int = 20) -> Cost:
    each = {task: part(scale) for task in TASKS[:heads]}
    whole = part(100 * scale)
    return Cost(
        whole=whole,
        trunk=whole,
        branches={},
        heads=each,
        norms=whole,
        per_task=each,
        peak_activation_bytes=1,
        uncounted=(),
    )


@pytest.fixture
def record() -> Record:
    return Record(
        cost={"dense": cost(2), "small": cost(1)},
        quality={"dense": DENSE, "small": SMALL},
        primary=dict.fromkeys(TASKS, "accuracy"),
        directions={task: {"accuracy": "higher"} for task in TASKS},
        environment=Environment.capture(),
    )


@pytest.fixture
def run(tmp_path: Path, record: Record) -> Path:
    (tmp_path / "record.json").write_text(record.to_json())
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    words = {}
    for task in ("task_03", "task_19"):
        Image.new("RGB", (4, 4)).save(pictures / f"{task}-0.input.png")
        words[f"{task}-0"] = {task: {"truth": ["cat", None], "dense": ["cat", 0.875], "small": ["<dog>", 0.5]}}
    (pictures / "answers.json").write_text(json.dumps(words))
    return tmp_path


def test_the_verdict_names_the_worst_task_and_the_mean(record: Record) -> None:
    assert verdict(record).endswith("task that lost most: task_19 -38.0% accuracy; mean of 20 tasks: -19.0%")


def test_the_mean_change_leaves_out_what_was_not_measured(record: Record) -> None:
    assert record.mean_change() == pytest.approx(-0.19)
    some = record.model_copy(update={"quality": {"dense": DENSE, "small": {"task_10": SMALL["task_10"]}}})
    assert some.mean_change() == pytest.approx(-0.2)
    none = record.model_copy(update={"quality": {"dense": DENSE, "small": {}}})
    assert none.mean_change() != none.mean_change()


def test_long_names_keep_the_columns_straight(record: Record) -> None:
    long = "large_omnivores_and_herbivores"
    renamed = record.model_copy(
        update={
            "quality": {name: {long: each["task_01"]} for name, each in record.quality.items()},
            "primary": {long: "accuracy"},
            "directions": {long: {"accuracy": "higher"}},
        }
    )
    assert len({len(line) for line in str(renamed).splitlines()}) == 1


def test_the_costs_of_many_heads_are_summed(record: Record) -> None:
    rows = cost_table(record).rows
    assert [row[0] for row in rows if row[0]] == ["whole", "trunk", "20 heads together", "peak activations"]
    assert rows[6] == ("20 heads together", "parameters", "40", "20", "50.0%")
    few = record.model_copy(update={"cost": {"dense": cost(2, 3), "small": cost(1, 3)}})
    assert [row[0] for row in cost_table(few).rows if row[0]][2:5] == [f"head {task}" for task in TASKS[:3]]


def test_curves_are_those_of_the_worst_tasks_and_the_mean(run: Path, record: Record) -> None:
    worst = record.worst_first()
    figure = curve_chart(read_material(run).stages, worst)
    assert figure is not None
    titles = [note.text for note in figure.layout.annotations]
    assert titles == [*(f"task_{n}: training loss" for n in (19, 18, 17, 16, 15)), "mean of 20 tasks: training loss"]
    assert list(figure.data[0].y) == [19.0] * 3
    assert list(figure.data[5].y) == [9.5] * 3
    assert len(figure.data) == 12


def test_validation_has_a_mean_where_all_tasks_share_a_metric() -> None:
    rows = {"dense": [{"epoch": 2, "quality": SMALL}]}
    figure = validation_chart(rows, dict.fromkeys(TASKS, "accuracy"))
    assert figure is not None
    assert (len(figure.data), figure.data[5].y[0]) == (6, 40.5)
    mixed = validation_chart(rows, dict.fromkeys(TASKS, "accuracy") | {"task_19": "f1"})
    assert mixed is not None
    assert len(mixed.data) == 5


def test_answers_are_cards_worst_task_first(run: Path) -> None:
    text = write_report(run).read_text()
    assert text.count('<div class="card">') == 2
    assert text.index("input task_19-0") < text.index("input task_03-0")
    assert "✗ &lt;dog&gt;" in text
    assert "88%" in text


def test_an_answer_knows_whether_it_is_right(run: Path) -> None:
    said = read_material(run).scenes[0].words["task_03"]
    assert said == {
        "truth": Answer("cat", None, None),
        "dense": Answer("cat", 0.875, right=True),
        "small": Answer("<dog>", 0.5, right=False),
    }


def test_an_answer_without_a_truth_is_neither_right_nor_wrong(run: Path) -> None:
    words = {"task_03-0": {"task_03": {"dense": ["cat", 0.9]}}}
    (run / "pictures" / "answers.json").write_text(json.dumps(words))
    assert read_material(run).scenes[0].words["task_03"]["dense"].right is None
    assert "no label" in write_report(run).read_text()


def test_damaged_answers_are_named(run: Path) -> None:
    (run / "pictures" / "answers.json").write_text("{")
    with pytest.raises(FileError, match=r"answers\.json: no JSON \(.*\); run again"):
        write_report(run)
