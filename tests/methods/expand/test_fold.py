"""Every fold answers as the trained network, or is refused; and what stays plain says why."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from tests.methods.expand.networks import batches, step, two
from torch import Tensor, nn

import niwaki as nw
from niwaki.errors import ContractError, SettingError, SurgeryError
from niwaki.methods import Chain, DOConv, DynamicSparse, ExpandNet, Method, Overparam, RepVGG, StructuredPruning
from niwaki.methods.expand import compare_folded
from niwaki.methods.expand.expanding import Expanding
from niwaki.methods.expand.wiring import expansions
from niwaki.records import Folding
from niwaki.surgery.layout import Layout

EXAMPLE = torch.zeros(1, 3, 5, 5)
METHODS: list[Expanding] = [
    Overparam(),
    Overparam(combine="mean", depthwise=True),
    RepVGG(depthwise=True),
    RepVGG(identity=False),
    DOConv(depthwise=True),
    ExpandNet(ratio=1.5, depthwise=True),
]
LAYERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Conv2d(4, 4, 3, padding=1), (2, 4, 7, 6)),
    (nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2)), (2, 4, 9, 13)),
    (nn.Conv2d(4, 6, 3, padding="same", padding_mode="reflect", bias=False), (2, 4, 7, 6)),
    (nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular", groups=2), (2, 4, 7, 6)),
    (nn.Conv2d(4, 8, 3, padding=1, groups=4), (2, 4, 7, 6)),
    (nn.Conv2d(4, 6, 1), (2, 4, 7, 6)),
    (nn.Conv1d(4, 4, 3, padding=1), (2, 4, 9)),
    (nn.Conv3d(2, 2, 3, padding=1), (2, 2, 5, 4, 3)),
    (nn.ConvTranspose1d(4, 6, 4, stride=2), (2, 4, 5)),
    (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (2, 4, 5, 6)),
    (nn.ConvTranspose3d(2, 3, 2, stride=2), (1, 2, 3, 3, 3)),
    (nn.Linear(5, 7), (2, 5)),
]


def stays_plain(method: Expanding, layer: nn.Module) -> bool:
    """What each method says of itself."""
    if not method.depthwise and Layout.of(layer).depthwise:
        return True
    transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
    larger = any(size > 1 for size in Layout.of(layer).taps)
    return {
        "overparam": False,
        "expand_net": transposed,
        "do_conv": transposed or not larger,
        "rep_vgg": transposed or not larger,
    }[method.kind]


@pytest.mark.parametrize("method", METHODS, ids=lambda each: f"{each.kind}-{each.model_dump(exclude_defaults=True)}")
@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda value: str(value)[:50])
def test_folded_is_factorised(method: Expanding, layer: nn.Module, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    net = deepcopy(layer)
    x = torch.randn(shape, generator=generator)
    if stays_plain(method, layer):
        with pytest.raises(ContractError, match="finds no layer to expand"):
            method.start(net, x, steps=3)
        return
    model, run = method.start(net, x, steps=3)
    torch.testing.assert_close(model(x), net(x), atol=1e-5, rtol=1e-5)  # step 0 computes the plain network
    with torch.no_grad():
        for each in model.parameters():
            each.add_(0.1 * torch.randn(each.shape, generator=generator))
    folded = run.finish(model)
    assert type(folded) is type(layer)
    assert [(name, each.shape) for name, each in folded.named_parameters()] == [
        (name, each.shape) for name, each in layer.named_parameters()
    ]
    torch.testing.assert_close(folded(x), model(x), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(folded(x), net(x), atol=1e-2)


def test_what_rep_vgg_adds_up() -> None:
    layer = nn.Conv2d(3, 3, 3, padding=1)
    model, run = RepVGG().start(layer, torch.zeros(1, 3, 5, 5), steps=1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in model.parameters():
            each.add_(torch.randn(each.shape, generator=generator))
    large, small, scale_large, scale_small, scale_identity = (each.detach() for each in list(model.parameters())[1:])
    x = torch.randn(2, 3, 6, 6, generator=generator)
    by_hand = (
        scale_large[:, None, None] * nn.functional.conv2d(x, large, padding=1)
        + scale_small[:, None, None] * nn.functional.conv2d(x, small[..., None, None])
        + scale_identity[:, None, None] * x
        + model.get_parameter("bias")[:, None, None]
    )
    torch.testing.assert_close(run.finish(model)(x), by_hand, atol=1e-4, rtol=1e-4)


def test_what_an_expand_net_composes() -> None:
    layer = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    model, run = ExpandNet(ratio=2).start(layer, torch.zeros(1, 3, 5, 5), steps=1)
    out, kernel, into = (each.detach() for each in model.parameters())
    x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    wide = nn.functional.conv2d(x, into[0][..., None, None])
    inner = nn.functional.conv2d(wide, kernel[0].reshape(8, 6, 3, 3), padding=1)
    by_hand = nn.functional.conv2d(inner, out[0][..., None, None])
    torch.testing.assert_close(run.finish(model)(x), by_hand, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(layer(x), by_hand, atol=1e-5, rtol=1e-4)


def test_what_do_conv_composes() -> None:
    layer = nn.Conv2d(2, 3, 3, bias=False)
    model, run = DOConv().start(layer, torch.zeros(1, 2, 5, 5), steps=1)
    kernel, mixing = (each.detach() for each in model.parameters())
    mixing.copy_(torch.randn(mixing.shape, generator=torch.Generator().manual_seed(0)))
    by_hand = torch.zeros(3, 2, 9)
    for channel in range(2):
        by_hand[:, channel] = kernel[:, channel].reshape(3, 9) @ (torch.eye(9) + mixing[channel])
    torch.testing.assert_close(run.finish(model).get_parameter("weight"), by_hand.reshape(3, 2, 3, 3))


def test_the_record_of_a_fold() -> None:
    model, run = Overparam(scope="trunk").start(two(), EXAMPLE, steps=2)
    assert run.findings() == {}
    optimizer = torch.optim.Adam(run.parameter_groups(model, lr=1e-2))
    for batch in batches(2):
        model = step(model, run, optimizer, batch)
    run.finish(model)
    found = run.findings()["folding"]
    assert isinstance(found, Folding)
    assert [each.name for each in found.layers] == ["trunk.0", "trunk.3"]
    assert found.plain == {"near": "outside the scope 'trunk'", "far": "outside the scope 'trunk'"}
    assert set(found.differences) == {"near", "far"}
    assert found.largest_difference < 1e-5
    assert found.params == sum(each.numel() for each in two().parameters())
    assert found.training_params == sum(each.numel() for each in model.parameters())
    factors = sum(each.training_params - each.params for each in found.layers)
    assert found.training_params - found.params == factors
    trained = 8 * sum(each.numel() for each in model.parameters()) + 4 * len(list(model.parameters()))
    assert found.optimizer_bytes == trained
    assert found.plain_optimizer_bytes == pytest.approx(8 * found.params, rel=0.05)


def test_a_fold_that_answers_otherwise_is_refused() -> None:
    class Reads(nn.Module):
        """Its forward does something of its own to a layer that computes its weight."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = self.conv(x)
            return answer + float(hasattr(self.conv, "parametrizations"))

    model, run = Overparam().start(Reads(), EXAMPLE, steps=1)
    with pytest.raises(SurgeryError, match=r"the fold did not prove itself: output 'output' differs by 1 from"):
        run.finish(model)


def test_weights_that_are_no_numbers_are_refused() -> None:
    model, run = Overparam().start(two(), EXAMPLE, steps=1)
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
        model.get_parameter("trunk.0.parametrizations.weight.original0").fill_(torch.nan)
    with pytest.raises(SurgeryError, match="did not prove itself"):
        run.finish(model)


def test_a_comparison_in_training_mode_is_refused() -> None:
    net = two()
    with pytest.raises(SurgeryError, match="the trained network is in training mode, where batch norms take"):
        compare_folded(net, net, EXAMPLE)
    with pytest.raises(SurgeryError, match="the folded network is in training mode"):
        compare_folded(two().eval(), net, EXAMPLE)


def test_what_stays_plain_says_why() -> None:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 6, 3, padding=1)
            self.depth = nn.Conv2d(6, 6, 3, padding=1, groups=6)
            self.frozen = nn.Conv2d(6, 6, 1).requires_grad_(requires_grad=False)
            self.tied = nn.ModuleList([nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1)])
            self.tied[1].weight = self.tied[0].weight  # type: ignore[union-attr, unused-ignore]
            self.kept = nn.Conv2d(6, 6, 1)
            self.normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(6, 6, 1))
            self.unused = nn.Linear(2, 2)
            self.head = nn.Conv2d(6, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.kept(self.frozen(self.depth(self.first(x))))
            for each in self.tied:
                x = each(x)
            answer: Tensor = self.head(self.normed(x))
            return answer

    net = Many()
    model, run = Overparam(keep=["kept"]).start(net, EXAMPLE, steps=1)
    assert [name for name, _, _ in expansions(model)] == ["first", "head"]
    assert run.plain == {  # type: ignore[attr-defined]  # it is an ExpandingRun
        "depth": "depthwise",
        "frozen": "frozen",
        "tied.0": "another layer holds its weight too",
        "tied.1": "another layer holds its weight too",
        "kept": "kept",
        "normed": "its weight is computed already",
        "unused": "no task's loss reaches it",
    }
    model, _ = Overparam(depthwise=True).start(net, EXAMPLE, steps=1)
    assert "depth" in [name for name, _, _ in expansions(model)]
    assert run.finish(Overparam().start(net, EXAMPLE, steps=1)[0])


@pytest.mark.parametrize(("method", "reason"), [(Overparam(keep=["*"]), "kept"), (DOConv(keep=["trunk"]), "above one")])
def test_nothing_to_expand_is_refused(method: Method, reason: str) -> None:
    net = nn.Sequential()
    net.add_module("trunk", nn.Conv2d(3, 4, 3))
    net.add_module("head", nn.Conv2d(4, 1, 1))
    with pytest.raises(ContractError, match=f"finds no layer to expand in this model.*{reason}"):
        method.start(net, EXAMPLE, steps=1)


def test_an_output_that_no_call_gives_is_refused() -> None:
    with pytest.raises(ContractError, match="the model answers no elsewhere on the example"):
        Overparam().start(two(), EXAMPLE, [nw.Regression(name="near"), nw.Regression(name="elsewhere")], steps=1)


def test_in_a_chain_one_plain_network_comes_out_and_exports(tmp_path: Any) -> None:
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(16)
            self.near = nn.Conv2d(16, 2, 1)
            self.far = nn.Conv2d(16, 1, 3, padding=1)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            features = self.norm(self.stem(x)).relu()
            return {"near": self.near(features), "far": self.far(features)}

    last = DynamicSparse(density=0.5, every=1, keep_first=False)
    chain = Chain([Overparam(), StructuredPruning(budget=nw.Budget(channels=0.5)), last])
    x = batches(1)[0][0][:1]
    model, run = chain.start(Wide(), x, steps=9)
    optimizer = torch.optim.AdamW(run.parameter_groups(model, lr=1e-2, weight_decay=1e-2))
    for batch in batches(9):
        model = step(model, run, optimizer, batch)
    small = run.finish(model).eval()
    assert [type(each).__name__ for each in small.modules()] == [type(each).__name__ for each in Wide().modules()]
    assert small.get_parameter("stem.weight").shape == (8, 3, 3, 3)
    assert set(run.findings()) >= {"folding"}
    held = {id(each): group["weight_decay"] for group in optimizer.param_groups for each in group["params"]}
    assert all(held[id(each)] == 1e-2 for each in model.parameters())
    nw.export(small, x, tmp_path / "small.onnx")


def test_a_ratio_below_one_is_refused() -> None:
    with pytest.raises(SettingError, match="greater than or equal to 1"):
        ExpandNet(ratio=0.5)


def test_every_fold_is_proved_not_only_the_first() -> None:
    model, run = Overparam().start(two(), EXAMPLE, steps=1)
    run.finish(model)
    with torch.no_grad():
        model.get_parameter("trunk.0.parametrizations.weight.original0").fill_(torch.nan)
    with pytest.raises(SurgeryError, match="did not prove itself"):
        run.finish(model)


def test_weights_of_half_precision_stay_plain() -> None:
    with pytest.raises(ContractError, match=r"trunk\.0: its weight is torch\.bfloat16"):
        Overparam().start(two(dtype=torch.bfloat16), EXAMPLE.bfloat16(), steps=1)
