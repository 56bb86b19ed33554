"""The inputs a model is exported with: an example as given, doubled for train mode, or drawn from its description."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from niwaki.contract import Example
from niwaki.errors import GraphError

__all__ = ["doubled", "example_from_spec", "free_batch"]


def doubled(example: Example) -> Example:
    """Return an example with its batch twice as large.

    Batch norm in train mode refuses one value per channel, which a pooled branch has at batch size one.

    Args:
        example: Inputs; the batch is the first dimension of the first tensor, and of every other tensor of that size.

    Returns:
        The inputs with each such tensor repeated along its first dimension.

    Examples:
        >>> doubled(Example(torch.zeros(1, 3))).args[0].shape
        torch.Size([2, 3])
    """
    size = example.batch

    def twice(tensor: Tensor) -> Tensor:
        return torch.cat([tensor, tensor]) if tensor.ndim > 0 and tensor.shape[0] == size else tensor

    return example.map(twice)


def free_batch(model: nn.Module, example: Example) -> dict[str, Any]:
    """Say to ``torch.export`` that the batch of an example may vary where the model's code lets it.

    Args:
        model: The model, for the names of its inputs.
        example: Inputs.

    Returns:
        Name of an input to what may vary of it, in the form of ``dynamic_shapes``.

    Examples:
        >>> free_batch(nn.Linear(3, 2), Example(torch.zeros(2, 3)))
        {'input': {0: DimHint(AUTO)}}
    """
    size = example.batch
    varies = torch.export.Dim.AUTO

    def batched(value: Any) -> Any:
        return {0: varies} if isinstance(value, Tensor) and value.ndim > 0 and value.shape[0] == size else None

    given = inspect.signature(model.forward).bind(*example.args, **example.kwargs).arguments
    return {name: pytree.tree_map(batched, value) for name, value in given.items()}


def example_from_spec(spec: dict[str, Any], seed: int) -> Example:
    """Draw an example from its description.

    Args:
        spec: What `niwaki.contract.describe_example` returned.
        seed: Seed of the values; the caller's random state is not touched.

    Returns:
        Floating point tensors drawn from N(0, 1), others filled with zeros, plain values as they were.

    Raises:
        GraphError: When the description is of no known form.

    Examples:
        >>> spec = {"args": [{"shape": [1, 3], "dtype": "float32"}], "kwargs": {"task": {"value": 0}}}
        >>> example_from_spec(spec, seed=0)
        Example(float32[1, 3], task=0)
    """
    generator = torch.Generator().manual_seed(seed)
    try:
        args = [_draw(each, generator) for each in spec["args"]]
        kwargs = {key: _draw(each, generator) for key, each in spec["kwargs"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise GraphError(
            f"this describes no example ({error!r}); give what describe_example() returned: args and kwargs of "
            "entries such as {'shape': [1, 3], 'dtype': 'float32'} or {'value': 1}"
        ) from error
    return Example(*args, **kwargs)


def _draw(entry: dict[str, Any], generator: torch.Generator) -> Any:
    if "shape" in entry:
        dtype: torch.dtype = getattr(torch, entry["dtype"])
        if dtype.is_floating_point or dtype.is_complex:
            return torch.randn(entry["shape"], generator=generator, dtype=torch.float32).to(dtype)
        return torch.zeros(entry["shape"], dtype=dtype)
    if "tuple" in entry:
        return tuple(_draw(each, generator) for each in entry["tuple"])
    if "list" in entry:
        return [_draw(each, generator) for each in entry["list"]]
    if "dict" in entry:
        return {key: _draw(each, generator) for key, each in entry["dict"].items()}
    return entry["value"]
