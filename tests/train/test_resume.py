"""A killed training goes on bit for bit: with every kind of state, at any moment, from another process."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from niwaki.balance import DWA, Uncertainty
from niwaki.errors import FileError, TrainingError
from niwaki.methods.prune import CosPrune, StructuredPruning
from niwaki.settings import Budget
from niwaki.tasks import Task
from niwaki.train import Training, fit

SameBits = Callable[[nn.Module, nn.Module], bool]


class StopError(Exception):
    """Stands for a kill."""


class Stopper:
    """Progress that kills the training when a number of steps are done."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.depth = 0

    def begin(self, what: str, total: int | None, done: int = 0) -> None:
        self.depth += 1

    def advance(self, count: int = 1, **values: float) -> None:
        self.left -= count if self.depth == 1 else 0
        if self.left < 0:
            raise StopError

    def note(self, text: str) -> None:
        pass

    def end(self) -> None:
        self.depth -= 1


class Wobbly:
    """A data set that draws from every global generator, as a user's augmentation may."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Any:
        x, targets = self.inner[index]
        noise = torch.rand(()).item() + np.random.mtrand._rand.rand() + random.random()
        return x * (1 + 0.1 * noise), targets


BASE: dict[str, Any] = {"epochs": 3, "lr": 1e-2, "batch_size": 2, "precision": "32-true", "warmup": 2, "seed": 3}
PRUNING = StructuredPruning(budget=Budget(channels=0.5), rounds=2, begin=0.1, until=0.6, round_to=2, floor=2)
STEPWISE = StructuredPruning(
    budget=Budget(channels=0.5), criterion=CosPrune(), every=2, remove=2, until=0.7, round_to=2, floor=2
)
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "sgd": {"training": {"optimizer": "sgd", "clip_norm": 0.5}},
    "everything": {
        "training": {"ema": 0.9, "accumulate": 2, "checkpoint_every": 2, "distill": True, "precision": "bf16-mixed"},
        "method": PRUNING,
    },
    "cut": {"training": {"checkpoint_every": 1}, "method": PRUNING},
    "cut, averaged, channels last": {
        "training": {"checkpoint_every": 1, "channels_last": True, "ema": 0.9},
        "method": PRUNING,
    },
    "cut where tasks disagree": {"training": {"checkpoint_every": 1}, "method": STEPWISE},
    "workers": {"training": {"num_workers": 2, "checkpoint_every": 4}},
}


def run(case: dict[str, Any], net: nn.Module, tasks: list[Task], data: Any, **more: Any) -> nn.Module:
    training = Training(**{**BASE, **case.get("training", {})})
    balance = DWA() if "method" in case else Uncertainty()
    return fit(
        net, tasks, data, more.pop("val"), training=training, method=case.get("method"), balance=balance, **more
    ).model


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("after", [1, 3, 5])
def test_stopped_anywhere_it_ends_with_the_same_bits(
    name: str,
    after: int,
    net: nn.Module,
    tasks: list[Task],
    make_squares: Callable[..., Any],
    same_bits: SameBits,
    tmp_path: Path,
) -> None:
    case, data, val = CASES[name], Wobbly(make_squares(9)), make_squares(4, seed=1)
    whole = run(case, net, tasks, data, val=val, out=tmp_path / "whole")
    with pytest.raises(StopError):
        run(case, net, tasks, data, val=val, out=tmp_path / "cut", progress=Stopper(after))
    torch.manual_seed(999)  # the other process starts elsewhere
    resumed = run(case, net, tasks, data, val=val, out=tmp_path / "cut", resume=True)
    assert same_bits(whole, resumed)
    assert (tmp_path / "whole" / "metrics.jsonl").read_bytes() == (tmp_path / "cut" / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("after", [2, 6])
def test_own_loaders_resume_exactly(
    after: int, net: nn.Module, tasks: list[Task], make_squares: Callable[..., Any], same_bits: SameBits, tmp_path: Path
) -> None:
    def loader() -> DataLoader[Any]:
        generator = torch.Generator().manual_seed(5)
        return DataLoader(Wobbly(make_squares(9)), 2, shuffle=True, generator=generator)  # type: ignore[arg-type]

    case = {"training": {"checkpoint_every": 1}, "method": PRUNING}
    val = make_squares(4, seed=1)
    whole = run(case, net, tasks, loader(), val=val)
    with pytest.raises(StopError):
        run(case, net, tasks, loader(), val=val, out=tmp_path, progress=Stopper(after))
    assert same_bits(whole, run(case, net, tasks, loader(), val=val, out=tmp_path, resume=True))


@pytest.mark.parametrize("after", [1, 3, 6])
@pytest.mark.parametrize("name", ["plain", "everything"])
def test_data_by_task_resumes_exactly(
    name: str,
    after: int,
    routed: nn.Module,
    tasks: list[Task],
    make_squares: Callable[..., Any],
    same_bits: SameBits,
    tmp_path: Path,
) -> None:
    """The shorter task's loader begins its second and third pass in the middle of an epoch, from the global state."""

    def data() -> dict[str, Any]:
        drawing: Any = DataLoader(Wobbly(make_squares(5)), 2, shuffle=True)  # type: ignore[arg-type]  # a double
        return {"depth": drawing, "segmentation": Wobbly(make_squares(15, seed=2))}

    case = {**CASES[name], "training": {**CASES[name].get("training", {}), "checkpoint_every": 1}}
    val = {"depth": make_squares(3, seed=1), "segmentation": make_squares(4, seed=3)}
    whole = run(case, routed, tasks, data(), val=val, out=tmp_path / "whole")
    with pytest.raises(StopError):
        run(case, routed, tasks, data(), val=val, out=tmp_path / "cut", progress=Stopper(after))
    torch.manual_seed(999)
    assert same_bits(whole, run(case, routed, tasks, data(), val=val, out=tmp_path / "cut", resume=True))
    assert (tmp_path / "whole" / "metrics.jsonl").read_bytes() == (tmp_path / "cut" / "metrics.jsonl").read_bytes()


def test_a_best_epoch_before_the_kill_is_remembered(
    net: nn.Module, tasks: list[Task], squares: Any, same_bits: SameBits, tmp_path: Path
) -> None:
    settings = {"lr": 3.0, "optimizer": "sgd", "scheduler": "constant", "clip_norm": 1.0, "precision": "32-true"}
    wild = Training(**settings, batch_size=4, epochs=8, select="depth.abs")
    whole = fit(net, tasks, squares, squares, training=wild)
    assert whole.epoch is not None
    assert whole.epoch < 6, "the settings should make the last epochs bad ones"
    with pytest.raises(StopError):
        fit(net, tasks, squares, squares, training=wild, out=tmp_path, progress=Stopper(22))
    again = fit(net, tasks, squares, squares, training=wild, out=tmp_path, resume=True)
    assert same_bits(whole.model, again.model)
    assert (again.epoch, again.quality) == (whole.epoch, whole.quality)


def test_a_finished_training_is_not_run_again(
    net: nn.Module, tasks: list[Task], make_squares: Callable[..., Any], same_bits: SameBits, tmp_path: Path
) -> None:
    data = make_squares(8)
    first = fit(net, tasks, data, data, training=Training(**BASE), out=tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_bytes()
    again = fit(net, tasks, data, data, training=Training(**BASE), out=tmp_path, resume=True, progress=Stopper(0))
    assert same_bits(first.model, again.model)
    assert (again.steps, again.epoch, again.quality, again.history) == (
        first.steps,
        first.epoch,
        first.quality,
        first.history,
    )
    assert (tmp_path / "metrics.jsonl").read_bytes() == lines


def test_without_a_checkpoint_resume_begins_at_the_beginning(
    net: nn.Module, tasks: list[Task], make_squares: Callable[..., Any], same_bits: SameBits, tmp_path: Path
) -> None:
    data = make_squares(8)
    first = fit(net, tasks, data, training=Training(**BASE))
    assert same_bits(first.model, fit(net, tasks, data, training=Training(**BASE), out=tmp_path, resume=True).model)


def test_other_settings_are_refused(
    net: nn.Module, tasks: list[Task], make_squares: Callable[..., Any], tmp_path: Path
) -> None:
    data = make_squares(8)
    fit(net, tasks, data, training=Training(**BASE), out=tmp_path)
    with pytest.raises(TrainingError, match=r"can't resume: training\.lr is 0\.5 but the checkpoint .* 0\.01"):
        fit(net, tasks, data, training=Training(**{**BASE, "lr": 0.5}), out=tmp_path, resume=True)
    with pytest.raises(TrainingError, match=r"can't resume: method is .*structured_pruning.* made with None"):
        fit(net, tasks, data, training=Training(**BASE), method=PRUNING, out=tmp_path, resume=True)


def test_another_model_is_refused(
    net: nn.Module, tasks: list[Task], make_squares: Callable[..., Any], tmp_path: Path
) -> None:
    data = make_squares(8)
    fit(net, tasks, data, training=Training(**BASE), out=tmp_path)
    with pytest.raises(FileError, match=r"does not fit the model: 'trunk\.0\.weight' is \[12, 3, 3, 3\] in the model"):
        fit(type(net)(12), tasks, data, training=Training(**BASE), out=tmp_path, resume=True)


TOGETHER = """
import importlib.util, sys, torch
torch.set_num_threads(1)
spec = importlib.util.spec_from_file_location("common", sys.argv[1])
common = importlib.util.module_from_spec(spec)
spec.loader.exec_module(common)
from niwaki.balance import DWA
from niwaki.methods.prune import StructuredPruning
from niwaki.tasks import Depth, Segmentation
from niwaki.train import Training, fit
torch.manual_seed(7)
method = StructuredPruning(budget={"channels": 0.5}, rounds=2, begin=0.1, until=0.6, round_to=2, floor=2)
training = Training(epochs=4, lr=1e-2, batch_size=2, ema=0.9, checkpoint_every=3, distill={"depth": 0.5})
fitted = fit(common.TwoHeads(), [Segmentation(2), Depth()], common.Squares(30), common.Squares(4, seed=1),
             training=training, method=method, balance=DWA(), out=sys.argv[2], resume=True)
torch.save(fitted.model.state_dict(), sys.argv[3])
"""

BY_TASK = (
    TOGETHER.replace("TwoHeads()", "Routed()")
    .replace("common.Squares(30)", "data")
    .replace(
        "torch.manual_seed(7)",
        """
class Wobbly(common.Squares):
    def __getitem__(self, index):
        x, targets = super().__getitem__(index)
        return x + 0.1 * torch.rand(()), targets
torch.manual_seed(7)
loader = torch.utils.data.DataLoader(Wobbly(14), 2, shuffle=True)
data = {"segmentation": loader, "depth": common.Squares(30, seed=2)}
""",
    )
)
SCRIPTS = {"together": TOGETHER, "by task": BY_TASK}


def attempt(script: str, folder: Path, kill_after_s: float | None) -> bool:
    """Run the training in another process; kill it some time after its first checkpoint. Says whether it ended."""
    common = Path(__file__).with_name("conftest.py")
    command = [sys.executable, "-c", script, str(common), str(folder), str(folder / "final.pt")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    if kill_after_s is not None:
        checkpoint = folder / "checkpoint.safetensors"
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while process.poll() is None and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before):
            time.sleep(0.002)
        time.sleep(kill_after_s)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode in {0, -signal.SIGKILL}, errors.decode()
    return process.returncode == 0


def here(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Run the training in this process, and return its weights."""
    folder.mkdir(exist_ok=True)
    common = Path(__file__).with_name("conftest.py")
    monkeypatch.setattr(sys, "argv", ["-c", str(common), str(folder), str(folder / "final.pt")])
    with torch.random.fork_rng():
        exec(script, {})
    weights: dict[str, torch.Tensor] = torch.load(folder / "final.pt")
    return weights


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("name", SCRIPTS)
def test_killed_in_another_process_it_goes_on_in_this_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = SCRIPTS[name]
    killed = tmp_path / "killed"
    killed.mkdir()
    assert not attempt(script, killed, 0.05), "the training ended before it was killed: make it longer"
    whole, resumed = here(script, tmp_path / "whole", monkeypatch), here(script, killed, monkeypatch)
    assert list(whole) == list(resumed)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert (tmp_path / "whole" / "metrics.jsonl").read_bytes() == (killed / "metrics.jsonl").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("name", SCRIPTS)
def test_killed_at_random_moments_it_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    script = SCRIPTS[name]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    assert attempt(script, whole, None)
    generator = random.Random(0)
    kills = 0
    while kills < 5 and not attempt(script, killed, generator.uniform(0.0, 0.3)):
        kills += 1
    assert kills >= 2, "the machine was too fast for this test: make its training longer"
    if not (killed / "final.pt").exists():
        assert attempt(script, killed, None)
    first, second = (torch.load(folder / "final.pt") for folder in (whole, killed))
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (whole / "metrics.jsonl").read_bytes() == (killed / "metrics.jsonl").read_bytes()
