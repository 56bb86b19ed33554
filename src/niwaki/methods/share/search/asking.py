"""What filter sharing asks, in the search's own words."""

from collections.abc import Sequence

import numpy as np

from niwaki.methods.share.search.layer import Floats, SearchLayer
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
    mass = stack.importance.numpy().astype(np.float32)
    return SearchLayer(
        name=stack.name,
        filters=stack.filters.float().numpy(),
        owners=numbers[stack.owners.numpy()],
        least=bound[0],
        most=bound[1],
        mass=mass,
        scaled=question.scale,
        limits=None if question.limit is None else _limits(stack, mass, question.limit, question.below),
    )


def _limits(stack: LayerStack, mass: Floats, limit: float, below: float) -> Floats:
    """Return the deviation past which each filter is left out: those of least mass in their network alone are."""
    found = np.full(len(mass), np.inf, np.float32)
    for number in range(len(stack.members)):
        rows = np.flatnonzero(stack.owners.numpy() == number)
        order = rows[np.argsort(mass[rows], kind="stable")]
        found[order[: int(below * len(rows))]] = limit
    return found
