from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from niwaki.contract import Example
from niwaki.data import Augment, Augmented
from niwaki.errors import DataError
from niwaki.train import Training
from niwaki.train.by_task import TaskBatches
from niwaki.train.collate import collate
from niwaki.train.loader import DatasetBatches, open_batches
from niwaki.train.order import Order, sample_order
from niwaki.train.streams import ReadyBatches


class Numbers:
    """Sample i holds the number i, and what the index was."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        return torch.tensor(float(index)), {"age": torch.tensor(float(index))}


class ByEpoch(Numbers):
    epoch_indexed = True


class Random(Numbers):
    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        return torch.rand(()), {"age": torch.tensor(float(index))}


class RandomByEpoch(Random):
    """Draws in the collating too."""

    epoch_indexed = True

    @staticmethod
    def collate_fn(samples: list[Any]) -> Any:
        x, targets = collate(samples)
        return x + torch.rand(()), targets


def training(**more: Any) -> Training:
    return Training(**{"epochs": 1, "batch_size": 3, "seed": 5, **more})


def values(batches: Iterator[Any]) -> list[list[float]]:
    return [x.tolist() for x, _ in batches]


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 5), st.booleans())
def test_an_order_taken_up_anywhere_goes_on_as_it_would_have(
    count: int, size: int, epoch: int, drop_last: bool
) -> None:
    order = Order(count, size, 3, drop_last=drop_last)
    order.epoch = epoch
    whole = list(order)
    assert len(whole) == len(order)
    seen = [index for batch in whole for _, index in batch]
    assert len(set(seen)) == len(seen) == (count // size * size if drop_last else count)
    for start in range(len(whole) + 1):
        order.start = start
        assert list(order) == whole[start:]


def test_order_depends_on_seed_and_epoch() -> None:
    orders = [tuple(sample_order(50, seed, epoch)) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9
    assert tuple(sample_order(50, 2, 2)) == orders[-1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_set_is_shuffled_and_resumable(workers: int) -> None:
    batches = DatasetBatches(Numbers(10), training(num_workers=workers), shuffle=True)
    assert batches.count == 3
    for epoch in range(2):
        whole = values(batches.iterate(epoch))
        assert [x for batch in whole for x in batch] == [float(i) for i in sample_order(10, 5, epoch)[:9]]
        assert values(batches.iterate(epoch, 1)) == whole[1:]


def test_without_shuffling_nothing_is_left_out() -> None:
    batches = DatasetBatches(Numbers(4), training(), shuffle=False)
    assert values(batches.iterate(0)) == [[0.0, 1.0, 2.0], [3.0]]


def test_a_data_set_smaller_than_a_batch_is_one_batch() -> None:
    assert len(values(DatasetBatches(Numbers(2), training(), shuffle=True).iterate(0))[0]) == 2


def test_epoch_indexed_data_is_told_the_epoch() -> None:
    batches = DatasetBatches(ByEpoch(10), training(), shuffle=False)
    assert values(batches.iterate(2))[0] == [20.0, 21.0, 22.0]


def test_augmented_data_is_told_the_epoch(make_squares: Callable[..., Any]) -> None:
    augmented = Augmented(
        make_squares(4), Augment(mirror=0.5), seed=1, kinds={"depth": "depth", "segmentation": "segmentation"}
    )
    batches = DatasetBatches(augmented, training(batch_size=1), shuffle=False)
    for epoch in (0, 3):
        for index, (x, _) in enumerate(batches.iterate(epoch)):
            assert torch.equal(x[0], augmented[epoch * 4 + index][0])


def test_random_samples_of_workers_repeat() -> None:
    batches = DatasetBatches(Random(6), training(num_workers=2), shuffle=True)
    first = values(batches.iterate(1))
    assert values(batches.iterate(1)) == first
    assert values(batches.iterate(1, 1)) == first[1:]
    assert values(batches.iterate(2)) != first


@pytest.mark.parametrize("dataset", [Random, RandomByEpoch])
def test_random_samples_are_the_same_with_any_number_of_workers(dataset: type[Random]) -> None:
    found = []
    for workers in (0, 1, 2):
        batches = DatasetBatches(dataset(6), training(num_workers=workers, batch_size=2), shuffle=True)
        torch.manual_seed(workers)
        before = torch.get_rng_state()
        found.append([x for epoch in range(2) for batch in values(batches.iterate(epoch)) for x in batch])
        assert next(batches.peek())[0].tolist() == found[-1][:2]
        assert torch.equal(before, torch.get_rng_state())
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == 12


def test_loading_draws_nothing_from_the_global_generator() -> None:
    before = torch.get_rng_state()
    assert values(DatasetBatches(Numbers(6), training(), shuffle=True).iterate(0))
    assert torch.equal(before, torch.get_rng_state())


def test_calibration_does_not_disturb_the_epoch() -> None:
    batches = DatasetBatches(Numbers(9), training(), shuffle=True)
    stream = batches.iterate(1)
    first = next(stream)[0].tolist()
    assert values(islice(batches.peek(), 2)) == values(batches.iterate(0))[:2]
    assert [first, *values(stream)] == values(batches.iterate(1))


def test_own_batches_are_skipped_when_asked_for() -> None:
    seen = []

    class Watched(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            for each in range(4):
                seen.append(each)
                yield each

    batches = ReadyBatches(Watched([0, 1, 2, 3]), keep=3)
    assert list(batches.peek()) == [0, 1, 2, 3]
    seen.clear()
    stream = batches.iterate(0, 2)
    assert seen == [0, 1, 2]  # read ahead
    assert list(stream) == [2, 3]
    assert list(batches.peek()) == [0, 1, 2]
    assert list(ReadyBatches([5, 6, 7]).iterate(0, 1)) == [6, 7]


def test_own_loaders_are_told_the_epoch_and_keep_their_generator() -> None:
    class Sampler:
        def __init__(self) -> None:
            self.epochs: list[int] = []

        def set_epoch(self, epoch: int) -> None:
            self.epochs.append(epoch)

        def __iter__(self) -> Iterator[int]:
            return iter([0, 1])

    sampler = Sampler()
    loader = DataLoader(TensorDataset(torch.arange(2.0)), sampler=sampler)
    assert list(ReadyBatches(loader).iterate(7)) is not None
    assert sampler.epochs == [7]
    loader = DataLoader(TensorDataset(torch.arange(8.0)), shuffle=True, generator=torch.Generator().manual_seed(1))
    batches = ReadyBatches(loader)
    first = [each[0].item() for each in batches.iterate(0)]
    resumed = batches.resume(batches.state(), 0, 3)
    assert [each[0].item() for each in resumed] == first[3:]


@pytest.mark.parametrize("start", range(6))
def test_tasks_with_own_data_go_side_by_side(start: int) -> None:
    data = {"a": [(i, i) for i in range(2)], "b": DataLoader(Numbers(5), None)}  # type: ignore[arg-type]  # a double
    batches = open_batches(data, training(), shuffle=True)
    assert isinstance(batches, TaskBatches)
    assert batches.count == 5
    whole = [(batch["a"][0], batch["b"][0].item()) for batch in batches.iterate(0)]
    assert whole == [(0, 0.0), (1, 1.0), (0, 2.0), (1, 3.0), (0, 4.0)]
    again = [(batch["a"][0], batch["b"][0].item()) for batch in batches.iterate(0, start)]
    assert again == whole[start:]


def test_tasks_with_own_data_calibrate_together() -> None:
    batches = open_batches({"a": Numbers(6), "b": Numbers(9)}, training(), shuffle=True)
    found = [{task: x.tolist() for task, (x, _) in batch.items()} for batch in batches.peek()]
    assert [batch["b"] for batch in found] == values(open_batches(Numbers(9), training(), shuffle=True).iterate(0))
    assert found[2]["a"] == found[0]["a"] != found[1]["a"], "the shorter one begins again"


def test_an_iterable_data_set_with_a_length_is_an_iterable_of_batches() -> None:
    class Stream(IterableDataset[int]):
        def __len__(self) -> int:
            return 3

        def __iter__(self) -> Iterator[int]:
            return iter(range(3))

    batches = open_batches(Stream(), training(), shuffle=True)
    assert isinstance(batches, ReadyBatches)
    assert (batches.count, list(batches.iterate(0))) == (3, [0, 1, 2])


def test_several_inputs_stay_one_call() -> None:
    x, targets = collate([((torch.zeros(2), torch.ones(1)), {"age": torch.zeros(())})] * 3)
    assert isinstance(x, Example)
    assert [tuple(each.shape) for each in x.args] == [(3, 2), (3, 1)]
    assert tuple(targets["age"].shape) == (3,)


def test_data_that_can_not_be_used_is_refused() -> None:
    with pytest.raises(DataError, match="the data set is empty"):
        open_batches(Numbers(0), training(), shuffle=True)
    with pytest.raises(DataError, match="iterated only once"):
        open_batches(iter([1, 2]), training(), shuffle=True)
    with pytest.raises(DataError, match="got int"):
        open_batches(3, training(), shuffle=True)
    with pytest.raises(DataError, match="without one: b"):
        open_batches({"a": Numbers(4), "b": map_without_length()}, training(), shuffle=True)
    with pytest.raises(DataError, match="holds no batch for: b"):
        open_batches({"a": Numbers(4), "b": []}, training(), shuffle=True)
    with pytest.raises(DataError, match="a sample is"):
        collate([torch.zeros(1)])


def map_without_length() -> Any:
    class Endless:
        def __iter__(self) -> Iterator[int]:
            return iter(range(3))

    return Endless()
