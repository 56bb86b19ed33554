"""Running a cut model for its proof: on a copy, without chance, in any floating type."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils import _pytree as pytree

from niwaki.contract import Example
from niwaki.errors import SurgeryError
from niwaki.graph import doubled
from niwaki.surgery.batchnorm import reestimate_batchnorm
from niwaki.surgery.chance import WithoutChance

__all__ = ["answers", "draw", "failing_module", "has_float64", "randomised", "seeded"]


@torch.no_grad()
def answers(
    model: nn.Module, inputs: Example, *, training: bool, dtype: torch.dtype, choices: Sequence[Tensor] = ()
) -> list[Any]:
    """Run a copy of a model without dropout.

    Args:
        model: A plain module; it is left as it is.
        inputs: The inputs of one call.
        training: The mode to run in.
        dtype: Floating type of weights and inputs.
        choices: Indices that pools chose in another run, in order; near-ties are decided as there.

    Returns:
        The leaves of what it returns, in order.

    Raises:
        SurgeryError: When its forward raises; the message names the module.
    """
    twin = copy.deepcopy(model).to(dtype).train(training)
    cast = inputs.map(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)
    try:
        with seeded(twin), _default_type(dtype), WithoutChance(choices):
            return pytree.tree_leaves(cast.call(twin))
    except Exception as error:
        name, kind = failing_module(twin, error)
        raise SurgeryError(
            f"module {name!r} ({kind}) can't run with the sizes after the cut: {error}. Its code has a size written in "
            "it: take it from the tensor (x.shape) or from an integer attribute of the module, or keep its channels "
            f"with keep=[{name!r}]"
        ) from error


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


def randomised(
    model: nn.Module,
    examples: Sequence[Example],
    seed: int,
    *,
    draws: int = 4,
    silence: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """Return a copy of a model whose outputs depend on its inputs: random weights, batch norms calibrated on draws.

    Args:
        model: Any model; it is left as it is.
        examples: What its inputs look like, one for each path.
        seed: Seed of weights and draws.
        draws: Batches of two like each example that the batch norms see.
        silence: Zeroes what will be cut. The weights that stay are drawn so large, and the batch norms look at so much,
            that the signal of those channels does not fade from layer to layer in a deep network.

    Returns:
        The copy: weights are normal with deviation 1.4 / sqrt(fan in that stays), scales uniform in [0.5, 1.5].
    """
    twin = copy.deepcopy(model)
    fans = _fans_in(twin, silence)
    _fill(twin, seed, fans)
    if any(isinstance(module, _NormBase) and module.track_running_stats for module in twin.modules()):
        if silence is not None:
            silence(twin)
        reestimate_batchnorm(twin, [draw(doubled(each), seed + 1 + i) for i in range(draws) for each in examples])
        _fill(twin, seed, fans)
    return twin


@torch.no_grad()
def _fans_in(model: nn.Module, silence: Callable[[nn.Module], None] | None) -> dict[str, float]:
    """Return how many inputs each row of a weight keeps, in the mean over the rows that stay; overwrites the model."""
    weights = {name: each for name, each in model.named_parameters() if each.is_floating_point() and each.ndim > 1}
    if silence is None:
        return {name: each[0].numel() for name, each in weights.items()}
    for weight in weights.values():
        weight.fill_(1.0)
    silence(model)
    rows = {name: each.flatten(1).count_nonzero(1) for name, each in weights.items()}
    return {name: each.sum().item() / max(1, each.count_nonzero().item()) for name, each in rows.items()}


@torch.no_grad()
def _fill(model: nn.Module, seed: int, fans: Mapping[str, float]) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point():
            parameter.copy_(_random(name, parameter, fans.get(name, 1.0), generator).to(parameter.dtype))


def _random(name: str, parameter: Tensor, fan: float, generator: torch.Generator) -> Tensor:
    if parameter.ndim > 1:
        return torch.randn(parameter.shape, generator=generator).mul_(1.4 / math.sqrt(max(1.0, fan)))
    if name.endswith("bias"):
        return 0.2 * torch.randn(parameter.shape, generator=generator)
    return 0.5 + torch.rand(parameter.shape, generator=generator)


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
