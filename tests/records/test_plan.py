from typing import Any

import pytest
import torch

from niwaki.errors import ContractError, FileError
from niwaki.records import GroupPlan, Plan, Repair, Slice


@pytest.fixture
def plan() -> Plan:
    conv = GroupPlan(
        name="conv",
        size=4,
        kept=(0, 2),
        slices=(
            Slice(tensor="conv.weight", dim=0, positions=((0,), (1,), (2,), (3,))),
            Slice(tensor="fc.weight", dim=1, positions=((0, 1), (2, 3), (4, 5), (6, 7))),
        ),
    )
    whole = GroupPlan(
        name="other",
        size=2,
        kept=(0, 1),
        slices=(Slice(tensor="other.weight", dim=0, positions=((0,), (1,))),),
        reason="smaller than two rounding steps",
    )
    return Plan(
        groups=(conv, whole),
        frozen={"head.weight": "output of the model"},
        asked="half the channels",
        reached={"channels": 0.5},
        repairs=(Repair(module="fc", attribute="width", old=4, new=2),),
        notes=("train mode could not be traced",),
    )


def test_removed_positions_are_those_of_channels_that_go(plan: Plan) -> None:
    assert plan.removed_positions() == {("conv.weight", 0): [1, 3], ("fc.weight", 1): [2, 3, 6, 7]}


def test_it_reads_back_from_its_own_json(plan: Plan) -> None:
    assert Plan.from_json(plan.to_json()) == plan


def test_positions_in_a_row_are_written_short() -> None:
    row = Slice(tensor="w", dim=0, positions=tuple((i,) for i in range(5, 1005)))
    assert len(row.to_json()) < 80
    assert Slice.from_json(row.to_json()) == row
    uneven = Slice(tensor="w", dim=0, positions=((0, 1), (2,)))
    assert Slice.from_json(uneven.to_json()) == uneven


def test_it_prints_sizes_reasons_and_notes(plan: Plan) -> None:
    text = str(plan)
    assert "4 -> 2" in text
    assert "2 (whole)" in text
    assert "smaller than two rounding steps" in text
    assert "output of the model" in text
    assert "channels 50.0%" in text
    assert "note: train mode could not be traced" in text


def test_heads_are_called_heads(plan: Plan) -> None:
    mixed = plan.model_copy(update={"groups": tuple(each.model_copy(update={"unit": "heads"}) for each in plan.groups)})
    assert "4 heads -> 2" in str(mixed)
    assert "2 heads (whole)" in str(mixed)
    assert mixed.why("conv") == "conv: keeps 2 of 4 heads, in conv, fc"
    with pytest.raises(ContractError, match="between 1 and 4 of its heads"):
        mixed.with_kept("conv", [])
    assert Plan.from_json(mixed.to_json()) == mixed


def test_a_veto_leaves_a_group_whole(plan: Plan) -> None:
    vetoed = plan.veto("conv")
    assert vetoed.removed_positions() == {}
    assert vetoed.group("conv").reason == "vetoed"
    assert plan.group("conv").kept == (0, 2)


def test_a_choice_can_be_edited(plan: Plan) -> None:
    assert plan.with_kept("conv", [3, 1, 1]).group("conv").kept == (1, 3)
    assert plan.with_kept("conv", [3]).reached == {}


@pytest.mark.parametrize("kept", [[True, False], [0.5, 1], torch.tensor([True, False])])
def test_a_choice_is_of_numbers(plan: Plan, kept: list[Any]) -> None:
    with pytest.raises(ContractError, match=r"kept names the channels that stay by number, such as \[0, 2\]; got"):
        plan.with_kept("conv", kept)


@pytest.mark.parametrize("kept", [[], [4], [-1]])
def test_a_choice_outside_the_group_is_refused(plan: Plan, kept: list[int]) -> None:
    with pytest.raises(ContractError, match=r"'conv' keeps between 1 and 4 of its channels 0\.\.3"):
        plan.with_kept("conv", kept)


def test_an_unknown_group_is_answered_with_the_known(plan: Plan) -> None:
    with pytest.raises(ContractError, match="no group 'cnv'; its groups are: conv, other"):
        plan.veto("cnv")


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("fc", "conv: keeps 2 of 4 channels"),
        ("other", "other: kept whole: smaller than two rounding steps, in other"),
        ("head", "head.weight: kept whole: output of the model"),
        ("head.weight", "head.weight: kept whole: output of the model"),
    ],
)
def test_it_says_why(plan: Plan, name: str, answer: str) -> None:
    assert plan.why(name) == answer


def test_text_that_is_no_plan_is_refused() -> None:
    with pytest.raises(FileError, match="this is no Plan: groups"):
        Plan.from_json("{}")
