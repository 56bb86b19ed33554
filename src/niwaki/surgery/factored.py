"""Layers of low rank as two plain ones in a row: along the height first, then along the width."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from niwaki.errors import SurgeryError
from niwaki.records.factoring import Factoring
from niwaki.surgery.layout import Layout
from niwaki.surgery.memory import remember
from niwaki.surgery.replay import replays
from niwaki.surgery.wrappers import unwrap

__all__ = ["SPLITTABLE", "factor", "fill_pair", "split_layer"]

SPLITTABLE: tuple[type[nn.Module], ...] = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
"""The layers whose forward is known; one of a class of the user's own may do something else."""


def split_layer(layer: nn.Module, rank: int) -> nn.Sequential:
    """Make the two layers that compute what a layer with a weight of low rank does.

    Of a convolution ``kh x kw`` they are ``kh x 1`` to ``rank`` channels, without a bias, and ``1 x kw`` with the bias;
    stride, padding, dilation and groups are shared out between them, and a linear layer becomes two.

    Args:
        layer: A plain layer of a type in `SPLITTABLE`; it is left as it is.
        rank: Channels between the two, in each group.

    Returns:
        Two layers in the mode, of the type and on the device of the first; their weights are not set yet.

    Examples:
        >>> split_layer(nn.Conv2d(8, 6, 3, stride=2, padding=1), rank=4)
        Sequential(
          (0): Conv2d(8, 4, kernel_size=(3, 1), stride=(2, 1), padding=(1, 0), bias=False)
          (1): Conv2d(4, 6, kernel_size=(1, 3), stride=(1, 2), padding=(0, 1))
        )
    """
    weight = layer.weight
    assert isinstance(weight, Tensor)
    where: dict[str, Any] = {"dtype": weight.dtype, "device": weight.device}
    bias = layer.bias is not None
    with torch.random.fork_rng(devices=[]):
        if isinstance(layer, nn.Linear):
            pair = nn.Sequential(
                nn.Linear(layer.in_features, rank, bias=False, **where),
                nn.Linear(rank, layer.out_features, bias=bias, **where),
            )
        else:
            assert isinstance(layer, _ConvNd)
            inner = rank * layer.groups
            first, second = (_along(layer, part, where) for part in (0, 1))
            pair = nn.Sequential(
                type(layer)(layer.in_channels, inner, bias=False, **first),
                type(layer)(inner, layer.out_channels, bias=bias, **second),
            )
    return pair.train(layer.training).requires_grad_(weight.requires_grad)


@torch.no_grad()
def fill_pair(pair: nn.Sequential, layout: Layout, u: Tensor, v: Tensor, bias: Tensor | None) -> None:
    """Write factors into the two layers.

    Args:
        pair: As `split_layer` made it; changed in place.
        layout: Of the layer that it stands for.
        u: ``[groups, rows, rank]``.
        v: ``[groups, rank, columns]``.
        bias: The layer's bias, or None.
    """
    (inputs, outputs), rank = layout.channels, u.shape[-1]
    rows = u.reshape(layout.groups, inputs, -1, rank)
    columns = v.reshape(layout.groups, rank, outputs, -1)
    first = rows.permute(0, 1, 3, 2) if layout.transposed else rows.permute(0, 3, 1, 2)
    second = columns if layout.transposed else columns.permute(0, 2, 1, 3)
    for place, values in enumerate((first, second)):
        weight = pair[place].weight
        assert isinstance(weight, Tensor)
        weight.copy_(values.reshape(weight.shape))
    if bias is not None:
        held = pair[1].bias
        assert isinstance(held, Tensor)
        held.copy_(bias)


def factor(model: nn.Module, record: Factoring) -> nn.Module:
    """Replace layers by two of lower rank each; their weights come from elsewhere.

    Args:
        model: The model; it is left as it is.
        record: Which layers, and their ranks.

    Returns:
        The changed copy, which remembers the record.

    Raises:
        SurgeryError: When the model has no such layer.
    """
    copy = deepcopy(model)
    plain = unwrap(copy)
    modules = dict(plain.named_modules())
    for name, rank in record.ranks.items():
        layer = modules.get(name)
        if not name or type(layer) not in SPLITTABLE:
            found = "no such module" if layer is None else f"a {type(layer).__name__}"
            raise SurgeryError(f"{name!r} was kept as two factors, but in the model given it is {found}")
        assert layer is not None
        owner, _, leaf = name.rpartition(".")
        setattr(plain.get_submodule(owner), leaf, split_layer(layer, rank))
    remember(plain, record)
    return copy


@replays("factors")
def _again(model: nn.Module, text: str) -> nn.Module:
    return factor(model, Factoring.from_json(text))


def _along(layer: _ConvNd, part: int, where: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the first factor, along all axes but the last, or of the second, along the last."""
    split = Layout.of(layer).split

    def own(values: Any, neutral: int) -> Any:
        if isinstance(values, str):
            return values
        return tuple(value if (axis < split) == (part == 0) else neutral for axis, value in enumerate(values))

    chosen: dict[str, Any] = {
        "kernel_size": own(layer.kernel_size, 1),
        "stride": own(layer.stride, 1),
        "padding": own(layer.padding, 0),
        "dilation": own(layer.dilation, 1),
        "groups": layer.groups,
        "padding_mode": layer.padding_mode,
        **where,
    }
    if isinstance(layer, _ConvTransposeNd):
        chosen["output_padding"] = own(layer.output_padding, 0)
    return chosen
