"""DiSparse: each task judges the weights that it uses, and a weight goes only where all of them agree."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from niwaki.methods.base import methods
from niwaki.methods.calibration import Calibration
from niwaki.methods.sparse.allocation import ERK, Allocation, Global, allocations
from niwaki.methods.sparse.base import Given, SparseRun
from niwaki.methods.sparse.disparse_dynamic import DiSparseDynamicRun, Exchange
from niwaki.methods.sparse.one_shot import OneShot, OneShotRun
from niwaki.methods.sparse.ranks import agreed_ranks
from niwaki.methods.sparse.saliency import Gathered, gather
from niwaki.methods.sparse.subject import Subject
from niwaki.settings import family

__all__ = ["DiSparse", "task_scores"]

Score = Literal["saliency", "magnitude", "taylor"]


def task_scores(weight: Tensor, sizes: Tensor, score: Score) -> Tensor:
    """Return what a weight is worth to one task.

    Args:
        weight: Any shape.
        sizes: The sum over batches of `|dL_t/dw|`, of the same shape.
        score: ``"saliency"``, `|w| sum |g|`; ``"taylor"``, `w^2 sum |g|`; ``"magnitude"``, `|w|`.

    Returns:
        The same shape, at least 0.

    Examples:
        >>> import torch
        >>> weight, sizes = torch.tensor([2.0, -3.0]), torch.tensor([5.0, 1.0])
        >>> task_scores(weight, sizes, "saliency").tolist(), task_scores(weight, sizes, "taylor").tolist()
        ([10.0, 3.0], [20.0, 9.0])
    """
    size = weight.detach().abs()
    if score == "magnitude":
        return size
    return size * sizes if score == "saliency" else size.square() * sizes


@methods.register("disparse")
class DiSparse(OneShot):
    """Keep the weights that at least one task needs most, exactly as many as were asked for.

    Sun et al., *DiSparse: Disentangled Sparsification for Multitask Model Compression*, CVPR 2022. Each task ranks the
    trunk, the branches it uses and its own head together; a weight's rank is the best that one of its tasks gives it
    (`agreed_ranks`). The original joins the tasks' masks instead, which keeps more than was asked for.

    ``"static"`` judges before training by saliency, ``"pretrained"`` a trained model by magnitude. ``"dynamic"`` trains
    with masks from the start; now and then the smallest weights of each layer are dropped, and as many grown where the
    tasks' own gradients are largest, again by the best rank.

    Attributes:
        mode: Which of the three.
        score: What a weight is worth to a task; see `task_scores`. By default what the mode says.
        batches: Batches of ``data`` that are looked at, at least 1, where the score needs gradients.
        every: Steps between two updates of the masks, at least 1; ``"dynamic"`` only, as all that follow.
        drop: Share of a layer's weights that the first update exchanges, in (0, 1); it falls to 0 like a cosine.
        until: Moment of the last update, as a fraction of the steps.

    Raises:
        SettingError: When a setting does not belong to the mode.

    Examples:
        >>> DiSparse(density=0.1, mode="pretrained").scored_by, DiSparse(density=0.1, mode="dynamic").allocation
        ('magnitude', ERK(kind='erk', power=0.9))
    """

    kind: Literal["disparse"] = "disparse"
    mode: Literal["static", "pretrained", "dynamic"] = "static"
    allocation: Annotated[Allocation, *family(allocations)] = Global()
    score: Score | None = None
    batches: int = Field(50, ge=1)
    every: int = Field(50, ge=1)
    drop: float = Field(0.5, gt=0, lt=1)
    until: float = Field(0.75, gt=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _begins_by_shape(cls, values: Any) -> Any:
        """Growing keeps each layer's number, so that in dynamic mode the shapes have to say it from the start."""
        if isinstance(values, Mapping) and values.get("mode") == "dynamic":
            return {"allocation": ERK(power=0.9), **values}
        return values

    @model_validator(mode="after")
    def _belongs_to_the_mode(self) -> Self:
        dynamic = {"every", "drop", "until"}
        strange = {"score", "batches", "at"} if self.mode == "dynamic" else dynamic
        for name in sorted(strange & self.model_fields_set):
            if getattr(self, name) != type(self).model_fields[name].default:
                others = '"static" and "pretrained"' if self.mode == "dynamic" else '"dynamic"'
                raise ValueError(f'{name} belongs to the mode {others}; the mode here is "{self.mode}"')
        return self

    @property
    def scored_by(self) -> Score:
        """The score, where none was chosen that of the mode."""
        return self.score or ("magnitude" if self.mode == "pretrained" else "saliency")

    @property
    def looks_at_data(self) -> bool:
        """Whether the score needs gradients."""
        return self.scored_by != "magnitude"

    def judge(self, model: nn.Module, subject: Subject, calibration: Calibration | None) -> Mapping[str, Tensor]:
        """Return how many of all weights are behind each for the task that needs it most. See `OneShot`."""
        weights = subject.weights(model)
        gathered = Gathered(subject.names, by_task=True)
        if calibration is not None:
            gathered = gather(model, subject.names, calibration, by_task=True)
        scores = {}
        for task in subject.tasks:
            sizes = gathered.sizes_of(task, weights)
            used = (each.name for each in subject.layers if task in each.tasks)
            scores[task] = {name: task_scores(weights[name], sizes[name], self.scored_by) for name in used}
        return {name: 1 - ranks for name, ranks in agreed_ranks(scores).items()}

    def make_run(self, subject: Subject, given: Given) -> SparseRun:
        """Return a run that has no masks yet."""
        if self.mode != "dynamic":
            return OneShotRun(self, subject, given)
        return DiSparseDynamicRun(self, Exchange(self.every, self.drop, self.until), subject, given)
