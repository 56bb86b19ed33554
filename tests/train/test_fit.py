"""The loop against loops written out by hand, and the promises of its surroundings."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from niwaki.balance import DWA, Balancer, Equal, MinMax
from niwaki.contract import Example
from niwaki.errors import ContractError, DataError, SettingError, TrainingError
from niwaki.methods.base import Method, Run, Stage
from niwaki.tasks import Depth, Regression, Task, task_losses
from niwaki.train import Distillation, Training, evaluate, fit
from niwaki.train.order import sample_order
from niwaki.train.schedule import lr_factor

SameBits = Callable[[nn.Module, nn.Module], bool]
Rows = Callable[[Path], list[dict[str, Any]]]
PLAIN: dict[str, Any] = {"lr": 1e-2, "batch_size": 4, "precision": "32-true"}


def stacked(data: Any, indices: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
    samples = [data[index] for index in indices]
    targets = {task: torch.stack([y[task] for _, y in samples]) for task in samples[0][1]}
    return torch.stack([x for x, _ in samples]), targets


def bare_loop(net: nn.Module, tasks: list[Task], data: Any, training: Training) -> nn.Module:
    """The loop a user would write, without anything of the room under test but the order of samples and rates."""
    model = deepcopy(net)
    assert training.epochs is not None
    per_epoch = len(data) // training.batch_size
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.lr, weight_decay=training.weight_decay)
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        for epoch in range(training.epochs):
            order = sample_order(len(data), training.seed, epoch)
            for batch in range(per_epoch):
                rate = lr_factor(epoch * per_epoch + batch, training.epochs * per_epoch, training)
                optimizer.param_groups[0]["lr"] = training.lr * rate
                x, targets = stacked(data, order[batch * training.batch_size : (batch + 1) * training.batch_size])
                optimizer.zero_grad()
                losses = task_losses(tasks, model(x), targets)
                sum(losses.values(), torch.zeros(())).backward()
                if training.clip_norm is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
                optimizer.step()
    return model


@pytest.mark.parametrize("more", [{}, {"warmup": 3, "final_lr": 0.1}, {"clip_norm": 0.1}, {"seed": 9}])
def test_it_is_a_bare_loop_bit_for_bit(
    more: dict[str, Any], net: nn.Module, tasks: list[Task], squares: Any, same_bits: SameBits
) -> None:
    training = Training(**PLAIN, **more, epochs=3)
    fitted = fit(net, tasks, squares, training=training)
    assert same_bits(fitted.model, bare_loop(net, tasks, squares, training))
    assert (fitted.steps, fitted.epoch, fitted.quality) == (9, None, {})


@pytest.mark.parametrize("changes", [{"num_workers": 2}, {"checkpoint_every": 2, "eval_every": 2}])
def test_what_only_watches_changes_no_bit(
    changes: dict[str, Any],
    net: nn.Module,
    tasks: list[Task],
    squares: Any,
    same_bits: SameBits,
    tmp_path: Path,
) -> None:
    plain = fit(net, tasks, squares, training=Training(**PLAIN, epochs=2))
    watching = Training(**PLAIN, epochs=2, select="last", **changes)
    watched = fit(net, tasks, squares, squares, training=watching, out=tmp_path)
    assert same_bits(plain.model, watched.model)


def test_the_caller_finds_everything_as_it_was(
    net: nn.Module, tasks: list[Task], squares: Any, same_bits: SameBits
) -> None:
    net.train()
    net.get_submodule("trunk.0").eval()
    net.get_parameter("depth.weight").requires_grad = False
    before, state = deepcopy(net), torch.get_rng_state()
    modes = [module.training for module in net.modules()]
    fitted = fit(net, tasks, squares, squares, training=Training(**PLAIN, epochs=1, distill=True, channels_last=True))
    assert same_bits(net, before)
    assert torch.equal(state, torch.get_rng_state())
    assert [module.training for module in net.modules()] == modes
    assert all(each.grad is None for each in (*net.parameters(), *fitted.model.parameters()))
    assert torch.equal(fitted.model.get_parameter("depth.weight"), net.get_parameter("depth.weight"))  # frozen
    assert not fitted.model.get_parameter("depth.weight").requires_grad
    assert type(fitted.model) is type(net)
    assert fitted.model.get_parameter("trunk.3.weight").is_contiguous()


def test_accumulated_batches_are_one_large_batch(tasks: list[Task], squares: Any) -> None:
    net = nn.ModuleDict({"segmentation": nn.Conv2d(3, 2, 1), "depth": nn.Conv2d(3, 1, 1)})
    net.forward = lambda x: {task: head(x) for task, head in net.items()}
    whole = fit(net, tasks, squares, training=Training(**{**PLAIN, "batch_size": 4}, epochs=2, optimizer="sgd"))
    parts = fit(
        net, tasks, squares, training=Training(**{**PLAIN, "batch_size": 2}, epochs=2, optimizer="sgd", accumulate=2)
    )
    assert (whole.steps, parts.steps) == (6, 6)
    for one, two in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(one, two)


def test_a_last_group_that_is_not_full_is_averaged_over_what_it_has() -> None:
    net = nn.Linear(1, 1, bias=False)
    batches = [(torch.ones(1, 1), {"age": torch.full((1, 1), target)}) for target in (1.0, 2.0, 4.0)]
    fitted = fit(
        net,
        [Regression(name="age")],
        batches,
        training=Training(
            epochs=1, accumulate=2, optimizer="sgd", momentum=0.0, weight_decay=0.0, lr=0.1, scheduler="constant"
        ).model_copy(update={"precision": "32-true"}),
    )
    weight = float(net.weight.item())
    for targets in ((1.0, 2.0), (4.0,)):
        weight -= 0.1 * sum(2 * (weight - target) for target in targets) / len(targets)
    assert fitted.model.get_parameter("weight").item() == pytest.approx(weight, rel=1e-5)
    assert fitted.steps == 2


class Noisy:
    """Samples that are drawn anew each time."""

    def __init__(self, squares: Any) -> None:
        self.squares = squares

    def __len__(self) -> int:
        return len(self.squares)

    def __getitem__(self, index: int) -> Any:
        x, targets = self.squares[index]
        return x + torch.randn_like(x), targets


def test_noisy_samples_give_the_same_bits_in_this_process_and_in_a_worker(
    net: nn.Module, tasks: list[Task], squares: Any, same_bits: SameBits
) -> None:
    here, there, clean = (
        fit(net, tasks, data, training=Training(**PLAIN, epochs=2, num_workers=workers))
        for data, workers in ((Noisy(squares), 0), (Noisy(squares), 1), (squares, 0))
    )
    assert same_bits(here.model, there.model)
    assert not same_bits(here.model, clean.model)


class RecordingRun(Run):
    """Writes down its calls, and whether there was a gradient then; leaves rubbish in the gradients, if it is to."""

    def __init__(self, calls: list[Any], *, rubbish: bool) -> None:
        self.calls = calls
        self.rubbish = rubbish

    def note(self, hook: str, model: nn.Module) -> None:
        self.calls.append((hook, any(each.grad is not None for each in model.parameters())))

    def before_backward(self, model: nn.Module, losses: Mapping[str, Tensor]) -> None:
        assert all(each.requires_grad for each in losses.values())
        self.note("before_backward", model)
        if self.rubbish:
            for each in model.parameters():
                each.grad = torch.full_like(each, 1e3)

    def penalty(self, model: nn.Module) -> Tensor:
        self.note("penalty", model)
        return torch.zeros(())

    def after_backward(self, model: nn.Module) -> None:
        self.note("after_backward", model)

    def after_step(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:
        self.note("after_step", model)
        return model


class Recording(Method):
    """Gives every run one list of calls."""

    stage: ClassVar[Stage] = "sparsify"
    kind: str = "recording"
    calls: Any = None
    rubbish: bool = False

    def start(self, model: nn.Module, *_: Any, **__: Any) -> tuple[nn.Module, Run]:
        return deepcopy(model), RecordingRun(self.calls, rubbish=self.rubbish)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_hooks_are_called_in_the_order_of_the_contract(
    accumulate: int, net: nn.Module, tasks: list[Task], squares: Any
) -> None:
    calls: list[Any] = []

    class Noting(Equal):
        def _combine(self, losses: dict[str, Tensor]) -> Tensor:
            calls.append("balance")
            return super()._combine(losses)

    batches = [stacked(squares, [index, index + 1]) for index in range(0, 4 * accumulate, 2)]
    training = Training(**PLAIN, epochs=1, accumulate=accumulate)
    method = Recording.model_construct(calls=calls)
    assert fit(net, tasks, batches, training=training, method=method, balance=Noting()).steps == 2

    def step(number: int) -> list[Any]:
        found: list[Any] = []
        for batch in range(accumulate):
            older = batch > 0  # a gradient of this step's batches; at first there is the one of the step before
            found += [("before_backward", older or number > 0), "balance", ("penalty", older)]
        return [*found, ("after_backward", True), ("after_step", True)]

    assert calls == [*step(0), *step(1)]


def test_gradients_written_before_the_backward_pass_are_lost_as_in_a_users_loop(
    net: nn.Module, tasks: list[Task], squares: Any, same_bits: SameBits
) -> None:
    training = Training(**PLAIN, epochs=2)
    found = fit(net, tasks, squares, training=training, method=Recording.model_construct(calls=[], rubbish=True))
    assert same_bits(found.model, bare_loop(net, tasks, squares, training))


def test_steps_end_in_the_middle_of_an_epoch(net: nn.Module, tasks: list[Task], squares: Any) -> None:
    fitted = fit(net, tasks, squares, squares, training=Training(**PLAIN, steps=7))
    assert fitted.steps == 7
    assert [row["step"] for row in fitted.history] == [3, 6, 7]


def test_the_best_epoch_is_kept_and_told(
    net: nn.Module, tasks: list[Task], squares: Any, tmp_path: Path, read_rows: Rows
) -> None:
    settings = {**PLAIN, "lr": 3.0, "optimizer": "sgd", "scheduler": "constant", "clip_norm": 1.0}
    wild = Training(**settings, epochs=8, select="depth.abs")
    fitted = fit(net, tasks, squares, squares, training=wild, out=tmp_path)
    values = [row["quality"]["depth"]["abs"] for row in fitted.history]
    best = values.index(min(values))
    assert fitted.epoch == best < 7, "the settings should make the last epoch a bad one"
    assert fitted.quality == fitted.history[best]["quality"]
    assert evaluate(fitted.model, tasks, squares, batch_size=4) == fitted.quality
    assert "depth.abs" in fitted.picked_by
    rows = [row for row in read_rows(tmp_path / "metrics.jsonl") if row["kind"] == "epoch"]
    assert [row["quality"]["depth"]["abs"] for row in rows] == values


def test_the_averaged_copy_is_what_is_validated_and_returned(
    net: nn.Module, tasks: list[Task], squares: Any, same_bits: SameBits
) -> None:
    averaged = fit(net, tasks, squares, squares, training=Training(**PLAIN, epochs=2, ema=0.5))
    plain = fit(net, tasks, squares, training=Training(**PLAIN, epochs=2))
    assert not same_bits(averaged.model, plain.model)
    assert evaluate(averaged.model, tasks, squares, batch_size=4) == averaged.quality
    assert all(each.requires_grad for each in averaged.model.parameters())
    alone = fit(net, tasks, squares, training=Training(**PLAIN, epochs=2, ema=0.5, select="last"))
    watched = fit(net, tasks, squares, squares, training=Training(**PLAIN, epochs=2, ema=0.5, select="last"))
    assert same_bits(alone.model, watched.model)


def test_the_journal_has_every_step(
    net: nn.Module, tasks: list[Task], squares: Any, tmp_path: Path, read_rows: Rows
) -> None:
    fit(net, tasks, squares, training=Training(**PLAIN, epochs=1, distill={"depth": 2.0}), out=tmp_path, balance=DWA())
    rows = read_rows(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows] == [0, 1, 2]
    first = rows[0]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, teacher = deepcopy(net), deepcopy(net).eval()
        x, targets = stacked(squares, sample_order(12, 0, 0)[:4])
        outputs = model(x)
        losses = task_losses(tasks, outputs, targets)
        taught = 2 * F.l1_loss(outputs["depth"], teacher(x)["depth"])
        (losses["segmentation"] + losses["depth"] + taught).backward()
        norm = math.sqrt(sum(each.grad.square().sum().item() for each in model.parameters() if each.grad is not None))
    assert first["loss"] == pytest.approx({name: each.item() for name, each in losses.items()})
    assert first["extra"] == pytest.approx({"distill.depth": taught.item()})
    assert first["grad_norm"] == pytest.approx(norm, rel=1e-4)
    assert first["weight"] == {"segmentation": 1.0, "depth": 1.0}
    assert first["lr"] == 0.01


def test_the_journal_has_what_the_balancer_did(
    net: nn.Module, tasks: list[Task], squares: Any, tmp_path: Path, read_rows: Rows
) -> None:
    """The factors of the losses in every step; and those of the losses over their scales, which a report draws."""
    balance = MinMax(gamma=0.1, beta=1.0)
    fit(net, tasks, squares, training=Training(**PLAIN, epochs=1), balance=balance, out=tmp_path)
    rows = read_rows(tmp_path / "metrics.jsonl")
    assert rows[0]["emphasis"] == pytest.approx({"segmentation": 1.0, "depth": 1.0})
    assert rows[0]["weight"] == pytest.approx({task: 1 / loss for task, loss in rows[0]["loss"].items()})
    assert rows[-1]["emphasis"] == balance.emphasis != rows[0]["emphasis"]
    assert rows[-1]["weight"] == balance.weights
    assert sum(rows[-1]["emphasis"].values()) == pytest.approx(2.0)


def test_a_model_in_evaluation_mode_is_trained_in_training_mode(
    net: nn.Module, tasks: list[Task], squares: Any, same_bits: SameBits
) -> None:
    training = Training(**PLAIN, epochs=1)
    trained = fit(net.train(), tasks, squares, training=training).model
    evaluated = fit(net.eval(), tasks, squares, training=training).model
    assert (trained.training, evaluated.training) == (True, False)
    assert same_bits(trained, evaluated)
    net.train().get_submodule("trunk.1").eval()
    frozen = fit(net, tasks, squares, training=training).model
    assert torch.equal(frozen.get_buffer("trunk.1.running_mean"), net.get_buffer("trunk.1.running_mean"))
    assert not torch.equal(frozen.get_buffer("trunk.4.running_mean"), net.get_buffer("trunk.4.running_mean"))


def test_a_given_teacher_teaches(net: nn.Module, tasks: list[Task], squares: Any) -> None:
    other = deepcopy(net)
    with torch.no_grad():
        other.get_parameter("depth.bias").add_(100.0)
    distill = Distillation(weights={"depth": 50.0, "segmentation": 0.0}, regression="l1")
    learn = Training(**PLAIN, epochs=30, distill=distill)
    bias = fit(net, tasks, squares, training=learn, teacher=other).model.get_parameter("depth.bias")
    assert bias.item() > net.get_parameter("depth.bias").item() + 0.1


def test_a_balancer_that_asks_gets_the_losses_after_the_step(net: nn.Module, tasks: list[Task], squares: Any) -> None:
    class Watching(Balancer):
        kind = "watching"

        def __init__(self) -> None:
            super().__init__()
            self.before: list[float] = []
            self.after: list[float] = []
            self.epochs = 0

        def _combine(self, losses: dict[str, Tensor]) -> Tensor:
            self.before.append(losses["depth"].item())
            return losses["depth"]

        def after_step(self, losses: Any) -> None:
            self.after.append(losses["depth"].item())

        def end_epoch(self) -> None:
            self.epochs += 1

        def describe(self) -> dict[str, Any]:
            return {}

        def reset(self) -> None:
            pass

    balance = Watching()
    fit(net, tasks, squares, training=Training(**PLAIN, epochs=2), balance=balance)
    assert (len(balance.before), len(balance.after), balance.epochs) == (6, 6, 2)
    assert sum(balance.after) < sum(balance.before)


def poisoned(squares: Any, value: float, at: int) -> list[Any]:
    batches = [stacked(squares, [index, index + 1]) for index in range(0, 12, 2)]
    batches[at][0][:] = value
    return batches


def test_a_loss_that_is_no_number_stops_and_is_named(net: nn.Module, tasks: list[Task], squares: Any) -> None:
    with pytest.raises(
        TrainingError, match=r"step 4 \(epoch 0, lr .*\): the loss of segmentation is nan, depth is nan"
    ):
        fit(net, tasks, poisoned(squares, math.nan, 4), training=Training(**PLAIN, epochs=2))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_gradient_that_is_no_number_stops_and_is_named(
    accumulate: int, net: nn.Module, tasks: list[Task], squares: Any
) -> None:
    bad = Task("depth", loss=lambda p, _: (p * 0).sum().sqrt(), metrics=dict(Depth().readings), primary="abs")
    message = r"step 0 .*: the gradient of depth \(at depth\.bias\) is nan although every loss is finite"
    with pytest.raises(TrainingError, match=message):
        fit(net, [tasks[0], bad], squares, training=Training(**PLAIN, epochs=1, accumulate=accumulate))


def test_figures_that_stayed_on_the_device_are_checked_at_the_end(
    net: nn.Module, tasks: list[Task], squares: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("niwaki.train.job._every", lambda _: 100)
    with pytest.raises(TrainingError, match=r"step 4 .* the loss of segmentation is nan"):
        fit(net, tasks, poisoned(squares, math.nan, 4), training=Training(**PLAIN, epochs=1))


def test_missing_labels_and_batches_without_a_task(net: nn.Module, tasks: list[Task], squares: Any) -> None:
    x, targets = stacked(squares, range(4))
    nothing = {"segmentation": torch.full_like(targets["segmentation"], -1), "depth": targets["depth"] * 0}
    batches = [(x, {"depth": targets["depth"]}), (x, nothing), (x, {}), (x, targets)]
    fitted = fit(net, tasks, batches, [batches[3]], training=Training(**PLAIN, epochs=2))
    assert fitted.steps == 8
    assert all(each.isfinite().all() for each in fitted.model.parameters())


def test_outputs_as_a_tuple_and_as_one_tensor(tasks: list[Task], squares: Any) -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            found = self.head(x)
            return found[:, :2], found[:, 2:]

    assert fit(Pair(), tasks, squares, squares, training=Training(**PLAIN, epochs=1)).quality.keys() == {
        "segmentation",
        "depth",
    }
    single = [(x, targets["depth"]) for x, targets in [stacked(squares, range(4))]]
    assert fit(nn.Conv2d(3, 1, 1), [Depth()], single, training=Training(**PLAIN, epochs=2)).steps == 2


def test_a_model_that_runs_one_task_per_call(tasks: list[Task], squares: Any) -> None:
    class Routed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = nn.ModuleList([nn.Conv2d(3, 2, 1), nn.Conv2d(3, 1, 1)])

        def forward(self, x: Tensor, task: int) -> Tensor:
            found: Tensor = self.heads[task](x)
            return found

    x, targets = stacked(squares, range(4))
    together = [([Example(x, task=0), Example(x, task=1)], targets)]
    apart = {
        "segmentation": [(Example(x, task=0), targets["segmentation"])],
        "depth": [(Example(x, task=1), targets["depth"])],
    }
    net = Routed()
    first = fit(net, tasks, together, together, training=Training(**PLAIN, epochs=3))
    second = fit(net, tasks, apart, apart, training=Training(**PLAIN, epochs=3))
    for one, two in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, two)
    assert first.quality == second.quality


def test_data_that_does_not_fit_the_length_is_refused(net: nn.Module, tasks: list[Task], squares: Any) -> None:
    class Endless:
        def __iter__(self) -> Iterator[Any]:
            return iter([stacked(squares, range(4))] * 2)

    with pytest.raises(DataError, match="give steps= instead"):
        fit(net, tasks, Endless(), training=Training(**PLAIN, epochs=1))
    assert fit(net, tasks, Endless(), training=Training(**PLAIN, steps=3)).steps == 3
    with pytest.raises(DataError, match="holds no batch"):
        fit(net, tasks, [], training=Training(**PLAIN, steps=3))
    with pytest.raises(SettingError, match=r"select='depth\.speed' is no rule"):
        fit(net, tasks, squares, squares, training=Training(**PLAIN, epochs=1, select="depth.speed"))


def test_progress_is_told_how_far_it_is(net: nn.Module, tasks: list[Task], squares: Any) -> None:
    class Watch:
        def __init__(self) -> None:
            self.told: list[Any] = []

        def begin(self, what: str, total: int | None, done: int = 0) -> None:
            self.told.append((what, total, done))

        def advance(self, count: int = 1, **values: float) -> None:
            self.told.append(count)

        def note(self, text: str) -> None:
            self.told.append(text.partition(":")[0])

        def end(self) -> None:
            self.told.append("end")

    watch = Watch()
    fit(net, tasks, squares, squares, training=Training(**PLAIN, epochs=1), progress=watch)
    validation = [("validating", 3, 0), 1, 1, 1, "end", "epoch 0"]
    assert watch.told == [("training", 3, 0), 1, 1, 1, *validation, "end"]


def test_two_tasks_of_one_name_are_refused(net: nn.Module, squares: Any) -> None:
    with pytest.raises(ContractError, match="two tasks are named 'depth'"):
        fit(net, [Depth(), Depth()], squares, training=Training(**PLAIN, epochs=1))
