"""Plans: which channels stay, as plain data that prints, saves, loads and can be edited by hand."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any, Literal, Self

from pydantic import field_serializer, field_validator

from niwaki.errors import ContractError, did_you_mean
from niwaki.records.base import RecordBase

__all__ = ["ATTENTION", "Attention", "GroupPlan", "Plan", "Repair", "Rescale", "Slice", "Unit"]

Attention = Literal["widths", "heads"]
"""What of attention goes: channels inside every head, the same in all of them, or whole heads."""

ATTENTION: Attention = "widths"
"""What goes where nobody says otherwise."""

Unit = Literal["channels", "heads"]
"""What a group's members are: channels, or heads of attention that go as a whole."""

Positions = tuple[tuple[int, ...], ...]

_FORMS = {"module": "the model's own classes", "graph": "its exported programs at their new sizes"}


class Slice(RecordBase):
    """Where a group's channels lie in one dimension of one tensor.

    Attributes:
        tensor: Canonical name of the parameter or buffer.
        dim: The dimension.
        positions: For channel j of the group, its positions along the dimension.
    """

    tensor: str
    dim: int
    positions: Positions

    @field_serializer("positions")
    def _write(self, positions: Positions) -> Any:
        flat = [position for channel in positions for position in channel]
        width = len(positions[0]) if positions else 0
        if flat == list(range(flat[0] if flat else 0, (flat[0] if flat else 0) + len(flat))) and all(
            len(channel) == width for channel in positions
        ):
            return {"start": flat[0] if flat else 0, "channels": len(positions), "width": width}
        return positions

    @field_validator("positions", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        start, channels, width = value["start"], value["channels"], value["width"]
        return tuple(tuple(range(start + j * width, start + (j + 1) * width)) for j in range(channels))


class GroupPlan(RecordBase):
    """What is kept of one channel group.

    Attributes:
        name: The group's name: the first module that produces its channels.
        size: Channels in the group.
        kept: Channels that stay, increasing.
        slices: Where the channels lie.
        reason: Why the group was left whole, or None.
        unit: ``heads`` where what is called a channel here is a whole head of attention.
    """

    name: str
    size: int
    kept: tuple[int, ...]
    slices: tuple[Slice, ...]
    reason: str | None = None
    unit: Unit = "channels"

    @property
    def told_size(self) -> str:
        """The size as tables show it: a plain number of channels, or so many heads."""
        return str(self.size) if self.unit == "channels" else f"{self.size} {self.unit}"


class Repair(RecordBase):
    """An integer attribute of a module that had a size in it.

    Attributes:
        module: Dotted name of the module.
        attribute: Name of its attribute.
        old: Value before the cut.
        new: Value after the cut.
    """

    module: str
    attribute: str
    old: int | tuple[int, ...]
    new: int | tuple[int, ...]


class Rescale(RecordBase):
    """Weights that were multiplied by a number, to undo a factor that the model's code computes from a size.

    Attributes:
        tensor: Canonical name of the parameter.
        dim: The dimension along which they lie.
        ranges: Their positions before the cut, as pairs of first and last + 1.
        factor: The number.
        reason: Which factor it undoes.
    """

    tensor: str
    dim: int
    ranges: tuple[tuple[int, int], ...]
    factor: float
    reason: str


class Plan(RecordBase):
    """Which channels of a model stay, group by group, and why the rest was left alone.

    Attributes:
        groups: Every channel group that could give something, cut or not.
        frozen: Tensor, layer or operator name to the reason its channels can't be removed.
        examples: Descriptions of the inputs the model was traced with.
        asked: The request, in words.
        reached: What the plan reaches, such as ``{"macs": 0.497}`` as fractions of the dense model.
        form: What the cut returns: ``module`` for the model's own classes, ``graph`` for its exported programs at their
            new sizes; empty where the cut is to find out, which then fills it in.
        attention: What of attention may go: channels inside every head (``widths``) or whole ``heads``.
        repairs: Integer attributes that were repaired; filled in by the cut.
        rescales: Weights that were multiplied by a number; filled in by the cut.
        notes: Remarks, such as a mode that could not be traced.
        sizes: Tensor to its shape before the cut, for every tensor of a group; of a plan that was applied, for those
            that it cut. With it a model of another width is refused.
        version: Version of this form.
    """

    groups: tuple[GroupPlan, ...]
    frozen: dict[str, str] = {}
    examples: tuple[dict[str, Any], ...] = ()
    asked: str = ""
    reached: dict[str, float] = {}
    form: str = ""
    attention: Attention = ATTENTION
    repairs: tuple[Repair, ...] = ()
    rescales: tuple[Rescale, ...] = ()
    notes: tuple[str, ...] = ()
    sizes: dict[str, tuple[int, ...]] = {}
    version: int = 1

    def group(self, name: str) -> GroupPlan:
        """Return a group by name.

        Args:
            name: A group's name, as printed.

        Returns:
            The group.

        Raises:
            ContractError: When no group has that name; the message lists them.
        """
        for each in self.groups:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.groups) or "none"
        raise ContractError(f"the plan has no group {name!r}; its groups are: {known}")

    def with_kept(self, name: str, kept: Iterable[int]) -> Self:
        """Return the plan with another choice of channels in one group.

        Args:
            name: A group's name.
            kept: Channels that stay, in [0, size).

        Returns:
            A new plan; what it reaches is unknown until it is applied and measured.

        Raises:
            ContractError: When the group is unknown, a channel is no number or lies outside it, or none would stay.
        """
        group = self.group(name)
        given: tuple[Any, ...] = tuple(kept)
        if any(isinstance(each, bool) or not isinstance(each, Integral) for each in given):
            raise ContractError(f"kept names the {group.unit} that stay by number, such as [0, 2]; got {list(given)}")
        chosen = tuple(sorted({int(each) for each in given}))
        if not chosen or chosen[0] < 0 or chosen[-1] >= group.size:
            raise ContractError(
                f"group {name!r} keeps between 1 and {group.size} of its {group.unit} 0..{group.size - 1}"
            )
        edited = group.model_copy(update={"kept": chosen, "reason": None})
        groups = tuple(edited if each is group else each for each in self.groups)
        return self.model_copy(update={"groups": groups, "reached": {}})

    def veto(self, name: str) -> Self:
        """Return the plan with one group left whole.

        Args:
            name: A group's name.

        Returns:
            A new plan.

        Raises:
            ContractError: When the group is unknown.
        """
        plan = self.with_kept(name, range(self.group(name).size))
        groups = tuple(
            each.model_copy(update={"reason": "vetoed"}) if each.name == name else each for each in plan.groups
        )
        return plan.model_copy(update={"groups": groups})

    def removed_positions(self) -> dict[tuple[str, int], list[int]]:
        """Return the positions that go, of every tensor dimension that loses some.

        Returns:
            ``(tensor, dim)`` to removed positions, increasing.
        """
        found: dict[tuple[str, int], list[int]] = {}
        for group in self.groups:
            if len(group.kept) == group.size:
                continue
            stays = set(group.kept)
            goes = [j for j in range(group.size) if j not in stays]
            removed: dict[int, list[int]] = {}  # pieces of one group often share their positions
            for piece in group.slices:
                if id(piece.positions) not in removed:
                    removed[id(piece.positions)] = [p for j in goes for p in piece.positions[j]]
                found.setdefault((piece.tensor, piece.dim), []).extend(removed[id(piece.positions)])
        return {key: sorted(positions) for key, positions in found.items()}

    def why(self, name: str) -> str:
        """Say what happens to a tensor, layer or group, and why.

        Args:
            name: A group's, module's or tensor's name.

        Returns:
            One sentence for each group or frozen layer that it belongs to, holds or is; a group asked for by its own
            name lists its layers. Where there is none, that, with the closest name there is.
        """
        lines = [
            f"{each.name}: {_outcome(each)}" + (f", in {', '.join(_layers_of(each))}" if each.name == name else "")
            for each in self.groups
            if each.name == name or any(_belongs(piece.tensor, name) for piece in each.slices)
        ]
        lines += [
            f"{key}: kept whole: {reason}"
            for key, reason in self.frozen.items()
            if _belongs(key, name) or _belongs(name, key)
        ]
        if not lines:
            tensors = {piece.tensor for each in self.groups for piece in each.slices}
            layers = {layer for each in self.groups for layer in _layers_of(each)}
            known = sorted({*(each.name for each in self.groups), *layers, *tensors, *self.frozen})
            return f"{name}: nothing of that name is in the plan{did_you_mean(name, known)}"
        return "\n".join(dict.fromkeys(lines))

    def __str__(self) -> str:
        width = max([24, *(len(each.name) for each in self.groups)])
        lines = [f"asked: {self.asked}", f"reached: {_reached(self.reached)}"]
        lines += [f"form: {_FORMS[self.form]}", ""] if self.form in _FORMS else [""]
        lines.append(f"{'group':<{width}}  {'size':>16}  layers")
        lines += [f"{each.name:<{width}}  {_sizes(each):>16}  {_layers(each)}" for each in self.groups]
        if self.frozen:
            lines += ["", "kept whole:"]
            lines += [f"  {name:<{width}}  {reason}" for name, reason in self.frozen.items()]
        lines += [f"rescaled: {each.tensor} by {each.factor:.4g}: {each.reason}" for each in self.rescales]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)


def _belongs(tensor: str, name: str) -> bool:
    return tensor == name or tensor.startswith(f"{name}.")


def _sizes(group: GroupPlan) -> str:
    return f"{group.told_size} -> {len(group.kept)}" if len(group.kept) < group.size else f"{group.told_size} (whole)"


def _outcome(group: GroupPlan) -> str:
    if len(group.kept) < group.size:
        return f"keeps {len(group.kept)} of {group.size} {group.unit}"
    return f"kept whole: {group.reason or 'nothing was asked of it'}"


def _layers_of(group: GroupPlan) -> list[str]:
    return list(dict.fromkeys(piece.tensor.rpartition(".")[0] or piece.tensor for piece in group.slices))


def _layers(group: GroupPlan) -> str:
    names = _layers_of(group)
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return f"{shown}  ({group.reason})" if group.reason else shown


def _reached(reached: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in reached.items()) or "unknown"
