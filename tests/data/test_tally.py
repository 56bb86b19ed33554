"""Counts by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor

from niwaki.data.tally import Tally

TASKS = ({"kind": "segmentation", "classes": 3}, {"kind": "depth"}, {"kind": "normals"})
NAMES = {"segmentation": ("a", "b", "c")}


def sample(**targets: object) -> tuple[Tensor, dict[str, Tensor]]:
    return torch.zeros(3, 2, 2), {name: torch.as_tensor(target) for name, target in targets.items()}


def tally_of_two() -> Tally:
    tally = Tally(TASKS, NAMES)
    normals = torch.zeros(3, 2, 2)
    normals[:, 0, 0] = torch.tensor([0.0, 0.0, -1.0])
    tally.add(sample(segmentation=[[0, 1], [1, -1]], depth=[[[1.0, 2.0], [0.0, 0.5]]], normals=normals))
    tally.add(sample(segmentation=[[1, 1], [1, 1]], depth=[[[1.0, 3.0], [1.0, 1.0]]], normals=normals))
    return tally


def test_labels_classes_and_ranges_are_counted() -> None:
    found = tally_of_two().findings("train", 2)
    assert found.size == (2, 2)
    assert found.labelled == {"segmentation": 7 / 8, "depth": 7 / 8, "normals": 2 / 8}
    assert found.histograms["segmentation"] == pytest.approx({"a": 1 / 7, "b": 6 / 7, "c": 0})
    assert (found.ranges, found.units) == ({"depth": (0.5, 3.0)}, {"depth": "m"})


def test_a_target_a_sample_lacks_is_without_labels() -> None:
    tally = tally_of_two()
    tally.add(sample(segmentation=[[2, 2], [2, 2]]))
    tally.add(sample(segmentation=[[2, 2], [2, 2]]))
    found = tally.findings("train", 4)
    assert found.labelled == {"segmentation": 15 / 16, "depth": 7 / 16, "normals": 1 / 8}


def test_a_label_is_what_the_task_takes_for_one() -> None:
    tasks: list[dict[str, Any]] = [
        {"kind": "depth", "unit": "", "above": 1.5},
        {"kind": "regression", "name": "edge"},
        {"kind": "classification", "classes": 4, "ignore_index": 9},
    ]
    tally = Tally(tasks)
    tally.add(sample(depth=[[[1.0, 2.0], [0.0, 0.5]]], edge=[[[-1.0, torch.nan], [0.5, 0.0]]], classification=3))
    tally.add(sample(classification=9))
    found = tally.findings("train", 2)
    assert found.labelled == {"depth": 1 / 8, "edge": 3 / 8, "classification": 1 / 2}
    assert found.ranges == {"depth": (2.0, 2.0), "edge": (-1.0, 0.5)}
    assert found.histograms == {"classification": {"0": 0, "1": 0, "2": 0, "3": 1}}


def test_sizes_that_differ_are_none() -> None:
    tally = Tally(TASKS)
    for side in (1, 2):
        tally.add((torch.zeros(3, side, side), {}))
    found = tally.findings("val", 5)
    assert (found.size, found.looked_at, found.samples) == (None, 2, 5)


def test_an_empty_tally_is_empty() -> None:
    found = Tally(TASKS, NAMES).findings("val", 0)
    assert found.histograms == {"segmentation": {"a": 0, "b": 0, "c": 0}}
    assert (found.size, found.ranges) == (None, {})
