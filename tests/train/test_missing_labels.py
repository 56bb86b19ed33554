"""Random tasks, random missing labels, random routing: losses against a slow loop, metrics against all the data."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import niwaki as nw
from niwaki.balance import Equal
from niwaki.contract import Example
from niwaki.errors import ContractError, DataError, TrainingError
from niwaki.tasks import Classification, Regression, Segmentation, Task
from niwaki.train import Training, evaluate, fit
from niwaki.train.collate import collate
from niwaki.train.order import sample_order

KINDS = ("classification", "regression", "segmentation")
SIZE = 3
FREEZING = {"lr": 1e-30, "weight_decay": 0.0, "precision": "32-true", "device": "cpu"}


class Samples:
    """Pictures with targets, some of which are missing."""

    def __init__(self, rows: list[tuple[Tensor, dict[str, Tensor]]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        return self.rows[index]


class Heads(nn.Module):
    """A layer for each task; it answers all of them, or, with ``task``, one."""

    def __init__(self, kinds: dict[str, str]) -> None:
        super().__init__()
        self.kinds = kinds
        flat = 2 * SIZE * SIZE
        made = {
            "classification": nn.Linear(flat, 4),
            "regression": nn.Linear(flat, 2),
            "segmentation": nn.Conv2d(2, 3, 1),
        }
        self.heads = nn.ModuleDict({task: type(made[kind])(*_sizes(made[kind])) for task, kind in kinds.items()})

    def answer(self, x: Tensor, task: str) -> Tensor:
        found: Tensor = self.heads[task](x if self.kinds[task] == "segmentation" else x.flatten(1))
        return found


class Plain(Heads):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {task: self.answer(x, task) for task in self.kinds}


class Routed(Heads):
    def forward(self, x: Tensor, task: str) -> Tensor:
        return self.answer(x, task)


class Either(Heads):
    def forward(self, x: Tensor, task: str | None = None) -> dict[str, Tensor]:
        return {each: self.answer(x, each) for each in self.kinds if task in (None, each)}


def _sizes(layer: nn.Module) -> tuple[int, ...]:
    return (2, 3, 1) if isinstance(layer, nn.Conv2d) else (layer.in_features, layer.out_features)  # type: ignore[return-value]


def make_task(name: str, kind: str) -> Task:
    made = {
        "classification": lambda: Classification(4, name=name, ignore_index=-1),
        "regression": lambda: Regression(name=name),
        "segmentation": lambda: Segmentation(3, name=name, ignore_index=255),
    }
    return made[kind]()


def draw_target(kind: str, rng: np.random.Generator) -> Tensor:
    """Draw a target, some of whose elements hold no label."""
    if kind == "classification":
        return torch.tensor(int(rng.integers(-1, 4)))
    if kind == "regression":
        values = rng.normal(size=2)
        values[rng.random(2) < 0.3] = np.nan
        return torch.tensor(values, dtype=torch.float32)
    labels = rng.integers(0, 3, size=(SIZE, SIZE))
    labels[rng.random((SIZE, SIZE)) < 0.3] = 255
    return torch.tensor(labels, dtype=torch.uint8)


def draw_rows(kinds: dict[str, str], count: int, rng: np.random.Generator) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """Draw samples of which a third lack a task; the first of each quarter has a label of each."""
    rows = []
    for _ in range(count):
        x = torch.tensor(rng.normal(size=(2, SIZE, SIZE)), dtype=torch.float32)
        rows.append((x, {task: draw_target(kind, rng) for task, kind in kinds.items() if rng.random() > 1 / 3}))
    sure = {"classification": torch.tensor(1), "regression": torch.ones(2)}
    whole = torch.ones(SIZE, SIZE, dtype=torch.uint8)
    rows[0] = (rows[0][0], {task: sure.get(kind, whole) for task, kind in kinds.items()})
    return rows


def slow_elements(kind: str, answer: Tensor, target: Tensor | None) -> list[tuple[float, float, float]]:
    """Return (loss, what was answered, label) of every labelled element of one sample."""
    if target is None:
        return []
    if kind == "regression":
        pairs = zip(answer.tolist(), target.tolist(), strict=True)
        return [((a - b) ** 2, a, b) for a, b in pairs if not np.isnan(b)]
    scores = answer.reshape(answer.shape[0], -1).T.double().numpy()
    found = []
    for row, label in zip(scores, target.flatten().tolist(), strict=True):
        if label not in (-1, 255):
            found.append((float(np.log(np.exp(row).sum()) - row[label]), float(row.argmax()), float(label)))
    return found


def slow_metric(kind: str, elements: Sequence[tuple[float, float, float]]) -> float:
    """Return the primary metric of all labelled elements of a split."""
    answers, labels = np.array([each[1] for each in elements]), np.array([each[2] for each in elements])
    if kind == "regression":
        return float(np.abs(answers - labels).mean())
    if kind == "classification":
        return float((answers == labels).mean() * 100)
    union = [((answers == c) | (labels == c)).sum() for c in range(3)]
    inter = [((answers == c) & (labels == c)).sum() for c in range(3)]
    return float(np.mean([i / u for i, u in zip(inter, union, strict=True) if u]) * 100)


class Recorded(Equal):
    """The sum of the losses; remembers them."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[dict[str, float]] = []

    def __call__(self, losses: Mapping[str, Tensor]) -> Tensor:
        self.steps.append({task: loss.item() for task, loss in losses.items()})
        return super().__call__(losses)


def slow_batches(count: int, size: int, epochs: Sequence[int]) -> Iterator[list[int]]:
    """Yield the indices of each batch: order by seed and epoch, full batches."""
    for epoch in epochs:
        order = sample_order(count, 0, epoch)
        yield from (order[start:end] for start, end in pairwise(range(0, count + 1, size)))


@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    model=st.sampled_from([Plain, Routed, Either]),
    by_task=st.booleans(),
    size=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_losses_and_metrics_are_those_of_a_slow_loop(
    kinds: list[str], model: type[Heads], by_task: bool, size: int, seed: int
) -> None:
    names = {f"task{i}": kind for i, kind in enumerate(kinds)}
    tasks = [make_task(name, kind) for name, kind in names.items()]
    rng = np.random.default_rng(seed)
    counts = {name: size * int(rng.integers(1, 4)) for name in names} if by_task else dict.fromkeys(names, 3 * size)
    together = draw_rows(names, 3 * size, rng)
    rows = {name: draw_rows({name: names[name]}, counts[name], rng) if by_task else together for name in names}
    data: Any = {name: Samples(each) for name, each in rows.items()} if by_task else Samples(together)
    torch.manual_seed(seed)
    net = model(names)
    balance = Recorded()
    fitted = fit(net, tasks, data, data, training=Training(**FREEZING, epochs=1, batch_size=size), balance=balance)

    steps = max(counts.values()) // size
    assert fitted.steps == len(balance.steps) == steps
    for name, kind in names.items():
        passes = -(-steps * size // counts[name])
        batches = list(slow_batches(counts[name], size, range(passes)))[:steps]
        for indices, losses in zip(batches, balance.steps, strict=True):
            found = [each for i in indices for each in elements(net, name, kind, rows[name][i])]
            assert (name in losses) is bool(found)
            if found:
                assert losses[name] == pytest.approx(np.mean([loss for loss, _, _ in found]), rel=1e-4)
        whole = [each for row in rows[name] for each in elements(net, name, kind, row)]
        quality = fitted.quality[name][tasks[list(names).index(name)].primary]
        assert quality == pytest.approx(slow_metric(kind, whole), rel=1e-4)


def elements(
    net: Heads, name: str, kind: str, row: tuple[Tensor, dict[str, Tensor]]
) -> list[tuple[float, float, float]]:
    x, targets = row
    with torch.no_grad():
        return slow_elements(kind, net.answer(x[None], name)[0], targets.get(name))


class Constant(nn.Module):
    """Answers each task by a number of its own, whatever it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.ParameterDict({task: nn.Parameter(torch.zeros(())) for task in "abc"})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {task: value.expand(len(x)) for task, value in self.values.items()}


def test_a_third_of_the_samples_without_a_third_of_the_labels_by_hand() -> None:
    targets = [{"a": 1.0, "b": 2.0, "c": 3.0} for _ in range(6)]
    del targets[0]["a"], targets[3]["b"]
    targets[4] = {"a": 4.0, "b": 5.0, "c": 6.0}
    rows = [(torch.zeros(1), {task: torch.tensor(each) for task, each in row.items()}) for row in targets]
    data = [collate(rows[start : start + 3], tasks := [Regression(name=task) for task in "abc"]) for start in (0, 3)]
    balance = Recorded()
    training = Training(
        optimizer="sgd", momentum=0, lr=0.5, weight_decay=0, steps=2, scheduler="constant", device="cpu"
    )
    fitted = fit(
        Constant(), tasks, data, training=training.model_copy(update={"precision": "32-true"}), balance=balance
    )
    # Each step goes the whole way to the mean of the batch's labels.
    assert balance.steps[0] == {"a": 1.0, "b": 4.0, "c": 9.0}
    assert balance.steps[1] == pytest.approx({"a": (0 + 9 + 0) / 3, "b": (9 + 0) / 2, "c": (0 + 9 + 0) / 3})
    ends = {task: value.item() for task, value in fitted.model.values.items()}  # type: ignore[operator, union-attr]
    assert ends == pytest.approx({"a": (1 + 4 + 1) / 3, "b": (5 + 2) / 2, "c": (3 + 6 + 3) / 3})
    quality = evaluate(Constant(), tasks, data)
    assert {task: each["mae"] for task, each in quality.items()} == pytest.approx(
        {"a": (1 + 1 + 1 + 4 + 1) / 5, "b": (2 * 4 + 5) / 5, "c": (3 * 5 + 6) / 6}
    )


def test_a_missing_target_is_marked_as_the_task_marks_it() -> None:
    tasks = [
        Segmentation(3, name="seg", ignore_index=255),
        Classification(3, name="kind"),
        nw.Depth(),
        nw.SurfaceNormals(),
        nw.Heatmap(),
        Regression(name="age"),
    ]
    like = {
        "seg": torch.zeros(2, 2, dtype=torch.uint8),
        "kind": 2,
        "depth": torch.ones(1, 2, 2),
        "normals": torch.ones(3, 2, 2),
        "heatmap": torch.ones(1, 2, 2, dtype=torch.float16),
        "age": np.float32(3.0),
    }
    answers = {"seg": torch.zeros(2, 3, 2, 2), "kind": torch.zeros(2, 3), "age": torch.zeros(2)}
    answers |= {"depth": torch.zeros(2, 1, 2, 2), "normals": torch.ones(2, 3, 2, 2), "heatmap": torch.zeros(2, 1, 2, 2)}
    x, targets = collate([(torch.zeros(1), like), (torch.zeros(1), {"age": None})], tasks)
    assert x.shape == (2, 1)
    assert (targets["seg"].dtype, targets["heatmap"].dtype) == (torch.uint8, torch.float16)
    for task in tasks:
        assert task.labelled_part(answers[task.name], targets[task.name]).samples == 1, task.name
    (alone,) = [collate([(torch.zeros(1), like)] * 2, tasks)[1]]
    for task in tasks:
        assert torch.equal(alone[task.name][:1], targets[task.name][:1])


def test_a_mark_that_the_type_does_not_hold_widens_it() -> None:
    classes = Classification(3, name="kind", ignore_index=-1)
    rows = [(torch.zeros(1), {"kind": torch.tensor(2, dtype=torch.uint8)}), (torch.zeros(1), {})]
    assert collate(rows, [classes])[1]["kind"].tolist() == [2, -1]


def users_task(**more: Any) -> Task:
    from torchmetrics.classification import BinaryAccuracy

    return Task(
        "smiling",
        loss=lambda pred, target: nn.functional.binary_cross_entropy_with_logits(pred, target.float()),
        metrics={"accuracy": BinaryAccuracy()},
        primary="accuracy",
        **more,
    )


def test_a_users_task_knows_its_mark_by_its_own_function() -> None:
    rows = [(torch.zeros(1), {"smiling": 1}), (torch.zeros(1), {"other": 3})]
    with pytest.raises(DataError, match=r"no target for smiling, and its targets \(torch.int64\) have no value that"):
        collate(rows, [users_task()])
    _, targets = collate(rows, [users_task(labelled=lambda target: target >= 0)])
    assert {key: value.tolist() for key, value in targets.items()} == {"smiling": [1, -1]}
    _, targets = collate(rows[:1] * 2, [])
    assert targets["smiling"].tolist() == [1, 1]


def test_samples_with_keywords_are_stacked_too() -> None:
    rows: Any = [(Example(torch.ones(3) * i, mask=np.ones(2), scale=2.0, task="a"), {}) for i in range(2)]
    x, _ = collate(rows)
    assert (x.args[0].shape, x.kwargs["mask"].shape, x.kwargs["scale"], x.kwargs["task"]) == ((2, 3), (2, 2), 2.0, "a")
    with pytest.raises(DataError, match="one batch are called with 'a' and 'b'; give values that differ as tensors"):
        collate([rows[0], (Example(torch.ones(3), mask=np.ones(2), scale=2.0, task="b"), {})])


@pytest.mark.parametrize(
    "inputs",
    [
        (Example(torch.ones(1)), Example(torch.ones(1), scale=2.0)),
        (Example(torch.ones(1), scale=2.0), Example(torch.ones(1))),
        ((torch.ones(1),), (torch.ones(1), torch.ones(1))),
    ],
)
def test_samples_that_are_called_differently_are_refused(inputs: Any) -> None:
    with pytest.raises(DataError, match="called with different inputs: .*; give every sample the same ones"):
        collate([(each, {}) for each in inputs])


def test_a_task_that_no_sample_of_a_batch_has_is_missing_from_it() -> None:
    assert collate([(torch.zeros(1), {}), (torch.zeros(1), {"age": None})], [Regression(name="age")])[1] == {}


def test_an_epoch_without_labels_of_a_task_is_told() -> None:
    tasks = [Regression(name=task) for task in "abc"]
    whole = (torch.zeros(2, 1), {task: torch.ones(2) for task in "abc"})
    short = (torch.zeros(2, 1), {task: torch.ones(2) for task in "ab"})

    class Changing:
        epoch = 0

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[Any]:
            return iter([short if self.epoch == 1 else whole])

    fitted = fit(Constant(), tasks, Changing(), training=Training(**FREEZING, epochs=3))
    assert fitted.notes == ("epoch 1 had no label for c",)
    with pytest.raises(TrainingError, match="no label came in the first epoch for c"):
        fit(Constant(), tasks, [short], training=Training(**FREEZING, epochs=3))


def test_data_by_task_that_lacks_a_task_is_refused_at_once() -> None:
    tasks = [Regression(name=task) for task in "abc"]
    batch = (torch.zeros(2, 1), torch.ones(2))
    with pytest.raises(DataError, match="there is no data for c; data by task was given for: a, b, d"):
        fit(Constant(), tasks, {"a": [batch], "b": [batch], "d": [batch]}, training=Training(**FREEZING, steps=1))
    with pytest.raises(ContractError, match="two tasks are named 'a'"):
        fit(Constant(), [*tasks, tasks[0]], {}, training=Training(**FREEZING, steps=1))
