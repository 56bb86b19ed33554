"""What every ready network keeps: shapes, one registry entry, plain modules, export in both modes, seeds."""

import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from niwaki.errors import ContractError, SettingError
from niwaki.graph import find_channels, trace
from niwaki.models import (
    VGG,
    ConvNet,
    DeepLab,
    MobileNetV2,
    ModelSettings,
    ResNetUNet,
    RoutedVGG,
    SegNet,
    SegNetMTAN,
    models,
)
from niwaki.settings.base import read_settings

TASKS = {"segmentation": 13, "depth": 1, "normals": 3}
SMALL: dict[str, ModelSettings] = {
    "resnet_unet": ResNetUNet(width=0.25),
    "segnet": SegNet(width=0.125),
    "segnet_shared": SegNet(width=0.125, decoder="shared"),
    "deeplab18": DeepLab(resnet=18, width=0.125),
    "deeplab34": DeepLab(resnet=34, width=0.125),
    "deeplab50_os8": DeepLab(resnet=50, width=0.125, output_stride=8),
    "segnet_mtan": SegNetMTAN(width=0.125, channels=(64, 128, 256), depths=(1, 2, 3)),
    "vgg": VGG(width=0.125),
    "vgg_os16_normed": VGG(width=0.125, output_stride=16, norm="batch", rates=(1, 2)),
    "mobilenet_v2": MobileNetV2(width=0.125, output_stride=8, rates=(2,)),
}
ONCE: dict[str, ModelSettings] = {
    "convnet": ConvNet(width=0.25),
    "routed_vgg": RoutedVGG(width=0.125),
    "routed_vgg_shared": RoutedVGG(width=0.125, norm="shared"),
    "routed_vgg_none": RoutedVGG(width=0.125, norm="none"),
}
dense = pytest.mark.parametrize("settings", SMALL.values(), ids=SMALL)
once = pytest.mark.parametrize("settings", ONCE.values(), ids=ONCE)
every = pytest.mark.parametrize("settings", [*SMALL.values(), *ONCE.values()], ids=[*SMALL, *ONCE])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_every_registered_model_has_an_entry_here() -> None:
    here = {settings.model_dump()["kind"] for settings in (*SMALL.values(), *ONCE.values())}
    assert here | {"timm", "task_nets"} == set(models.names())  # test_zoo.py, test_nets_by_task.py


@dense
def test_maps_have_the_inputs_size_also_when_it_is_odd(settings: ModelSettings) -> None:
    net = settings.build(TASKS).eval()
    for height, width in ((64, 96), (45, 67)):
        answers = net(torch.randn(2, 3, height, width))
        assert {t: tuple(y.shape) for t, y in answers.items()} == {t: (2, c, height, width) for t, c in TASKS.items()}


@dense
def test_answers_depend_on_input_and_reach_every_parameter(settings: ModelSettings) -> None:
    net = settings.build(TASKS)
    answers = net(torch.randn(2, 3, 64, 64))
    for answer in answers.values():
        assert 1e-2 < answer.std().item() < 1e2
        assert (answer[0] - answer[1]).abs().max().item() > 1e-2
    sum(answer.square().mean() for answer in answers.values()).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@dense
@pytest.mark.parametrize("training", [False, True])
def test_exports_in_both_modes_with_dynamic_batch(settings: ModelSettings, *, training: bool) -> None:
    net = settings.build(TASKS).train(training)
    x = torch.randn(2, 3, 64, 64)
    batch = torch.export.Dim("batch")
    exported = torch.export.export(net, (x,), strict=False, dynamic_shapes=({0: batch},)).module()
    x = torch.randn(3, 3, 64, 64)
    torch.testing.assert_close(exported(x), net(x), rtol=1e-4, atol=1e-4)


@dense
def test_pooled_tasks_answer_once_for_the_image(settings: ModelSettings) -> None:
    settings = settings.model_copy(update={"pooled": ("scene",)})
    net = settings.build({"scene": 10, "depth": 1}).eval()
    answers = net(torch.randn(2, 3, 64, 64))
    assert tuple(answers["scene"].shape) == (2, 10)
    assert tuple(answers["depth"].shape) == (2, 1, 64, 64)


@once
def test_classifiers_answer_once_for_the_image(settings: ModelSettings) -> None:
    for pooled in ((), ("a",)):
        net = settings.model_copy(update={"pooled": pooled}).build({"a": 5, "b": 10})
        answers = net(torch.randn(3, 3, 32, 32))
        assert {task: tuple(y.shape) for task, y in answers.items()} == {"a": (3, 5), "b": (3, 10)}
        assert min(answer.std(0).mean().item() for answer in answers.values()) > 1e-2
    sum(answer.square().mean() for answer in answers.values()).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@every
def test_same_seed_same_bits_and_global_random_state_untouched(settings: ModelSettings) -> None:
    before = torch.get_rng_state()
    first, second, other = (settings.build(TASKS, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@every
def test_settings_survive_a_round_trip(settings: ModelSettings) -> None:
    plain = settings.model_dump(mode="json")
    assert read_settings(models.get(plain["kind"]), plain) == settings


@every
def test_channel_counts_are_multiples_of_8_at_any_width(settings: ModelSettings) -> None:
    for width in (0.3, 0.5, 1.0):
        with torch.device("meta"):
            net = settings.model_copy(update={"width": width})._assemble(TASKS)
        counts = {module.num_features for module in net.modules() if isinstance(module, nn.BatchNorm2d)}
        paper = isinstance(settings, MobileNetV2)  # has 24 channels
        assert all(count % (16 if width == 1 and not paper else 8) == 0 for count in counts)


@pytest.mark.parametrize("batch", [1, 2])
def test_deeplab_trains_on_a_batch_of_one(batch: int) -> None:
    net = DeepLab(resnet=18, width=0.125).build({"depth": 1})
    assert torch.isfinite(net(torch.randn(batch, 3, 64, 64))["depth"]).all()


def test_first_weights_have_the_spread_of_he_initialisation() -> None:
    net = SegNet(channels=(64, 64), depths=(2, 2)).build({"depth": 1})
    conv = net.get_submodule("encoder.stages.1.1.0")
    assert isinstance(conv, nn.Conv2d)
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.02)


def _macs(net: nn.Module, height: int, width: int) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.zeros(1, 3, height, width, device="meta"))
    return int(counter.get_total_flops()) // 2


def _convolution_macs(channels: list[tuple[int, int]], kernel: int, positions: int) -> int:
    return sum(inside * out * kernel**2 * positions for inside, out in channels)


def test_segnet_has_the_size_of_vgg16() -> None:
    with torch.device("meta"):
        net = SegNet(decoder="shared")._assemble({"depth": 1})
    encoder = sum(p.numel() for p in net.get_submodule("encoder.0").parameters())
    assert encoder == 14_714_688 - 4224 + 2 * 4224  # VGG-16's convolutions, less their biases, and batch norms
    stages = [[(3, 64), (64, 64)], [(64, 128), (128, 128)], [(128, 256), *[(256, 256)] * 2]]
    stages += [[(256, 512), *[(512, 512)] * 2], [(512, 512)] * 3]
    there = sum(_convolution_macs(stage, 3, 64 * 64 // 4**i) for i, stage in enumerate(stages))
    back = there - _convolution_macs([(3, 64)], 3, 64 * 64) + _convolution_macs([(64, 64)], 3, 64 * 64)
    head = _convolution_macs([(64, 64)], 3, 64 * 64) + _convolution_macs([(64, 1)], 1, 64 * 64)
    assert _macs(net, 64, 64) == there + back + head


@pytest.mark.parametrize(("resnet", "params"), [(18, 11_176_512), (34, 21_284_672), (50, 23_508_032)])
def test_deeplab_trunk_has_the_published_resnets_parameters(resnet: int, params: int) -> None:
    with torch.device("meta"):
        net = read_settings(DeepLab, {"resnet": resnet})._assemble({"depth": 1})
    assert sum(p.numel() for p in net.get_submodule("encoder").parameters()) == params


@pytest.mark.parametrize("stride", [8, 16])
def test_deeplab_features_lie_at_the_output_stride(stride: int) -> None:
    net = read_settings(DeepLab, {"resnet": 18, "width": 0.125, "output_stride": stride}).build({"depth": 1})
    assert net.get_submodule("encoder")(torch.zeros(2, 3, 64, 96)).shape[-2:] == (64 // stride, 96 // stride)


def test_dilated_trunk_computes_the_strided_one_on_a_denser_grid() -> None:
    strided = DeepLab(resnet=18, width=0.125, output_stride=16).build({"depth": 1}).eval()
    dilated = DeepLab(resnet=18, width=0.125, output_stride=8).build({"depth": 1}).eval()
    trunk, dense = strided.get_submodule("encoder"), dilated.get_submodule("encoder")
    dense.load_state_dict(trunk.state_dict())
    x = torch.randn(1, 3, 128, 128)
    torch.testing.assert_close(dense(x)[..., ::2, ::2], trunk(x), rtol=1e-4, atol=1e-4)


def test_a_network_needs_tasks_that_make_sense() -> None:
    with pytest.raises(ContractError, match="at least one task"):
        ResNetUNet().build({})
    with pytest.raises(ContractError, match="'depth' has 0 output channels"):
        ResNetUNet().build({"depth": 0})
    with pytest.raises(ContractError, match="names the task 'scene'"):
        ResNetUNet(pooled=("scene",)).build({"depth": 1})
    with pytest.raises(ContractError, match="'keys' can't name a head"):
        RoutedVGG().build({"keys": 1})


def test_wrong_settings_name_the_field() -> None:
    with pytest.raises(SettingError, match="width"):
        ResNetUNet(width=0)
    with pytest.raises(SettingError, match="unknown setting"):
        read_settings(ResNetUNet, {"wide": 2})
    for staged in (SegNet, SegNetMTAN, VGG, RoutedVGG):
        with pytest.raises(SettingError, match="one entry for each stage"):
            staged(channels=(64, 128), depths=(2,))
    with pytest.raises(SettingError, match="at least 1 convolution"):
        VGG(channels=(64, 128), depths=(2, 0))
    with pytest.raises(SettingError, match="3 stages need a picture of at least 8 pixels"):
        ConvNet(size=(32, 7))


@dense
def test_every_layer_but_the_answers_can_be_pruned(settings: ModelSettings) -> None:
    found = find_channels(trace(settings.build(TASKS), torch.zeros(1, 3, 64, 64)))
    assert found.unknown == ()
    assert [group.name for group in found.groups if group.reason] == []
    cut = {piece.tensor for group in found.groups for piece in group.slices if piece.dim == 0}
    net = settings.build(TASKS)
    answers = {f"{name}.weight" for name, module in net.named_modules() if _answers(module)}
    weights = {f"{name}.weight" for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    assert weights - cut == answers


def _answers(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.out_channels in TASKS.values()
