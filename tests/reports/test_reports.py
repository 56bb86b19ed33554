import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from niwaki.errors import FileError
from niwaki.records import (
    Compression,
    Cost,
    CutRecord,
    Environment,
    GroupPlan,
    GroupSensitivity,
    Latency,
    PartCost,
    Plan,
    Record,
    Sensitivity,
    Slice,
    Timing,
    delta,
)
from niwaki.reports import write_report
from niwaki.reports.charts import curve_chart, sensitivity_chart, validation_chart, width_chart
from niwaki.reports.material import read_material
from niwaki.reports.tables import cost_table, cut_table, latency_table, plan_table, quality_table, verdict

DENSE = {"seg": {"miou": 0.50, "accuracy": 0.8}, "depth": {"abs_error": 0.20}}
SMALL = {"seg": {"miou": 0.52, "accuracy": 0.7}, "depth": {"abs_error": 0.25}}
DIRECTIONS = {"seg": {"miou": "higher", "accuracy": "higher"}, "depth": {"abs_error": "lower"}}
PRIMARY = {"seg": "miou", "depth": "abs_error"}


def cost(scale: int) -> Cost:
    part = PartCost(params=10 * scale, nonzeros=10 * scale, macs=100 * scale, bytes=40 * scale)
    return Cost(
        whole=part,
        trunk=part,
        branches={},
        heads={"seg": part, "depth": part},
        norms=part,
        per_task={"seg": part, "depth": part},
        peak_activation_bytes=1000 * scale,
        uncounted=("aten.sort",),
    )


def timing(model: str, ms: float) -> Timing:
    return Timing(model=model, runtime="onnxruntime 1", median_ms=ms, min_ms=ms, spread_ms=0.1, cpu_ms=ms, rounds=5)


@pytest.fixture
def record() -> Record:
    piece = Slice(tensor="conv.weight", dim=0, positions=((0,), (1,)))
    plan = Plan(
        groups=(
            GroupPlan(name="conv", size=2, kept=(1,), slices=(piece,)),
            GroupPlan(name="tiny", size=2, kept=(0, 1), slices=(piece,), reason="too small to give"),
        ),
        frozen={"head.weight": "an output of the model"},
        asked="half the MACs",
        reached={"macs": 0.5},
    )
    return Record(
        cost={"dense": cost(2), "small": cost(1)},
        quality={"dense": DENSE, "small": SMALL, "parent": DENSE},
        delta={
            "mtl": delta(
                SMALL,
                DENSE,
                directions=DIRECTIONS,
                primaries=PRIMARY,
                convention="mtl",
                baseline_kind="dense_multi_task",
            )
        },
        primary=PRIMARY,
        directions=DIRECTIONS,
        split="test",
        picked_by="mean",
        latency=Latency(
            timings=(timing("dense", 4), timing("small", 2)),
            device="a processor",
            threads=1,
            batch=1,
            warmup=2,
            warnings=("the machine is busy",),
        ),
        plans=(plan,),
        compression=Compression(seconds={"dense": 12.0}, steps={"dense": 100}),
        environment=Environment.capture(),
        recipe={"name": "<mine> & others"},
    )


ROWS: list[dict[str, Any]] = [
    {"stage": "dense", "kind": "step", "step": 1, "epoch": 0, "loss": {"seg": 2.0, "depth": 1.0}},
    {"stage": "dense", "kind": "step", "step": 2, "epoch": 0, "loss": {"seg": 1.0}},
    {"stage": "dense", "kind": "epoch", "step": 2, "epoch": 0, "quality": DENSE},
    {"stage": "small", "kind": "step", "step": 1, "epoch": 0, "loss": {"seg": 0.5, "depth": 0.5}},
]


@pytest.fixture
def run(tmp_path: Path, record: Record) -> Path:
    (tmp_path / "record.json").write_text(record.to_json())
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "recipe.yaml").write_text("name: <mine>\n")
    (tmp_path / "pictures").mkdir()
    for name in ("0.input", "0.seg.truth", "0.seg.dense", "0.seg.small"):
        Image.new("RGB", (4, 3), (200, 10, 10)).save(tmp_path / "pictures" / f"{name}.png")
    return tmp_path


def test_the_report_is_one_page_without_links_to_elsewhere(run: Path) -> None:
    page = write_report(run)
    text = page.read_text()
    assert page.name == "report.html"
    assert "&lt;mine&gt; &amp; others" in text
    assert 'src="http' not in text
    assert text.count('<img src="data:image/png;base64,') == 4
    assert not list(run.glob(".*"))


def test_a_run_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="record.json is missing"):
        write_report(tmp_path)


def test_a_page_that_cannot_be_written(run: Path) -> None:
    (run / "report.html").mkdir()
    with pytest.raises(FileError, match=r"can't write .*report\.html"):
        write_report(run)


def test_a_damaged_line_is_named(run: Path) -> None:
    (run / "metrics.jsonl").write_text('{"stage": "dense"}\n{"stage"')
    with pytest.raises(FileError, match="metrics.jsonl:2: not a line of JSON"):
        write_report(run)


def test_a_run_without_curves_and_pictures_still_reports(tmp_path: Path, record: Record) -> None:
    bare = record.model_copy(update={"latency": None, "plans": (), "delta": {}})
    (tmp_path / "record.json").write_text(bare.to_json())
    text = write_report(tmp_path).read_text()
    assert "Latency" not in text
    assert "Predictions beside" not in text


def test_pictures_are_found_by_scene_task_and_kind(run: Path) -> None:
    (scene,) = read_material(run).scenes
    assert set(scene.tasks["seg"]) == {"truth", "dense", "small"}
    data = base64.b64decode(scene.input.partition(",")[2])
    assert data.startswith(b"\x89PNG")


def test_the_verdict_names_the_reduction_the_speed_and_the_worst_task(record: Record) -> None:
    assert verdict(record) == (
        "2.00x fewer MACs, 2.00x fewer parameters; 2.00x as fast in ONNX Runtime (measured); "
        "task that lost most: depth -25.0% abs_error; mean of 2 tasks: -10.5%"
    )


def test_a_change_against_nothing_is_unknown(record: Record) -> None:
    dense = {**record.quality["dense"], "depth": {"abs_error": 0.0}}
    told = verdict(record.model_copy(update={"quality": {**record.quality, "dense": dense}}))
    assert "task that lost most: depth unknown abs_error; mean of 2 tasks: +4.0%" in told


def test_the_worst_task_comes_first_and_is_marked(record: Record) -> None:
    table = quality_table(record)
    assert [row[0] for row in table.rows] == ["depth", "seg", "seg"]
    assert table.rows[1][1] == "miou ↑ (primary)"
    assert table.rows[0][2:] == ("0.2000", "0.2000", "0.2500", "-25.0%")
    assert (table.mark(0, 5), table.mark(1, 5), table.mark(2, 5)) == ("bad", "good", "")


def test_costs_stand_side_by_side(record: Record) -> None:
    table = cost_table(record)
    assert table.rows[0] == ("whole", "parameters", "20", "10", "50.0%")
    assert "aten.sort" in table.note


def test_latency_carries_its_warnings(record: Record) -> None:
    table = latency_table(record)
    assert table is not None
    assert "the machine is busy" in table.note
    assert table.rows[0][:3] == ("onnxruntime 1", "dense", "4.00")


def test_the_plan_says_why(record: Record) -> None:
    table = plan_table(record.plans[0])
    assert table.rows[0] == ("conv", "2", "1", "50%", "")
    assert table.rows[1][-1] == "too small to give"
    assert table.rows[2] == ("head.weight", "", "", "", "an output of the model")


def test_curves_have_a_panel_a_task_and_a_line_a_stage(run: Path) -> None:
    stages = read_material(run).stages
    figure = curve_chart(stages)
    assert figure is not None
    assert [(trace.name, len(trace.x)) for trace in figure.data] == [
        ("dense", 2),
        ("dense", 1),
        ("small", 1),
        ("small", 1),
    ]
    validation = validation_chart(stages, PRIMARY)
    assert validation is not None
    assert [list(trace.y) for trace in validation.data][:2] == [[0.5], [0.2]]


def test_nothing_to_draw_draws_nothing() -> None:
    assert curve_chart({}) is None
    assert validation_chart({"dense": [{"step": 1}]}, PRIMARY) is None
    assert width_chart(Plan(groups=())) is None


def test_sensitivity_is_drawn_group_by_task(record: Record) -> None:
    rows = (
        GroupSensitivity(group="stem", channels=8, removed=4, macs=0.5, rise={"depth": 0.25, "classes": -0.5}),
        GroupSensitivity(group="deep", channels=8, removed=4, macs=0.1, rise={"depth": 0.0, "classes": float("inf")}),
    )
    table = Sensitivity(losses={"depth": 1.0, "classes": 2.0}, share=0.5, criterion="magnitude", groups=rows)
    figure = sensitivity_chart(table)
    assert figure is not None
    assert list(figure.data[0].y) == ["deep", "stem"]
    assert list(figure.data[0].z[1]) == [25.0, -50.0]
    assert figure.data[0].zmax == 50
    assert sensitivity_chart(None) is None
    endless = table.model_copy(
        update={"groups": (rows[1].model_copy(update={"rise": dict.fromkeys(table.losses, math.inf)}),)}
    )
    assert sensitivity_chart(endless) is not None


def test_cuts_are_tabled(record: Record) -> None:
    cut = CutRecord(
        number=1, step=40, params=1000, reached={"macs": 0.75, "bytes": 0.3}, file="cuts/small-01.safetensors"
    )
    table = cut_table(record.model_copy(update={"cuts": (cut,)}))
    assert table.rows == (("1", "40", "1,000", "", "", "75.0%", "30.0%"),)
    assert table.columns[3:] == ("channels left", "params left", "macs left", "bytes left")
    assert cut_table(record).rows == ()
