"""Selectors: what is asked of whatever chooses the filters that stay, and what it answers."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from niwaki.errors import ContractError
from niwaki.methods.share.stack import LayerStack
from niwaki.records.front import Front
from niwaki.registry import Registry
from niwaki.settings import Settings

__all__ = ["Fixed", "Found", "Important", "Question", "Selection", "Selector", "selectors"]


@dataclass(frozen=True)
class Selection:
    """Which filters stay.

    Attributes:
        kept: For each layer, the rows of its stack that stay, increasing.
        limit: Distance past which a filter is not stood for, where the selector chose it itself.
    """

    kept: tuple[tuple[int, ...], ...]
    limit: float | None = None


@dataclass(frozen=True, eq=False)
class Question:
    """What a selector is asked.

    Attributes:
        stacks: The layers.
        counts: How many filters of each layer stay; None leaves that to the selector.
        least: How many stay at least, where ``counts`` is None.
        scale: Whether each user of a filter has a scale of its own.
        limit: Distance past which a filter of little importance may be pruned for good; None prunes none.
        below: Share of each member's filters, those of least importance, that the limit may prune.
        judge: Returns each task's calibration loss for a selection; None where there is no data.
        seed: Seed of whatever chance decides.
    """

    stacks: tuple[LayerStack, ...]
    counts: tuple[int, ...] | None
    least: tuple[int, ...]
    scale: bool = True
    limit: float | None = None
    below: float = 0.5
    judge: Callable[[Selection], Mapping[str, float]] | None = None
    seed: int = 0

    def fixed_counts(self, kind: str) -> tuple[int, ...]:
        """Return the counts, for a selector that does not choose them.

        Args:
            kind: The selector's name, for the message.

        Raises:
            ContractError: When it was asked to.
        """
        if self.counts is None:
            raise ContractError(
                f"{kind} does not choose how many filters stay: give a rate, or take a selector that does, such as "
                "selector='many_objective'"
            )
        return self.counts


@dataclass(frozen=True)
class Found:
    """What a selector answers.

    Attributes:
        selection: The filters that stay.
        front: The other choices, where it looked at several.
    """

    selection: Selection
    front: Front | None = None


class Selector(Settings):
    """Settings of a way to choose the filters that stay.

    Attributes:
        kind: Its name in the registry `selectors`.
    """

    kind: str

    @abstractmethod
    def select(self, question: Question) -> Found:
        """Choose.

        Args:
            question: The layers, and how many filters may stay.

        Returns:
            The filters that stay, at least one of each layer.
        """


selectors: Registry[type[Selector]] = Registry("selector")


@selectors.register("fixed")
class Fixed(Selector):
    """Filters that were chosen before, such as another point of a front.

    Attributes:
        kept: For each layer, the rows of its stack that stay.
        limit: Distance past which a filter is not stood for.

    Examples:
        >>> Fixed(kept=[[0, 2]]).kept
        ((0, 2),)
    """

    kind: Literal["fixed"] = "fixed"
    kept: tuple[tuple[int, ...], ...]
    limit: float | None = None

    def select(self, question: Question) -> Found:
        """Return what was chosen before.

        Raises:
            ContractError: When it was chosen for other layers.
        """
        sizes = [stack.size for stack in question.stacks]
        fits = len(self.kept) == len(sizes) and all(
            rows and min(rows) >= 0 and max(rows) < size for rows, size in zip(self.kept, sizes, strict=False)
        )
        if not fits:
            raise ContractError(
                f"the selection is for {len(self.kept)} layers, the networks have {len(sizes)} of {sizes} filters: "
                "each needs row numbers below its filters; choose anew for these networks"
            )
        return Found(Selection(tuple(tuple(sorted(set(rows))) for rows in self.kept), self.limit))


@selectors.register("importance")
class Important(Selector):
    """The most important filters of each layer, whatever they resemble.

    Examples:
        >>> Important()
        Important(kind='importance')
    """

    kind: Literal["importance"] = "importance"

    def select(self, question: Question) -> Found:
        """Keep the filters of most importance, those that come first among equals."""
        counts = question.fixed_counts(self.kind)
        order = [stack.importance.argsort(descending=True, stable=True) for stack in question.stacks]
        kept = [tuple(sorted(rows[:count].tolist())) for rows, count in zip(order, counts, strict=True)]
        return Found(Selection(tuple(kept)))
