"""What every expansion is: layers that train in another form, chosen by one scope and folded in the end."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from niwaki.contract import Named
from niwaki.errors import ContractError
from niwaki.methods.base import Method, Run, Stage, checked_steps
from niwaki.methods.expand.expansion import Expansion
from niwaki.methods.expand.layers import Candidate, Reach, candidates, reach_of
from niwaki.methods.expand.run import ExpandingRun, Given
from niwaki.methods.expand.wiring import expand_layer
from niwaki.surgery import recompile, unwrap

__all__ = ["Expanding", "Scope"]

Scope = Literal["all", "trunk", "heads"]


class Expanding(Method):
    """The settings that all expansions share.

    Attributes:
        scope: Whose layers are expanded: those that two or more tasks learn (``"trunk"``), those that one task learns
            (``"heads"``), or all. With a single task all is trunk.
        keep: Names or patterns (``"encoder.*"``) of modules that stay plain.
        depthwise: Whether depthwise convolutions are expanded too, each group by itself; they have little to gain.
        expanded_lr: Learning rate of what the weights are computed from, as a share of the network's, above 0.
    """

    stage: ClassVar[Stage] = "rewire"

    scope: Scope = "all"
    keep: tuple[str, ...] = ()
    depthwise: bool = False
    expanded_lr: float = Field(1.0, gt=0)

    @property
    def needs_layers(self) -> bool:
        """Whether torch's own layers are what it works on: it expands nothing else."""
        return True

    @abstractmethod
    def _expand(self, candidate: Candidate, number: int) -> Expansion | str:
        """Return the expansion of a layer, or the reason why it stays plain.

        Args:
            candidate: The layer.
            number: Its place among those in the scope.
        """

    def _expander(
        self, model: nn.Module, chosen: Sequence[Candidate], given: Given
    ) -> Callable[[Candidate, int], Expansion | str]:
        """Return what expands the layers in the scope, where it has to see them together first."""
        del model, chosen, given
        return self._expand

    def start(
        self,
        model: nn.Module,
        example: Any,
        tasks: Sequence[Named] | None = None,
        *,
        steps: int,
        data: Iterable[Any] | None = None,
    ) -> tuple[nn.Module, Run]:
        """Copy the model and let the chosen layers compute their weights. See `niwaki.methods.Method.start`.

        Args:
            model: The user's model, random or trained; it stays as it is.
            example: As for `niwaki.prune`; the fold is proved on it.
            tasks: The tasks, or None.
            steps: Optimizer steps that will follow; without any the copy stays plain, unless its factors are kept.
            data: Not looked at, but for its length where phases are counted in epochs.

        Returns:
            The model to train, which answers as the plain one, and its run.

        Raises:
            ContractError: When no layer can be expanded, or a setting does not fit the model.
        """
        return self._begin(model, Given(self, example, tasks, checked_steps(steps), data))

    def _begin(self, model: nn.Module, given: Given) -> tuple[nn.Module, ExpandingRun]:
        copy = recompile(deepcopy(model), model)
        if given.steps == 0 and not self.keeps_factors:
            return copy, ExpandingRun(given, {})
        plain = self._rewire(unwrap(copy), reach_of(unwrap(copy), given.example, given.tasks), given)
        return copy, self._run(given, plain)

    @property
    def keeps_factors(self) -> bool:
        """Whether the result is of another form than the plain network."""
        return False

    def _run(self, given: Given, plain: Mapping[str, str]) -> ExpandingRun:
        return ExpandingRun(given, plain)

    def _rewire(self, model: nn.Module, reach: Reach, given: Given) -> dict[str, str]:
        """Expand the chosen layers in place; return the others with their reasons."""
        found, plain = candidates(model, reach, self.keep)
        outside = {each.name: why for each in found if (why := self._outside(each, len(reach))) is not None}
        plain |= outside
        chosen = [each for each in found if each.name not in outside]
        expand = self._expander(model, chosen, given)
        for number, candidate in enumerate(chosen):
            made = expand(candidate, number)
            if isinstance(made, str):
                plain[candidate.name] = made
            else:
                expand_layer(candidate.layer, made)
        if all(each.name in plain for each in chosen):
            reasons = (
                "; ".join(f"{name or 'the model'}: {why}" for name, why in plain.items()) or "it has no such layer"
            )
            raise ContractError(f"{self.kind} finds no layer to expand in this model ({reasons}); see scope and keep")
        order = {name: place for place, (name, _) in enumerate(model.named_modules())}
        return dict(sorted(plain.items(), key=lambda pair: order[pair[0]]))

    def _outside(self, candidate: Candidate, num_tasks: int) -> str | None:
        if candidate.layout.depthwise and not self.depthwise:
            return "depthwise"
        shared = len(candidate.tasks) > 1 or num_tasks == 1
        if self.scope != "all" and shared != (self.scope == "trunk"):
            return f"outside the scope {self.scope!r}"
        return None
