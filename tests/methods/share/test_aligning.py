"""Permutation matching: permuted copies are found exactly; the answers never change."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from niwaki import Classification, Example, FilterSharing, materialise
from niwaki.errors import ContractError
from niwaki.graph import find_channels, trace
from niwaki.methods.share import aligning
from niwaki.methods.share.aligning import align_networks
from niwaki.methods.share.layers import find_layers
from niwaki.models import TaskNets
from niwaki.surgery import permute_channels

TASKS = [Classification(4, name="left"), Classification(4, name="right")]


def shuffled(net: nn.Module, x: Tensor, seed: int) -> nn.Module:
    """The same network with the channels of every group in another order."""
    other, generator = deepcopy(net), torch.Generator().manual_seed(seed)
    for group in find_channels(trace(other, x[:1])).groups:
        if group.reason is None:
            permute_channels(other, group.slices, torch.randperm(group.size, generator=generator).tolist())
    return other


def batches(x: Tensor) -> list[tuple[Tensor, dict[str, Tensor]]]:
    labels = torch.zeros(len(x), dtype=torch.long)
    return [(x, {"left": labels, "right": labels})]


@pytest.mark.parametrize("by", ["weights", "activations"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_permuted_copies_of_one_network_merge_at_no_loss(
    by: str, seed: int, make_one: Callable[..., nn.Module], x: Tensor
) -> None:
    net = make_one(4, seed)
    nets = TaskNets({"left": net, "right": shuffled(net, x, seed)}).eval()
    torch.testing.assert_close(nets(x)["left"], nets(x)["right"])
    method = FilterSharing(rate=0.5, align=by, selector="farthest", calibration_batches=1)
    model, run = method.start(nets, x[:1], TASKS, steps=0, data=batches(x) if by == "activations" else None)
    shared = run.finish(model).eval()
    found = run.findings()["sharing"]
    assert [layer.distance for layer in found.layers] == pytest.approx([0] * 4, abs=1e-9)  # type: ignore[attr-defined]
    assert found.aligned == by  # type: ignore[attr-defined]
    if by == "weights":  # no batch norm was estimated anew
        for task, answer in shared(x).items():
            torch.testing.assert_close(answer, nets(x)[task], rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in shared.parameters()) < 0.6 * sum(p.numel() for p in nets.parameters())


def test_networks_trained_apart_are_refused_and_their_callers_model_stays(
    make_one: Callable[..., nn.Module], x: Tensor
) -> None:
    nets = TaskNets({"left": make_one(4, 0), "right": make_one(4, 1)})
    before = deepcopy(nets.state_dict())
    with pytest.raises(ContractError, match=r"no common start: .* cosine of 0\.\d+ more .*0.1 is expected.*align="):
        FilterSharing(selector="farthest").start(nets, x[:1], steps=0)
    model, run = FilterSharing(selector="farthest", common_start=-1).start(nets, x[:1], steps=0)
    assert run.findings()["sharing"].aligned == ""  # type: ignore[attr-defined]
    FilterSharing(selector="farthest", align="weights").start(nets, x[:1], steps=0)
    assert all(torch.equal(before[name], tensor) for name, tensor in nets.state_dict().items())
    assert materialise(model)(x).keys() == nets(x).keys()


def test_aligning_brings_networks_closer(make_one: Callable[..., nn.Module], x: Tensor) -> None:
    nets = TaskNets({"left": make_one(4, 0), "right": make_one(3, 1)}).eval()
    examples = [Example(x[:1], task="left"), Example(x[:1], task="right")]
    layers = find_layers(nets, trace(nets, examples))
    answers = nets(x)

    def likeness() -> float:
        pairs = [[nets.get_parameter(f"{each.module}.weight").flatten() for each in layer.members] for layer in layers]
        return sum(float(one @ other) for one, other in pairs)

    with torch.no_grad():
        apart = likeness()
        align_networks(nets, examples, layers, "weights")
        assert likeness() > apart + 0.1 * abs(apart)
    for task, answer in nets(x).items():
        torch.testing.assert_close(answer, answers[task], rtol=1e-4, atol=1e-5)


def test_activations_need_batches(make_one: Callable[..., nn.Module], x: Tensor) -> None:
    nets = TaskNets({"left": make_one(4, 0), "right": make_one(4, 1)})
    with pytest.raises(ContractError, match="aligning by activations needs batches: give `data`"):
        FilterSharing(align="activations", selector="farthest").start(nets, x[:1], steps=0)


def test_answers_that_change_are_refused(
    make_one: Callable[..., nn.Module], x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    nets = TaskNets({"left": make_one(4, 0), "right": make_one(4, 1)})
    layers = find_layers(nets, trace(nets, x[:1]))
    monkeypatch.setattr(
        aligning, "permute_channels", lambda model, slices, order: permute_channels(model, slices[:1], order)
    )
    with pytest.raises(ContractError, match="can't be put into another order: their answers changed"):
        align_networks(nets, x[:1], layers, "weights")
