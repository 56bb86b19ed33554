"""Routed models: which they are, and what they are called with."""

from typing import Any

import pytest
from torch import nn

from niwaki.contract import Example, answers, answers_all, is_routed, read_batch, route
from niwaki.errors import DataError


def routed(x: Any, task: Any) -> dict[Any, Any]:
    return {task: x}


def either(x: Any, *, task: str | None = None) -> dict[str, Any]:
    return {each: x for each in ("a", "b") if task in (None, each)}


def first_by_default(x: Any, task: int = 0) -> Any:
    return x + task


class Module(nn.Module):
    def forward(self, x: Any, task: str) -> Any:
        return routed(x, task)


def test_libmtl_calls_the_parameter_task_name() -> None:
    def theirs(inputs: Any, task_name: str | None = None) -> dict[str, Any]:
        return either(inputs, task=task_name)

    assert is_routed(theirs)
    assert answers_all(theirs)
    assert route(theirs, Example(1), "b").call(theirs) == {"b": 1}
    own = Example(1, task_name="a")
    assert route(theirs, own, "b") is own


def test_a_routed_model_has_a_parameter_task() -> None:
    assert [is_routed(each) for each in (routed, either, first_by_default, Module(), nn.ReLU(), abs)] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]
    assert [answers_all(each) for each in (routed, either, first_by_default, nn.ReLU())] == [False, True, False, True]


@pytest.mark.parametrize("given", [Example(1, task=0), Example(1, 0), Example(x=1, task=0)])
def test_a_task_that_the_inputs_hold_stays(given: Example) -> None:
    assert route(routed, given, "a") is given


def test_inputs_that_do_not_fit_are_left_to_the_call() -> None:
    assert repr(route(routed, Example(1, other=2), "a")) == "Example(1, other=2, task='a')"


def test_a_routed_model_is_called_for_the_tasks_with_targets() -> None:
    for model in (routed, Module()):
        batch = read_batch((Example(7), {"a": 1, "b": 2}), ["b", "a"], model)
        assert [(call.tasks, call.example.kwargs) for call in batch.calls] == [
            (("b",), {"task": "b"}),
            (("a",), {"task": "a"}),
        ]
        assert answers(model, batch) == {"b": 7, "a": 7}
    assert [call.tasks for call in read_batch((Example(7), {"a": None, "b": 2}), ["a", "b"], routed).calls] == [("b",)]
    assert read_batch((Example(7), {}), ["a", "b"], routed).calls == ()


def test_one_call_answers_all_where_the_model_can_and_all_have_targets() -> None:
    assert [call.tasks for call in read_batch((Example(7), {"a": 1, "b": 2}), ["a", "b"], either).calls] == [("a", "b")]
    assert [call.tasks for call in read_batch((Example(7), {"a": 1}), ["a", "b"], either).calls] == [("a",)]


def test_of_data_by_task_only_the_tasks_own_target_is_taken() -> None:
    raw = {"b": (Example(2), {"a": -1, "b": 20}), "other": (Example(3), 0), "a": (Example(1), 10)}
    batch = read_batch(raw, ["a", "b"], routed)
    assert batch.targets == {"a": 10, "b": 20}
    assert [call.example.args for call in batch.calls] == [(1,), (2,)]
    assert read_batch({"b": (Example(2), {"a": -1})}, ["a", "b"]).targets == {}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"c": (Example(1), 1)}, "a batch by task holds c; expected .* one task: a, b"),
        ({}, "a batch by task holds nothing"),
        ({"a": ([Example(1), Example(2)], 1)}, "several inputs for a; give one: a tensor"),
    ],
)
def test_other_batches_by_task_are_refused(raw: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_batch(raw, ["a", "b"], routed)


@pytest.mark.parametrize("raw", [{"a": (Example(1), 10), "b": (Example(2), {"b": 20})}, {"b": (Example(2), 20)}])
def test_a_batch_read_can_be_given_again(raw: Any) -> None:
    once = read_batch(raw, ["a", "b"], routed)
    again = read_batch(once.given(), ["a", "b"], routed)
    assert again.targets == once.targets
    assert [(repr(call.example), call.tasks) for call in again.calls] == [
        (repr(call.example), call.tasks) for call in once.calls
    ]
