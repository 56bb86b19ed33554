"""Sizes that torch's own layers keep beside their tensors, set right after a cut: one rule for each type of layer."""

from collections.abc import Iterator
from functools import singledispatch
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

__all__ = ["has_fields", "repair_fields"]


def repair_fields(model: nn.Module, cut: set[int]) -> None:
    """Set the size fields of every layer that holds a cut tensor.

    Args:
        model: The model whose tensors were cut; changed in place.
        cut: Identities of the cut tensors.
    """
    for module in model.modules():
        if any(id(tensor) in cut for tensor in _tensors(module)):
            _repair(module)


def has_fields(module: nn.Module) -> bool:
    """Tell whether a layer's sizes follow from its own tensors by a rule of this file.

    Args:
        module: Any module.

    Returns:
        Whether there is a rule, and tensors to apply it to.
    """
    return _repair.dispatch(type(module)) is not _repair.dispatch(nn.Module) and any(True for _ in _tensors(module))


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters(recurse=False)
    yield from module.buffers(recurse=False)
    yield from (value for value in vars(module).values() if isinstance(value, Tensor))
    parametrised = module._modules.get("parametrizations")  # noqa: SLF001 - torch's own registry of children
    if parametrised is not None:
        yield from parametrised.parameters()
        yield from parametrised.buffers()


@singledispatch
def _repair(module: nn.Module) -> None:
    """Leave a type without size fields as it is."""


@_repair.register
def _conv(module: _ConvNd) -> None:
    depthwise = module.groups > 1 and module.groups == module.in_channels
    rows, columns = module.weight.shape[:2]
    if depthwise:
        module.groups = rows * module.groups // module.out_channels
    module.in_channels, module.out_channels = columns * module.groups, rows


@_repair.register
def _transposed(module: _ConvTransposeNd) -> None:
    depthwise = module.groups > 1 and module.groups == module.in_channels
    rows, columns = module.weight.shape[:2]
    if depthwise:
        module.groups = rows
    module.in_channels, module.out_channels = rows, columns * module.groups


@_repair.register
def _linear(module: nn.Linear) -> None:
    module.out_features, module.in_features = module.weight.shape


@_repair.register
def _bilinear(module: nn.Bilinear) -> None:
    module.out_features, module.in1_features, module.in2_features = module.weight.shape


@_repair.register
def _norm(module: _NormBase) -> None:
    known = module.weight if module.weight is not None else module.running_mean
    if known is not None:
        module.num_features = known.shape[0]


@_repair.register
def _group_norm(module: nn.GroupNorm) -> None:
    single = module.num_groups == module.num_channels
    module.num_channels = module.weight.shape[0]
    if single:
        module.num_groups = module.num_channels


@_repair.register(nn.LayerNorm)
@_repair.register(nn.RMSNorm)
def _layer_norm(module: Any) -> None:
    module.normalized_shape = tuple(module.weight.shape)


@_repair.register(nn.Embedding)
@_repair.register(nn.EmbeddingBag)
def _embedding(module: Any) -> None:
    module.num_embeddings, module.embedding_dim = module.weight.shape


@_repair.register
def _prelu(module: nn.PReLU) -> None:
    module.num_parameters = module.weight.numel()


@_repair.register
def _attention(module: nn.MultiheadAttention) -> None:
    stacked = cast("Tensor | None", module.in_proj_weight)
    query = stacked if stacked is not None else module.q_proj_weight
    module.embed_dim = query.shape[1]
    module.head_dim = module.embed_dim // module.num_heads
    module.kdim = module.embed_dim if stacked is not None else module.k_proj_weight.shape[1]
    module.vdim = module.embed_dim if stacked is not None else module.v_proj_weight.shape[1]
