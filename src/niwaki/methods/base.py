"""The protocol of every method: settings that start a run, and the run's narrow hooks."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from niwaki.contract import Named
from niwaki.errors import ContractError
from niwaki.records import RecordBase
from niwaki.registry import Registry
from niwaki.settings import Settings
from niwaki.surgery import Plan, follow, plans_of, unwrap

__all__ = ["Method", "Run", "Stage", "carry_over", "checked_steps", "methods"]

Stage = Literal["rewire", "cut", "sparsify"]


class Run:
    """All mutable state of a method at work in somebody's training loop. Every hook here does nothing.

    The loop calls the hooks in this order::

        run.before_backward(model, losses)
        optimizer.zero_grad()
        (balance(losses) + run.penalty(model)).backward()
        run.after_backward(model)
        optimizer.step()
        model = run.after_step(model, optimizer)

    Where a step accumulates the gradients of several batches, `before_backward`, the balancer and `penalty` are called
    once for each batch, and all but the first batch find the gradients of those before them; gradients are zeroed after
    the first `before_backward`, the sum of balanced loss and penalty is divided by the number of batches, and
    `after_backward` and `after_step` are called once for the step.

    Examples:
        >>> run = Run()
        >>> net = nn.Linear(2, 2)
        >>> run.penalty(net).item(), run.finish(net) is net
        (0.0, True)
    """

    @property
    def settled(self) -> bool:
        """Whether the model keeps its shape and its weights' meaning from now on: later epochs can be compared."""
        return True

    @property
    def begun(self) -> int | None:
        """After how many steps the weights at hand began at random, and with them a schedule; None if never."""
        return None

    @property
    def masks(self) -> Mapping[str, Tensor]:
        """The masks of a sparse model: name of a parameter to bools of its shape; False marks a weight held at zero.

        An averaged copy of the model has to be held to them too, and masked weights take no part in the inner products
        of a `niwaki.balance.GradientBalancer`.
        """
        return {}

    def parameter_groups(self, model: nn.Module, *, lr: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """Return the groups an optimizer is made of, once, after `Method.start`.

        Args:
            model: The model that `Method.start` returned.
            lr: Learning rate, above 0.
            weight_decay: Weight decay, at least 0.

        Returns:
            One group with every parameter.
        """
        return [{"params": list(model.parameters()), "lr": lr, "weight_decay": weight_decay}]

    def penalty(self, model: nn.Module) -> Tensor:  # noqa: ARG002 - the hook's signature
        """Return a scalar that is added to the balanced loss of each batch."""
        return torch.zeros(())

    def before_backward(self, model: nn.Module, losses: Mapping[str, Tensor]) -> None:
        """Look at each task's own loss while its graph is alive.

        ``grad`` belongs to the loop: take gradients with `torch.autograd.grad`, and keep the graph. A run that has
        taken a loss's gradients may put another loss in its place that has the same value and carries them, so that
        no pass is taken twice.
        """

    def after_backward(self, model: nn.Module) -> None:
        """Look at or change the gradients before the optimizer's step."""

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> nn.Module:  # noqa: ARG002 - the hook's signature
        """Count one step; return the model to go on with, to which the optimizer then belongs."""
        return model

    def finish(self, model: nn.Module) -> nn.Module:
        """Return a plain module: no masks, hooks or wrappers. Parameters are replaced in a copy, never in place."""
        return model

    def findings(self) -> Mapping[str, RecordBase]:
        """Return what was found and reached, after `finish`, by the field of `niwaki.records.Record` that it fills."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return the state as nested dicts and lists of tensors and plain data."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned; see `Method.resume` for a run whose model has changed its shape."""


class Method(Settings):
    """The settings of a way to make a model smaller. A method is a value; what happens to a model is a `Run`.

    Attributes:
        kind: The method's name in the registry `methods`.
        stage: Where in a chain it may stand: rewire, then cut, then sparsify.
    """

    stage: ClassVar[Stage]

    kind: str

    @property
    def restarts(self) -> bool:
        """Whether the weights that it is given are thrown away in the end; then nothing may be rewired before it."""
        return False

    @property
    def hides_layers(self) -> bool:
        """Whether layers of Niwaki's own take the place of torch's in what it leaves."""
        return False

    @property
    def needs_layers(self) -> bool:
        """Whether torch's own layers are what it works on, so that nothing may have hidden them."""
        return False

    @property
    def forgets(self) -> bool:
        """Whether `start` throws the weights away; then no optimizer state follows them."""
        return False

    @property
    def searches_size(self) -> bool:
        """Whether a search decides how large the model becomes; a brief one then tells its size but roughly."""
        return False

    def moments(self, steps: int) -> list[int]:  # noqa: ARG002 - most methods keep the shape, however long they train
        """Return after how many optimizer steps the model changes its shape, at the latest.

        Args:
            steps: Optimizer steps in all, at least 0.

        Returns:
            One number for each change, ascending; 0 means before training.
        """
        return []

    @abstractmethod
    def start(
        self,
        model: nn.Module,
        example: Any,
        tasks: Sequence[Named] | None = None,
        *,
        steps: int,
        data: Iterable[Any] | None = None,
    ) -> tuple[nn.Module, Run]:
        """Begin on a copy of a model; the caller's stays as it is, bit for bit.

        Args:
            model: The user's model.
            example: A tensor, a tuple of positional inputs, a `niwaki.Example`, or a list of these.
            tasks: The tasks, whose names name the outputs; None takes the outputs' own names.
            steps: Optimizer steps that will follow, at least 0.
            data: Batches, each as `niwaki.contract.read_batch` takes it, for the methods that need them before
                training; iterating again gives the same ones.

        Returns:
            The model to train, and the run whose hooks the loop calls.
        """

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
        """Go on where a killed run was saved: its model's structure and its state, but not its weights.

        Args:
            model: The model that was given to `start`; only its structure counts.
            example: As for `start`.
            tasks: As for `start`.
            steps: As for `start`.
            state: What `Run.state_dict` returned.
            data: As for `start`.

        Returns:
            A model into which the saved weights fit, and the run with its state.
        """
        model, run = self.start(model, example, tasks, steps=steps, data=data)
        run.load_state_dict(state)
        return model, run


methods: Registry[type[Method]] = Registry("method")


def checked_steps(steps: int) -> int:
    """Return a number of steps that makes sense.

    Args:
        steps: Optimizer steps.

    Returns:
        The same number.

    Raises:
        ContractError: When it is no whole number, or negative.

    Examples:
        >>> checked_steps(100)
        100
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ContractError(f"steps is a whole number of optimizer steps, at least 0; got {steps!r}")
    return steps


def carry_over(optimizer: Optimizer, before: nn.Module, after: nn.Module) -> None:
    """Point an optimizer at the model that a method's start or finish made of another.

    Groups keep their order and options. A parameter that was copied or cut keeps its state, or its part of it; one that
    was folded or added starts with a fresh one, in the group of the nearest module around it or else the first; a group
    with an entry ``"passing"`` holds what will be folded away, and takes none.

    Args:
        optimizer: Holds parameters of ``before``; changed in place.
        before: The model before.
        after: The model after: a copy, a cut by one plan, or a model of other parameters.

    Examples:
        >>> from copy import deepcopy
        >>> net = nn.Linear(2, 2)
        >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> copy = deepcopy(net)
        >>> carry_over(optimizer, net, copy)
        >>> optimizer.param_groups[0]["params"][0] is copy.weight
        True
    """
    if after is before:
        return
    plans = plans_of(after)[len(plans_of(before)) :]
    old, new = (dict(unwrap(model).named_parameters()) for model in (before, after))
    if old.keys() == new.keys():
        follow(optimizer, before, after, plans[-1] if plans else Plan(groups=()))
        return
    names = {id(parameter): name for name, parameter in old.items()}
    homes = _homes(optimizer, names)
    members: list[list[nn.Parameter]] = [
        [each for each in group["params"] if id(each) not in names] for group in optimizer.param_groups
    ]
    for name, parameter in new.items():
        members[next(homes[owner] for owner in _owners(name) if owner in homes)].append(parameter)
        if name in old and old[name].shape == parameter.shape and old[name] in optimizer.state:
            optimizer.state[parameter] = optimizer.state[old[name]]
    staying = {id(parameter) for parameter in new.values()}
    for parameter in old.values():
        if id(parameter) not in staying:
            optimizer.state.pop(parameter, None)
    for group, parameters in zip(optimizer.param_groups, members, strict=True):
        group["params"][:] = parameters


def _homes(optimizer: Optimizer, names: Mapping[int, str]) -> dict[str, int]:
    """Return each module's group: the first that holds a parameter of it; the root's is the first of all."""
    homes = {"": 0}
    for index, group in enumerate(optimizer.param_groups):
        if group.get("passing"):
            continue
        known = [names[id(each)] for each in group["params"] if id(each) in names]
        for owner in (owner for name in known for owner in _owners(name)):
            homes.setdefault(owner, index)
    return homes


def _owners(name: str) -> list[str]:
    """Return the modules a parameter lies in, innermost first, the root last."""
    parts = name.split(".")[:-1]
    return [".".join(parts[:end]) for end in range(len(parts), -1, -1)]
