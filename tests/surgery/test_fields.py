"""The fields of torch's own layers after a cut are those of a layer made at that size."""

import pytest
import torch
from tests.surgery.nets import image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from niwaki.contract import Example
from niwaki.errors import SurgeryError
from niwaki.graph import Program, trace
from niwaki.surgery.chance import WithoutChance
from niwaki.surgery.compare import agreements, vague_outputs
from niwaki.surgery.fields import has_fields, repair_fields
from niwaki.surgery.rehearsal import answers, draw, randomised
from niwaki.surgery.tensors import Positions, cut_tensors

LAYERS: list[tuple[nn.Module, Positions, nn.Module]] = [
    (nn.Conv1d(4, 6, 3), {"weight": {0: [0], 1: [1, 2]}, "bias": {0: [0]}}, nn.Conv1d(2, 5, 3)),
    (nn.Conv2d(8, 16, 3, groups=8), {"weight": {0: [2, 3]}, "bias": {0: [2, 3]}}, nn.Conv2d(7, 14, 3, groups=7)),
    (nn.Conv2d(1, 4, 3), {"weight": {0: [0]}, "bias": {0: [0]}}, nn.Conv2d(1, 3, 3)),
    (
        nn.Conv3d(8, 12, 1, groups=4),
        {"weight": {0: [0, 3, 6, 9], 1: [1]}, "bias": {0: [0, 3, 6, 9]}},
        nn.Conv3d(4, 8, 1, groups=4),
    ),
    (nn.ConvTranspose2d(4, 6, 2), {"weight": {0: [0], 1: [1]}, "bias": {0: [1]}}, nn.ConvTranspose2d(3, 5, 2)),
    (
        nn.ConvTranspose2d(6, 12, 2, groups=6),
        {"weight": {0: [0]}, "bias": {0: [0, 1]}},
        nn.ConvTranspose2d(5, 10, 2, groups=5),
    ),
    (nn.Linear(4, 3), {"weight": {0: [0], 1: [1]}, "bias": {0: [0]}}, nn.Linear(3, 2)),
    (nn.Bilinear(4, 3, 5), {"weight": {0: [0], 1: [1], 2: [0]}, "bias": {0: [0]}}, nn.Bilinear(3, 2, 4)),
    (
        nn.BatchNorm2d(4),
        {name: {0: [3]} for name in ("weight", "bias", "running_mean", "running_var")},
        nn.BatchNorm2d(3),
    ),
    (
        nn.BatchNorm1d(4, affine=False),
        {name: {0: [3]} for name in ("running_mean", "running_var")},
        nn.BatchNorm1d(3, affine=False),
    ),
    (
        nn.InstanceNorm2d(4, affine=True),
        {name: {0: [1]} for name in ("weight", "bias")},
        nn.InstanceNorm2d(3, affine=True),
    ),
    (nn.GroupNorm(2, 8), {name: {0: [1, 5]} for name in ("weight", "bias")}, nn.GroupNorm(2, 6)),
    (nn.GroupNorm(8, 8), {name: {0: [1, 5]} for name in ("weight", "bias")}, nn.GroupNorm(6, 6)),
    (nn.LayerNorm(6), {name: {0: [1]} for name in ("weight", "bias")}, nn.LayerNorm(5)),
    (nn.LayerNorm((6, 4)), {name: {0: [1]} for name in ("weight", "bias")}, nn.LayerNorm((5, 4))),
    (nn.RMSNorm(6), {"weight": {0: [1]}}, nn.RMSNorm(5)),
    (nn.Embedding(9, 6), {"weight": {1: [1]}}, nn.Embedding(9, 5)),
    (nn.EmbeddingBag(9, 6), {"weight": {1: [1]}}, nn.EmbeddingBag(9, 5)),
    (nn.PReLU(6), {"weight": {0: [1]}}, nn.PReLU(5)),
    (
        nn.MultiheadAttention(8, 2, batch_first=True),
        {
            "in_proj_weight": {0: [0, 4, 8, 12, 16, 20], 1: [0, 4]},
            "in_proj_bias": {0: [0, 4, 8, 12, 16, 20]},
            "out_proj.weight": {0: [0, 4], 1: [0, 4]},
            "out_proj.bias": {0: [0, 4]},
        },
        nn.MultiheadAttention(6, 2, batch_first=True),
    ),
    (
        nn.MultiheadAttention(8, 2, kdim=5, vdim=4),
        {"k_proj_weight": {1: [0]}, "v_proj_weight": {1: [0, 1]}},
        nn.MultiheadAttention(8, 2, kdim=4, vdim=2),
    ),
]


def sizes(module: nn.Module) -> dict[str, object]:
    return {key: value for key, value in vars(module).items() if isinstance(value, int | float | tuple | str)}


@pytest.mark.parametrize(("layer", "removed", "expected"), LAYERS, ids=lambda each: type(each).__name__)
def test_fields_are_those_of_a_layer_made_so(layer: nn.Module, removed: Positions, expected: nn.Module) -> None:
    assert has_fields(layer)
    repair_fields(layer, cut_tensors(layer, removed))
    assert str(layer) == str(expected)
    assert sizes(layer) == sizes(expected)
    shapes = [(name, value.shape) for name, value in layer.state_dict().items()]
    assert shapes == [(name, value.shape) for name, value in expected.state_dict().items()]


class Double(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight * 2


def test_a_parametrised_layer_is_repaired_too() -> None:
    layer = nn.Linear(4, 3)
    parametrize.register_parametrization(layer, "weight", Double())
    repair_fields(layer, cut_tensors(layer, {"parametrizations.weight.original": {0: [0]}, "bias": {0: [0]}}))
    assert (layer.in_features, layer.out_features) == (4, 2)
    assert layer(torch.ones(1, 4)).shape == (1, 2)


def test_layers_without_tensors_have_no_fields_of_their_own() -> None:
    assert not has_fields(nn.LayerNorm(4, elementwise_affine=False))
    assert not has_fields(nn.ReLU())
    assert not has_fields(nn.Sequential(nn.Linear(2, 2)))


def program_of(model: nn.Module, example: Tensor) -> Program:
    return next(each for each in trace(model, example).programs if not each.training)


def test_answers_are_compared_by_output() -> None:
    program = program_of(nn.Linear(3, 2), torch.zeros(4, 3))
    one, other = torch.full((4, 2), 50.0), torch.full((4, 2), 50.004)
    (close,) = agreements(program, [one], [other])
    assert close.output == "output"
    assert close.holds
    assert close.error == pytest.approx(0.004, rel=1e-2)
    (far,) = agreements(program, [one], [one + 0.006])
    assert not far.holds
    (broken,) = agreements(program, [one], [torch.full((4, 2), float("nan"))])
    assert not broken.holds
    assert vague_outputs(program, [[one], [one.clone()]]) == ["output"]
    assert vague_outputs(program, [[one], [one + 1]]) == []
    with pytest.raises(SurgeryError, match="returns 2 values where the dense one returns 1"):
        agreements(program, [one], [one, one])


def test_dropout_is_taken_out_everywhere() -> None:
    x = torch.ones(2, 3, 4, 4)
    with WithoutChance():
        for drop in (F.dropout, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, torch.dropout):
            assert torch.equal(drop(x, 0.9, True), x)
        q = torch.randn(2, 5, 4)
        assert torch.equal(
            F.scaled_dot_product_attention(q, q, q, None, 0.9), F.scaled_dot_product_attention(q, q, q, dropout_p=0.5)
        )


def test_pools_take_the_choice_of_another_run_only_at_near_ties() -> None:
    x = torch.tensor([[[[1.0, 1.0 + 1e-7], [0.0, 0.5]]]])
    with WithoutChance([torch.tensor([[[[0]]]])]):
        assert F.max_pool2d(x, 2, return_indices=True)[1].item() == 0
    with WithoutChance([torch.tensor([[[[3]]]])]):
        assert F.max_pool2d(x, 2, return_indices=True)[1].item() == 1
    with WithoutChance([torch.tensor([0])]):
        assert F.max_pool2d(x, 2, return_indices=True)[1].item() == 1


def test_drawn_inputs_are_like_the_example() -> None:
    example = Example(torch.full((1000,), 5.0) + torch.arange(1000) / 1000, torch.arange(5), flag=True, none=None)
    drawn = draw(example, 0)
    assert drawn.args[0].mean().item() == pytest.approx(5.5, abs=0.05)
    assert drawn.args[0].std().item() == pytest.approx(0.289, abs=0.03)
    assert sorted(drawn.args[1].tolist()) == [0, 1, 2, 3, 4]
    assert drawn.kwargs == {"flag": True, "none": None}
    assert torch.equal(draw(example, 0).args[0], drawn.args[0])
    assert draw(Example(torch.zeros(8)), 0).args[0].std() > 0.5


def test_random_weights_wake_a_dead_model() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 2, 1)).eval()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    awake = randomised(model, 0)
    program = trace(awake, image()).programs[0]
    (first,), (last,) = answers(awake, [Example(image()), Example(-image())], program, dtype=torch.float32)
    assert (first - last).abs().max() > 0.1
    assert not any(p.any() for p in model.parameters())
