"""The frame for the user's own parts."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from niwaki.errors import ContractError
from niwaki.models import MultiTaskNet


class Pyramid(nn.Module):
    def __init__(self, form: type) -> None:
        super().__init__()
        self.fine, self.coarse, self.form = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, 2, 1), form

    def forward(self, x: Tensor) -> Any:
        fine = self.fine(x)
        parts = {"fine": fine, "coarse": self.coarse(fine)}
        return parts if self.form is dict else self.form(parts.values())


class Takes(nn.Module):
    def __init__(self, key: Any, channels: int) -> None:
        super().__init__()
        self.key, self.conv = key, nn.Conv2d(channels, 1, 1)

    def forward(self, parts: Any) -> Tensor:
        answer: Tensor = self.conv(parts[self.key])
        return answer


class Returns(nn.Module):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def forward(self, _: Any) -> Any:
        return self.value


@pytest.mark.parametrize("form", [dict, list, tuple])
def test_what_the_encoder_returns_is_passed_on(form: type) -> None:
    keys = ("fine", "coarse") if form is dict else (0, 1)
    net = MultiTaskNet(Pyramid(form), {"a": Takes(keys[0], 4), "b": Takes(keys[1], 8)})
    x = torch.randn(2, 3, 8, 8)
    answers = net(x)
    parts = net.encoder(x)
    assert torch.equal(answers["b"], net.heads["b"](parts))
    assert [tuple(y.shape) for y in answers.values()] == [(2, 1, 8, 8), (2, 1, 4, 4)]
    resized = MultiTaskNet(net.encoder, dict(net.heads.items()), resize=True)(x)
    assert torch.equal(resized["a"], answers["a"])
    assert tuple(resized["b"].shape) == (2, 1, 8, 8)


def test_two_tasks_may_share_a_head() -> None:
    head = nn.Conv2d(3, 1, 1)
    net = MultiTaskNet(nn.Identity(), {"a": head, "b": head})
    assert len(list(net.parameters())) == 2
    assert net.tasks == ("a", "b")


def test_only_maps_are_resized() -> None:
    net = MultiTaskNet(nn.Identity(), {"a": nn.Sequential(nn.Flatten(), nn.Linear(12, 5))}, resize=True)
    assert tuple(net(torch.zeros(2, 3, 2, 2))["a"].shape) == (2, 5)


@pytest.mark.parametrize("name", ["", "a.b", "keys", "type", "training", 3])
def test_a_name_that_cannot_name_a_head_is_refused(name: Any) -> None:
    with pytest.raises(ContractError, match="can't name a head"):
        MultiTaskNet(nn.Identity(), {name: nn.Identity()})


def test_heads_are_needed_and_are_modules() -> None:
    with pytest.raises(ContractError, match="at least one head"):
        MultiTaskNet(nn.Identity(), {})
    not_a_module: Any = 3
    with pytest.raises(ContractError, match="'depth' is a int; give an nn.Module"):
        MultiTaskNet(nn.Identity(), {"depth": not_a_module})


def test_a_wrong_answer_names_the_task() -> None:
    x = torch.zeros(2, 3)
    with pytest.raises(ContractError, match="'a' returned dict; a head returns one tensor"):
        MultiTaskNet(nn.Identity(), {"a": Returns({})})(x)
    for wrong in (torch.zeros(3, 1), torch.zeros(())):
        with pytest.raises(ContractError, match="keeps the batch in dimension 0"):
            MultiTaskNet(nn.Identity(), {"a": Returns(wrong)})(x)
