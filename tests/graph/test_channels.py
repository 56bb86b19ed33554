import numpy as np
import pytest
import torch
from torch import nn

from niwaki.errors import ContractError, GraphError
from niwaki.graph import Channels, Traced, find_channels, find_parts, trace
from niwaki.graph.edges import Edges
from niwaki.graph.segments import reshape_labels, segments


def small() -> Traced:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Conv2d(6, 2, 1))
    return trace(model, torch.zeros(1, 3, 9, 9))


@pytest.fixture(scope="module", name="traced")
def _traced() -> Traced:
    return small()


def names(channels: Channels) -> list[tuple[str, int]]:
    return [(group.name, group.size) for group in channels.groups if group.reason is None]


def test_labels_of_tensors_and_values_are_classes(traced: Traced) -> None:
    channels = find_channels(traced)
    weight, following = channels.tensors["0.weight"], channels.tensors["3.weight"]
    assert weight[0] is not None
    assert weight[1:] == (None, None, None)
    assert following[1] is weight[0]
    assert np.unique(weight[0]).size == 8
    state = channels.values[0]["relu"]
    assert isinstance(state, tuple)
    assert state[1] is weight[0]
    assert channels.values[0]["conv2d_2"] == (None, None, None, None)
    assert channels.count == 15
    assert not channels.removable[0]
    assert channels.removable[1:].all()
    assert repr(channels) == "Channels(2 groups, 14 channels that can go)"


@pytest.mark.parametrize("keep", [["0"], ["0.weight"], ["1"], ["1.running_mean"]])
def test_what_is_to_be_kept_is_frozen(traced: Traced, keep: list[str]) -> None:
    channels = find_channels(traced, keep=keep)
    assert names(channels) == [("3", 6)]
    assert channels.frozen["0.weight"].startswith(f"frozen by the wish to keep {keep[0]}")


def test_keeping_a_layer_whole_keeps_its_inputs_too(traced: Traced) -> None:
    assert names(find_channels(traced, keep=["3"])) == []


def test_a_wish_for_nothing_known_is_refused(traced: Traced) -> None:
    with pytest.raises(GraphError, match="nothing to keep is named '1.weigth'.*did you mean 1.weight"):
        find_channels(traced, keep=["1.weigth"])


def test_why_names_the_output_that_froze_a_head(traced: Traced) -> None:
    channels = find_channels(traced)
    assert channels.why("4.weight").splitlines() == [
        "4.weight, dimension 0: 2 of 2 frozen by the output 'output'",
        "4.weight, dimension 1: free",
        "4.weight, dimension 2: has one position",
        "4.weight, dimension 3: has one position",
    ]
    assert "frozen by aten.conv2d.default in 0" in channels.why("0.weight")
    with pytest.raises(GraphError, match="no parameter or buffer is named '4.wait'; did you mean 4.weight"):
        channels.why("4.wait")


def test_why_names_what_passed_the_freeze_on() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sin(x + self.body(x)) * 2

    channels = find_channels(trace(Residual(), torch.zeros(1, 3)))
    assert channels.groups == ()
    assert channels.frozen["body.weight"].startswith("frozen by ")


def test_freezing_classes_keeps_the_ids_and_gives_the_reason(traced: Traced) -> None:
    channels = find_channels(traced)
    first, second = channels.groups
    fewer = channels.freeze(first.classes[:5], "five are wanted")
    assert [group.size for group in fewer.groups] == [3, 6]
    assert fewer.groups[0].classes.tolist() == first.classes[5:].tolist()
    assert fewer.groups[0].slices[0].positions == ((5,), (6,), (7,))
    assert channels.removable[first.classes].all()
    none = fewer.freeze(first.classes, "all are wanted")
    assert [group.reason for group in none.groups] == ["all are wanted", None]
    assert none.groups[1].classes.tolist() == second.classes.tolist()


def test_a_class_that_is_a_whole_dimension_is_never_removed() -> None:
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow, self.head = nn.Linear(3, 8), nn.Linear(3, 4), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            twice = torch.cat([self.narrow(x), self.narrow(x)], -1)
            rolled = torch.cat([self.narrow(x), self.narrow(x).view(-1, 2, 2).transpose(1, 2).reshape(-1, 4)], -1)
            flipped = torch.cat([self.narrow(x).flip(-1), self.narrow(x)], -1)
            answer: torch.Tensor = self.head(self.wide(x) + twice + rolled + flipped)
            return answer

    channels = find_channels(trace(Summed(), torch.zeros(2, 3)))
    stuck = [group for group in channels.groups if group.reason is not None]
    assert [group.reason for group in stuck] == [
        "its channels go together, and without them wide.weight would be empty"
    ]
    assert names(channels) == []


def test_strata_put_together_what_may_be_exchanged() -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 1), nn.Linear(52, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a, b = self.a(x).flatten(1), self.b(x).mean((2, 3), keepdim=True).expand(-1, -1, 3, 2).flatten(1)
            answer: torch.Tensor = self.head(torch.cat([a, b], 1))
            return answer

    channels = find_channels(trace(Joined(), torch.zeros(1, 3, 2, 2)))
    (group,) = channels.groups
    assert group.strata.tolist() == [0] * 4 + [1] * 6
    last = next(piece for piece in group.slices if piece.tensor == "head.weight")
    assert [len(positions) for positions in last.positions] == [4] * 4 + [6] * 6


def test_a_task_the_model_does_not_answer_is_refused() -> None:
    class Keyed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.extra = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"near": self.body(x), "extra": self.extra(x)}

    x = torch.zeros(1, 3)
    traced = trace(Keyed(), x, tasks=["near"])
    assert traced.tasks == ("near",)
    parts = find_parts(traced)
    assert (parts.trunk, parts.heads) == (["body.weight", "body.bias"], {"extra": ["extra.weight", "extra.bias"]})
    assert names(find_channels(traced)) == []  # an extra output is protected like any other
    with pytest.raises(ContractError, match="nothing for the task 'far'; its outputs are near, extra"):
        trace(Keyed(), x, tasks=["near", "far"])


def test_edges_make_classes_numbered_by_their_first_unit() -> None:
    edges = Edges()
    first, second = edges.fresh(3), edges.fresh(3)
    edges.because("a joint")
    edges.join(first, second[::-1])
    edges.because("a freeze")
    edges.freeze(second[:1])
    assert edges.classes().tolist() == [0, 1, 2, 0, 0, 2, 1]
    assert edges.towards_frozen()[3] == 4
    assert (edges.cause_of(3, 4), edges.cause_of(0, 4)) == ("a joint", "a freeze")


def test_edges_are_put_together_once_until_more_are_added() -> None:
    edges = Edges()
    assert [column.size for column in edges.columns()] == [0, 0, 0]
    units = edges.fresh(4)
    edges.join(units[:2], units[2:])
    edges.freeze(units[:1])
    once, again = edges.columns(), edges.columns()
    assert all(first is second for first, second in zip(once, again, strict=True))
    assert [column.tolist() for column in once] == [[1, 2, 1], [3, 4, 0], [0, 0, 0]]
    edges.because("later")
    edges.freeze(units[1:2])
    assert [column.tolist() for column in edges.columns()] == [[1, 2, 1, 2], [3, 4, 0, 0], [0, 0, 0, 1]]


def test_edges_join_three_hundred_times_without_losing_one() -> None:
    edges = Edges()
    first, second = edges.fresh(1), edges.fresh(1)
    for _ in range(300):
        edges.join(first, second)
    assert edges.classes().tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((2, 8, 3), (2, 24), [([0], [0]), ([1, 2], [1])]),
        ((2, 12, 1), (1, 24), [([0, 1], [1])]),
        ((6, 4), (3, 2, 4), [([0], [0, 1]), ([1], [2])]),
        ((4, 6), (6, 4), [([0, 1], [0, 1])]),
        ((1, 1), (1,), []),
    ],
)
def test_segments_are_the_smallest_runs_of_equal_product(
    before: tuple[int, ...], after: tuple[int, ...], expected: list[tuple[list[int], list[int]]]
) -> None:
    assert list(segments(before, after)) == expected


def test_a_reshape_of_labels_is_the_reshape_of_their_elements() -> None:
    edges = Edges()
    units = edges.fresh(6)
    merged = reshape_labels(edges, [None, units, None], (2, 6, 5), (2, 30))
    assert merged[1] is not None
    full = np.broadcast_to(units[None, :, None], (2, 6, 5)).reshape(2, 30)
    assert (full == merged[1]).all()
    back = reshape_labels(edges, merged, (2, 30), (2, 6, 5))
    assert back[0] is None
    assert back[2] is None
    assert np.array_equal(edges.classes()[back[1]], edges.classes()[units])


def test_of_two_labelled_dimensions_that_merge_the_larger_stays() -> None:
    edges = Edges()
    large, little = edges.fresh(6), edges.fresh(3)
    merged = reshape_labels(edges, [large, little], (6, 3), (18,))
    assert merged[0] is not None
    classes = edges.classes()
    assert classes[little].tolist() == [0, 0, 0]
    assert np.array_equal(classes[merged[0]], np.repeat(classes[large], 3))
    assert edges.classes()[large].all()
    assert reshape_labels(edges, [large, None], (6, 0), (0, 6)) == [None, None]
    assert not edges.classes()[large].any()
