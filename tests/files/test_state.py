import math
import random
import struct
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from niwaki.errors import FileError
from niwaki.files import load_state, save_state
from niwaki.files.container import write_container


def same(one: Any, other: Any) -> bool:  # noqa: PLR0911 - one line for each kind
    """Compare nested data with types, bit for bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        same_form = one.dtype == other.dtype and one.shape == other.shape and one.stride() == other.stride()
        return bool(same_form and one.numpy(force=True).tobytes() == other.numpy(force=True).tobytes())
    if isinstance(one, np.ndarray | np.generic):
        return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one.items(), other.items(), strict=True))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def round_trip(folder: Path, state: Any) -> Any:
    save_state(folder / "state.safetensors", state)
    return load_state(folder / "state.safetensors")


tensors = st.builds(
    lambda shape, dtype, seed: (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 9).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from([torch.float32, torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool]),
    st.integers(0, 99),
)
keys = st.one_of(
    st.text(max_size=5), st.integers(), st.booleans(), st.none(), st.tuples(st.integers(), st.text(max_size=2))
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.complex_numbers(allow_nan=False),
    tensors,
)
states = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.dictionaries(st.sampled_from(["tensor", "dict", "tuple", "bytes"]), inner, max_size=2),
    ),
    max_leaves=12,
)


@given(states)
def test_any_nested_state_comes_back(tmp_path_factory: pytest.TempPathFactory, state: Any) -> None:
    assert same(round_trip(tmp_path_factory.mktemp("state"), state), state)


@pytest.mark.parametrize(
    "state",
    [
        random.Random(3).getstate(),
        np.random.RandomState(3).get_state(),
        np.random.default_rng(3).bit_generator.state,
        torch.Generator().manual_seed(3).get_state(),
        OrderedDict([("b", 1), ("a", 2)]),
        Counter([30, 30, 60]),
        {1, 2},
        frozenset({"a"}),
        torch.Size([2, 3]),
        torch.bfloat16,
        torch.device("cpu"),
        np.float32(0.1),
        np.array(["a", "bc"]),
        np.zeros((0, 3), dtype=np.int16),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        torch.complex(torch.rand(3), torch.rand(3)).to(torch.complex128),
        torch.tensor([float("nan"), -0.0]),
        "\ud800 lone",
        2**200,
    ],
    ids=lambda each: type(each).__name__,
)
def test_single_values_come_back(tmp_path: Path, state: Any) -> None:
    assert same(round_trip(tmp_path, state), state)


def test_element_types_numpy_does_not_know(tmp_path: Path) -> None:
    for dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.complex64):
        tensor = torch.rand(5).to(dtype)
        found = round_trip(tmp_path, tensor)
        assert found.dtype == dtype
        assert torch.equal(found.view(torch.uint8) if not dtype.is_complex else found, _bits(tensor))


def _bits(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_complex() else tensor.view(torch.uint8)


def test_an_optimizer_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    def train(steps: int, model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Any) -> None:
        for step in range(steps):
            optimizer.zero_grad()
            model(torch.full((2, 3), 0.1 * step)).square().sum().backward()
            optimizer.step()
            scheduler.step()

    def fresh() -> tuple[nn.Module, torch.optim.Optimizer, Any]:
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, amsgrad=True)
        return model, optimizer, torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 5])

    straight = fresh()
    train(3, *straight)
    save_state(tmp_path / "s", [each.state_dict() for each in straight])
    train(4, *straight)
    resumed = fresh()
    for each, state in zip(resumed, load_state(tmp_path / "s"), strict=True):
        each.load_state_dict(state)
    train(4, *resumed)
    for one, other in zip(straight[0].parameters(), resumed[0].parameters(), strict=True):
        assert torch.equal(one, other)
    assert straight[2].get_last_lr() == resumed[2].get_last_lr()


def test_one_tensor_in_two_places_stays_one_and_views_stay_apart(tmp_path: Path) -> None:
    base = torch.arange(6.0)
    found = round_trip(tmp_path, {"a": base, "b": base, "view": base[2:4]})
    assert found["a"] is found["b"]
    assert torch.equal(found["view"], base[2:4])
    found["view"].zero_()
    assert torch.equal(found["a"], base)


def test_tensors_lose_their_gradients_only(tmp_path: Path) -> None:
    weight = nn.Parameter(torch.rand(3))
    found = round_trip(tmp_path, weight)
    assert type(found) is Tensor
    assert not found.requires_grad
    assert torch.equal(found, weight.detach())


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"run": [1, {"net": nn.Linear(1, 1)}]}, r"state\.run\[1\]\.net is a Linear"),
        ((lambda: 0,), r"state\[0\] is a function"),
        ({object(): 1}, r"a key of state is a object"),
        (np.array([None]), "state is a ndarray"),
        (torch.eye(3).to_sparse(), "state is a torch.sparse_coo or quantised tensor"),
    ],
)
def test_what_has_no_form_is_refused_with_its_place(tmp_path: Path, state: Any, message: str) -> None:
    with pytest.raises(FileError, match=message):
        save_state(tmp_path / "state.safetensors", state)
    assert list(tmp_path.iterdir()) == []


def test_a_kind_of_value_from_a_newer_niwaki(tmp_path: Path) -> None:
    write_container(tmp_path / "s", "state", {}, {"content": {"quaternion": [1, 2, 3, 4]}, "forms": {}})
    with pytest.raises(FileError, match="kind 'quaternion'.*upgrade"):
        load_state(tmp_path / "s")
