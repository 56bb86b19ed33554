"""An oracle that shares no code with surgery: cut tensors under the model's own Python against silenced ones."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from niwaki.contract import as_examples
from niwaki.graph import Channels, find_channels, named_tensors, planned_size, trace

Check = Callable[..., Channels]


def half_of_each_stratum(channels: Channels, seed: int = 0) -> NDArray[np.bool_]:
    """Keep a random half of every stratum, and all of what Python would cut in unequal pieces."""
    generator = np.random.default_rng(seed)
    keep = np.ones(channels.count, dtype=np.bool_)
    for group in channels.groups:
        if group.reason is not None:
            continue
        for stratum in np.unique(group.strata):
            classes = group.classes[group.strata == stratum]
            gone = generator.permutation(classes)[: len(classes) // 2]
            keep[gone[channels.removable[gone]]] = False
    while uneven := [
        pieces for pieces in channels.equal_chunks if len({int(keep[piece].sum()) for piece in pieces}) > 1
    ]:
        keep[np.concatenate(uneven[0])] = True
    return keep


def randomise(model: nn.Module) -> None:
    """Give every parameter and statistic a value that shows up in the answers."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in named_tensors(model):
            if not tensor.is_floating_point():
                continue
            fan = max(tensor[0].numel(), 1) if tensor.ndim > 1 else 1
            values = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * 1.4 / fan**0.5
            tensor.copy_(values.abs() + 0.5 if name.endswith("running_var") else values)


def positions(labels: Any, keep: NDArray[np.bool_]) -> Tensor | None:
    """Return the positions that stay of one dimension, None for all."""
    return None if labels is None else torch.from_numpy(np.flatnonzero(keep[labels]))


def cut_tensors(model: nn.Module, channels: Channels, keep: NDArray[np.bool_]) -> dict[str, Tensor]:
    """Return every parameter and buffer without its removed positions."""
    found = {}
    for name, tensor in named_tensors(model):
        small = tensor.detach()
        for dim, labels in enumerate(channels.tensors[channels.traced.names[name]]):
            chosen = positions(labels, keep)
            small = small if chosen is None else small.index_select(dim, chosen)
        found[name] = small.clone()
    return found


def silence(model: nn.Module, channels: Channels, keep: NDArray[np.bool_]) -> nn.Module:
    """Return a copy of the model whose removed slices are zero."""
    silent = copy.deepcopy(model)
    with torch.no_grad():
        for name, tensor in named_tensors(silent):
            for dim, labels in enumerate(channels.tensors[channels.traced.names[name]]):
                if labels is not None:
                    gone = torch.from_numpy(np.flatnonzero(~keep[labels]))
                    tensor.index_fill_(dim, gone, 0.0)
    return silent


def repair(model: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    """Set the counts of groups and normalised shapes to those of the cut tensors."""
    repaired = copy.deepcopy(model)
    for name, module in repaired.named_modules():
        weight = tensors.get(f"{name}.weight")
        if weight is None:
            continue
        depthwise = 1 < getattr(module, "groups", 1) == getattr(module, "in_channels", None)
        if depthwise and isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
            module.groups = weight.shape[0] // max(module.out_channels // module.in_channels, 1)
            if isinstance(module, nn.ConvTranspose2d):
                module.groups = weight.shape[0]
        if isinstance(module, nn.GroupNorm) and module.num_groups == module.num_channels:
            module.num_groups = weight.shape[0]
        if isinstance(module, nn.InstanceNorm2d):
            module.num_features = weight.shape[0]
        if isinstance(module, nn.LayerNorm):
            module.normalized_shape = tuple(weight.shape)
    return repaired


def answers(model: nn.Module, tensors: dict[str, Tensor] | None, example: Any) -> list[Tensor]:
    """Run a model, with other tensors where given, on every example."""
    with torch.no_grad():
        outputs = [
            each.call(model)
            if tensors is None
            else torch.func.functional_call(model, tensors, each.args, each.kwargs, tie_weights=False)
            for each in as_examples(example)
        ]
    return [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]


def doubled(leaf: Any) -> Any:
    return leaf.double() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf


def check_cut(model: nn.Module, example: Any, **options: Any) -> Channels:
    """Cut half of every stratum and demand the answers and the planned size of the silenced model."""
    model = model.double().eval()
    example = pytree.tree_map(doubled, example)
    randomise(model)
    channels = find_channels(trace(model, example), **options)
    keep = half_of_each_stratum(channels)
    tensors = cut_tensors(model, channels, keep)
    small = repair(model, tensors)
    with FlopCounterMode(display=False) as counter:
        cut = answers(small, tensors, example)
    expected = answers(silence(model, channels, keep), None, example)
    for found, wanted in zip(cut, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    unique = {channels.traced.names[name] for name in tensors} & channels.traced.parameters
    params, macs = planned_size(channels, keep)
    assert params == sum(tensors[name].numel() for name in unique)
    assert macs == counter.get_total_flops() // 2
    return channels


@pytest.fixture(name="check_cut", scope="session")
def _check_cut() -> Check:
    return check_cut
