"""A convolution whose filters are rows of a bank that other convolutions may draw from too."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from niwaki.surgery.packing import bits_for, bytes_for, pack, unpack

__all__ = ["BankConv"]

_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_GEOMETRY = ("kernel_size", "stride", "padding", "dilation", "padding_mode")


class BankConv(nn.Module):
    """A convolution with the filters ``W = scale * bank[index][:, inputs]``.

    The bank is one parameter that several layers hold; index, live inputs, scale and bias are this layer's own. Where a
    row serves several channels it is computed once and its output is gathered, so that a layer that uses K rows costs
    K filters, whatever follows it. The gradient of a row is the sum over its users.

    In the state dict and on disk the index is ``packed``: ``ceil(log2 K)`` bits a channel, and one bit a column of the
    bank where not all of them are live.

    Args:
        like: The convolution that it replaces; its geometry and bias are taken over.
        bank: The filters, `[K, columns, *kernel]`.
        index: Row of the bank for each output channel, `[out]`.
        inputs: Column of the bank for each input channel, increasing; None where they are all of them.
        scale: Factor of each output channel, `[out]`; None for none.

    Examples:
        >>> conv = nn.Conv2d(1, 3, 1, bias=False)
        >>> bank = nn.Parameter(torch.tensor([2.0, 5.0]).reshape(2, 1, 1, 1))
        >>> layer = BankConv(conv, bank, [1, 0, 1])
        >>> layer(torch.ones(1, 1, 1, 1)).flatten()
        tensor([5., 2., 5.], grad_fn=<ViewBackward0>)
        >>> layer.index.tolist(), layer.rows.tolist(), layer.packed.tolist()  # 3 channels of 1 bit
        ([1, 0, 1], [0, 1], [160])
    """

    bank: nn.Parameter
    scale: nn.Parameter | None
    bias: nn.Parameter | None
    rows: Tensor
    place: Tensor | None
    inputs: Tensor
    packed: Tensor

    def __init__(
        self,
        like: _ConvNd,
        bank: nn.Parameter,
        index: Sequence[int],
        inputs: Sequence[int] | None = None,
        scale: nn.Parameter | None = None,
    ) -> None:
        super().__init__()
        self.geometry: dict[str, Any] = {name: getattr(like, name) for name in _GEOMETRY}
        self.bank = bank
        self.register_parameter("scale", scale)
        self.register_parameter("bias", cast("nn.Parameter | None", like.bias))
        columns = list(range(bank.shape[1])) if inputs is None else list(inputs)
        self.place_on(index, columns)
        self.train(like.training)

    @property
    def index(self) -> Tensor:
        """Row of the bank for each output channel, `[out]`."""
        return self.rows if self.place is None else self.rows[self.place]

    @property
    def weight(self) -> Tensor:
        """The filters as a plain convolution would hold them, `[out, in, *kernel]`."""
        return self._scaled(self.bank[self.index][:, self.inputs])

    @property
    def in_channels(self) -> int:
        """Input channels."""
        return self.inputs.numel()

    @property
    def out_channels(self) -> int:
        """Output channels."""
        return self.index.numel()

    @property
    def index_bits(self) -> int:
        """Bits that the index takes, and the live inputs where not all columns are."""
        mask = self.bank.shape[1] if self.in_channels < self.bank.shape[1] else 0
        return self.out_channels * bits_for(self.bank.shape[0]) + mask

    def place_on(self, index: Sequence[int], inputs: Sequence[int]) -> None:
        """Draw from other rows and columns of the bank.

        Args:
            index: Row for each output channel.
            inputs: Column for each input channel, increasing.
        """
        device, chosen = self.bank.device, torch.tensor(list(index), dtype=torch.long)
        rows, place = torch.unique(chosen, return_inverse=True)
        shared = rows.numel() < chosen.numel()
        columns = torch.tensor(list(inputs), dtype=torch.long)
        # what the forward reads is kept unpacked and out of the state dict: it follows from `packed`
        self.register_buffer("rows", (rows if shared else chosen).to(device), persistent=False)
        self.register_buffer("place", place.to(device) if shared else None, persistent=False)
        self.register_buffer("inputs", columns.to(device), persistent=False)
        self.register_buffer("packed", self._packed(list(index), list(inputs)).to(device))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve.

        Args:
            x: `[N, in, ...]`, or without the first dimension.

        Returns:
            `[N, out, ...]`.
        """
        filters = self.bank.index_select(0, self.rows).index_select(1, self.inputs)
        if self.place is None:
            return self._convolve(x, self._scaled(filters), self.bias)
        channel = -self.bank.ndim + 1
        made = self._convolve(x, filters, None).index_select(channel, self.place)
        for_each = (-1, *[1] * (self.bank.ndim - 2))
        if self.scale is not None:
            made = made * self.scale.reshape(for_each)
        return made if self.bias is None else made + self.bias.reshape(for_each)

    def plain(self) -> _ConvNd:
        """Return a plain convolution of the same answers; it holds this layer's bias."""
        kind: Any = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[self.bank.ndim - 2]
        conv: _ConvNd = kind(self.in_channels, self.out_channels, bias=False, device="meta", **self.geometry)
        conv.weight = nn.Parameter(self.weight.detach().clone(), requires_grad=self.bank.requires_grad)
        conv.bias = self.bias
        return conv.train(self.training)

    def extra_repr(self) -> str:
        """Tell the bank's shape and the channels."""
        shown = ", ".join(f"{name}={value}" for name, value in self.geometry.items() if name != "padding_mode")
        return f"bank={list(self.bank.shape)}, {self.in_channels} -> {self.out_channels}, {shown}"

    def _scaled(self, filters: Tensor) -> Tensor:
        return filters if self.scale is None else filters * self.scale.reshape(-1, *[1] * (filters.ndim - 1))

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        about, padding = self.geometry, self.geometry["padding"]
        if about["padding_mode"] != "zeros":
            x, padding = F.pad(x, _both_sides(padding, about), mode=about["padding_mode"]), 0
        convolve: Any = _CONVOLVE[weight.ndim - 2]
        made: Tensor = convolve(x, weight, bias, about["stride"], padding, about["dilation"])
        return made

    def _packed(self, index: Sequence[int], inputs: Sequence[int]) -> Tensor:
        rows, columns = self.bank.shape[:2]
        live = set(inputs)
        mask = [int(column in live) for column in range(columns)] if len(live) < columns else []
        return torch.cat([pack(index, bits_for(rows)), pack(mask, 1)])

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self._unpack()

    def _unpack(self) -> None:
        """Read index and live inputs from their packed form, after it was loaded."""
        rows, columns = self.bank.shape[:2]
        bits, some = bits_for(rows), self.in_channels < columns
        end = bytes_for(self.out_channels, bits)
        mask = unpack(self.packed[end:], 1, columns) if some else [1] * columns
        live = [column for column, alive in enumerate(mask) if alive]
        self.place_on(unpack(self.packed[:end], bits, self.out_channels), live)


def _both_sides(padding: Any, about: Mapping[str, Any]) -> list[int]:
    """Return what `torch.nn.functional.pad` is to add, last dimension first."""
    reach = [step * (size - 1) for step, size in zip(about["dilation"], about["kernel_size"], strict=True)]
    if padding == "same":
        pairs = [(total // 2, total - total // 2) for total in reach]
    else:
        pairs = [(0, 0) for _ in reach] if padding == "valid" else [(each, each) for each in padding]
    return [side for pair in reversed(pairs) for side in pair]
