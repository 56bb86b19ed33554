"""Training settings: everything about the loop that is a number or a choice."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from niwaki.settings import Settings

__all__ = ["Distillation", "Precision", "Training"]

Precision = Literal["auto", "32-true", "bf16-mixed"]


class Distillation(Settings):
    """How a student learns from the dense parent's answers beside the labels.

    The loss of task t becomes ``loss_t + weights[t] * distance_t(student, parent)``; the distance is the
    Kullback-Leibler divergence of softened classes (Hinton et al., arXiv 1503.02531), times ``temperature ** 2``, where
    targets are class indices, and the mean absolute or squared difference elsewhere.

    Attributes:
        weight: Weight of every task that ``weights`` does not name, >= 0.
        weights: Task to weight, >= 0; 0 leaves a task to its labels.
        temperature: Softening of class scores, > 0.
        regression: Distance of continuous outputs: ``"l1"`` or ``"l2"``.

    Examples:
        >>> Distillation(weights={"depth": 0.5}).of("depth"), Distillation(weight=2.0).of("normals")
        (0.5, 2.0)
    """

    weight: Annotated[float, Field(ge=0)] = 1.0
    weights: dict[str, Annotated[float, Field(ge=0)]] = {}
    temperature: Annotated[float, Field(gt=0)] = 2.0
    regression: Literal["l1", "l2"] = "l1"

    def of(self, task: str) -> float:
        """Return the weight of one task."""
        return self.weights.get(task, self.weight)


class Training(Settings):
    """How a model is trained: length, optimizer, rates, precision and what is done beside.

    All lengths below an epoch are optimizer steps.

    Attributes:
        epochs: Passes through the training data; give this or ``steps``.
        steps: Optimizer steps; give this or ``epochs``. Epochs go on until they are used up.
        optimizer: ``"adamw"``, ``"adam"`` or ``"sgd"`` as torch has them.
        lr: Peak learning rate, > 0.
        weight_decay: As the optimizer defines it, >= 0.
        momentum: Of ``"sgd"``, in [0, 1).
        batch_size: Samples in a batch, for data that is a dataset; batches that come ready keep their size.
        accumulate: Batches whose gradients are averaged into one step, >= 1.
        precision: ``"32-true"``, ``"bf16-mixed"``, or ``"auto"``: bfloat16 where the device computes it natively.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``: an accelerator of Lightning Fabric.
        scheduler: ``"constant"``, or ``"cosine"`` down to ``final_lr`` of the peak.
        warmup: Steps of linear warm-up (an int), or their fraction of all steps (a float up to 1).
        final_lr: What ``"cosine"`` ends at, as a fraction of ``lr``, in [0, 1].
        ema: Decay of an averaged copy that is validated and returned instead of the model, in (0, 1), or None.
        channels_last: Whether 4-D tensors are laid out channels last.
        compile: Whether the forward pass is compiled by ``torch.compile``, anew after each cut.
        clip_norm: Largest norm of the whole gradient, > 0, or None.
        num_workers: Processes that load samples; 0 loads in the loop.
        seed: Seed of the order of samples and of everything random in the loop.
        eval_every: Epochs between validations, >= 1; the last epoch is always validated.
        checkpoint_every: Steps between checkpoints, or None for the end of each epoch; needs ``out``.
        select: The rule that picks the epoch: ``"mean"`` (largest mean over tasks of the relative gain of the primary
            metric), ``"worst"`` (largest gain of the task that gained least), ``"last"``, or ``"TASK.METRIC"``.
        distill: Learn from the parent: True, weights by task (``{"depth": 0.5}``; tasks not named get none), or a
            `Distillation`. False does not.
        batchnorm_batches: Batches on which BatchNorm statistics are estimated anew after a cut; 0 leaves them.

    Raises:
        SettingError: When neither or both lengths are given, or a value is out of range.

    Examples:
        >>> Training(epochs=2, lr="3e-4").lr
        0.0003
    """

    epochs: Annotated[int, Field(ge=1)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    batch_size: Annotated[int, Field(ge=1)] = 8
    accumulate: Annotated[int, Field(ge=1)] = 1
    precision: Precision = "auto"
    device: str = "auto"
    scheduler: Literal["constant", "cosine"] = "cosine"
    warmup: Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, le=1)] = 0
    final_lr: Annotated[float, Field(ge=0, le=1)] = 0.0
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    channels_last: bool = False
    compile: bool = False
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    num_workers: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    eval_every: Annotated[int, Field(ge=1)] = 1
    checkpoint_every: Annotated[int, Field(ge=1)] | None = None
    select: str = "mean"
    distill: Distillation | bool | dict[str, Annotated[float, Field(ge=0)]] = False
    batchnorm_batches: Annotated[int, Field(ge=0)] = 8

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give the length as exactly one of epochs and steps")
        return self

    def total_steps(self, per_epoch: int) -> int:
        """Return the optimizer steps of the whole training.

        Args:
            per_epoch: Optimizer steps of one pass through the data.

        Returns:
            ``steps`` as given, or ``epochs * per_epoch``.
        """
        return self.steps if self.steps is not None else (self.epochs or 0) * per_epoch

    def distillation(self) -> Distillation | None:
        """Return how the parent teaches, or None when it does not.

        Examples:
            >>> Training(epochs=1, distill={"depth": 0.5}).distillation().of("normals")
            0.0
        """
        if isinstance(self.distill, Distillation):
            return self.distill
        if isinstance(self.distill, dict):
            return Distillation(weight=0.0, weights=self.distill) if self.distill else None
        return Distillation() if self.distill else None
