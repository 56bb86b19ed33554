"""Filter index sharing: several task networks draw their filters from common banks (MFIS, Cheng et al. 2021)."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from math import ceil
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from niwaki.contract import Named, task_names
from niwaki.errors import ContractError
from niwaki.graph import trace
from niwaki.methods.base import Method, Run, Stage, checked_steps, methods
from niwaki.methods.share.aligning import align_networks
from niwaki.methods.share.batches import open_batches
from niwaki.methods.share.importance import Importance
from niwaki.methods.share.layers import Layer, Reach, find_layers, fits, require_known
from niwaki.methods.share.run import SharingRun
from niwaki.methods.share.search import ManyObjective
from niwaki.methods.share.selecting import Selector, selectors
from niwaki.methods.share.sharing import Sharer
from niwaki.methods.share.stacking import matched_cosine, stack_layer
from niwaki.methods.share.starting import require_common_start
from niwaki.modules import unwrap
from niwaki.settings import family
from niwaki.surgery import materialise, recompile, replay

__all__ = ["FilterSharing"]

Rate = Annotated[float, Field(gt=0, le=1)]


@methods.register("filter_sharing")
class FilterSharing(Method):
    """Let the networks of several tasks, or one network with itself, draw their filters from common banks.

    Per layer, the filters of all networks are stacked; some of them stay and make the bank, each other one is stood for
    by the most similar that stays, at a scale of its own. Every network keeps its channels ("structure kept"), its
    biases and its batch norms; with a ``limit``, filters that no kept one stands for and that are worth little leave
    for good. The networks then train together.

    Attributes:
        rate: Share of each layer's filters that stays, in (0, 1]; ``"adaptive"`` leaves it to the selector.
        rates: Name or pattern of a module to the share that stays of its layer; the first that fits goes before
            ``rate``.
        least: Share of each layer's filters that stays at least where the selector chooses it, in (0, 1].
        scope: Name or pattern of a module to how far its filters are shared: ``"all"``, across networks, ``"inner"``,
            inside each network alone, or ``"none"``. The first that fits counts; without one it is ``"all"``.
        selector: What chooses the filters that stay.
        scale: Whether each user of a filter has a scale of its own, which trains along.
        centroids: Whether a filter that stays moves to where it stands best for all its users.
        importance: What a filter is worth: its norm ``"l1"`` or ``"l2"``, ``"bn_scale"``, the scale of the batch norm
            behind it, or ``"taylor"``, which judges by the tasks' losses on ``data``.
        limit: Distance in (0, 1] past which a filter is pruned rather than stood for; None prunes none.
        below: Share of each network's filters, those of least importance, that the limit may prune, in [0, 1).
        align: How the channels of networks that were trained apart are brought into one order first: by
            ``"activations"`` on ``data``, by ``"weights"``, or not at all.
        common_start: Cosine by which filters at equal positions have to be more alike than any two, where nothing is
            aligned, in [-1, 1]; -1 takes any networks.
        schedule: All layers ``"at_once"`` before training, or ``"by_layer"`` with training between.
        until: Moment of the last layer's turn, as a fraction of the steps.
        gradient: What a filter learns from: the ``"sum"`` over its users, or their ``"mean"``.
        calibration_batches: Batches of ``data`` that batch norms are estimated on anew, and losses are judged by.
        seed: Seed of what chance decides.

    Raises:
        SettingError: When a value is not allowed.

    Examples:
        >>> method = FilterSharing(rate=0.5, rates={"*.conv1": 1.0}, gradient="mean")
        >>> FilterSharing(**method.model_dump(mode="json")) == method
        True
    """

    stage: ClassVar[Stage] = "rewire"

    kind: Literal["filter_sharing"] = "filter_sharing"
    rate: Rate | Literal["adaptive"] = 0.5
    rates: dict[str, Rate] = {}
    least: Rate = 0.05
    scope: dict[str, Reach] = {}
    selector: Annotated[Selector, *family(selectors)] = ManyObjective()
    scale: bool = True
    centroids: bool = False
    importance: Importance = "l1"
    limit: float | None = Field(None, gt=0, le=1)
    below: float = Field(0.5, ge=0, lt=1)
    align: Literal["activations", "weights"] | None = None
    common_start: float = Field(0.1, ge=-1, le=1)
    schedule: Literal["at_once", "by_layer"] = "at_once"
    until: float = Field(0.5, gt=0, le=1)
    gradient: Literal["sum", "mean"] = "sum"
    calibration_batches: int = Field(8, ge=1)
    seed: int = Field(0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _rates_or_adaptive(self) -> Self:
        if self.rate == "adaptive" and self.rates:
            raise ValueError("rates of single layers go with a rate for the others; adaptive rates choose all of them")
        return self

    @property
    def hides_layers(self) -> bool:
        """Whether layers of Niwaki's own take the place of torch's: those that draw from banks."""
        return True

    @property
    def searches_size(self) -> bool:
        """Whether a search chooses how many filters stay, or which of them nothing stands for."""
        return isinstance(self.selector, ManyObjective) and (self.rate == "adaptive" or self.limit is not None)

    def rate_of(self, layer: Layer) -> float | None:
        """Return the share of a layer's filters that stays; None where the selector chooses it."""
        if self.rate == "adaptive":
            return None
        named = (
            rate for pattern, rate in self.rates.items() if any(fits(each.module, pattern) for each in layer.members)
        )
        return next(named, self.rate)

    def moments(self, steps: int) -> list[int]:
        """Return after how many optimizer steps the first and the last layers are shared.

        Args:
            steps: Optimizer steps in all, at least 0.

        Returns:
            0, and with ``schedule="by_layer"`` the last turn.

        Examples:
            >>> FilterSharing(schedule="by_layer", until=0.5).moments(100)
            [0, 50]
        """
        return [0] if self.schedule == "at_once" else [0, ceil(self.until * steps)]

    def start(
        self,
        model: nn.Module,
        example: Any,
        tasks: Sequence[Named] | None = None,
        *,
        steps: int,
        data: Iterable[Any] | None = None,
    ) -> tuple[nn.Module, Run]:
        """Copy the model, compare its networks, and share what is due before training.

        Args:
            model: A `niwaki.TaskNets`, or one network; it stays as it is.
            example: Its inputs, as for `niwaki.plan`.
            tasks: The tasks, or None.
            steps: Optimizer steps that will follow.
            data: Batches on which batch norms are estimated anew after each change; without them, or with ``rate=1``,
                they stay as they are.

        Returns:
            The model to train, and its run.

        Raises:
            ContractError: When no layer can be shared, the networks have no common start and were not to be aligned,
                or something needs batches or losses that were not given.
        """
        run, layers = self._run(model, (example, tasks, data), steps)
        copy = materialise(recompile(deepcopy(model), model))
        run.start = self._compare(run, unwrap(copy), layers)
        return run.begin(copy), run

    def resume(
        self,
        model: nn.Module,
        example: Any,
        tasks: Sequence[Named] | None = None,
        *,
        steps: int,
        state: Mapping[str, Any],
        data: Iterable[Any] | None = None,
    ) -> tuple[nn.Module, Run]:
        """Put the banks of a saved run into a copy of the model. See `niwaki.methods.Method.resume`."""
        run, _ = self._run(model, (example, tasks, data), steps)
        run.load_state_dict(state)
        small = materialise(recompile(deepcopy(model), model))
        for step in run.steps:
            small = replay(small, step)
        return small, run

    def _run(
        self, model: nn.Module, given: tuple[Any, Sequence[Named] | None, Iterable[Any] | None], steps: int
    ) -> tuple[SharingRun, tuple[Layer, ...]]:
        checked_steps(steps)
        example, tasks, data = given
        plain = materialise(unwrap(model))
        require_known(plain, "rates", self.rates)
        traced = trace(plain, example, tasks=task_names(tasks))
        layers = find_layers(plain, traced, self.scope)
        if not layers:
            raise ContractError(
                "no convolution of this model can share filters: the last ones, grouped, depthwise and transposed ones "
                "stay as they are; give networks with other convolutions, or a wider scope"
            )
        turns = [(layer,) for layer in layers] if self.schedule == "by_layer" else [layers]
        sharer = Sharer(self, example, open_batches(tasks, data, self.calibration_batches), traced.tasks)
        last = self.moments(steps)[-1]
        moments = [ceil(last * turn / max(len(turns) - 1, 1)) for turn in range(len(turns))]
        return SharingRun(self, sharer, turns, moments), layers

    def _compare(self, run: SharingRun, model: nn.Module, layers: Sequence[Layer]) -> tuple[float | None, str]:
        stacks = [stack_layer(model, layer, {}) for layer in layers]
        if self.align is None:
            return require_common_start(stacks, self.common_start), ""
        looks, tasks = run.sharer.looks, run.sharer.tasks
        align_networks(model, run.sharer.example, layers, self.align, looks.inputs(model, tasks))
        return matched_cosine(stacks), self.align
