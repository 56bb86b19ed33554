"""Sensitivity: how much each task's loss rises when one group of channels alone is thinned out."""

from niwaki.records.base import RecordBase

__all__ = ["GroupSensitivity", "Sensitivity"]


class GroupSensitivity(RecordBase):
    """What happens when one group alone is thinned out.

    Attributes:
        group: The group's name, as in a plan.
        channels: Channels in the group.
        removed: How many of them went.
        macs: Share of the whole model's multiply-accumulates that would be saved, in [0, 1].
        rise: Task to the rise of its loss, as a fraction of the dense model's; negative where it fell.
    """

    group: str
    channels: int
    removed: int
    macs: float
    rise: dict[str, float]

    @property
    def worst(self) -> float:
        """The rise of the task that suffers most."""
        return max(self.rise.values())


class Sensitivity(RecordBase):
    """One row for each group that can give channels, on one set of batches.

    Attributes:
        losses: Task to the dense model's mean loss.
        share: Share of a group's channels that went, those with the lowest scores.
        criterion: What they were scored by.
        groups: The rows, in the order of the model.
        version: Version of this form.
    """

    losses: dict[str, float]
    share: float
    criterion: str
    groups: tuple[GroupSensitivity, ...]
    version: int = 1

    def group(self, name: str) -> GroupSensitivity | None:
        """Return the row of a group, or None where it has none."""
        return next((row for row in self.groups if row.group == name), None)

    def __str__(self) -> str:
        width = max([len("group"), *(len(row.group) for row in self.groups)])
        tasks = "".join(f"{task:>14}" for task in self.losses)
        lines = [
            f"rise of each task's loss without {self.share:.0%} of one group's channels, by {self.criterion}",
            f"{'group':<{width}}{'removed':>12}{'MACs saved':>12}{tasks}",
        ]
        for row in self.groups:
            rises = "".join(f"{row.rise[task]:>+14.1%}" for task in self.losses)
            lines.append(f"{row.group:<{width}}{f'{row.removed} of {row.channels}':>12}{row.macs:>12.1%}{rises}")
        return "\n".join(lines)
