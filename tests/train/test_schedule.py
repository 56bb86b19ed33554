import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from niwaki.errors import TrainingError
from niwaki.train import Training
from niwaki.train.optimizer import make_optimizer
from niwaki.train.schedule import lr_factor, set_lr


def test_cosine_with_warmup_is_torchs() -> None:
    training = Training(steps=20, lr=0.3, warmup=5, final_lr=0.1)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    theirs = SequentialLR(
        optimizer,
        [
            LinearLR(optimizer, start_factor=0.2, end_factor=1.0, total_iters=4),
            CosineAnnealingLR(optimizer, T_max=15, eta_min=0.03),
        ],
        milestones=[5],
    )
    for step in range(20):
        assert 0.3 * lr_factor(step, 20, training) == pytest.approx(optimizer.param_groups[0]["lr"]), step
        optimizer.step()
        theirs.step()


def test_warmup_may_be_a_fraction_and_constant_stays() -> None:
    training = Training(steps=10, warmup=0.4, scheduler="constant")
    assert [lr_factor(step, 10, training) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_each_group_keeps_its_own_peak() -> None:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (1.0, 0.1)]
    optimizer = make_optimizer(groups, Training(steps=1, optimizer="sgd"))
    set_lr(optimizer, 0.5)
    set_lr(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.025]


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_optimizers_are_torchs(name: str, kind: type[torch.optim.Optimizer]) -> None:
    training = Training(steps=1, optimizer=name, lr=0.2, weight_decay=0.03, momentum=0.7)
    optimizer = make_optimizer([{"params": [nn.Parameter(torch.zeros(1))]}], training)
    group = optimizer.param_groups[0]
    assert type(optimizer) is kind
    assert (group["lr"], group["weight_decay"], group.get("momentum", 0.7)) == (0.2, 0.03, 0.7)


def test_a_model_with_nothing_to_train_is_refused() -> None:
    with pytest.raises(TrainingError, match="no parameter that requires a gradient"):
        make_optimizer([{"params": []}], Training(steps=1))
