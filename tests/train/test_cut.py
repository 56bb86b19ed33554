"""A cut in the middle of the loop: everything that hangs on the model follows."""

import functools
from collections.abc import Callable, Mapping
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from niwaki.contract import Example
from niwaki.files import load
from niwaki.methods.base import Method, Run, Stage
from niwaki.methods.chain import Chain
from niwaki.methods.prune import StructuredPruning
from niwaki.methods.sparse import DynamicSparse
from niwaki.records import Compression, RecordBase
from niwaki.settings import Budget
from niwaki.surgery import plans_of, reestimate_batchnorm
from niwaki.tasks import Task, task_losses
from niwaki.train import NamedStage, Training, fit
from niwaki.train.averaging import Average
from niwaki.train.engine import Engine
from niwaki.train.loader import DatasetBatches
from niwaki.train.order import sample_order
from niwaki.train.schedule import lr_factor
from niwaki.train.trainee import Trainee

SameBits = Callable[[nn.Module, nn.Module], bool]
Rows = Callable[[Path], list[dict[str, Any]]]
PLAIN: dict[str, Any] = {"lr": 1e-2, "batch_size": 4, "precision": "32-true", "warmup": 2}
ROUNDS = StructuredPruning(budget=Budget(channels=0.5), rounds=2, begin=0.1, until=0.6, round_to=2, floor=2)


def users_loop(
    net: nn.Module, tasks: list[Task], data: Any, training: Training, method: StructuredPruning
) -> nn.Module:
    """The loop of the manual, with a hand-made schedule, and BatchNorm estimated anew after each cut."""
    batches = DatasetBatches(data, training, shuffle=True)
    per_epoch = len(data) // training.batch_size
    total = (training.epochs or 0) * per_epoch
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        model, run = method.start(net, data[sample_order(len(data), 0, 0)[0]][0][None], tasks, steps=total)
        optimizer = torch.optim.AdamW(run.parameter_groups(model, lr=training.lr, weight_decay=training.weight_decay))
        for step in range(total):
            x, targets = next(islice(batches.iterate(step // per_epoch), step % per_epoch, None))
            optimizer.param_groups[0]["lr"] = training.lr * lr_factor(step, total, training)
            losses = task_losses(tasks, model(x), targets)
            run.before_backward(model, losses)
            optimizer.zero_grad()
            (sum(losses.values(), torch.zeros(())) + run.penalty(model)).backward()
            run.after_backward(model)
            optimizer.step()
            after = run.after_step(model, optimizer)
            if after is not model and training.batchnorm_batches:
                first = islice(batches.peek(), training.batchnorm_batches)
                reestimate_batchnorm(after, [Example(x) for x, _ in first])
            model = after
        return run.finish(model)


@pytest.mark.parametrize("statistics", [0, 2])
def test_the_room_and_the_manual_agree_bit_for_bit(
    statistics: int, net: nn.Module, tasks: list[Task], squares: Any, same_bits: SameBits
) -> None:
    training = Training(**PLAIN, epochs=4, batchnorm_batches=statistics)
    small = fit(net, tasks, squares, training=training, method=ROUNDS).model
    assert small.get_parameter("trunk.0.weight").shape[0] == 4
    assert same_bits(small, users_loop(net, tasks, squares, training, ROUNDS))
    assert len(plans_of(small)) == 2


@pytest.mark.parametrize(
    "more",
    [
        {"ema": 0.8},
        {"channels_last": True},
        {"accumulate": 2, "clip_norm": 1.0},
        {"precision": "bf16-mixed", "distill": True},
        {"optimizer": "sgd", "ema": 0.8, "channels_last": True, "precision": "auto"},
    ],
)
def test_everything_survives_a_cut(
    more: dict[str, Any],
    net: nn.Module,
    tasks: list[Task],
    squares: Any,
    same_bits: SameBits,
    tmp_path: Path,
    read_rows: Rows,
) -> None:
    training = Training(**{**PLAIN, **more}, epochs=6)
    fitted = fit(net, tasks, squares, squares, training=training, method=ROUNDS, out=tmp_path)
    again = fit(net, tasks, squares, squares, training=training, method=ROUNDS)
    assert same_bits(fitted.model, again.model)
    assert (fitted.model.get_parameter("trunk.0.weight").shape[0], fitted.notes) == (4, ())
    rows = read_rows(tmp_path / "metrics.jsonl")
    changes = [row["step"] for row in rows if row["kind"] == "change"]
    assert len(changes) == 2
    first_loss, last_loss = ([row for row in rows if row["kind"] == "step"][index]["loss"] for index in (0, -1))
    assert sum(last_loss.values()) < sum(first_loss.values())
    assert fitted.epoch is not None
    picked = next(row for row in fitted.history if row["epoch"] == fitted.epoch)
    assert picked["step"] > changes[-1], "an epoch before the last cut can't be the best"


def test_compiled_models_are_compiled_anew(
    net: nn.Module, tasks: list[Task], squares: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []

    def compile_eagerly(model: nn.Module, **options: Any) -> Any:
        if not options:  # Fabric compiles a second time, around its own wrapper, with the options of the first
            compiled.append(model.get_parameter("trunk.0.weight").shape[0])
        return original(model, backend="eager")

    original = torch.compile
    monkeypatch.setattr(torch, "compile", functools.wraps(original)(compile_eagerly))
    settings = {**PLAIN, "compile": True}
    fitted = fit(net, tasks, squares, squares, training=Training(**settings, epochs=4), method=ROUNDS)
    assert compiled == [8, 6, 4]
    assert type(fitted.model) is type(net)
    assert not any("_orig_mod" in name for name in fitted.model.state_dict())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore::UserWarning:torch")  # its own, in inductor
def test_compiled_for_real_it_gives_nearly_the_same(net: nn.Module, tasks: list[Task], squares: Any) -> None:
    plain = fit(net, tasks, squares, squares, training=Training(**PLAIN, epochs=3), method=ROUNDS)
    compiled = fit(net, tasks, squares, squares, training=Training(**PLAIN, epochs=3, compile=True), method=ROUNDS)
    assert compiled.quality["depth"]["abs"] == pytest.approx(plain.quality["depth"]["abs"], rel=0.05)


def test_a_cut_before_training_estimates_statistics_too(net: nn.Module, tasks: list[Task], squares: Any) -> None:
    once = StructuredPruning(budget=Budget(channels=0.5), round_to=2, floor=2)
    with torch.no_grad():
        net.get_buffer("trunk.1.running_mean").fill_(100.0)
    training = Training(**{**PLAIN, "lr": 1e-12}, steps=1, batchnorm_batches=4)
    found = fit(net, tasks, squares, training=training, method=once).model.get_buffer("trunk.1.running_mean")
    assert found.abs().max() < 5
    kept = fit(net, tasks, squares, training=training.model_copy(update={"batchnorm_batches": 0}), method=once).model
    assert kept.get_buffer("trunk.1.running_mean").max() > 50


def test_the_averaged_copy_is_cut_like_the_model(net: nn.Module) -> None:
    training = Training(**PLAIN, epochs=1, ema=0.9)
    model, run = ROUNDS.start(net, torch.zeros(1, 3, 8, 8), steps=10)
    trainee = Trainee(model, run, Engine("cpu", "32-true"), training)
    assert isinstance(trainee.average, Average)
    with torch.no_grad():
        for each in model.parameters():
            each.add_(1.0)
    trainee.average.update(model)
    before = deepcopy(trainee.average.model)
    for _ in range(10):
        model = run.after_step(model, trainee.optimizer)
    assert trainee.adopt(model)
    assert not trainee.adopt(model)
    after = trainee.average.model
    expected = before
    for plan in plans_of(model):
        expected = plan.apply(expected, verify=False)
    assert after.get_parameter("trunk.0.weight").shape[0] == 4
    assert all(torch.equal(a, b) for a, b in zip(after.parameters(), expected.parameters(), strict=True))
    assert not any(each.requires_grad for each in after.parameters())


def test_an_average_that_can_not_follow_begins_again_and_says_so(net: nn.Module) -> None:
    training = Training(**PLAIN, epochs=1, ema=0.9)
    model, run = ROUNDS.start(net, torch.zeros(1, 3, 8, 8), steps=10)
    trainee = Trainee(model, run, Engine("cpu", "32-true"), training)
    other = type(net)(12)
    assert trainee.adopt(other)
    assert trainee.average is not None
    assert torch.equal(trainee.average.model.get_parameter("depth.weight"), other.get_parameter("depth.weight"))
    assert "began again" in trainee.notes[0]


def test_an_average_that_a_plan_does_not_fit_begins_again_too(net: nn.Module) -> None:
    model, run = ROUNDS.start(net, torch.zeros(1, 3, 8, 8), steps=10)
    trainee = Trainee(model, run, Engine("cpu", "32-true"), Training(**PLAIN, epochs=1, ema=0.9))
    for _ in range(10):
        model = run.after_step(model, trainee.optimizer)
    assert trainee.average is not None
    trainee.average.model = type(net)(2)
    assert trainee.adopt(model)
    assert trainee.average.model.get_parameter("trunk.0.weight").shape[0] == 4
    assert "began again" in trainee.notes[0]


@pytest.mark.parametrize("statistics", [0, 2])
def test_a_cut_does_not_disturb_the_epoch_of_a_loader_with_one_iterator(
    statistics: int, net: nn.Module, tasks: list[Task], squares: Any, same_bits: SameBits
) -> None:
    loader = DataLoader(squares, batch_size=2, num_workers=1, persistent_workers=True)
    assert iter(loader) is iter(loader), "where each epoch has its own iterator there is nothing to disturb"
    training = Training(**PLAIN, epochs=3, batchnorm_batches=statistics)
    found = fit(net, tasks, loader, training=training, method=ROUNDS)
    expected = fit(net, tasks, list(loader), training=training, method=ROUNDS)
    assert found.steps == expected.steps == 18
    assert same_bits(found.model, expected.model)


class LateRun(Run):
    def finish(self, model: nn.Module) -> nn.Module:
        return type(model)(4)

    def findings(self) -> Mapping[str, RecordBase]:
        return {"late": Compression(notes=("found late",))}


class Late(Method):
    """Changes the model when training is over."""

    stage: ClassVar[Stage] = "cut"
    kind: str = "late"

    def start(self, model: nn.Module, *_: Any, **__: Any) -> tuple[nn.Module, Run]:
        return deepcopy(model), LateRun()


def test_a_shape_that_changes_at_the_end_is_told(net: nn.Module, tasks: list[Task], squares: Any) -> None:
    fitted = fit(net, tasks, squares, squares, training=Training(**PLAIN, steps=2), method=Late())
    assert fitted.model.get_parameter("trunk.0.weight").shape[0] == 4
    assert fitted.notes == ("the method changed the model's shape at the end; validations were taken before",)
    assert fitted.findings == {"late": Compression(notes=("found late",))}


def test_the_model_that_a_cut_leaves_has_the_weights_that_it_kept(
    net: nn.Module, tasks: list[Task], squares: Any, tmp_path: Path
) -> None:
    """At a rate of nothing these are the weights that training began with."""
    still = Training(epochs=4, **{**PLAIN, "lr": 1e-30})
    fitted = fit(net, tasks, squares, training=still, method=ROUNDS, out=NamedStage(tmp_path, "small"))
    expected = deepcopy(net)
    for cut, plan in zip(fitted.cuts, plans_of(fitted.model), strict=True):
        expected = plan.apply(expected, verify=False)
        loaded = load(net, tmp_path / cut.file)
        for name, weight in expected.named_parameters():
            torch.testing.assert_close(loaded.get_parameter(name), weight)


def test_every_cut_leaves_a_model_and_a_row(net: nn.Module, tasks: list[Task], squares: Any, tmp_path: Path) -> None:
    """Each file is loadable, and holds the model right after its cut."""
    training = Training(epochs=4, **PLAIN)
    fitted = fit(net, tasks, squares, training=training, method=ROUNDS, out=NamedStage(tmp_path, "small"))
    plain = fit(net, tasks, squares, training=training, method=ROUNDS)
    assert [(cut.number, cut.file) for cut in fitted.cuts] == [
        (1, "cuts/small-01.safetensors"),
        (2, "cuts/small-02.safetensors"),
    ]
    assert [cut.step for cut in fitted.cuts] == ROUNDS.moments(12)
    for cut, plan in zip(fitted.cuts, plans_of(fitted.model), strict=True):
        loaded = load(net, tmp_path / cut.file)
        assert sum(each.numel() for each in loaded.parameters()) == cut.params
        assert len(plans_of(loaded)) == cut.number
        assert plan.reached == cut.reached
    assert [cut.file for cut in plain.cuts] == ["", ""]
    assert all(torch.equal(a, b) for a, b in zip(plain.model.parameters(), fitted.model.parameters(), strict=True))


@pytest.mark.parametrize("then", ["finetune", "retrain"])
def test_random_weights_get_a_schedule_of_their_own(
    net: nn.Module, tasks: list[Task], squares: Any, tmp_path: Path, read_rows: Rows, then: Any
) -> None:
    method = ROUNDS.model_copy(update={"then": then})
    training = Training(steps=20, **PLAIN)
    fit(net, tasks, squares, training=training, method=method, out=tmp_path)
    steps = [row for row in read_rows(tmp_path / "metrics.jsonl") if row["kind"] == "step"]
    last = method.moments(20)[-1]
    begun = last if then == "retrain" else 0
    expected = [lr_factor(step, 20, training) for step in range(last)]
    expected += [lr_factor(step - begun, 20 - begun, training) for step in range(last, 20)]
    assert [row["lr"] for row in steps] == pytest.approx([1e-2 * factor for factor in expected])


def test_an_averaged_copy_begins_with_the_weights_that_are_trained_anew(
    net: nn.Module, tasks: list[Task], squares: Any
) -> None:
    """At a rate of nothing the copy is what the retrained network began with, and nothing of its parent."""
    method = ROUNDS.model_copy(update={"then": "retrain"})
    still = Training(steps=20, **{**PLAIN, "lr": 1e-30})
    plain = fit(net, tasks, squares, training=still, method=method).model
    averaged = fit(net, tasks, squares, training=still.model_copy(update={"ema": 0.99}), method=method).model
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(averaged.get_parameter(name), weight)


def test_a_chain_tells_where_its_weights_began(net: nn.Module, tasks: list[Task], squares: Any) -> None:
    method = Chain([ROUNDS.model_copy(update={"then": "retrain"}), DynamicSparse(density=0.5)])
    model, run = method.start(net, squares[0][0][None], tasks, steps=40)
    optimizer = torch.optim.SGD(run.parameter_groups(model, lr=0.0))
    told = []
    for _ in range(40):
        told.append(run.begun)
        model = run.after_step(model, optimizer)
    last = ROUNDS.moments(method.lengths(40)[0])[-1]
    assert told == [None] * last + [last] * (40 - last)
    assert method.lengths(40)[0] < 40
