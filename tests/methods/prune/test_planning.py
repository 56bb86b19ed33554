"""Plans: what they ask for, reach, keep and say; prune is plan and cut."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from niwaki.contract import Example
from niwaki.errors import BudgetError, ContractError, SettingError, SurgeryError
from niwaki.graph import Channels
from niwaki.measure import measure
from niwaki.methods.prune import Magnitude, RandomScore, plan, prune
from niwaki.methods.prune.criteria import Scores
from niwaki.settings import Budget
from niwaki.surgery import plans_of

Make = Callable[[], nn.Module]
Size = Callable[..., tuple[int, int]]


class Wide(nn.Module):
    """Widths that are many rounding steps, a grouped layer, a skip and a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 64, 3, padding=1)
        self.b = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1, groups=8), nn.BatchNorm2d(64))
        self.c = nn.Conv2d(128, 96, 1)
        self.d = nn.Conv2d(96, 96, 3, padding=1, groups=96)
        self.small = nn.Conv2d(96, 6, 1)
        self.one, self.two = nn.Conv2d(96, 4, 1), nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a = F.relu(self.a(x))
        c = F.relu(self.d(self.c(torch.cat([a, self.b(a) + a], 1))))
        return self.one(c), self.two(F.relu(self.small(c)))


def width(model: nn.Module, name: str) -> int:
    return len(model.get_parameter(f"{name}.weight"))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_every_dimension_keeps_the_asked_share(example: Tensor, share: float) -> None:
    net = Wide()
    small = prune(net, example, channels=share)
    (made,) = plans_of(small)
    assert made.reached["channels"] == share
    tensors = dict(net.named_parameters())
    whole = {name for group in made.groups if group.reason for name in (piece.tensor for piece in group.slices)}
    for (name, dim), positions in made.removed_positions().items():
        if name in tensors and name not in whole:
            assert len(positions) == (1 - share) * tensors[name].shape[dim], name


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("kind", ["params", "macs"])
@pytest.mark.parametrize("round_to", [2, 8])
def test_budgets_are_met_and_measured(example: Tensor, size_of: Size, kind: str, share: float, round_to: int) -> None:
    net = Wide()
    small = prune(net, example, **{kind: share, "round_to": round_to})  # type: ignore[arg-type]  # one of the options
    (made,) = plans_of(small)
    index = ["params", "macs"].index(kind)
    dense, cut = size_of(net, example), size_of(small, example)
    assert made.reached[kind] == pytest.approx(cut[index] / dense[index], abs=1e-12)
    assert share - (0.12 if round_to == 8 else 0.04) < made.reached[kind] <= share


def test_planned_is_what_measure_finds(example: Tensor) -> None:
    net = Wide()
    made = plan(net, example, macs=0.5)
    dense, small = measure(net, example), measure(made.apply(net), example)
    assert small.whole.macs == round(made.reached["macs"] * dense.whole.macs)
    assert small.whole.params == round(made.reached["params"] * dense.whole.params)


def test_absolute_budgets_are_counts(example: Tensor, size_of: Size) -> None:
    net = Wide()
    dense, _ = size_of(net, example)
    cut, _ = size_of(prune(net, example, params=dense // 2), example)
    assert dense * 0.4 < cut <= dense // 2


def test_every_layer_that_stays_whole_is_listed_with_the_reason(example: Tensor) -> None:
    net = Wide()
    made = plan(net, example, channels=0.5, tasks=["classes", "depth"], keep=["b"])
    assert "small: kept whole: its 6 channels are fewer than two rounding steps of 8" in made.why("small")
    assert "output 'classes'" in made.frozen["one"]
    assert "output 'depth'" in made.frozen["two"]
    assert "keep" in made.frozen["b.0"]
    layers = {name.rpartition(".")[0] for name, parameter in net.named_parameters() if parameter.ndim > 1}
    cut = {name for name, dim in made.removed_positions() if dim == 0}
    told = {piece.tensor for group in made.groups if group.reason for piece in group.slices}
    assert all(name in made.frozen or f"{name}.weight" in cut | told for name in layers)
    assert "channels=0.5" in made.asked
    assert "norm=2" in made.asked


def test_what_is_kept_stays(example: Tensor) -> None:
    net = Wide()
    small = prune(net, example, channels=0.5, keep=[net.b, "a"])
    for name in ("a.weight", "b.0.weight", "b.1.bias"):
        assert torch.equal(small.get_parameter(name), net.get_parameter(name))
    assert small.get_parameter("c.weight").shape == (48, 128, 1, 1)


def test_the_lowest_magnitudes_go(example: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(3, 32, 1), nn.ReLU(), nn.Conv2d(32, 2, 1))
    with torch.no_grad():
        net.get_parameter("0.weight")[torch.arange(0, 32, 2)] *= 100
    (group,) = plan(net, example, channels=0.5).groups
    assert group.kept == tuple(range(0, 32, 2))


def test_a_plan_is_applied_vetoed_and_edited(example: Tensor) -> None:
    net = Wide()
    made = plan(net, example, channels=0.5)
    assert width(made.apply(net), "a") == 32
    (name,) = [
        group.name
        for group in made.groups
        if any(piece.tensor == "c.weight" and piece.dim == 0 for piece in group.slices)
    ]
    assert width(made.veto(name).apply(net), "c") == 96
    assert width(made.with_kept(name, range(40)).apply(net), "c") == 40


def test_names_of_the_criterion_and_values_of_the_budget_are_read(example: Tensor) -> None:
    net = Wide()
    first = plan(net, example, budget=Budget(macs=0.5), criterion=RandomScore(seed=3))
    second = plan(net, example, macs=0.5, criterion={"kind": "random", "seed": 3})
    assert first == second
    assert first != plan(net, example, macs=0.5, criterion=Magnitude(norm=1))


class Routed(nn.Module):
    """One task for each call; the first layer is shared, and one weight is tied."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.heads = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(16, 16, 1), nn.ReLU(), nn.Conv2d(16, 2, 1)) for _ in range(2)]
        )
        tied = self.get_submodule("heads.1.0")
        tied.weight = self.get_parameter("heads.0.0.weight")

    def forward(self, x: Tensor, task: int) -> Tensor:
        answer: Tensor = self.heads[task](F.relu(self.stem(x)))
        return answer


def test_several_examples_and_tied_weights(example: Tensor) -> None:
    net = Routed()
    small = prune(net, [Example(example, task=0), Example(example, task=1)], channels=0.5)
    assert small.get_parameter("heads.1.0.weight") is small.get_parameter("heads.0.0.weight")
    assert small.get_parameter("heads.0.0.weight").shape == (8, 8, 1, 1)
    assert small(example, task=1).shape == (1, 2, 8, 8)


def test_no_budget_or_two_is_refused(example: Tensor) -> None:
    with pytest.raises(SettingError, match="exactly one goal.*got 0"):
        prune(Wide(), example)
    with pytest.raises(SettingError, match="exactly one goal.*got 2"):
        plan(Wide(), example, macs=0.5, budget=Budget(macs=0.5))
    with pytest.raises(SettingError, match="no option 'round_too'; .* did you mean 'round_to'"):
        plan(Wide(), example, macs=0.5, round_too=4)  # type: ignore[call-arg]  # the mistake under test


def test_out_of_reach_is_answered_in_the_users_terms(example: Tensor) -> None:
    with pytest.raises(
        BudgetError, match=r"Budget\(macs=0.01\) is out of reach: the smallest reachable is macs=0\.\d+;"
    ):
        prune(Wide(), example, macs=0.01)


@pytest.mark.parametrize("budget", [{"channels": 0.5}, {"macs": 0.5}, {"params": 3}])
def test_a_model_that_can_give_nothing_says_why(example: Tensor, budget: dict[str, Any]) -> None:
    with pytest.raises(
        BudgetError, match=r"no group of channels can shrink \(0: its 4 .* steps of 8; 1: frozen by the output"
    ):
        prune(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)), example, **budget)
    with pytest.raises(BudgetError, match=r"can shrink \(weight: frozen by the output 'output'\)"):
        prune(nn.Conv2d(3, 4, 1), example, **budget)
    with pytest.raises(BudgetError, match="the model has no layer with channels"):
        prune(nn.ReLU(), example, channels=0.5)
    layers = [nn.Conv2d(3, 4, 1), *(nn.Conv2d(4, 4, 1) for _ in range(4))]
    with pytest.raises(BudgetError, match="; and 2 more"):
        prune(nn.Sequential(*layers), example, **budget)


def test_an_unknown_option_is_answered_with_the_known(example: Tensor) -> None:
    with pytest.raises(SettingError, match="no option 'speed'; its options are channels, params, macs, bytes"):
        prune(Wide(), example, speed=3)  # type: ignore[call-arg]  # the mistake under test


def test_what_is_no_model_is_refused(example: Tensor) -> None:
    for door in (plan, prune):
        with pytest.raises(ContractError, match=r"instance of torch.nn.Module; got function"):
            door(lambda x: x, example, channels=0.5)  # type: ignore[arg-type]  # the mistake under test
        with pytest.raises(ContractError, match=r"write tasks=\['segmentation'\]"):
            door(Wide(), example, tasks="segmentation", channels=0.5)


def test_the_smallest_reachable_is_reached(example: Tensor) -> None:
    with pytest.raises(BudgetError) as caught:
        plan(Wide(), example, params=0.01)
    named = float(str(caught.value).split("params=")[2].split(";")[0])
    assert plan(Wide(), example, params=named).reached["params"] <= named


def test_keeping_what_is_not_there_is_refused(example: Tensor) -> None:
    with pytest.raises(ContractError, match="'stam' fits no module"):
        plan(Wide(), example, macs=0.5, keep=["stam"])


class Scaled(nn.Module):
    """An embedding of the task scales the channels, and a matrix of the model's own mixes two rows."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.mix = nn.Embedding(3, 16), nn.Parameter(torch.eye(2))
        self.stem, self.up, self.head = nn.Conv2d(3, 16, 1), nn.ConvTranspose2d(16, 16, 1), nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        y = self.up(self.stem(x) * self.scale(task)[:, :, None, None])
        answer: Tensor = torch.einsum("ij,njhw->nihw", self.mix, self.head(y))
        return answer


def test_output_channels_are_looked_for_where_each_layer_has_them(example: Tensor) -> None:
    made = plan(Scaled(), Example(example, torch.tensor([1])), channels=0.5)
    assert made.frozen.keys() == {"mix"}
    assert [(group.name, len(group.kept)) for group in made.groups] == [("stem", 8), ("up", 8), ("head", 2)]
    assert {name for name, _ in made.removed_positions()} >= {"scale.weight", "up.weight", "stem.weight"}


class Literal(nn.Module):
    """A forward with a number of channels written in its code."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 32, 1), nn.Conv2d(16, 32, 1), nn.Conv2d(32, 2, 1)

    def forward(self, x: Tensor) -> Any:
        return self.c(F.relu(self.b(self.a(x)[:, 16:])))


def test_sizes_written_in_code_keep_their_channels_and_are_named(example: Tensor) -> None:
    made = plan(Literal(), example, macs=0.7)
    assert "has the size 16 written in its code" in made.frozen["a"]
    assert width(made.apply(Literal()), "b") < 32


class ByTask(nn.Module):
    """A path for each task; the head of the second has one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 32, 3, padding=1)
        self.a = nn.Conv2d(32, 2, 1)
        self.b = nn.Sequential(nn.Conv2d(32, 16, 1), nn.ReLU(), nn.Conv2d(16, 1, 1))

    def forward(self, x: Tensor, task: int) -> Tensor:
        head = self.b if task else self.a
        answer: Tensor = head(self.body(x))
        return answer


def test_a_head_no_example_reaches_is_told(example: Tensor) -> None:
    told = r"no example reaches: b \(its layers may not run after the cut\); give an example for each path"
    made = plan(ByTask(), Example(example, task=0), channels=0.5)
    assert [note for note in made.notes if re.fullmatch(told, note)]
    assert made.frozen["b.2"] == made.frozen["b.0"] == "no example reaches it; give an example for each path"
    assert "no example reaches it" in made.why("b")
    with pytest.warns(UserWarning, match=told) as heard:
        prune(ByTask(), Example(example, task=0), channels=0.5)
    assert len(heard) == 1
    both = [Example(example, task=task) for task in range(2)]
    small = prune(ByTask(), both, channels=0.5)
    assert plans_of(small)[0].notes == ()
    assert small(example, task=1).shape == (1, 1, 8, 8)


def test_a_parameter_of_the_root_that_no_example_reaches_is_told(example: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(3, 32, 1), nn.Conv2d(32, 2, 1))
    net.spare = nn.Parameter(torch.zeros(3))
    (note,) = plan(net, example, channels=0.5).notes
    assert note.startswith("no example reaches: spare (")


def test_a_plan_is_for_models_of_its_widths_before_it_was_ever_applied(example: Tensor) -> None:
    made = plan(Wide(), example, macs=0.5)
    wider = Wide()
    wider.a = nn.Conv2d(3, 72, 3, padding=1)
    for each in (made, type(made).from_json(made.to_json())):
        with pytest.raises(
            SurgeryError, match=r"tensor 'a\.weight' is of shape \(72, 3, 3, 3\), .* made for \(64, 3, 3"
        ):
            each.apply(wider)
    with pytest.raises(SurgeryError, match=r"is of shape .*, the plan was made for"):
        made.apply(made.apply(Wide()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_a_plan_is_applied_to_a_checkpoint_of_another_type(example: Tensor, dtype: torch.dtype) -> None:
    made = plan(Wide(), example, macs=0.5)
    small = made.apply(Wide().to(dtype))
    assert {each.dtype for each in small.parameters()} == {dtype}


def test_a_plan_is_applied_where_the_model_lies(example: Tensor) -> None:
    """A graph is read anew, with inputs drawn as the plan tells."""
    made = plan(Wide(), example, macs=0.5, form="graph")
    small = made.apply(Wide().to("meta"), verify=False)
    assert {each.device.type for each in small.parameters()} == {"meta"}


@pytest.mark.parametrize("name", ["a.bias", "one.weight", "one.bias", "b.1.weight"])
def test_every_parameter_is_accounted_for(example: Tensor, name: str) -> None:
    made = plan(Wide(), example, channels=0.5, tasks=["classes", "depth"])
    assert made.why(name).partition(":")[0] in {*(group.name for group in made.groups), *made.frozen}


def test_a_name_that_is_not_in_the_plan_is_told_with_the_closest(example: Tensor) -> None:
    told = plan(Wide(), example, channels=0.5).why("smal")
    assert told == "smal: nothing of that name is in the plan; did you mean 'small'?"


def test_a_plan_fits_a_model_that_differs_where_nothing_is_cut(example: Tensor) -> None:
    other = Wide()
    other.one = nn.Conv2d(96, 9, 1)
    assert plan(Wide(), example, macs=0.5).apply(other).get_parameter("one.weight").shape[0] == 9


class Odd(Magnitude):
    """A criterion of a user's own that goes wrong."""

    wrong: str = "nan"

    def score(self, model: nn.Module, channels: Channels, evidence: Any = None) -> Scores:
        found = super().score(model, channels, evidence)
        return found[1:] if self.wrong == "short" else np.where(np.arange(len(found)) % 2, np.nan, found)


def test_scores_that_are_no_numbers_are_refused(example: Tensor) -> None:
    with pytest.raises(ContractError, match=r"criterion 'magnitude' gives NaN to \d+ of \d+ channels: weights, inputs"):
        plan(Wide(), example, channels=0.5, criterion=Odd())
    with pytest.raises(ContractError, match=r"scores of shape \(\d+,\); a score for each of the \d+ channel classes"):
        plan(Wide(), example, channels=0.5, criterion=Odd(wrong="short"))
    net = Wide()
    with torch.no_grad():
        net.a.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(ContractError, match="not finite"):
        plan(net, example, channels=0.5)


class Narrow(nn.Module):
    """A narrow branch beside a wide one, both read by one layer."""

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(3, wide, 1), nn.Conv2d(3, narrow, 1)
        self.both, self.last = nn.Conv2d(wide + narrow, 32, 1), nn.Conv2d(32, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.both(torch.cat([self.wide(x), self.narrow(x)], 1).relu()))
        return found


@pytest.mark.parametrize(("wide", "narrow"), [(34, 6), (64, 6), (64, 1), (64, 12)])
def test_a_narrow_branch_does_not_keep_a_wide_one_whole(example: Tensor, wide: int, narrow: int) -> None:
    net = Narrow(wide, narrow)
    small = plan(net, example, macs=0.5).apply(net)
    assert 16 <= width(small, "wide") < wide
    assert width(small, "wide") % 8 == width(small, "both") % 8 == 0
    assert width(small, "narrow") == min(8, narrow)
