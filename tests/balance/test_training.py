"""Every balancer trains: a small problem, the library's loop, and (slow) two digits in one picture, with real data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchjd.aggregation as theirs
from torch import Tensor, nn
from torch.nn import functional as F

from niwaki import Training, fit, task_losses
from niwaki.balance import Balancer
from niwaki.data.digits import TwoDigitsData
from niwaki.tasks import Classification, Regression

Make = Callable[..., Balancer]

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
KINDS = (
    *("EW", "UW", "DWA", "RLW", "GLS", "MinMax", "STCH", "AdapMTL", "GradNorm", "FAMO", "IMTL_L", "PCGrad", "GradVac"),
    *("GradDrop", "CAGrad", "UPGrad", "DualProj", "ConFIG", "MGDA", "Nash_MTL", "IMTL_G", "Aligned_MTL", "FairGrad"),
    *("ExcessMTL", "Krum", "PCD", "Aggregator", "Scalarizer"),
)


@pytest.mark.parametrize("name", KINDS)
def test_the_losses_fall_on_a_small_problem(name: str, make: Make, problem: Any) -> None:
    """On one batch, down the balanced gradient."""
    options: dict[str, dict[str, Any]] = {"Nash_MTL": {"update_weights_every": 5}, "Scalarizer": {"lr": 0.1}}
    balance = make(name, **options.get(name, {}))
    optimizer = torch.optim.Adam([p for p in problem.parameters() if p.requires_grad], lr=0.1)
    first = {task: loss.item() for task, loss in problem.losses(3).items()}
    for step in range(25):
        optimizer.zero_grad()
        balance(problem.losses(3)).backward()
        optimizer.step()
        if balance.wants_losses_after_step:
            with torch.no_grad():
                balance.after_step(problem.losses(3))
        if step % 5 == 4:
            balance.end_epoch()
    last = {task: loss.item() for task, loss in problem.losses(3).items()}
    assert sum(last.values()) < 0.7 * sum(first.values())


class Numbers(nn.Module):
    """A trunk and two heads on a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(3, 8), nn.Tanh())
        self.heads = nn.ModuleDict({"age": nn.Linear(8, 1), "kind": nn.Linear(8, 3)})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        common = self.trunk(x)
        return {"age": self.heads["age"](common).squeeze(1), "kind": self.heads["kind"](common)}


TASKS = [Regression(name="age"), Classification(name="kind", classes=3)]


class Rows:
    """Vectors; their sum, and which entry is the largest."""

    def __init__(self, count: int = 12) -> None:
        self.x = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        return self.x[index], {"age": self.x[index].sum(), "kind": self.x[index].argmax()}


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", ["PCGrad", "GradNorm", "FAMO", "CAGrad"])
def test_the_loop_of_the_library_takes_them(name: str, precision: Any, make: Make) -> None:
    torch.manual_seed(0)
    training = Training(epochs=4, batch_size=4, lr=1e-2, precision=precision, accumulate=2, device="cpu")
    before, balance = Numbers(), make(name)
    done = fit(before, TASKS, Rows(), Rows(4), training=training, balance=balance)
    x = Rows().x
    targets = {"age": x.sum(1), "kind": x.argmax(1)}
    old, new = (sum(task_losses(TASKS, net(x), targets).values()) for net in (before, done.model.cpu()))
    assert new < old
    assert set(balance.weights) == {"age", "kind"}


@pytest.mark.parametrize("name", ["PCGrad", "Nash_MTL", "FAMO", "MinMax", "RLW", "GradVac"])
def test_a_run_that_is_resumed_ends_with_the_same_bits(name: str, make: Make, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Numbers()

    class StopError(Exception):
        pass

    dying = make(name)
    called = 0
    combine = dying._combine

    def die(losses: dict[str, Tensor]) -> Tensor:
        nonlocal called
        called += 1
        if called > 5:
            raise StopError
        return combine(losses)

    dying._combine = die  # type: ignore[method-assign]  # to stop there
    training = Training(epochs=3, batch_size=4, lr=1e-2, precision="32-true", device="cpu", checkpoint_every=1)
    whole = fit(net, TASKS, Rows(), Rows(4), training=training, balance=make(name), out=tmp_path / "one").model
    with pytest.raises(StopError):
        fit(net, TASKS, Rows(), Rows(4), training=training, balance=dying, out=tmp_path / "two")
    torch.manual_seed(99)
    resumed = fit(net, TASKS, Rows(), Rows(4), training=training, balance=make(name), out=tmp_path / "two", resume=True)
    for one, other in zip(whole.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_torchjd_object_is_taken_as_it_is() -> None:
    torch.manual_seed(0)
    training = Training(epochs=1, batch_size=4, lr=1e-2, precision="32-true", device="cpu")
    done = fit(Numbers(), TASKS, Rows(), Rows(4), training=training, balance=theirs.UPGrad())
    assert isinstance(done.model, nn.Module)


class Reader(nn.Module):
    """A small convolutional trunk for both pictures, a block for the left one, and heads."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *(nn.Conv2d(1, 16, 5, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU()),
        )
        self.block = nn.Linear(64, 64)
        self.heads = nn.ModuleDict({"left": nn.Linear(64, 10), "right": nn.Linear(64, 10), "odd": nn.Linear(64, 2)})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        common = self.trunk(x)
        special = torch.relu(self.block(common))
        return {task: head(common if task == "right" else special) for task, head in self.heads.items()}


@pytest.fixture(scope="module")
def pictures() -> dict[str, tuple[Tensor, dict[str, Tensor]]]:
    if not (DATA / "mnist").is_dir():
        pytest.skip("needs MNIST and Fashion-MNIST in ../shared/data")
    opened = TwoDigitsData(root=DATA, left="mnist", right="fashion_mnist", train=6000, val=10, test=1000).open()
    found = {}
    for name, split in (("train", opened.train), ("test", opened.test)):
        samples: Any = [split[i] for i in range(len(split))]  # type: ignore[index,arg-type]  # one data set for both tasks
        labels = {task: torch.stack([each[1][task] for each in samples]) for task in ("left", "right")}
        found[name] = torch.stack([each[0] for each in samples]), {**labels, "odd": labels["left"] % 2}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_two_digits_are_learned(name: str, make: Make, pictures: Any) -> None:
    """Of ten classes each; the left digit's parity is a third task, in half of the batches only."""
    torch.manual_seed(0)
    options: dict[str, Any] = {
        "AdapMTL": {"begin": 50},
        "Nash_MTL": {"update_weights_every": 5},
        "Aggregator": {"method": "Mean", "options": {}, "scale": "tasks"},
    }
    net, balance = Reader(), make(name, **options.get(name, {}))
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    x, targets = pictures["train"]
    draws = torch.Generator().manual_seed(0)
    for step in range(500):
        chosen = torch.randint(len(x), (64,), generator=draws)
        tasks = ("left", "right", "odd") if step % 2 or name == "Krum" else ("left", "right")

        def losses(chosen: Tensor = chosen, tasks: tuple[str, ...] = tasks) -> dict[str, Tensor]:
            answers = net(x[chosen])
            return {task: F.cross_entropy(answers[task], targets[task][chosen]) for task in tasks}

        optimizer.zero_grad()
        balance(losses()).backward()
        optimizer.step()
        if balance.wants_losses_after_step:
            with torch.no_grad():
                balance.after_step(losses())
        if step % 100 == 99:
            balance.end_epoch()
    x, targets = pictures["test"]
    with torch.no_grad():
        right = {task: (answer.argmax(1) == targets[task]).float().mean().item() for task, answer in net(x).items()}
    enough = {"left": 0.4, "right": 0.4, "odd": 0.7}
    assert {task for task in enough if right[task] < enough[task]} == set(), right
