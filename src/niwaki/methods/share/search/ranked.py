"""Selectors that keep the first of a ranking, or chance's own choice: what many-objective search is compared with."""

from typing import Literal

import numpy as np

from niwaki.methods.share.search.asking import layers_of
from niwaki.methods.share.search.rankings import rankings
from niwaki.methods.share.selecting import Found, Question, Selection, Selector, selectors

__all__ = ["Distinct", "Farthest", "FarthestMedian", "Greedy", "RandomChoice"]


class _Ranked(Selector):
    """Keeps the first filters of each layer by the ranking of its name."""

    def select(self, question: Question) -> Found:
        """Keep the first of each layer.

        Raises:
            ContractError: When rates are adaptive.
        """
        counts, rank = question.fixed_counts(self.kind), rankings.get(self.kind)
        orders = [rank(layer) for layer in layers_of(question)]
        kept = [tuple(sorted(order[:count].tolist())) for order, count in zip(orders, counts, strict=True)]
        return Found(Selection(tuple(kept)))


@selectors.register("fpgm")
class FarthestMedian(_Ranked):
    """The filters farthest from their layer's geometric median (FPGM, He et al. 2019, arXiv 1811.00250).

    Examples:
        >>> FarthestMedian()
        FarthestMedian(kind='fpgm')
    """

    kind: Literal["fpgm"] = "fpgm"


@selectors.register("farthest")
class Farthest(_Ranked):
    """One filter after the other, each the worst served by those before (Gonzalez 1985).

    Examples:
        >>> Farthest()
        Farthest(kind='farthest')
    """

    kind: Literal["farthest"] = "farthest"


@selectors.register("greedy")
class Greedy(_Ranked):
    """One filter after the other, each the one that lowers the reconstruction objective most.

    Examples:
        >>> Greedy()
        Greedy(kind='greedy')
    """

    kind: Literal["greedy"] = "greedy"


@selectors.register("distinct")
class Distinct(_Ranked):
    """What is left when, again and again, the filter goes that is most like the others.

    Examples:
        >>> Distinct()
        Distinct(kind='distinct')
    """

    kind: Literal["distinct"] = "distinct"


@selectors.register("random")
class RandomChoice(Selector):
    """Any filters, by the method's seed.

    Examples:
        >>> RandomChoice()
        RandomChoice(kind='random')
    """

    kind: Literal["random"] = "random"

    def select(self, question: Question) -> Found:
        """Keep random filters.

        Raises:
            ContractError: When rates are adaptive.
        """
        chance = np.random.default_rng(question.seed)
        counts = question.fixed_counts(self.kind)
        drawn = [chance.permutation(stack.size)[:count] for stack, count in zip(question.stacks, counts, strict=True)]
        return Found(Selection(tuple(tuple(sorted(rows.tolist())) for rows in drawn)))
