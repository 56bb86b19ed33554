"""Networks that trip pruners: no head is named, every answer keeps its shape, and each cut proves itself."""

import pytest
import torch
from tests.surgery.choosing import choose, find, plan_of
from tests.surgery.multitask import KINDS, Shuffled, image
from torch import Tensor
from torch.utils import _pytree as pytree

from niwaki.contract import as_examples
from niwaki.graph import find_channels, trace
from niwaki.surgery import cut, plans_of


@pytest.mark.parametrize("kind", KINDS)
def test_half_of_it_goes_and_the_answers_are_proved(kind: str) -> None:
    make, example, groups = KINDS[kind]
    torch.manual_seed(0)
    model = make().eval()
    channels = find(model, example)
    assert {group.name: group.size for group in channels.groups if group.reason is None} == groups
    removed = choose(channels)
    small = cut(model, plan_of(channels, removed, example), channels=channels)
    (told,) = plans_of(small)
    assert (told.form, [note for note in told.notes if "not proved" in note]) == ("module", [])
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    for each in as_examples(example):
        for mode in (False, True):
            before, after = (pytree.tree_leaves(each.call(net.train(mode))) for net in (model, small))
            assert [leaf.shape for leaf in before] == [leaf.shape for leaf in after if isinstance(leaf, Tensor)]


def test_a_shuffle_gives_single_channels_to_graph_surgery() -> None:
    channels = find_channels(trace(Shuffled(), image()), permutations=True)
    assert {group.name: group.size for group in channels.groups} == {"stem.0": 8, "deep": 8}
