"""Backbones of timm, a library of about a thousand image networks, with a light head for each task (extra ``zoo``)."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from niwaki.errors import MissingExtraError, SettingError, did_you_mean
from niwaki.models.base import ModelSettings, models
from niwaki.models.blocks import Level, PooledHead
from niwaki.models.decoders import FPNHead, LinearHead
from niwaki.models.deeplab import PyramidHead
from niwaki.models.initial import initialise
from niwaki.models.multitask import MultiTaskNet

__all__ = ["Timm", "TimmTrunk", "from_timm"]

_FINEST = 4  # maps at a half of the input's size cost more than all others and say little of their own


@models.register("timm")
class Timm(ModelSettings):
    """Any timm backbone that gives its feature maps, with a light head for each task; needs the extra `zoo`.

    `width` scales the heads alone: backbones come in the widths that timm names.

    Attributes:
        backbone: Its name in timm, such as ``resnet18``, ``convnext_atto`` or ``vit_tiny_patch16_224``.
        decoder: The head of a task that answers with a map. ``fpn``: a feature pyramid; ``aspp``: DeepLabV3's pyramid
            on the deepest map; ``linear``: a 1x1 convolution on each map, summed.
        head_channels: Channels inside each head.
        pretrained: Whether timm's weights are downloaded; otherwise the backbone's are drawn as timm draws them.
        options: Further arguments of `timm.create_model`, such as ``{"img_size": [96, 128]}`` for a transformer.

    Examples:
        >>> Timm(backbone="convnext_atto", decoder="linear").decoder
        'linear'
    """

    kind: Literal["timm"] = "timm"
    backbone: str = Field(min_length=1)
    decoder: Literal["fpn", "aspp", "linear"] = "fpn"
    head_channels: int = Field(default=64, ge=1)
    pretrained: bool = False
    options: dict[str, Any] = Field(default_factory=dict)

    def _assemble(self, tasks_out: dict[str, int]) -> nn.Module:
        trunk = TimmTrunk(_create(self))
        return MultiTaskNet(trunk, {t: self._head(t, trunk.channels, n) for t, n in tasks_out.items()}, resize=True)

    def _draw(self, model: nn.Module, generator: torch.Generator) -> None:
        initialise(model.get_submodule("heads"), generator)

    def _head(self, task: str, counts: tuple[int, ...], out_channels: int) -> nn.Module:
        if task in self.pooled:
            return nn.Sequential(Level(-1), PooledHead(counts[-1], out_channels))
        inside = self._wide(self.head_channels)
        if self.decoder == "fpn":
            return FPNHead(counts, inside, out_channels)
        if self.decoder == "linear":
            return LinearHead(counts, out_channels)
        return nn.Sequential(Level(-1), PyramidHead(counts[-1], inside, out_channels, (6, 12, 18)))


def from_timm(name: str, tasks_out: Mapping[str, int], *, seed: int = 0, **settings: Any) -> nn.Module:
    """Build a multi-task network on a timm backbone: `Timm(backbone=name, **settings).build(tasks_out, seed=seed)`.

    Args:
        name: The backbone's name in timm.
        tasks_out: Output channels of each task.
        seed: Seed of the weights that are not pretrained.
        **settings: Any setting of `Timm`: `decoder`, `head_channels`, `pretrained`, `pooled`, `in_channels`, `options`.

    Returns:
        A plain module whose `forward(x)` returns `dict[task, Tensor]`.

    Raises:
        MissingExtraError: When timm is not installed.
        SettingError: When timm has no such backbone or can't build it so, or a setting is not allowed.
        ContractError: As `ModelSettings.build`.

    Examples:
        >>> net = from_timm("resnet18", {"depth": 1}, decoder="aspp")  # doctest: +SKIP
        >>> net(torch.zeros(1, 3, 96, 128))["depth"].shape  # doctest: +SKIP
        torch.Size([1, 1, 96, 128])
    """
    return Timm(backbone=name, **settings).build(tasks_out, seed=seed)


class TimmTrunk(nn.Module):
    """A backbone's feature maps at a quarter of the input's size and below, as `[N, C, h, w]`, the finest first.

    Args:
        backbone: What `timm.create_model(…, features_only=True)` returns.
    """

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone: nn.Module = backbone
        info = backbone.feature_info
        reductions, channels = info.reduction(), info.channels()
        kept = [i for i, reduction in enumerate(reductions) if reduction >= _FINEST]
        self.kept = tuple(kept or range(len(reductions)))
        self.channels = tuple(int(channels[i]) for i in self.kept)
        self.channels_last = str(getattr(backbone, "output_fmt", "")).endswith("NHWC")

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map `[N, in, H, W]` to the feature maps."""
        maps = self.backbone(x)
        kept = [maps[i] for i in self.kept]
        return [each.permute(0, 3, 1, 2) for each in kept] if self.channels_last else kept


def _create(settings: Timm) -> Any:
    timm = _import_timm()
    known = timm.list_models()
    if not timm.is_model(settings.backbone):
        close = did_you_mean(settings.backbone, known)
        raise SettingError(f"timm has no backbone {settings.backbone!r}{close} (timm.list_models() has {len(known)})")
    wanted = {"pretrained": settings.pretrained, "in_chans": settings.in_channels, **settings.options}
    try:
        return timm.create_model(settings.backbone, features_only=True, **wanted)
    except Exception as fault:  # timm raises whatever its networks do
        raise SettingError(
            f"timm can't build {settings.backbone!r} as a backbone with {wanted}: {fault}; "
            "choose another backbone, or other `options`"
        ) from fault


def _import_timm() -> Any:
    from niwaki.tasks import mend_torchvision  # noqa: PLC0415 - brings torchmetrics, which other networks don't need

    mend_torchvision()  # timm imports torchvision, which beside a CPU build of torch does not import by itself
    try:
        return import_module("timm")
    except ImportError as missing:
        raise MissingExtraError("zoo", "a timm backbone") from missing
