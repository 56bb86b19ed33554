"""A recipe: everything one run is made of, as one value."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from niwaki.balance import Balancer, make_balancer
from niwaki.data import DataSettings, datasets
from niwaki.methods import Method, methods
from niwaki.models import ModelSettings, models
from niwaki.records import ROUNDS
from niwaki.settings import Settings, family
from niwaki.tasks import ReadySettings, ready_tasks
from niwaki.train import Training

__all__ = ["LatencySettings", "Recipe"]


class LatencySettings(Settings):
    """How both models are timed.

    Attributes:
        runtimes: Where they are timed.
        threads: Threads inside one operator, at least 1.
        rounds: Interleaved rounds, at least 3.
        batch: Batch size, at least 1.
    """

    runtimes: tuple[Literal["eager", "onnxruntime"], ...] = ("eager", "onnxruntime")
    threads: int = Field(default=1, ge=1)
    rounds: int = Field(default=ROUNDS, ge=3)
    batch: int = Field(default=1, ge=1)


class Recipe(Settings):
    """A named, complete combination: data, model, method, and how long to train.

    What is not written under `finetune` is taken from `training`, but for its length.

    Attributes:
        name: What the run is called.
        about: One sentence for people.
        data: Which data, of the registry of data.
        tasks: Ready tasks, as plain data with ``kind``; empty takes the tasks the data offers.
        model: Which network, of the registry of models.
        method: How it is made smaller, of the registry of methods.
        balance: A balancer's name, or plain data with ``kind`` and its options.
        training: How the dense parent is trained; None leaves its random weights, with which a network begins that
            trains as a small one from the start. The control is then the same network without the method.
        finetune: How the small model is trained, and the dense control for as many steps.
        control: Whether the dense parent is trained on for as many steps as the small model, to compare with. Without
            it the parent itself is the baseline.
        protocol: How metrics are averaged.
        export: Whether an ONNX file is written and checked.
        latency: How both models are timed.
        pictures: Inputs whose predictions are drawn.
        sensitivity: Validation batches on which the parent's sensitivity is measured, group by group; 0 measures none.
        seed: Seed of weights, order and augmentation.
    """

    name: str
    about: str = ""
    data: Annotated[DataSettings, *family(datasets)]
    tasks: tuple[Annotated[ReadySettings, *family(ready_tasks)], ...] = ()
    model: Annotated[ModelSettings, *family(models)]
    method: Annotated[Method, *family(methods)]
    balance: dict[str, Any] = Field(default={"kind": "EW"})
    training: Training | None = None
    finetune: Training
    control: bool = True
    protocol: Literal["pixel", "mtan"] = "pixel"
    export: bool = True
    latency: LatencySettings = LatencySettings()
    pictures: int = Field(default=4, ge=0, le=32)
    sensitivity: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, values: Any) -> Any:
        """Fill `finetune` from `training`, and both from `seed`."""
        if not isinstance(values, Mapping):
            return values
        filled = dict(values)
        parent, child = filled.get("training"), filled.get("finetune")
        if isinstance(parent, Mapping) and isinstance(child, Mapping):
            shared = {key: value for key, value in parent.items() if key not in {"epochs", "steps"}}
            filled["finetune"] = {**shared, **child}
        for stage in ("training", "finetune"):
            if isinstance(filled.get(stage), Mapping):
                filled[stage] = {"seed": filled.get("seed", 0), **filled[stage]}
        return filled

    @model_validator(mode="after")
    def _measures_something_trained(self) -> Self:
        if self.training is None and not (self.control and self.sensitivity == 0):
            raise ValueError(
                "without training the dense network has random weights, which are nothing to compare with: it needs "
                "control: true and sensitivity: 0"
            )
        return self

    @field_validator("balance", mode="before")
    @classmethod
    def _known_balancer(cls, value: Any) -> Any:
        given = {"kind": value} if isinstance(value, str) else value
        if isinstance(given, Mapping):
            return make_balancer(given).describe()
        return given

    def make_balancer(self) -> Balancer:
        """Return a new balancer as the recipe describes it."""
        return make_balancer(self.balance)
