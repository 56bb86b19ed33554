import math

import pytest

from niwaki.records import Cost, Environment, Latency, PartCost, Record, Timing


def part(scale: int) -> PartCost:
    return PartCost(params=10 * scale, nonzeros=9 * scale, macs=100 * scale, bytes=40 * scale)


def cost(scale: int) -> Cost:
    return Cost(
        whole=part(scale),
        trunk=part(scale),
        branches={"a+b": part(scale)},
        heads={"a": part(scale)},
        norms=part(0),
        per_task={"a": part(scale)},
        peak_activation_bytes=1234,
        uncounted=("aten.sort",),
    )


@pytest.fixture
def record() -> Record:
    return Record(
        cost={"dense": cost(2), "small": cost(1)},
        quality={
            "dense": {"seg": {"miou": 0.5}, "depth": {"abs_error": 0.2}, "normals": {"mean": 0.0}},
            "small": {"seg": {"miou": 0.45}, "depth": {"abs_error": 0.25}, "normals": {"mean": 1.0}},
        },
        primary={"seg": "miou", "depth": "abs_error", "normals": "mean"},
        directions={"seg": {"miou": "higher"}, "depth": {"abs_error": "lower"}, "normals": {"mean": "lower"}},
        environment=Environment.capture(),
    )


def test_changes_are_signed_so_that_positive_is_better(record: Record) -> None:
    assert record.change("seg") == pytest.approx(-0.1)
    assert record.change("depth") == pytest.approx(-0.25)
    assert math.isnan(record.change("normals"))


def test_the_worst_task_comes_first_after_what_could_not_be_compared(record: Record) -> None:
    assert record.worst_first() == ["normals", "depth", "seg"]


def test_it_prints_tasks_and_costs(record: Record) -> None:
    text = str(record)
    assert "-25.0%" in text
    assert "-50.0%" in text
    assert text.index("depth") < text.index("seg")


def test_it_reads_back_from_its_own_json(record: Record) -> None:
    again = Record.from_json(record.to_json())
    assert again.cost == record.cost
    assert again.environment == record.environment


def test_a_cost_prints_every_part() -> None:
    text = str(cost(1))
    for word in ("whole", "trunk", "branch a+b", "head a", "norm layers", "aten.sort", "1,234"):
        assert word in text


def test_a_gain_is_a_ratio_of_medians() -> None:
    def timing(model: str, ms: float) -> Timing:
        return Timing(model=model, runtime="eager 2.13", median_ms=ms, min_ms=ms, spread_ms=0, cpu_ms=ms, rounds=3)

    latency = Latency(timings=(timing("dense", 10), timing("small", 4)), device="cpu", threads=1, batch=1, warmup=1)
    assert latency.gain("dense", "small", "eager") == 2.5
    assert math.isnan(latency.gain("dense", "small", "onnxruntime"))


def test_the_environment_names_versions() -> None:
    here = Environment.capture(("a card",))
    assert here.packages["torch"].startswith("2.")
    assert here.devices == ("a card",)
    assert here.cores >= 1
    assert here.processor
