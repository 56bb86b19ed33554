import pytest
import torch
from torch import Tensor

from niwaki.contract import Example, answers, read_batch
from niwaki.errors import DataError
from niwaki.tasks import Regression
from niwaki.train.batch import relocate
from niwaki.train.samples import first_example
from niwaki.train.streams import ReadyBatches

X, Y = torch.zeros(2, 3), torch.ones(2)


def test_one_call_serves_all_tasks() -> None:
    batch = read_batch((X, {"a": Y}), ["a", "b"])
    assert [call.tasks for call in batch.calls] == [("a", "b")]
    assert batch.targets == {"a": Y}
    assert batch.inputs() is X


def test_several_inputs_and_keywords() -> None:
    batch = read_batch((Example(X, scale=2.0), {"a": Y}), ["a"])
    assert answers(lambda x, scale: x + scale, batch)["a"].tolist() == (X + 2).tolist()
    assert isinstance(batch.inputs(), Example)


def test_one_path_for_each_task() -> None:
    batch = read_batch(([Example(X, task=0), Example(X, task=1)], {"a": Y, "b": Y}), ["a", "b"])
    found = answers(lambda x, task: x + task, batch)
    assert (found["a"].max().item(), found["b"].max().item()) == (0.0, 1.0)
    assert len(batch.inputs()) == 2


def test_tasks_with_own_inputs() -> None:
    batch = read_batch({"a": (X, Y), "b": (X + 1, {"b": Y})}, ["a", "b"])
    found = answers(lambda x: {"a": x, "b": x, "more": x}, batch)
    assert (found["a"].max().item(), found["b"].max().item()) == (0.0, 1.0)
    assert set(batch.targets) == {"a", "b"}


def test_outputs_of_no_task_are_left_out_and_a_task_may_be_missing() -> None:
    batch = read_batch((X, {"a": Y}), ["a", "b"])
    assert list(answers(lambda x: {"a": x, "features": x}, batch)) == ["a"]


def test_relocation_reaches_inputs_and_targets() -> None:
    def double(value: object) -> object:
        if isinstance(value, Tensor):
            return value.double()
        if isinstance(value, dict):
            return {key: double(each) for key, each in value.items()}
        return tuple(double(each) for each in value) if isinstance(value, tuple) else value

    batch = read_batch((Example(torch.zeros(1, 2, 3, 4), mask=X), {"a": Y}), ["a"])
    moved = relocate(batch, double, channels_last=True)
    (call,) = moved.calls
    assert call.example.args[0].is_contiguous(memory_format=torch.channels_last)
    assert {call.example.args[0].dtype, call.example.kwargs["mask"].dtype, moved.targets["a"].dtype} == {torch.float64}


def test_nested_inputs_are_laid_out_and_cut_to_one_sample_too() -> None:
    picture, pair = torch.zeros(2, 3, 4, 5), {"low": torch.zeros(2, 3, 2, 2), "high": [torch.zeros(2, 7), X[:1]]}
    inputs = Example(pair, picture, scale=2.0)
    (call,) = relocate(read_batch((inputs, {"a": Y}), ["a"]), lambda value: value, channels_last=True).calls
    low = call.example.args[0]["low"]
    assert low.is_contiguous(memory_format=torch.channels_last)
    assert not low.is_contiguous()
    one = first_example(ReadyBatches([(inputs, {"a": Y})]), [Regression(name="a")])
    assert [tuple(each.shape) for each in one.tensors()] == [(1, 3, 2, 2), (1, 7), (1, 3), (1, 3, 4, 5)]
    assert one.kwargs == {"scale": 2.0}


@pytest.mark.parametrize(
    ("batch", "complaint"),
    [
        (X, "a batch is .* got Tensor"),
        ((X, Y, Y), "got a tuple of 3"),
        ((X, Y), "targets of 2 tasks come as a dict"),
        (([X, X, X], {"a": Y}), "inputs for 3 calls but there are 2 tasks"),
    ],
)
def test_other_batches_are_refused(batch: object, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read_batch(batch, ["a", "b"])
