"""Running a cut model for its proof: on a copy, without chance, in any floating type."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from niwaki.contract import Example
from niwaki.errors import SurgeryError
from niwaki.graph import Program, written
from niwaki.modules import copied
from niwaki.surgery.chance import WithoutChance
from niwaki.surgery.kept import Kept
from niwaki.surgery.tensors import aliases

__all__ = ["answers", "draw", "failing_module", "has_float64", "lent", "randomised", "seeded"]

BLOCK = 1_000_003
"""Random numbers that all weights share, each from a place of its own; a prime, so that the rows of a weight differ."""


@torch.no_grad()
def answers(
    model: nn.Module, inputs: Sequence[Example], program: Program, *, dtype: torch.dtype, choices: Sequence[Tensor] = ()
) -> list[list[Any]]:
    """Run a copy of a model without dropout.

    Args:
        model: A plain module; it is left as it is.
        inputs: The inputs of each call.
        program: The path to take: tells the mode.
        dtype: Floating type of weights and inputs.
        choices: Indices that pools chose in another run, in order; near-ties of each call are decided as there.

    Returns:
        For each call the leaves of what it returns, in order.

    Raises:
        SurgeryError: When its forward raises; the message names the module.
    """
    found: list[list[Any]] = []
    twin = lent(model, program).to(dtype).train(program.training)
    for each in inputs:
        if found and program.training:  # which may have left something in a buffer
            twin = lent(model, program).to(dtype).train()
        found.append(_leaves(twin, each.copied().map(lambda tensor: _cast(tensor, dtype)), dtype, choices))
    return found


def _leaves(twin: nn.Module, inputs: Example, dtype: torch.dtype, choices: Sequence[Tensor]) -> list[Any]:
    try:
        with seeded(twin), _default_type(dtype), WithoutChance(choices):
            return pytree.tree_leaves(inputs.call(twin))
    except Exception as error:
        name, kind = failing_module(twin, error)
        raise SurgeryError(
            f"module {name!r} ({kind}) can't run with the sizes after the cut: {error}. Its code has a size written in "
            "it: take it from the tensor (x.shape) or from an integer attribute of the module, or keep its channels "
            f"with keep=[{name!r}]"
        ) from error


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def lent(model: nn.Module, program: Program) -> nn.Module:
    """Copy a model for one run; the copy looks at the model's own parameters, but for those the run writes into.

    Args:
        model: The dense model, or one cut from it.
        program: The path it is to take.

    Returns:
        The copy.
    """
    fixed = written(program)
    return copied(model, aliases(model, [name for name, _ in model.named_parameters() if name not in fixed]))


def failing_module(model: nn.Module, error: BaseException) -> tuple[str, str]:
    """Return the innermost of the user's modules whose forward an error came from.

    Args:
        model: The model that was run.
        error: What it raised.

    Returns:
        The module's dotted name (its class's name for the root) and the name of its class.
    """
    names = {id(module): name for name, module in model.named_modules()}
    found = model
    trace = error.__traceback__
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and id(owner) in names and not type(owner).__module__.startswith("torch.nn"):
            found = owner
        trace = trace.tb_next
    kind = type(found).__name__
    return names[id(found)] or kind, kind


def has_float64(tensors: Iterable[Tensor]) -> bool:
    """Tell whether the devices of some tensors compute in float64, which Apple's do not.

    Args:
        tensors: What a model holds.

    Returns:
        Whether all do.

    Examples:
        >>> has_float64([torch.zeros(1)])
        True
    """
    return all(tensor.device.type != "mps" for tensor in tensors)


def draw(example: Example, seed: int) -> Example:
    """Draw inputs like an example: normal with its mean and spread; integers and truth values in another order.

    Args:
        example: What to be like.
        seed: Seed of the draw.

    Returns:
        Inputs of the same shapes and types.
    """
    generator = torch.Generator().manual_seed(seed)

    def like(value: Tensor) -> Tensor:
        if not value.numel():
            return value
        if not value.is_floating_point():
            order = torch.randperm(value.numel(), generator=generator).to(value.device)
            return value.flatten()[order].reshape(value.shape)
        wide = value.cpu().double()  # float64 is not on every device
        spread = wide.std().item() if value.numel() > 1 else 0.0
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        return (wide.mean() + (spread if spread > 1e-3 else 1.0) * noise).to(value.dtype).to(value.device)

    return example.map(like)


def randomised(model: nn.Module, seed: int, *, kept: Callable[[str], Kept | None] = lambda _: None) -> nn.Module:
    """Return a copy of a model with random weights; its outputs depend on its inputs once its batch norms settled.

    Args:
        model: Any model; it is left as it is.
        seed: Seed of the weights.
        kept: Tells what will stay of a parameter, by name. What will go is zero, and what stays is drawn so large that
            its signal does not fade from layer to layer in a deep network.

    Returns:
        The copy: weights are normal with deviation 1.4 / sqrt(fan in that stays), scales uniform in [0.5, 1.5].
    """
    generator = torch.Generator().manual_seed(seed)
    count = min(BLOCK, max((each.numel() for each in model.parameters()), default=0))
    numbers = torch.randn(count, generator=generator).repeat(2)
    made: dict[int, Any] = {}
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point():
            stays = kept(name)
            start = int(torch.randint(max(count, 1), (), generator=generator))
            values = _random(name, parameter, _fan_in(parameter, stays), numbers[start:][:count]).to(parameter)
            made[id(parameter)] = nn.Parameter(stays.silence_(values) if stays else values, parameter.requires_grad)
    return copied(model, made)


def _fan_in(weight: Tensor, kept: Kept | None) -> float:
    """Return how many inputs each row of a weight keeps."""
    fan = float(math.prod(weight.shape[1:]))
    if kept is not None:
        fan *= math.prod(float(kept.stays(dim).mean()) for dim in kept.touched(range(1, weight.ndim)))
    return max(1.0, fan)


def _random(name: str, parameter: Tensor, fan: float, numbers: Tensor) -> Tensor:
    """Make values out of normal numbers, taken over and over where a parameter has more."""
    values = torch.empty(parameter.shape)
    deviation = 1.4 / math.sqrt(fan) if parameter.ndim > 1 else 0.2
    for piece in values.flatten().split(len(numbers)):
        torch.mul(numbers[: len(piece)], deviation, out=piece)
    if parameter.ndim > 1 or name.endswith("bias"):
        return values
    return values.div_(deviation * math.sqrt(2)).erf_().mul_(0.5).add_(1.0)  # uniform in [0.5, 1.5]


@contextmanager
def seeded(model: nn.Module) -> Iterator[None]:
    """Let random operators draw the same numbers each time, and the caller's generators go on as if none had run.

    Args:
        model: What is run: the generators of its devices are meant, and that of the CPU.
    """
    devices = {tensor.device for tensor in (*model.parameters(), *model.buffers()) if tensor.device.type != "cpu"}
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        torch.default_generator.manual_seed(0)
        for device in devices:
            stack.enter_context(torch.random.fork_rng(devices=[device], device_type=device.type))
            fresh = torch.Generator(device).manual_seed(0).get_state()
            torch.get_device_module(device.type).set_rng_state(fresh, device)
        yield


@contextmanager
def _default_type(dtype: torch.dtype) -> Iterator[None]:
    """Let tensors that a forward creates have the type of the rehearsal."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
