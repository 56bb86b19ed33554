"""What a plan asks of the model it is applied to: the sizes it was made for, and inputs to read that model with."""

from collections.abc import Iterable

from torch import Tensor, nn

from niwaki.contract import Example
from niwaki.errors import SurgeryError
from niwaki.graph import Channels, example_from_spec, find_channels, trace
from niwaki.modules import device_of
from niwaki.records import Plan
from niwaki.surgery.tensors import Positions, named_tensors
from niwaki.surgery.wrappers import plain_name

__all__ = ["channels_anew", "fitting_sizes"]


def fitting_sizes(model: nn.Module, plan: Plan, removed: Positions) -> dict[str, tuple[int, ...]]:
    """Check that a model has the sizes that a plan cuts.

    Args:
        model: The model, unwrapped.
        plan: The plan, which tells the sizes it was made for, if it does.
        removed: What it removes.

    Returns:
        The shape of every tensor that it cuts.

    Raises:
        SurgeryError: When such a tensor is missing, or is of another size where it is cut; the first is named.
    """
    tensors = named_tensors(model)
    known = {plain_name(name): shape for name, shape in plan.sizes.items()}
    for name, dims in removed.items():
        tensor, shape = tensors.get(name), known.get(name)
        if shape is None or (tensor is not None and _fits(tuple(tensor.shape), shape, dims)):
            continue
        found = "missing" if tensor is None else f"of shape {tuple(tensor.shape)}"
        raise SurgeryError(
            f"the plan was made for another model: tensor {name!r} is {found}, the plan was made for {shape}"
        )
    return {name: tuple(tensors[name].shape) for name in removed if name in tensors}


def _fits(shape: tuple[int, ...], planned: tuple[int, ...], dims: Iterable[int]) -> bool:
    return len(shape) == len(planned) and all(shape[dim] == planned[dim] for dim in dims)


def channels_anew(model: nn.Module, plan: Plan) -> Channels:
    """Read the channels of a model, with inputs drawn as a plan tells.

    Args:
        model: The model, unwrapped.
        plan: The plan.

    Returns:
        Its channel classes.

    Raises:
        SurgeryError: When the plan tells no inputs.
    """
    if not plan.examples:
        raise SurgeryError(
            "the plan tells no example inputs, so the cut can't prove itself; give channels=..., or verify=False"
        )
    examples = [_fitting(example_from_spec(spec, seed), model) for seed, spec in enumerate(plan.examples)]
    return find_channels(trace(model, examples), attention=plan.attention)


def _fitting(example: Example, model: nn.Module) -> Example:
    """Move drawn inputs to where a model lies, in a floating type that it has: a plan is no model's alone."""
    device = device_of(model)
    types = [each.dtype for each in model.parameters() if each.is_floating_point()]

    def fitting(tensor: Tensor) -> Tensor:
        foreign = types and tensor.is_floating_point() and tensor.dtype not in types
        return tensor.to(device, types[0] if foreign else tensor.dtype)

    return example.map(fitting)
