"""Runs that share a model's parameters, and cuts that copy only what stays, leave the model as it was."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from tests.surgery.choosing import choose, find, plan_of
from tests.surgery.nets import Concat, Residual, image
from torch import Tensor, nn

from niwaki.graph import trace, written
from niwaki.surgery import cut
from niwaki.surgery.batchnorm import settled_statistics
from niwaki.surgery.drift import find_drift
from niwaki.surgery.kept import Kept
from niwaki.surgery.rehearsal import BLOCK, lent, randomised
from niwaki.surgery.silence import Oracle, own_tensors
from niwaki.surgery.tensors import aliases, kept_along, named_tensors


class Clamping(nn.Module):
    """Writes into a weight of its own at every call, through a view, and into another directly."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.first.weight[:4].clamp_(-0.1, 0.1)
            self.last.bias.mul_(0.5)
        answer: Tensor = self.last(self.first(x))
        return answer


def test_what_a_program_writes_into_is_told() -> None:
    (program,) = trace(Clamping(), torch.rand(2, 3)).programs
    assert written(program) == {"first.weight", "last.bias"}
    (quiet,) = trace(nn.Linear(3, 2), torch.rand(2, 3)).programs
    assert written(quiet) == frozenset()


def test_a_lent_copy_shares_what_is_only_read() -> None:
    model = Clamping()
    (program,) = trace(model, torch.rand(2, 3)).programs
    twin = lent(model, program)
    shared = {name for name, each in twin.named_parameters() if each.data_ptr() == model.get_parameter(name).data_ptr()}
    assert shared == {"first.bias", "last.weight"}


@pytest.mark.parametrize("make", [Clamping, Concat, Residual])
def test_a_cut_leaves_the_model_alone_and_shares_no_memory_with_it(make: Any) -> None:
    model, example = make().eval(), torch.rand(2, 3) if make is Clamping else image()
    before = copy.deepcopy(model.state_dict())
    channels = find(model, example)
    small = cut(model, plan_of(channels, choose(channels), example), channels=channels)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    memory = {each.untyped_storage().data_ptr() for each in named_tensors(model).values()}
    assert memory.isdisjoint(each.untyped_storage().data_ptr() for each in named_tensors(small).values())


def test_aliases_leave_out_what_has_a_type_of_its_own() -> None:
    class Marked(nn.Parameter):
        pass

    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[0].weight = Marked(torch.zeros(2, 2))
    names = ["0.weight", "0.bias", "1.running_mean"]
    found = aliases(model, names)
    assert set(found) == {id(model[0].bias), id(model[1].running_mean)}
    assert type(found[id(model[0].bias)]) is nn.Parameter


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.bool, torch.int64])
@pytest.mark.parametrize("shape", [(8, 6, 3, 3), (5,), (4, 7), (2, 3, 4, 5, 6), (1, 8, 20, 20)])
def test_silence_is_zero_whatever_was_there(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    generator = np.random.default_rng(0)
    values = (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    if dtype.is_floating_point:
        values.view(-1)[0], values.view(-1)[-1] = float("nan"), float("inf")
    removed = generator.random(9) < 0.5
    removed[0] = False
    kept = Kept(tuple(generator.integers(0, 9, size) for size in shape), removed)
    slow = values.clone()
    for dim in kept.touched():
        slow.index_fill_(dim, torch.tensor(kept.gone(dim)), 0)
    before = values.clone()
    assert torch.equal(kept.silence(values).nan_to_num(7.0), slow.nan_to_num(7.0))
    assert torch.equal(values.nan_to_num(7.0), before.nan_to_num(7.0))
    assert kept.silence_(values) is values
    assert torch.equal(values.nan_to_num(7.0), slow.nan_to_num(7.0))


def test_complex_numbers_are_silenced_in_both_parts() -> None:
    kept = Kept((np.array([0, 1]), None), np.array([False, True]))
    values = torch.ones(2, 2, dtype=torch.complex128) * (1 + 2j)
    assert kept.silence(values).tolist() == [[1 + 2j, 1 + 2j], [0, 0]]


def test_statistics_settle_on_each_channel_where_it_has_enough_values() -> None:
    values = (
        torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(0))
        * torch.tensor([0.01, 1, 2, 3])[:, None, None]
    )
    mean, var = settled_statistics(values)
    slow = [values[:, channel].flatten() for channel in range(4)]
    spread = torch.stack([each.var(correction=0) for each in slow])
    torch.testing.assert_close(mean, torch.stack([each.mean() for each in slow]))
    torch.testing.assert_close(var, spread.clamp(min=spread.mean().item() + 1e-6))
    few = values[:, :, :1, :1]
    mean, var = settled_statistics(few)
    torch.testing.assert_close(mean, few.mean().expand(4))
    torch.testing.assert_close(var, few.var(correction=0).expand(4), atol=2e-6, rtol=0)


def test_an_oracle_takes_what_is_silent_already() -> None:
    model, example = Residual().eval(), image()
    channels = find(model, example)
    removed, program = choose(channels), channels.traced.eval_programs[0]
    silent = {
        name: Kept(channels.tensors[name], removed).silence(tensor) if name in channels.tensors else tensor
        for name, tensor in own_tensors(program).items()
    }
    plain, ready = Oracle(program, channels, removed), Oracle(program, channels, removed, silent=silent)
    inputs = program.example
    assert all(map(torch.equal, plain.answers(inputs), ready.answers(inputs)))
    settling = Oracle(program, channels, removed, silent=silent, settle=True)
    settling.answers(inputs)
    norms = {name for name in own_tensors(program) if name.endswith(("running_mean", "running_var"))}
    assert settling.settled.keys() == norms
    assert not plain.settled


def test_large_weights_repeat_what_was_drawn_but_no_two_rows_are_the_same() -> None:
    model = nn.Linear(5000, 300, bias=False)
    weight, again = (randomised(model, 0).get_parameter("weight") for _ in range(2))
    assert weight.numel() > BLOCK
    assert len({tuple(row[:8].tolist()) for row in weight}) == 300
    assert weight.std().item() == pytest.approx(1.4 / 5000**0.5, rel=0.01)
    assert torch.equal(weight, again)


def test_a_number_may_be_a_parameter() -> None:
    class Gained(nn.Linear):
        def __init__(self) -> None:
            super().__init__(3, 2)
            self.gain = nn.Parameter(torch.zeros(()))

    made = randomised(Gained(), 0).get_parameter("gain")
    assert made.shape == ()
    assert 0.5 <= made.item() <= 1.5


def test_positions_that_stay_are_told_as_plain_integers() -> None:
    found = kept_along(4, iter([1, 3]))
    assert found == [0, 2]
    assert all(type(each) is int for each in found)


class Counting(nn.Module):
    """Counts how often it runs."""

    def __init__(self, *, scaled: bool) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)
        self.scaled, self.calls = scaled, [0]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Counting":
        twin = Counting(scaled=self.scaled)
        twin.load_state_dict(self.state_dict())
        twin.calls = self.calls
        return twin.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        self.calls[0] += 1
        y = self.norm(self.first(x))
        answer: Tensor = self.last(y * 0.5 if self.scaled else y)
        return answer


@pytest.mark.parametrize(("scaled", "runs"), [(False, 0), (True, 1)])
def test_numbers_are_looked_at_only_where_code_hands_some_over(scaled: bool, runs: int) -> None:
    model = Counting(scaled=scaled).eval()
    channels = find(model, torch.rand(2, 3))
    model.calls[0] = 0
    assert find_drift(model, copy.deepcopy(model), channels, channels.removable & False) == []
    assert model.calls[0] == runs


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_statistics_settle_in_the_type_that_holds_them(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 2, 1)).to(dtype).eval()
    nn.init.zeros_(model[1].get_parameter("weight"))
    example = image().to(dtype)
    channels = find(model, example)
    small = cut(model, plan_of(channels, choose(channels), example), channels=channels)
    assert {each.dtype for each in small.parameters()} == {dtype}


class Normed(nn.Module):
    """Normalises a parameter itself, with statistics that are plain tensors beside those of a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.norm = nn.Parameter(torch.zeros(6, 8)), nn.BatchNorm1d(8)
        self.mean, self.var = torch.zeros(8), torch.ones(8)
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        shifted = nn.functional.batch_norm(self.norm(self.query), self.mean, self.var)
        answer: Tensor = self.last(self.first(x) + shifted.mean(0))
        return answer


def test_a_norm_of_a_parameter_settles_too() -> None:
    model, example = Normed().eval(), torch.rand(4, 3)
    channels = find(model, example)
    small = cut(model, plan_of(channels, choose(channels), example), channels=channels)
    assert small(example).shape == (4, 2)


class Overwriting(nn.Module):
    """Writes into its input, and changes the input's shape in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x += 1
        answer: Tensor = self.last(self.first(x.unsqueeze_(0)))
        return answer


def test_an_input_that_a_forward_writes_into_is_left_alone() -> None:
    model, example = Overwriting().eval(), torch.rand(4, 3)
    before = example.clone()
    channels = find(model, example)
    cut(model, plan_of(channels, choose(channels), example), channels=channels)
    assert torch.equal(example, before)
    assert torch.equal(channels.traced.programs[0].example.args[0], before)
