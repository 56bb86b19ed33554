from typing import Any

import torch
from torch import Tensor, nn

from niwaki.contract import Example
from niwaki.graph import find_parts, node_tasks, trace

X = torch.zeros(1, 3)


class Three(nn.Module):
    """A frozen trunk under no_grad, a branch of two tasks, three heads; one task reads the trunk through detach."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).requires_grad_(False)
        self.pair = nn.Linear(4, 4)
        self.a, self.b, self.c = (nn.Linear(4, 2, bias=False) for _ in range(3))
        self.spare = nn.Linear(2, 2, bias=False)

    def forward(self, x: Tensor) -> Any:
        with torch.no_grad():
            x = self.trunk(x)
        pair = self.pair(x)
        return {"a": self.a(pair), "b": self.b(pair), "c": self.c(x.detach())}


def test_parts_come_from_the_program_not_from_gradients() -> None:
    parts = find_parts(trace(Three(), X))
    assert parts.tasks == ("a", "b", "c")
    assert parts.trunk == [
        "trunk.0.weight", "trunk.0.bias", "trunk.1.weight", "trunk.1.bias", "trunk.1.running_mean",
        "trunk.1.running_var", "trunk.1.num_batches_tracked",
    ]  # fmt: skip
    assert parts.branches == {"a+b": ["pair.weight", "pair.bias"]}
    assert parts.heads == {"a": ["a.weight"], "b": ["b.weight"], "c": ["c.weight"]}
    assert parts.unused == ["spare.weight"]


def test_nodes_serve_the_tasks_they_lead_to() -> None:
    traced = trace(Three(), X)
    served = node_tasks(traced.programs[0])
    assert served["linear"] == {"a", "b", "c"}
    assert served["linear_1"] == {"a", "b"}
    assert find_parts(traced).node_tasks(traced.programs[0]) == served


class Written(nn.Module):
    """Fills its answer in place."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.other = (nn.Linear(3, 2, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Any:
        out = torch.zeros(x.shape[0], 4)
        out[:, :2] = self.left(x)
        out[:, 2:].copy_(self.right(x))
        other = self.other(x)
        other.mul_(torch.zeros_like(out).sum())
        return {"out": out, "other": other}


def test_what_is_written_in_place_counts() -> None:
    parts = find_parts(trace(Written(), X))
    assert parts.heads == {"out": ["left.weight", "right.weight"], "other": ["other.weight"]}


def test_what_is_written_through_a_dropout_in_eval_mode_counts() -> None:
    class Through(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 2, bias=False), nn.Linear(3, 2, bias=False)

        def forward(self, x: Tensor) -> Any:
            made = self.a(x)
            torch.dropout(made, 0.5, self.training).add_(self.b(x))
            return {"a": made, "b": self.b(x)}

    parts = find_parts(trace(Through(), X))
    assert (parts.trunk, parts.heads) == (["b.weight"], {"a": ["a.weight"], "b": []})


class Auxiliary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.a, self.b, self.extra = (nn.Linear(3, 3, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Any:
        x = self.body(x)
        answers = {"a": self.a(x), "b": self.b(x)}
        return {**answers, "extra": self.extra(x)} if self.training else answers


def test_a_head_that_only_train_mode_has_counts_for_its_own_output() -> None:
    parts = find_parts(trace(Auxiliary(), X))
    assert parts.tasks == ("a", "b")
    assert parts.trunk == ["body.weight"]
    assert parts.heads == {"a": ["a.weight"], "b": ["b.weight"], "extra": ["extra.weight"]}


def test_routes_make_parts_together() -> None:
    class Route(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(3, 3, bias=False)
            self.heads = nn.ModuleList(nn.Linear(3, 2, bias=False) for _ in range(2))

        def forward(self, x: Tensor, task: int) -> Any:
            return self.heads[task](self.body(x))

    parts = find_parts(trace(Route(), [Example(X, task=0), Example(X, task=1)], tasks=["near", "far"]))
    assert parts.trunk == ["body.weight"]
    assert parts.heads == {"near": ["heads.0.weight"], "far": ["heads.1.weight"]}


def test_one_task_is_all_trunk() -> None:
    parts = find_parts(trace(nn.Linear(3, 2), X))
    assert (parts.trunk, parts.heads) == (["weight", "bias"], {})
