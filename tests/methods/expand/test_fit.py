"""Expanded networks in our own loop: averaged copies, validation, and runs that are killed and go on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.methods.expand.networks import batches, two
from torch import nn

import niwaki as nw
from niwaki.methods import Chain, Method, Overparam, RepVGG, StructuredPruning
from niwaki.records import Folding
from niwaki.train import Silent

TASKS = [nw.Regression(name="near"), nw.Regression(name="far")]
METHODS: list[Method] = [
    Overparam(),
    Overparam(combine="anneal", until=0.5),
    RepVGG(),
    Chain([Overparam(alternate="joint"), StructuredPruning(budget=nw.Budget(channels=0.5), round_to=1)]),
]


class KilledError(Exception):
    """The end of a process."""


class Killer(Silent):
    """Kills a training after some steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, count: int = 1, **values: float) -> None:
        """Count steps."""
        self.left -= count
        if self.left <= 0:
            raise KilledError


def fitted(method: Method, **more: Any) -> Any:
    options = {"steps": 8, "lr": 1e-2, "precision": "32-true", "device": "cpu", "checkpoint_every": 1, **more}
    kept = {key: options.pop(key) for key in ("out", "resume", "progress") if key in options}
    return nw.fit(two(), TASKS, batches(4), batches(2), method=method, training=nw.Training(**options), **kept)


@pytest.mark.parametrize("method", METHODS, ids=lambda each: f"{each.kind}-{getattr(each, 'combine', '')}")
@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_killed_run_goes_on_bit_for_bit(method: Method, ema: float | None, tmp_path: Path) -> None:
    whole = fitted(method, ema=ema)
    with pytest.raises(KilledError):
        fitted(method, ema=ema, out=tmp_path, progress=Killer(after=6))
    again = fitted(method, ema=ema, out=tmp_path, resume=True)
    one, other = whole.model.state_dict(), again.model.state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.quality == again.quality
    found, later = whole.findings["folding"], again.findings["folding"]
    assert isinstance(found, Folding)
    assert isinstance(later, Folding)
    assert later == found


def test_compress_writes_the_fold_into_the_record() -> None:
    training = nw.Training(steps=4, precision="32-true", device="cpu", select="last")
    result = nw.compress(two(), TASKS, batches(4), batches(2), method=Overparam(), training=training)
    assert result.record.folding is not None
    assert result.record.folding.largest_difference < 1e-5
    dense, small = (result.record.cost[name].whole for name in ("dense", "small"))
    assert (small.params, small.macs) == (dense.params, dense.macs)


def test_a_network_for_each_task_is_measured_as_one() -> None:
    training = nw.Training(steps=4, precision="32-true", device="cpu", select="last")
    method = Overparam(combine="per_task")
    result = nw.compress(two(), TASKS, batches(4), batches(2), method=method, training=training)
    assert isinstance(result.model, nw.TaskNets)
    assert isinstance(result.model.nets["near"], nn.Module)
    assert set(result.record.quality["small"]) == {"near", "far"}


def test_phases_follow_the_epochs_of_the_data() -> None:
    fourth = fitted(Overparam(alternate="epoch"))
    said = fitted(Overparam(alternate="epoch", epoch_steps=4))
    assert all(map(torch.equal, fourth.model.parameters(), said.model.parameters()))
