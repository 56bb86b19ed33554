from typing import Any

import pytest
import torch

from niwaki.contract import name_outputs, name_path_outputs
from niwaki.errors import ContractError

T = torch.zeros(1)


def test_the_three_forms() -> None:
    assert name_outputs({"a": T, "extra": T}, ["a"]) == {"a": T, "extra": T}
    assert name_outputs([T, T], ["a", "b"]) == {"a": T, "b": T}
    assert name_outputs(T, ["a"]) == {"a": T}


def test_without_tasks_each_output_is_one() -> None:
    assert list(name_outputs((T, T))) == ["output0", "output1"]
    assert list(name_outputs(T)) == ["output"]


@pytest.mark.parametrize(
    ("output", "names", "message"),
    [
        ((T, T), ["a"], r"returned 2 outputs for 1 tasks \(a\)"),
        (T, ["a", "b"], "returned one tensor for 2 tasks"),
        ({0: T}, None, "got the key 0"),
        (3, None, "got int"),
    ],
)
def test_anything_else_is_refused(output: Any, names: list[str] | None, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        name_outputs(output, names)


def test_of_several_paths_that_return_one_tensor_each_path_answers_its_task() -> None:
    assert list(name_path_outputs(T, ["a", "b"], 1, 2)) == ["b"]
    assert list(name_path_outputs(T, None, 1, 2)) == ["output1"]
    assert list(name_path_outputs({"a": T}, ["a", "b"], 1, 2)) == ["a"]
    assert list(name_path_outputs(T, ["a"], 0, 1)) == ["a"]
    with pytest.raises(ContractError, match="returned one tensor for 3 tasks"):
        name_path_outputs(T, ["a", "b", "c"], 0, 2)
