"""What filter sharing asks, in the search's own words."""

from collections.abc import Sequence

import numpy as np

from niwaki.methods.share.search.layer import SearchLayer
from niwaki.methods.share.selecting import Question
from niwaki.methods.share.stack import LayerStack

__all__ = ["layers_of"]


def layers_of(question: Question) -> tuple[SearchLayer, ...]:
    """Return the layers of a question as a search takes them.

    Args:
        question: The question.

    Returns:
        One for each stack. Networks have the same number in all of them; one that answers several tasks has one number.
    """
    networks = list(dict.fromkeys(tasks for stack in question.stacks for tasks in stack.tasks))
    bounds = (
        [(least, stack.size) for least, stack in zip(question.least, question.stacks, strict=True)]
        if question.counts is None
        else [(count, count) for count in question.counts]
    )
    return tuple(_layer(stack, bound, networks, question) for stack, bound in zip(question.stacks, bounds, strict=True))


def _layer(
    stack: LayerStack, bound: tuple[int, int], networks: Sequence[tuple[str, ...]], question: Question
) -> SearchLayer:
    numbers = np.array([networks.index(tasks) for tasks in stack.tasks])
    limits = None
    if question.limit is not None:
        limits = np.where(stack.least(question.below).numpy(), question.limit, np.inf).astype(np.float32)
    return SearchLayer(
        name=stack.name,
        filters=stack.filters.float().numpy(),
        owners=numbers[stack.owners.numpy()],
        least=bound[0],
        most=bound[1],
        mass=stack.importance.numpy().astype(np.float32),
        scaled=question.scale,
        limits=limits,
    )
