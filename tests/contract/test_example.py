import pickle
from collections import UserDict
from typing import Any

import pytest
import torch

from niwaki.contract import Example, as_examples, describe_example
from niwaki.errors import ContractError


def test_one_tensor_a_tuple_and_a_list_become_examples() -> None:
    x = torch.zeros(1, 3)
    assert as_examples(x)[0].args == (x,)
    assert as_examples((x, 2))[0].args == (x, 2)
    several = as_examples([Example(x, task=0), (x,)])
    assert [each.kwargs for each in several] == [{"task": 0}, {}]


def test_an_example_calls_a_model() -> None:
    assert Example(3, exponent=2).call(lambda base, exponent: base**exponent) == 9


def test_an_example_does_not_change() -> None:
    example = Example(1)
    with pytest.raises(ContractError, match="does not change"):
        example.args = (2,)


def test_an_example_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(Example(1, task=2))).kwargs == {"task": 2}


@pytest.mark.parametrize(("value", "message"), [([], "the list of examples is empty"), ("x", "got str")])
def test_anything_else_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        as_examples(value)


def test_it_is_described_as_plain_data() -> None:
    example = Example(torch.zeros(2, 3), (torch.zeros(1, dtype=torch.int64), None), flags={"a": [True]})
    assert describe_example(example) == {
        "args": [
            {"shape": [2, 3], "dtype": "float32"},
            {"tuple": [{"shape": [1], "dtype": "int64"}, {"value": None}]},
        ],
        "kwargs": {"flags": {"dict": {"a": {"list": [{"value": True}]}}}},
    }
    assert "float32[2, 3]" in repr(example)


def test_what_is_not_plain_is_refused() -> None:
    with pytest.raises(ContractError, match="holds tensors and plain values .* got object"):
        describe_example(Example(object()))


def test_tensors_are_found_and_changed_wherever_they_are_nested() -> None:
    x, y = torch.zeros(4, 3), torch.ones(2)
    example = Example(2, [x, (y, None)], views={"left": x})
    assert [each.data_ptr() for each in example.tensors()] == [x.data_ptr(), y.data_ptr(), x.data_ptr()]
    changed = example.map(lambda tensor: tensor + 1)
    assert changed.args[0] == 2
    assert changed.args[1][1][0].tolist() == [2.0, 2.0]
    assert changed.kwargs["views"]["left"].sum() == 12
    assert x.sum() == 0


def test_any_mapping_is_looked_into() -> None:
    changed = Example(UserDict(x=torch.zeros(2))).map(lambda tensor: tensor + 1)
    assert changed.args[0]["x"].tolist() == [1.0, 1.0]


def test_the_batch_is_the_first_tensors_first_dimension() -> None:
    assert Example(torch.tensor(3.0), torch.zeros(5, 2)).batch == 5
    assert Example(1).batch is None
