"""Tasks with inputs of their own, from the first batch to the exported file."""

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, get_worker_info
from torchjd.aggregation import UPGrad

import niwaki as nw
from niwaki.contract import Example, answers, read_batch
from niwaki.errors import ContractError, DataError, TrainingError
from niwaki.methods.base import Method, Run, Stage
from niwaki.methods.prune import StructuredPruning
from niwaki.modules import evaluating
from niwaki.surgery import plans_of
from niwaki.tasks import Task, task_losses
from niwaki.train import Training, compress, evaluate, fit
from niwaki.train.engine import Engine
from niwaki.train.labels import SeenLabels
from niwaki.train.loader import open_batches
from niwaki.train.randomness import random_state, set_random_state
from niwaki.train.samples import TrainData, first_example
from niwaki.train.streams import ReadyBatches
from niwaki.train.summary import summary

PLAIN: dict[str, Any] = {"precision": "32-true", "device": "cpu", "lr": 1e-2}


@pytest.fixture
def data(make_squares: Callable[..., Any]) -> dict[str, Any]:
    return {"depth": make_squares(6, seed=1), "segmentation": make_squares(9, seed=2)}


def drawing_loader(count: int, seed: int | None) -> DataLoader[Any]:
    """Return a loader that draws its order from a generator of its own or from the global one."""
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    rows: Any = [(torch.tensor([float(i)]), {"age": torch.zeros(1)}) for i in range(count)]
    return DataLoader(rows, 1, shuffle=True, generator=generator)


def values(batch: dict[str, Any]) -> dict[str, float]:
    return {task: x.item() for task, (x, _) in batch.items()}


@pytest.mark.parametrize("sizes", [(2, 7, 3), (3, 6, 6), (1, 1, 1), (5, 4, 2)])
def test_every_pass_is_resumed_where_it_began(sizes: tuple[int, int, int]) -> None:
    """The model draws between batches, so that a pass that begins in the middle starts from a state of its own."""

    def source() -> Any:
        loaders = {"a": drawing_loader(sizes[0], None), "b": drawing_loader(sizes[1], 5)}
        return open_batches({**loaders, "c": drawing_loader(sizes[2], None)}, Training(steps=1), shuffle=True, keep=2)

    torch.manual_seed(3)
    batches, whole, states = source(), [], []
    stream = batches.iterate(4)
    for batch in stream:
        whole.append(values(batch))
        torch.rand(2)  # dropout
        states.append((batches.state(), random_state()))
    assert len(whole) == max(sizes)
    for start, (state, random) in enumerate(states, start=1):
        torch.manual_seed(99)
        stream = source().resume(state, 4, start)
        set_random_state(random)
        rest = []
        for batch in stream:
            rest.append(values(batch))
            torch.rand(2)
        assert rest == whole[start:]


@pytest.mark.parametrize("shuffle", [True, False])
def test_all_tasks_share_their_workers_and_no_sample_changes(make_squares: Callable[..., Any], shuffle: bool) -> None:
    class Noisy:
        def __init__(self, count: int) -> None:
            self.inner = make_squares(count)

        def __len__(self) -> int:
            return len(self.inner)

        def __getitem__(self, index: int) -> Any:
            x, targets = self.inner[index]
            return x + torch.rand(()), {**targets, "worker": getattr(get_worker_info(), "id", -1)}

    given = {f"task{i}": Noisy(count) for i, count in enumerate((3, 7, 4))}
    alone = open_batches(given, Training(steps=1, batch_size=2), shuffle=shuffle)
    pooled = open_batches(given, Training(steps=1, batch_size=2, num_workers=2), shuffle=shuffle)
    assert pooled.count == alone.count
    workers = set()
    for epoch, start in ((0, 0), (1, 0), (1, 2)):
        rows = list(zip(alone.iterate(epoch, start), pooled.resume({}, epoch, start), strict=True))
        assert len(rows) == (3 if shuffle else 4) - start
        for one, other in rows:
            assert one.keys() == other.keys()
            assert all(torch.equal(one[task][0], other[task][0]) for task in one)
            workers |= {each for _, targets in other.values() for each in targets["worker"].tolist()}
    assert workers == {0, 1}


def test_looking_at_data_by_task_disturbs_nothing() -> None:
    batches = open_batches({"a": drawing_loader(3, None), "b": drawing_loader(5, 1)}, Training(steps=1), shuffle=True)
    before, generator = torch.get_rng_state(), batches.state()
    first = [values(each) for each in batches.peek()]
    assert [values(each) for each in batches.peek()] == first
    assert len(first) == 5
    assert first[3]["a"] == first[0]["a"]
    assert torch.equal(before, torch.get_rng_state())
    assert batches.state() == generator
    assert [values(each)["b"] for each in batches.iterate(0)] == [each["b"] for each in first]


def test_routed_training_is_the_loop_written_out_by_hand(
    routed: nn.Module, tasks: list[Task], data: dict[str, Any], same_bits: Callable[..., bool]
) -> None:
    training = Training(**PLAIN, epochs=2, batch_size=3, scheduler="constant", weight_decay=0.0)
    fitted = fit(routed, tasks, data, training=training)
    batches = open_batches(data, training, shuffle=True)
    optimizer = torch.optim.AdamW(routed.parameters(), lr=1e-2, weight_decay=0.0)
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        for epoch in range(2):
            for batch in batches.iterate(epoch):
                losses: dict[str, Tensor] = {}
                for task in tasks:
                    x, targets = batch[task.name]
                    losses[task.name] = task.loss(routed(x, task=task.name)[task.name], targets[task.name])
                optimizer.zero_grad()
                sum(losses.values(), torch.zeros(())).backward()
                optimizer.step()
    assert fitted.steps == 6
    assert same_bits(fitted.model, routed)


def test_each_tasks_norms_are_estimated_on_its_own_batches(
    routed: nn.Module, tasks: list[Task], data: dict[str, Any]
) -> None:
    method = StructuredPruning(budget={"channels": 0.5}, round_to=2, floor=2)
    training = Training(
        optimizer="sgd", lr=1e-30, weight_decay=0, precision="32-true", device="cpu", steps=1, batch_size=3
    )
    small = fit(routed.eval(), tasks, data, training=training, method=method).model
    batches = open_batches(data, training, tasks, shuffle=True)
    for task in ("depth", "segmentation"):
        norm = small.get_submodule(f"norms.{task}")
        seen: list[Tensor] = []
        hook = norm.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        for batch in islice(batches.peek(), 8):
            small(batch[task][0], task=task)
        hook.remove()
        means = torch.stack([each.mean((0, 2, 3)) for each in seen])
        expected = 0.9 * means.mean(0) + 0.1 * means[0]  # the statistics of 3 batches, and then one training step's
        torch.testing.assert_close(norm.running_mean, expected, rtol=1e-4, atol=1e-5)


def test_a_routed_model_is_cut_in_rounds_measured_and_exported(
    routed: nn.Module, tasks: list[Task], data: dict[str, Any], tmp_path: Path
) -> None:
    method = StructuredPruning(budget={"channels": 0.5}, rounds=2, round_to=2, floor=2)
    training = Training(**PLAIN, epochs=3, batch_size=3, distill=True)
    result = compress(routed, tasks, data, data, method=method, training=training)
    assert len(plans_of(result.model)) == 2
    assert result.model.get_parameter("first.weight").shape[0] == 4
    dense, small = result.record.cost["dense"], result.record.cost["small"]
    pixels = 64
    trunk = (3 * 8 * 9 + 8 * 8 * 9) * pixels
    heads = {"segmentation": 8 * 2 * pixels, "depth": 8 * pixels}
    assert dense.trunk.macs == 2 * trunk, "each task runs the trunk on its own input"
    assert {task: cost.macs for task, cost in dense.per_task.items()} == {t: trunk + each for t, each in heads.items()}
    assert dense.whole.macs == 2 * trunk + sum(heads.values())
    assert dense.whole.params == sum(each.numel() for each in routed.parameters())
    assert {task: cost.params for task, cost in dense.heads.items()} == {"segmentation": 16 + 18, "depth": 16 + 9}
    assert small.whole.params == sum(each.numel() for each in result.model.parameters()) < dense.whole.params
    own = {task: evaluate(result.model, [each], data[task])[task] for each in tasks for task in [each.name]}
    for task, metrics in own.items():
        assert metrics == pytest.approx(result.record.quality["small"][task])
    paths = [Example(data[task.name][0][0][None], task=task.name) for task in tasks]
    exported = nw.export(result.model, paths, tmp_path / "small.onnx", tasks=tasks)
    assert exported.outputs == ("segmentation", "depth")


def test_networks_of_their_own_are_trained_and_cut_apart(
    tasks: list[Task], data: dict[str, Any], make_squares: Callable[..., Any]
) -> None:
    def net(out: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, out, 1))

    torch.manual_seed(0)
    nets = nw.TaskNets({"segmentation": net(2), "depth": net(1)})
    method = StructuredPruning(budget={"channels": 0.5}, round_to=2, floor=2)
    training = Training(**PLAIN, epochs=2, batch_size=3)
    by_task = compress(nets, tasks, data, data, method=method, training=training)
    together = compress(nets, tasks, make_squares(6), make_squares(4), method=method, training=training)
    for result in (by_task, together):
        assert result.record.cost["small"].whole.params < result.record.cost["dense"].whole.params
        assert result.record.cost["dense"].trunk.params == 0
        assert set(result.record.cost["dense"].heads) == {"segmentation", "depth"}


class Looking(Method):
    """Notes what it is given."""

    stage: ClassVar[Stage] = "sparsify"
    kind: Literal["looking"] = "looking"
    seen: ClassVar[list[Any]] = []

    def start(
        self,
        model: nn.Module,
        example: Any,
        tasks: Any = None,
        *,
        steps: int,
        data: Iterable[Any] | None = None,
    ) -> tuple[nn.Module, Run]:
        assert data is not None
        for raw in islice(data, 2):
            batch = read_batch(raw, [task.name for task in tasks], model)
            with evaluating(model), torch.no_grad():
                losses = task_losses(tasks, answers(model, batch), batch.targets)
            self.seen.append({task: loss.item() for task, loss in losses.items()})
        torch.rand(3)
        return model, Run()


@pytest.mark.parametrize("together", [True, False])
def test_a_method_looks_at_the_first_batches_and_the_loop_does_not_notice(
    together: bool,
    routed: nn.Module,
    net: nn.Module,
    tasks: list[Task],
    data: dict[str, Any],
    make_squares: Callable[..., Any],
    same_bits: Callable[..., bool],
) -> None:
    class Same(Run):
        pass

    class Nothing(Looking):
        kind: Literal["nothing"] = "nothing"  # type: ignore[assignment]

        def start(self, model: nn.Module, example: Any, tasks: Any = None, *, steps: int, data: Any = None) -> Any:
            torch.rand(3)
            return model, Same()

    model, given = (net, make_squares(9)) if together else (routed, data)
    training = Training(**PLAIN, epochs=1, batch_size=3)
    Looking.seen.clear()
    looked = fit(model.eval(), tasks, given, training=training, method=Looking()).model
    assert same_bits(looked, fit(model, tasks, given, training=training, method=Nothing()).model)
    batches = list(open_batches(given, training, shuffle=True).iterate(0))[:2]
    for seen, raw in zip(Looking.seen, batches, strict=True):
        batch = read_batch(raw, [task.name for task in tasks], model)
        losses = task_losses(tasks, answers(model, batch), batch.targets)
        assert seen == pytest.approx({task: loss.item() for task, loss in losses.items()})


def test_data_for_methods_begins_anew_each_time(tasks: list[Task], net: nn.Module) -> None:
    rows = [(torch.full((2, 3, 8, 8), float(i)), {"depth": torch.ones(2, 1, 8, 8)}) for i in range(3)]
    given = TrainData(net, tuple(tasks), ReadyBatches(rows), Engine("cpu", "32-true"))
    assert [x.max().item() for x, _ in given] == [0.0, 1.0, 2.0]
    assert [x.max().item() for x, _ in islice(given, 2)] == [0.0, 1.0]


def test_the_example_is_gathered_from_batches_of_different_tasks(routed: nn.Module, tasks: list[Task]) -> None:
    far, near = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 4, 4)
    rows = [(near, {"depth": torch.ones(2, 1, 4, 4)}), (far, {"segmentation": torch.ones(2, 8, 8).long()})]
    found = first_example(ReadyBatches(rows), tasks, routed)
    assert [(each.args[0].shape[2], each.kwargs) for each in found] == [
        (8, {"task": "segmentation"}),
        (4, {"task": "depth"}),
    ]
    with pytest.raises(DataError, match="no batch with inputs for segmentation"):
        first_example(ReadyBatches(rows[:1]), tasks, routed)
    with pytest.raises(DataError, match="holds no batch; give"):
        first_example(ReadyBatches([]), tasks, routed)
    assert fit(routed, tasks, rows, rows, training=Training(**PLAIN, epochs=2)).quality.keys() == {
        "depth",
        "segmentation",
    }


def test_gradients_of_each_task_are_balanced_on_what_they_share(
    routed: nn.Module, tasks: list[Task], data: dict[str, Any]
) -> None:
    training = Training(**PLAIN, epochs=1, batch_size=3)
    plain = fit(routed, tasks, data, training=training).model
    balanced = fit(routed, tasks, data, training=training, balance=UPGrad()).model
    assert not torch.equal(plain.get_parameter("first.weight"), balanced.get_parameter("first.weight"))


def test_a_teacher_teaches_what_it_answers(routed: nn.Module, tasks: list[Task], data: dict[str, Any]) -> None:
    training = Training(**PLAIN, epochs=1, batch_size=3, distill=True)
    rows = [(torch.zeros(2, 3, 8, 8), {"depth": torch.ones(2, 1, 8, 8), "segmentation": None})]
    assert fit(routed, [tasks[1]], rows, training=training).steps == 1

    class Depths(nn.Module):
        def forward(self, x: Tensor, task: str) -> dict[str, Tensor]:
            return {"depth": x[:, :1]}

    with pytest.raises(ContractError, match="segmentation: the teacher answers depth; leave the task out"):
        fit(routed, tasks, data, training=training, teacher=Depths())


def test_a_teacher_may_be_called_otherwise_than_the_model_that_learns(
    routed: nn.Module, net: nn.Module, tasks: list[Task], data: dict[str, Any], make_squares: Callable[..., Any]
) -> None:
    training = Training(**PLAIN, epochs=1, batch_size=3, distill=True)
    assert fit(routed, tasks, data, training=training, teacher=net).steps == 3
    alone = nw.TaskNets({task.name: net for task in tasks})
    assert fit(net, tasks, make_squares(3), training=training, teacher=alone).steps == 1
    with pytest.raises(ContractError, match="the teacher answers one task per call, but the model that learns all"):
        fit(net, tasks, make_squares(3), training=training, teacher=routed)


def test_labels_seen_are_saved() -> None:
    seen = SeenLabels({"a"}, {"a", "b"})
    assert SeenLabels.of(seen.state()) == seen


def test_many_tasks_are_told_in_outline() -> None:
    different = [nw.Classification(3, name=f"c{i}") for i in range(6)] + [nw.Regression(name="age")]
    quality = {task.name: {task.primary: float(i)} for i, task in enumerate(different)}
    assert summary(quality, different).endswith("c5 accuracy 5 and 1 more")
    ages = [nw.Regression(name=f"age{i}") for i in range(7)]
    quality = {task.name: {"mae": float(i)} for i, task in enumerate(ages)}
    assert summary(quality, ages) == "mae mean 3 of 7 tasks, worst age6 6, best age0 0"


def test_a_validation_split_by_task_without_labels_is_told(
    routed: nn.Module, tasks: list[Task], data: dict[str, Any], make_squares: Callable[..., Any]
) -> None:
    training = Training(**PLAIN, epochs=1, batch_size=3)
    bare: Any = [(make_squares(2)[0][0][None], {})]
    with pytest.raises(DataError, match="the validation data has no targets for depth"):
        fit(routed, tasks, data, {**data, "depth": bare}, training=training)
    with pytest.raises(TrainingError, match="no label came in the first epoch for depth"):
        fit(routed, tasks, {**data, "depth": bare}, training=training)
