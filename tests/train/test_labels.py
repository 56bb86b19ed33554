"""Tasks whose labels never come: told early, with what came instead."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from niwaki.errors import DataError, TrainingError
from niwaki.tasks import Task
from niwaki.train import Training, fit
from niwaki.train.loader import open_batches

PLAIN = Training(epochs=2, batch_size=4, precision="32-true")


class Counted:
    """Counts the batches that are asked for."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches = batches
        self.asked = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches:
            self.asked += 1
            yield batch


@pytest.fixture
def batches(squares: Any) -> list[tuple[Tensor, dict[str, Tensor]]]:
    return list(open_batches(squares, PLAIN, shuffle=False).iterate(0))


def test_a_mistyped_key_stops_after_the_first_epoch(net: nn.Module, tasks: list[Task], batches: list[Any]) -> None:
    mistyped = [(x, {"seg": y["segmentation"], "depth": y["depth"]}) for x, y in batches]
    data = Counted(mistyped)
    with pytest.raises(TrainingError, match=r"no label .* for segmentation.* saw targets for: depth, seg; .*name"):
        fit(net, tasks, data, training=PLAIN)
    assert data.asked == 3, "one epoch"
    with pytest.raises(TrainingError, match="no label .* for segmentation"):
        fit(net, tasks, mistyped, training=Training(steps=1, precision="32-true"))


def test_no_targets_at_all_are_told(net: nn.Module, tasks: list[Task], batches: list[Any]) -> None:
    with pytest.raises(TrainingError, match="no label .* for segmentation, depth.* saw targets for: none"):
        fit(net, tasks, [(x, {}) for x, _ in batches], training=PLAIN)


def test_a_key_without_labels_is_told(net: nn.Module, tasks: list[Task], batches: list[Any]) -> None:
    ignored = [(x, {**y, "segmentation": torch.full_like(y["segmentation"], -1)}) for x, y in batches]
    with pytest.raises(TrainingError, match="no label .* for segmentation"):
        fit(net, tasks, ignored, training=PLAIN)
    short = Training(steps=2, precision="32-true")  # labels may come in the rest of the epoch
    assert fit(net, tasks, ignored, training=short).steps == 2


def test_labels_in_one_batch_are_enough(net: nn.Module, tasks: list[Task], batches: list[Any]) -> None:
    rare = [*((x, {"depth": y["depth"]}) for x, y in batches[:2]), batches[2]]
    assert fit(net, tasks, rare, training=PLAIN).steps == 6


def test_a_validation_split_without_a_task_is_refused_before_the_first_step(
    net: nn.Module, tasks: list[Task], batches: list[Any]
) -> None:
    data = Counted(batches)
    without = [(x, {"seg": y["segmentation"], "depth": y["depth"]}) for x, y in batches]
    with pytest.raises(DataError, match="the validation data has no targets for segmentation; .*: depth, seg"):
        fit(net, tasks, data, without, training=PLAIN)
    assert data.asked == 0


def test_a_validation_split_is_read_until_every_task_was_seen(
    net: nn.Module, tasks: list[Task], batches: list[Any]
) -> None:
    late = Counted([(batches[0][0], {"depth": batches[0][1]["depth"]}), batches[1], batches[2]])
    peeked: list[int] = []

    class Watch:
        def begin(self, what: str, total: int | None, done: int = 0) -> None:
            peeked.append(late.asked)

        def advance(self, count: int = 1, **values: float) -> None:
            pass

        def note(self, text: str) -> None:
            pass

        def end(self) -> None:
            pass

    assert fit(net, tasks, batches, late, training=Training(steps=3, precision="32-true"), progress=Watch()).quality
    assert peeked[0] <= 3, "the first batch, and then up to the second"
