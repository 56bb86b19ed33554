"""The networks of `coverage.py`: every float model of torchvision, and backbones of timm, half of them with two heads.

Weights are random and inputs as small as each network takes, since neither changes which channels belong together.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["TIMM", "Network", "all_names", "build"]

Network = tuple[nn.Module, Any]
"""A model and its example: a tensor, or a tuple of positional inputs."""

TIMM = (
    "vit_tiny_patch16_224", "vit_base_patch16_rope_224", "deit3_small_patch16_224", "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256", "maxvit_tiny_tf_224", "mvitv2_tiny", "pvt_v2_b0", "efficientvit_b0", "efficientvit_m0",
    "coatnet_0_rw_224", "levit_128s", "poolformer_s12", "hrnet_w18_small", "res2net50_26w_4s", "cspresnet50",
    "skresnet18", "nfnet_f0", "dm_nfnet_f0", "mobilenetv4_conv_small", "mobilenetv4_hybrid_medium", "convnext_nano",
    "convnextv2_nano", "eva02_tiny_patch14_224", "volo_d1_224", "mixer_s16_224", "resmlp_12_224", "gmixer_24_224",
    "resnet18", "resnetv2_50", "seresnet50", "ecaresnet26t", "regnety_002", "densenet121", "dpn68", "inception_v4",
    "mobilenetv2_100", "mobilenetv3_small_100", "efficientnet_b0", "tf_efficientnetv2_b0", "ghostnet_100",
    "mnasnet_100", "fastvit_t8", "repvgg_a0", "vgg11_bn", "edgenext_xx_small", "xcit_nano_12_p16_224", "cait_xxs24_224",
    "twins_svt_small", "nest_tiny", "crossvit_tiny_240", "rexnet_100", "hardcorenas_a", "focalnet_tiny_srf",
)  # fmt: skip
"""Backbones of timm; every second one gets two task heads."""

_SIDES = {
    "inception_v3": 96, "maxvit_t": 224, "mvit_v1_b": 224, "mvit_v2_s": 224, "raft_large": 128, "raft_small": 128,
    "s3d": 224, "vit_h_14": 56, "ssd300_vgg16": 300, "ssdlite320_mobilenet_v3_large": 320,
}  # fmt: skip
"""Sides of square inputs other than 64."""

_DETECTORS = ("rcnn", "retinanet", "fcos", "ssd")


def all_names() -> list[str]:
    """List every network as ``torchvision/NAME`` or ``timm/NAME``; ``+heads`` marks two heads."""
    from torchvision.models import list_models  # noqa: PLC0415 - only where the shim was applied

    ours = [name for name in list_models() if not name.startswith("quantized_")]
    theirs = [f"timm/{name}" + ("+heads" if index % 2 else "") for index, name in enumerate(TIMM)]
    return [*(f"torchvision/{name}" for name in ours), *theirs]


def build(name: str) -> Network:
    """Build a network by its name in `all_names`, in eval mode."""
    torch.manual_seed(0)
    kind, _, rest = name.partition("/")
    model, example = _from_timm(rest) if kind == "timm" else _from_torchvision(rest)
    return model.eval(), example


def _from_timm(name: str) -> Network:
    import timm  # noqa: PLC0415 - an extra

    plain, _, heads = name.partition("+")
    model = timm.create_model(plain, pretrained=False, num_classes=10)
    size = model.default_cfg["input_size"]
    if not model.default_cfg.get("fixed_input_size", False) and size[-1] > 128 and plain not in _FULL_SIZE:
        size = (3, 128, 128)
    return (TwoHeads(model) if heads else model), torch.randn(1, *size)


_FULL_SIZE = (
    "maxvit_tiny_tf_224", "coatnet_0_rw_224", "levit_128s", "volo_d1_224", "nest_tiny", "swinv2_tiny_window8_256",
    "inception_v4", "cait_xxs24_224", "twins_svt_small",
)  # fmt: skip


class TwoHeads(nn.Module):
    """A backbone with its own classifier, and a head with three outputs at every place of its features."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.dense = nn.Linear(int(backbone.num_features), 3)  # type: ignore[arg-type] # timm's backbones have it

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.backbone.forward_features(x)  # type: ignore[operator] # the same
        maps = features[0] if isinstance(features, tuple | list) else features
        if maps.ndim == 4 and maps.shape[1] == self.dense.in_features:
            maps = maps.permute(0, 2, 3, 1)
        return {"classes": self.backbone.forward_head(features), "dense": self.dense(maps)}  # type: ignore[operator] # the same


def _from_torchvision(name: str) -> Network:
    from torchvision.models import get_model  # noqa: PLC0415 - only where the shim was applied

    side = _SIDES.get(name, 64)
    if name.startswith("raft"):
        return _Flow(get_model(name)), (torch.randn(1, 3, side, side), torch.randn(1, 3, side, side))
    if any(each in name for each in _DETECTORS) or name.startswith("ssd"):
        detector = get_model(name, weights=None, weights_backbone=None)
        return Detector(detector), torch.randn(1, 3, side, side)
    if name.startswith(("swin3d", "r3d", "mc3", "r2plus1d", "s3d", "mvit")):
        return get_model(name), torch.randn(1, 3, 16 if side == 224 else 4, side, side)
    options: dict[str, Any] = {"weights_backbone": None} if name.startswith(("deeplab", "fcn", "lraspp")) else {}
    if name.startswith("vit"):
        options["image_size"] = side
    if name in {"googlenet", "inception_v3"}:
        options["init_weights"] = False
    return get_model(name, **options), torch.randn(1, 3, side, side)


class _Flow(nn.Module):
    """Optical flow with two updates instead of twelve."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, first: Tensor, second: Tensor) -> list[Tensor]:
        flows: list[Tensor] = self.model(first, second, num_flow_updates=2)
        return flows


class Detector(nn.Module):
    """The tensor part of a detector: backbone and heads, without the choice of boxes, which depends on data."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> dict[str, Any]:
        model: Any = self.model
        features = model.backbone(x)
        maps = [features] if isinstance(features, Tensor) else list(features.values())
        if not hasattr(model, "rpn"):
            return {f"head.{name}": value for name, value in _tensors(model.head(maps))}
        objectness, deltas = model.rpn.head(maps)
        found = {f"rpn.{i}": torch.cat(pair, 1) for i, pair in enumerate(zip(objectness, deltas, strict=True))}
        heads = model.roi_heads
        pooled = nn.functional.adaptive_avg_pool2d(maps[0], heads.box_roi_pool.output_size)
        classes, boxes = heads.box_predictor(heads.box_head(pooled))
        found |= {"classes": classes, "boxes": boxes}
        for kind in ("mask", "keypoint"):
            if getattr(heads, f"{kind}_head", None) is not None:
                size = getattr(heads, f"{kind}_roi_pool").output_size
                region = nn.functional.adaptive_avg_pool2d(maps[0], size)
                found[kind] = getattr(heads, f"{kind}_predictor")(getattr(heads, f"{kind}_head")(region))
        return found


def _tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _tensors(each, f"{name}{key}")
