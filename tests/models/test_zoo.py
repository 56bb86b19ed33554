"""Backbones of timm. What needs timm itself runs where the extra `zoo` is installed."""

import sys
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import niwaki as nw
from niwaki.errors import MissingExtraError, SettingError
from niwaki.models import Timm, from_timm
from niwaki.models.zoo import TimmTrunk

TASKS = {"segmentation": 5, "depth": 1, "scene": 4}
zoo = pytest.mark.skipif(find_spec("timm") is None, reason="needs pip install 'niwaki[zoo]'")


class Backbone(nn.Module):
    """Stands for what timm returns: maps at 1/2, 1/4 and 1/8, and a table of them."""

    def __init__(self, reductions: tuple[int, ...], form: str) -> None:
        super().__init__()
        self.reductions, self.output_fmt = reductions, form
        self.scale = nn.Parameter(torch.ones(()))
        self.feature_info = SimpleNamespace(reduction=lambda: list(reductions), channels=lambda: [3] * len(reductions))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [self.scale * x[..., ::step, ::step] for step in self.reductions]
        return [each.permute(0, 2, 3, 1) for each in maps] if self.output_fmt == "NHWC" else maps


@pytest.mark.parametrize("form", ["NCHW", "NHWC"])
def test_maps_come_channels_first_and_without_the_finest(form: str) -> None:
    trunk = TimmTrunk(Backbone((2, 4, 8), form))
    x = torch.randn(1, 3, 16, 24)
    quarter, eighth = trunk(x)
    assert trunk.channels == (3, 3)
    assert torch.equal(quarter, x[..., ::4, ::4])
    assert torch.equal(eighth, x[..., ::8, ::8])


def test_fine_maps_are_kept_where_there_are_no_others() -> None:
    assert len(TimmTrunk(Backbone((1, 2), "NCHW"))(torch.zeros(1, 3, 8, 8))) == 2


def _stub(monkeypatch: pytest.MonkeyPatch, **parts: Any) -> None:
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(**parts))


def _fails(*_: Any, **__: Any) -> None:
    raise AttributeError("no feature maps")


def test_without_timm_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"a timm backbone needs .*pip install 'niwaki\[zoo\]'"):
        from_timm("resnet18", TASKS)


def test_an_unknown_backbone_is_named_with_the_closest(monkeypatch: pytest.MonkeyPatch) -> None:
    _stub(monkeypatch, list_models=lambda: ["resnet18", "vit"], is_model=lambda name: name == "resnet18")
    with pytest.raises(SettingError, match=r"no backbone 'resnet1'; did you mean 'resnet18'"):
        from_timm("resnet1", TASKS)


def test_what_timm_says_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    _stub(monkeypatch, list_models=lambda: ["mlp"], is_model=lambda _: True, create_model=_fails)
    with pytest.raises(SettingError, match=r"can't build 'mlp' as a backbone .*no feature maps; choose another"):
        from_timm("mlp", TASKS)


def test_timm_gets_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def create(name: str, **wanted: Any) -> nn.Module:
        asked.update(wanted, name=name)
        return Backbone((4, 8), "NCHW")

    _stub(monkeypatch, list_models=list, is_model=lambda _: True, create_model=create)
    net = from_timm("any", {"depth": 1}, in_channels=4, options={"img_size": 64}, seed=3)
    assert asked == {"name": "any", "features_only": True, "pretrained": False, "in_chans": 4, "img_size": 64}
    assert net.get_submodule("encoder.backbone").get_parameter("scale").item() == 1  # timm's weights are not redrawn
    with pytest.raises(SettingError, match="unknown setting"):
        from_timm("any", {"depth": 1}, decoders="fpn")


def test_settings_survive_a_round_trip() -> None:
    settings = Timm(backbone="vit", decoder="linear", options={"img_size": [96, 128]}, pooled=("scene",))
    assert Timm(**settings.model_dump(mode="json")) == settings


@zoo
@pytest.mark.parametrize("decoder", ["fpn", "aspp", "linear"])
def test_real_backbones_answer_every_task(decoder: str) -> None:
    net = from_timm("resnet18", TASKS, decoder=decoder, head_channels=16, pooled=("scene",))
    answers = net(torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)))
    shapes = {task: tuple(y.shape) for task, y in answers.items()}
    assert shapes == {"segmentation": (2, 5, 64, 96), "depth": (2, 1, 64, 96), "scene": (2, 4)}
    sum(answer.square().mean() for answer in answers.values()).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


@zoo
def test_a_backbone_has_the_parameters_timm_says() -> None:
    net = from_timm("resnet18", {"depth": 1})
    assert sum(p.numel() for p in net.get_submodule("encoder").parameters()) == 11_176_512  # without the classifier


@zoo
def test_seeds_decide_backbone_and_heads() -> None:
    before = torch.get_rng_state()
    first, second, other = (from_timm("convnext_atto", {"depth": 1}, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    for part in ("encoder.", "heads."):
        assert any(not torch.equal(first[name], other[name]) for name in first if name.startswith(part))


@zoo
def test_a_real_backbone_is_pruned_with_no_layer_named() -> None:
    net = from_timm("mobilenetv3_small_050", {"depth": 1, "scene": 3}, decoder="linear", pooled=("scene",)).eval()
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    small = nw.prune(net, x, macs=0.6)
    before, after = (nw.measure(each, x).whole.macs for each in (net, small))
    assert after <= 0.6 * before
    assert {task: y.shape for task, y in small(x).items()} == {task: y.shape for task, y in net(x).items()}


@zoo
def test_an_unbuildable_real_backbone_is_a_message() -> None:
    import_module("timm")  # the shim was applied by the tests before, or is not needed
    with pytest.raises(SettingError, match="timm can't build 'resnet18'"):
        from_timm("resnet18", {"depth": 1}, options={"no_such_option": 1})
