"""Python code around the layers: sizes in attributes are repaired, sizes in the text are found, scales are noticed."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.surgery.choosing import choose, find, plan_of
from tests.surgery.nets import NETS, image
from torch import Tensor, nn

from niwaki.errors import SurgeryError
from niwaki.graph import Channels
from niwaki.records import Repair
from niwaki.surgery import LiteralSize, cut, find_literal_sizes, plans_of
from niwaki.surgery.attributes import apply_repairs
from niwaki.surgery.kept import Mask


class Body(nn.Module):
    """A stem of 8 channels, something done to them, a head."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.act(self.stem(x)))
        return answer


class Outer(nn.Module):
    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner = Body(act)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.inner(x)
        return answer


def written_view(x: Tensor) -> Tensor:
    return x.view(x.shape[0], 8, 64).view(x.shape)


def written_expand(x: Tensor) -> Tensor:
    return x * x.mean(1, keepdim=True).expand(-1, 8, -1, -1)


def written_slice(x: Tensor) -> Tensor:
    first, second = x[:, :4], x[:, 4:]
    return torch.cat([second, first], 1)


def written_split(x: Tensor) -> Tensor:
    return torch.cat(list(torch.split(x, 4, 1))[::-1], 1)


def planned(model: nn.Module) -> tuple[Channels, Mask]:
    channels = find(model, image())
    removed = choose(channels)
    assert removed.any()
    return channels, removed


@pytest.mark.parametrize("act", [written_view, written_expand, written_slice, written_split])
def test_a_size_in_the_text_is_found_and_can_be_frozen(act: Callable[[Tensor], Tensor]) -> None:
    model = Outer(act).eval()
    channels, removed = planned(model)
    found = find_literal_sizes(model, channels, removed)
    assert {each.module for each in found} == {"inner"}
    assert all(each.old in {4, 8} and each.new is not None and each.new < each.old for each in found)
    assert "module 'inner' has the size" in str(found[0])
    frozen = channels.freeze(np.concatenate([each.classes for each in found]), str(found[0]))
    rest = choose(frozen)
    assert find_literal_sizes(model, frozen, rest) == []
    small = cut(model, plan_of(frozen, rest, image()), channels=frozen)
    assert small(image()).shape == (2, 2, 8, 8)


def test_a_size_in_the_models_own_forward_is_told_so() -> None:
    model = Body(written_view).eval()
    found = find_literal_sizes(model, *planned(model))
    assert found
    assert all(str(each).startswith("the model's own forward has the size 8 written in") for each in found)
    none = np.empty(0, dtype=np.int64)
    assert "the code of the model's own forward can't run" in str(LiteralSize("", "view", None, None, none, "shape"))


@pytest.mark.parametrize("act", [written_view, written_expand])
def test_a_size_in_the_text_is_refused_by_the_cut_with_the_module(act: Callable[[Tensor], Tensor]) -> None:
    model = Outer(act).eval()
    channels, removed = planned(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(SurgeryError, match=r"module 'inner' \(Body\) can't run with the sizes after the cut"):
        cut(model, plan_of(channels, removed, image()), channels=channels, form="module")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_where_nothing_has_a_size_no_trial_is_made() -> None:
    model = Outer(torch.relu).eval()
    channels, removed = planned(model)
    assert find_literal_sizes(model, channels, removed) == []


@pytest.mark.parametrize("name", NETS)
def test_no_net_that_can_be_cut_is_accused(name: str) -> None:
    make, example = NETS[name]
    model = make().eval()
    channels = find(model, example)
    assert find_literal_sizes(model, channels, choose(channels)) == []


def test_an_output_that_changes_shape_is_refused() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            y = self.first(x)
            return {"main": self.last(y), "side": x.new_ones(self.first.out_features)}

    model = Reader().eval()
    example = torch.randn(4, 3)
    channels = find(model, example)
    with pytest.raises(SurgeryError, match=r"output 'side' of the cut model is \(4,\), of the dense one \(8,\)"):
        cut(model, plan_of(channels, choose(channels), example), channels=channels, form="module")


REPAIRS = {
    "raw": [Repair(module="", attribute="width", old=8, new=4)],
    "squeeze": [Repair(module="", attribute="width", old=12, new=6)],
    "sliced": [
        Repair(module="", attribute="parts", old=(4, 8), new=(2, 4)),
        Repair(module="", attribute="bound", old=4, new=2),
    ],
    "attention": [Repair(module="", attribute="width", old=12, new=6)],
    "normed": [
        Repair(module="plain", attribute="num_features", old=10, new=5),
        Repair(module="bare", attribute="normalized_shape", old=(10,), new=(5,)),
    ],
}


@pytest.mark.parametrize("name", NETS)
def test_attributes_are_repaired_and_the_plan_says_so(name: str) -> None:
    make, example = NETS[name]
    model = make().eval()
    channels = find(model, example)
    small = cut(model, plan_of(channels, choose(channels), example), channels=channels)
    assert list(plans_of(small)[0].repairs) == REPAIRS.get(name, [])


def test_repairs_that_do_not_fit_are_refused() -> None:
    model = NETS["raw"][0]()
    with pytest.raises(SurgeryError, match="from 9 to 4, but it is 8"):
        apply_repairs(model, [Repair(module="", attribute="width", old=9, new=4)])
    with pytest.raises(SurgeryError, match="'tail', a module the model does not have"):
        apply_repairs(model, [Repair(module="tail", attribute="width", old=8, new=4)])
