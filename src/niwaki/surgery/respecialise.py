"""Graph surgery: the exported programs of a model, rewritten at the sizes after a cut."""

import inspect

from torch import Tensor, nn

from niwaki.errors import NiwakiError
from niwaki.graph import Channels, find_channels, trace
from niwaki.surgery.graph_model import GraphModel, route_of
from niwaki.surgery.kept import Mask
from niwaki.surgery.rewrite import rewrite

__all__ = ["free_channels", "respecialise"]


def free_channels(model: nn.Module, channels: Channels) -> Channels:
    """Read a model once more for graph surgery: at any batch size, and with channels that may be permuted.

    Args:
        model: The dense model.
        channels: Its channel classes as module surgery needs them.

    Returns:
        The channel classes of programs whose batch may vary; of the programs at hand where torch can't export such.
    """
    examples = [program.example for program in channels.traced.eval_programs]
    try:
        traced = trace(model, examples, tasks=channels.traced.tasks, any_batch=True)
    except NiwakiError:
        traced = channels.traced
    return find_channels(traced, permutations=True, attention=channels.attention)


def respecialise(dense: nn.Module, small: nn.Module, channels: Channels, removed: Mask) -> GraphModel:
    """Make a model that runs its programs at the sizes after a cut.

    Args:
        dense: The model before, for how it is called.
        small: A copy with cut tensors; the result takes them over.
        channels: The dense model's channel classes.
        removed: By class id, whether the class went.

    Returns:
        The model.

    Raises:
        SurgeryError: When a program can't be rewritten.
    """
    signature = inspect.signature(dense.forward)
    constants: dict[str, Tensor] = {}
    routes = []
    for program, states in zip(channels.traced.programs, channels.values, strict=True):
        rewritten = rewrite(program, states, removed, channels.shuffles)
        routes.append(route_of(program, rewritten, small, signature, constants))
    return GraphModel(small, routes, constants, signature)
