"""The small parts of the loop, each against a slow or independent oracle."""

import io
import json
import math
import random
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from niwaki.errors import ContractError, FileError, SettingError, TrainingError
from niwaki.tasks import Depth
from niwaki.train import Bars, Distillation, NamedStage, Silent, Training, evaluate
from niwaki.train.averaging import Average
from niwaki.train.checkpoint import load_optimizer, load_tensors, optimizer_state, require_same, tensors_of
from niwaki.train.distill import Teacher, continuous_distance, soft_class_distance
from niwaki.train.engine import Engine, computes_bfloat16
from niwaki.train.guard import Guard, StepTensors, blame_gradient
from niwaki.train.journal import Journal
from niwaki.train.loader import open_batches
from niwaki.train.randomness import own_randomness, random_state, seed_everything, set_random_state
from niwaki.train.saving import check_version
from niwaki.train.stage import open_stage

Rows = Callable[[Path], list[dict[str, Any]]]


def draws() -> tuple[Any, ...]:
    numpy = np.random.mtrand._rand  # the global generator, from which a user's data set may draw
    return (torch.rand(3).tolist(), numpy.rand(3).tolist(), numpy.randn(), random.random(), random.gauss(0, 1))


def test_random_state_is_put_back_in_all_generators() -> None:
    with own_randomness(1):
        draws()  # an odd number of normals, so that each has one in store
        state = random_state()
        first = draws()
        set_random_state(state)
        assert draws() == first


def test_own_randomness_leaves_the_callers_alone_also_after_an_error() -> None:
    state = random_state()
    expected = draws()
    set_random_state(state)

    def work() -> None:
        with own_randomness(3):
            draws()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert draws() == expected


def test_a_seed_names_a_stream() -> None:
    with own_randomness():
        streams = []
        for seed in (1, 2**40, 1):
            seed_everything(seed)
            streams.append(draws())
    assert streams[0] == streams[2] != streams[1]


def test_average_against_a_slow_loop() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = Average(net, 0.9)
    expected = {name: each.double().clone() for name, each in tensors_of(net).items()}
    for step in range(1, 30):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn_like(parameter))
        net(torch.randn(4, 2))
        average.update(net)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, each in tensors_of(net).items():
            mixed = decay * expected[name] + (1 - decay) * each
            expected[name] = mixed if each.is_floating_point() else each.double().clone()
    for name, each in tensors_of(average.model).items():
        torch.testing.assert_close(each.double(), expected[name], rtol=1e-5, atol=1e-6)
    assert not any(each.requires_grad for each in average.model.parameters())


def test_soft_classes_against_torch() -> None:
    ours, theirs = torch.randn(2, 5, 3, 4), torch.randn(2, 5, 3, 4)
    log_p, log_q = (F.log_softmax(each / 3.0, 1).movedim(1, -1).reshape(-1, 5) for each in (theirs, ours))
    expected = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True) * 9
    assert soft_class_distance(ours, theirs, 3.0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_continuous_distances() -> None:
    ours, theirs = torch.tensor([1.0, 4.0]), torch.tensor([0.0, 0.0])
    assert continuous_distance(ours, theirs, "l1").item() == 2.5
    assert continuous_distance(ours, theirs, "l2").item() == 8.5


def test_a_teacher_knows_classes_by_their_targets_and_remembers_them() -> None:
    teacher = Teacher(nn.Identity(), Distillation(weights={"c": 2.0, "n": 0.0}, temperature=3.0))
    ours = {name: torch.randn(2, 5, 3) for name in ("a", "c", "n", "u")}
    theirs = {name: torch.randn(2, 5, 3) for name in ours}
    targets = {"a": torch.zeros(2, 5, 3), "c": torch.zeros(2, 3, dtype=torch.int64), "n": torch.zeros(2)}
    found = teacher.distances(ours, theirs, targets)
    assert list(found) == ["a", "c"]
    assert found["a"] == continuous_distance(ours["a"], theirs["a"], "l1")
    assert found["c"] == 2 * soft_class_distance(ours["c"], theirs["c"], 3.0)
    assert teacher.distances(ours, theirs, {})["c"] == found["c"]


def test_a_teacher_of_another_shape_is_refused() -> None:
    teacher = Teacher(nn.Identity(), Distillation())
    with pytest.raises(ContractError, match=r"a: the teacher answers \[3\] and the student \[2\]"):
        teacher.distances({"a": torch.zeros(2)}, {"a": torch.zeros(3)}, {"a": torch.zeros(2)})


def test_blame_names_task_and_parameter() -> None:
    net = nn.ModuleDict({"trunk": nn.Linear(2, 2), "head": nn.Linear(2, 1)})
    features = net["trunk"](torch.ones(1, 2))
    losses = {"good": features.sum(), "bad": (net["head"](features) * 0).sum().sqrt(), "free": torch.zeros(())}
    assert blame_gradient(net, losses) == "bad (at head.bias)"
    assert blame_gradient(net, {"good": features.sum()}) == ""


def test_the_guard_brings_figures_over_in_bundles() -> None:
    guard = Guard(every=3)
    brought = [
        guard.watch(
            StepTensors(step, 0, 0.1, {"a": torch.tensor(float(step))}, {"x": torch.tensor(5.0)}, torch.tensor(2.0))
        )
        for step in range(4)
    ]
    assert [len(each) for each in brought] == [0, 0, 3, 0]
    assert [(each.step, each.losses["a"], each.extras["x"], each.grad_norm) for each in brought[2]] == [
        (step, step, 5.0, 2.0) for step in range(3)
    ]
    assert [each.step for each in guard.bring()] == [3]
    assert guard.bring() == []


def test_the_journal_goes_back_to_a_checkpoint(tmp_path: Path, read_rows: Rows) -> None:
    journal = Journal(tmp_path / "m.jsonl")
    journal.write(kind="step", loss={"a": math.nan, "b": 1.5})
    length = journal.flush()
    journal.write(kind="step", loss={"a": 2.0})
    journal.flush()
    journal.write(kind="lost")
    journal.rewind(length)
    journal.write(kind="epoch")
    journal.flush()
    assert read_rows(tmp_path / "m.jsonl") == [{"kind": "step", "loss": {"a": None, "b": 1.5}}, {"kind": "epoch"}]


def test_a_journal_cut_off_in_a_line_is_taken_up_before_it(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"stage":"dense"}\n{"stage":"de')
    Journal(path, "small").restart()
    assert path.read_text() == '{"stage":"dense"}\n'


def test_many_lines_reach_the_file_by_themselves(tmp_path: Path, read_rows: Rows) -> None:
    journal = Journal(tmp_path / "m.jsonl")
    for step in range(250):
        journal.write(step=step)
    assert len(read_rows(tmp_path / "m.jsonl")) == 200


def test_stages_share_a_journal(tmp_path: Path, read_rows: Rows) -> None:
    path = tmp_path / "m.jsonl"
    for stage in ("dense", "small", "dense"):
        journal = Journal(path, stage)
        journal.restart()
        journal.write(kind="step")
        journal.flush()
        rows = [row["stage"] for row in read_rows(path)]
        assert rows[-1] == stage
    assert rows == ["dense"]  # what was written after an earlier attempt belongs to it
    Journal(path, "small").restart()
    assert len(read_rows(path)) == 1


def test_an_optimizer_comes_back_by_name() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    groups = [{"params": [net[1].weight, net[0].bias], "lr": 0.1}, {"params": [net[0].weight], "lr": 0.2}]
    optimizer = torch.optim.AdamW(groups, betas=(0.8, 0.9))
    for _ in range(3):
        net(torch.randn(4, 2)).sum().backward()
        optimizer.step()
    saved = json_like(optimizer_state(optimizer, net))
    other = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    load_tensors(other, {name: each.clone() for name, each in tensors_of(net).items()})
    again = torch.optim.AdamW(other.parameters())
    load_optimizer(again, other, saved)
    assert [group["lr"] for group in again.param_groups] == [0.1, 0.2]
    assert [group["betas"] for group in again.param_groups] == [(0.8, 0.9)] * 2
    assert again.param_groups[0]["params"][0] is other[1].weight
    for one, two in ((net, optimizer), (other, again)):
        one.zero_grad()
        one(torch.ones(4, 2)).sum().backward()
        two.step()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def json_like(state: dict[str, Any]) -> dict[str, Any]:
    assert json.dumps([group["options"] for group in state["groups"]])
    return state


def test_an_optimizer_of_other_parameters_is_refused() -> None:
    net, other = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(TrainingError, match="2 parameters that the model does not have"):
        optimizer_state(torch.optim.SGD(other.parameters()), net)
    saved = optimizer_state(torch.optim.SGD(other.parameters()), other)
    with pytest.raises(FileError, match=r"knows a parameter '0\.weight'"):
        load_optimizer(torch.optim.SGD(net.parameters()), net, saved)


def test_tensors_that_do_not_fit_are_named() -> None:
    net = nn.Linear(2, 2)
    state = tensors_of(nn.Linear(2, 2))
    with pytest.raises(FileError, match="the checkpoint has no 'bias'"):
        load_tensors(net, {"weight": state["weight"]})
    with pytest.raises(FileError, match="the model has no 'more'"):
        load_tensors(net, {**state, "more": state["bias"]})
    with pytest.raises(FileError, match=r"'bias' is \[2\] in the model and \[3\] in the checkpoint"):
        load_tensors(net, {**state, "bias": torch.zeros(3)})


def test_the_first_other_setting_is_named() -> None:
    with pytest.raises(TrainingError, match=r"a\.b is 1 but the checkpoint was made with None"):
        require_same({"a": {"b": 1}}, {"a": {}})
    require_same({"a": {"b": 1}}, {"a": {"b": 1}})


def test_a_newer_checkpoint_is_refused() -> None:
    with pytest.raises(FileError, match="form 99"):
        check_version({"version": 99})


def test_a_stage_in_a_place_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="can't make the directory"):
        open_stage(tmp_path / "file" / "run")
    keeper = open_stage(NamedStage(tmp_path, "small"))
    assert (keeper.name, keeper.load()) == ("small", None)
    silent = open_stage(None)
    silent.save({})
    assert silent.load() is None


def test_devices_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match="device 'gpx' can't be used"):
        Engine("gpx")
    for amx, avx, expected in ((False, False, "32-true"), (True, False, "bf16-mixed"), (False, True, "bf16-mixed")):
        monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda answer=amx: answer)
        monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda answer=avx: answer)
        assert Engine("cpu", "auto").precision == expected
        assert computes_bfloat16("cpu") is (expected == "bf16-mixed")
    assert Engine("cpu", "32-true").precision == "32-true"


def test_one_of_several_devices_keeps_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Recording(Fabric):
        def __init__(self, accelerator: str, devices: Any, **options: Any) -> None:
            asked.append((accelerator, devices))
            super().__init__(accelerator="cpu", devices=1, **options)

    monkeypatch.setattr("niwaki.train.engine.Fabric", Recording)
    for device in ("cuda:1", "cuda", "cpu:0", "auto"):
        Engine(device, "32-true")
    assert asked == [("cuda", [1]), ("cuda", 1), ("cpu", 1), ("auto", 1)]
    with pytest.raises(SettingError, match="device 'cuda:one' can't be used"):
        Engine("cuda:one")


def test_evaluation_runs_where_the_model_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def engine(device: str, precision: Any) -> Engine:
        asked.append(device)
        return Engine("cpu", precision)

    net = nn.Conv2d(1, 1, 1)
    batch = (torch.ones(1, 1, 2, 2), {"depth": torch.ones(1, 1, 2, 2)})
    room = import_module("niwaki.train.evaluate")  # the package has a function of this name
    monkeypatch.setattr(room, "Engine", engine)
    monkeypatch.setattr(room, "device_of", lambda _: torch.device("cuda:1"))
    monkeypatch.setattr(net, "to", lambda _: net)
    evaluate(net, [Depth()], [batch])
    evaluate(net, [Depth()], [batch], device="cpu")
    assert asked == ["cuda:1", "cpu"]


def test_memory_is_pinned_for_the_device_and_not_for_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = []

    class Loader(DataLoader[Any]):
        def __init__(self, *args: Any, pin_memory: bool, **options: Any) -> None:
            pinned.append(pin_memory)
            super().__init__(*args, **options)

    monkeypatch.setattr("niwaki.train.loader.DataLoader", Loader)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    samples = TensorDataset(torch.ones(2, 1, 2, 2))
    for pin in (False, True):
        open_batches({"depth": samples}, Training(steps=1), shuffle=False, pin=pin)
    assert pinned == [False, True]
    engine = Engine("cpu", "32-true")
    assert not engine.pins
    engine.device = torch.device("cuda:1")
    assert engine.pins


def test_mixed_precision_computes_in_bfloat16_and_answers_in_float32() -> None:
    net, seen = nn.Linear(4, 4), []
    net.register_forward_hook(lambda *args: seen.append(args[2].dtype))
    forward = Engine("cpu", "bf16-mixed").wrap(net)
    assert forward(torch.ones(1, 4)).dtype == torch.float32
    assert (seen, net.weight.dtype) == ([torch.bfloat16], torch.float32)


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_draw_and_note(terminal: bool) -> None:
    text = io.StringIO()
    with Bars(Console(file=text, force_terminal=terminal, width=120)) as bars:
        bars.begin("training", 3, 1)
        bars.begin("validating", None)
        bars.advance()
        bars.end()
        bars.advance(2, loss=0.125)
        bars.note("epoch 0: [good]")
    assert "epoch 0: [good]" in text.getvalue()
    assert ("0.125" in text.getvalue()) is terminal
    bars.advance()
    bars.end()


def test_a_bar_that_has_ended_makes_room_for_the_next() -> None:
    text = io.StringIO()
    with Bars(Console(file=text, force_terminal=True, width=120)) as bars:
        for stage in ("first", "second"):
            bars.begin(stage, 1)
            bars.advance()
            bars.end()
    last = text.getvalue().rsplit("\x1b[2K", 1)[-1]
    assert "second" in last
    assert "first" not in last


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Silent()
    watch.begin("training", 1)
    watch.advance(loss=1.0)
    watch.note("quiet")
    watch.end()
    assert capsys.readouterr() == ("", "")
