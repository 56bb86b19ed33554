"""Dynamic sparse training against a slow reference written from the papers; density, resuming, settings."""

from collections.abc import Callable
from copy import deepcopy
from math import cos, pi
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from niwaki.errors import ContractError, SettingError
from niwaki.methods import Chain, Overparam, StructuredPruning
from niwaki.methods.sparse import PRESETS, DynamicSparse
from niwaki.methods.sparse.rewiring import turnover
from niwaki.settings import Budget

STEPS = 20
WANTED = {
    "dst": DynamicSparse(density=0.2, every=2),
    "overshooting": DynamicSparse(density=0.2, every=2, overshoot=0.3),
    "set": DynamicSparse(density=0.2, preset="set", every=2),
    "rigl": DynamicSparse(density=0.2, preset="rigl", every=2),
    "mest_em": DynamicSparse(density=0.2, preset="mest_em", every=2),
    "mest_ems": DynamicSparse(density=0.2, preset="mest_ems", every=2),
}
each_preset = pytest.mark.parametrize("name", WANTED)


def left_at(name: str, step: int) -> float:
    """How much of the fraction is left at a step, from the papers."""
    moment = step / STEPS
    if name == "rigl":
        return (1 + cos(pi * moment / 0.75)) / 2
    if name.startswith("mest"):
        return 1.0 if moment < 90 / 160 else 0.5 if moment < 120 / 160 else 0.0
    return 1.0


def _highest(places: list[int], values: list[float], count: int) -> set[int]:
    return set(sorted(places, key=lambda i: (-values[i], i))[:count])


def slow_update(
    job: Any, name: str, before: dict[str, list[bool]], grown: dict[str, list[int]]
) -> dict[str, list[bool]]:
    """Drop and grow weight by weight; where growth is random, what was grown is taken as drawn."""
    method, step, found = job.method, job.run.step, {}
    for layer, mask in before.items():
        count = job.run.counts[layer]
        gradient = job.seen[-1][layer].flatten()
        gradients, worth = gradient.tolist(), job.weights[layer].flatten().abs()
        if method.gradient_weight:
            worth = worth + method.gradient_weight * gradient.abs()
        fraction = method.fraction * left_at(name, step)
        over = method.overshoot * left_at(name, step)
        after = min(len(mask), count + int(over * count + 1e-9))
        keep = min(sum(mask), after - int(fraction * count + 1e-9))
        if step == job.run.updates[-1] and method.overshoot:
            keep = after = count
        now = _highest([i for i, on in enumerate(mask) if on], worth.tolist(), keep)
        off = [i for i in range(len(mask)) if i not in now]
        if method.grow == "gradient":
            chosen = _highest(off, [abs(each) for each in gradients], after - len(now))
        else:
            chosen = {i for i in grown[layer] if i not in now}
            assert len(chosen) == after - len(now)
        found[layer] = [i in now or i in chosen for i in range(len(mask))]
    return found


@pytest.mark.parametrize(("name", "batches_a_step"), [(name, 1 + (name == "rigl")) for name in WANTED])
def test_drop_and_grow_sets_are_those_of_a_slow_reference(
    name: str, batches_a_step: int, trainer: Callable[..., Any]
) -> None:
    job = trainer(WANTED[name], steps=STEPS, accumulate=batches_a_step)
    updates = 0
    for _ in range(STEPS):
        before = {layer: mask.flatten().tolist() for layer, mask in job.run.masks.items()}
        choose, job.weights = job.run.choose, {}

        def spy(model: nn.Module, choose: Any = choose) -> Any:
            job.weights = {layer: model.get_parameter(layer).detach().clone() for layer in job.run.masks}
            return choose(model)

        job.run.choose = spy
        job.step()
        job.run.choose = choose
        after = {layer: mask.flatten().tolist() for layer, mask in job.run.masks.items()}
        if job.run.step not in job.run.updates:
            assert after == before
            continue
        updates += 1
        on = {layer: [i for i, each in enumerate(mask) if each] for layer, mask in after.items()}
        assert slow_update(job, name, before, on) == after
    assert updates == 7
    assert job.run.settled


def test_random_growth_is_even_and_follows_the_seed(trainer: Callable[..., Any]) -> None:
    def grown(seed: int) -> Tensor:
        job = trainer(DynamicSparse(density=0.1, preset="set", every=2, until=0.2, seed=seed), steps=STEPS)
        before = job.run.masks["deep.0.weight"].clone()
        for _ in range(4):
            job.step()
        after: Tensor = job.run.masks["deep.0.weight"]
        return torch.logical_and(after, ~before)

    found = torch.stack([grown(seed) for seed in range(12)])
    assert torch.equal(found[0], grown(0))
    assert not torch.equal(found[0], found[1])
    halves = found.flatten(1).float().sum(0).reshape(2, -1).sum(1)
    assert abs(halves[0] - halves[1]) < 0.25 * halves.sum()


@each_preset
def test_density_is_the_schedules_after_every_update_and_the_target_in_the_end(
    name: str, trainer: Callable[..., Any]
) -> None:
    job = trainer(WANTED[name], steps=STEPS)
    size = job.run.subject.size
    assert sum(job.run.masks.kept.values()) == sum(job.run.counts.values()) == round(0.2 * size)
    for _ in range(STEPS):
        job.step()
        if job.run.step in job.run.updates[:-1]:
            over = WANTED[name].overshoot * left_at(name, job.run.step)
            sizes = {layer: mask.numel() for layer, mask in job.run.masks.items()}
            assert job.run.masks.kept == {
                layer: min(sizes[layer], count + int(over * count + 1e-9)) for layer, count in job.run.counts.items()
            }
    assert job.run.masks.kept == job.run.counts
    finished = job.run.finish(job.model)
    record = job.run.findings()["sparsity"]
    assert record.kept == round(0.2 * size)
    assert record.density == pytest.approx(record.target, abs=1 / size)
    assert sum(int(finished.get_parameter(each).count_nonzero()) for each in job.run.masks) <= record.kept
    assert [each.step for each in record.timeline] == [0, *job.run.updates]
    assert max(each.kept for each in record.timeline) >= record.kept


@pytest.mark.parametrize("name", ["overshooting", "mest_ems", "rigl"])
def test_a_training_that_ends_early_ends_at_the_target(name: str, trainer: Callable[..., Any]) -> None:
    job = trainer(WANTED[name], steps=STEPS)
    for _ in range(7):
        job.step()
    assert not job.run.settled
    finished = job.run.finish(job.model)
    assert job.run.masks.kept == job.run.counts
    assert sum(int(finished.get_parameter(each).count_nonzero()) for each in job.run.masks) <= sum(
        job.run.counts.values()
    )


@pytest.mark.parametrize("name", ["dst", "set", "mest_ems"])
@pytest.mark.parametrize("saved_after", [3, 4])
def test_a_killed_run_goes_on_bit_for_bit(name: str, saved_after: int, trainer: Callable[..., Any]) -> None:
    whole = trainer(WANTED[name], steps=STEPS)
    job = trainer(WANTED[name], steps=STEPS)
    for _ in range(saved_after):
        job.step()
    state = deepcopy((job.run.state_dict(), job.model.state_dict(), job.state.state_dict()))
    again = trainer(WANTED[name], steps=STEPS)
    again.model, again.run = WANTED[name].resume(again.net, torch.zeros(1, 3, 8, 8), steps=STEPS, state=state[0])
    again.model.load_state_dict(state[1])
    again.state = type(job.state)(again.run.parameter_groups(again.model, lr=1.0))
    again.state.load_state_dict(state[2])
    again.done = saved_after
    for _ in range(STEPS):
        whole.step()
    for _ in range(STEPS - saved_after):
        again.step()
    finished, expected = again.run.finish(again.model), whole.run.finish(whole.model)
    for key, tensor in expected.state_dict().items():
        assert torch.equal(tensor, finished.state_dict()[key])
    assert again.run.findings() == whole.run.findings()


def test_a_frozen_layer_keeps_its_first_mask(make_net: Callable[[], nn.Module], trainer: Callable[..., Any]) -> None:
    job = trainer(WANTED["dst"], steps=STEPS)
    job.model.get_parameter("block.0.weight").requires_grad_(False)
    first = job.run.masks["block.0.weight"].clone()
    other = job.run.masks["deep.0.weight"].clone()
    job.gradients = lambda: iter(())
    for _ in range(4):
        job.step()
    assert torch.equal(job.run.masks["block.0.weight"], first)
    assert not torch.equal(job.run.masks["deep.0.weight"], other)


def test_updates_are_counted_in_steps_or_shares() -> None:
    assert DynamicSparse(density=0.1).updates(200) == list(range(10, 160, 10))  # every 10 epochs of 200, 10 to 150
    assert DynamicSparse(density=0.1, preset="rigl").updates(1000) == [100, 200, 300, 400, 500, 600, 700]
    assert DynamicSparse(density=0.1, preset="mest_em").updates(160) == list(range(5, 125, 5))
    assert DynamicSparse(density=0.1, every=2, begin=0.5, until=1.0).updates(8) == [6]
    assert DynamicSparse(density=0.1).updates(0) == []
    assert DynamicSparse(density=0.1).updates(4) == [1, 2, 3]


def test_presets_are_the_papers_numbers() -> None:
    assert set(PRESETS) == {"dst", "set", "rigl", "mest_em", "mest_ems"}
    em, ems = (DynamicSparse(density=0.1, preset=each) for each in ("mest_em", "mest_ems"))
    assert [turnover(100, 1000, em.fraction * left, 0.0) for left in (1, 0.5, 0)] == [(80, 100), (90, 100), (100, 100)]
    assert [turnover(100, 1000, ems.fraction * left, ems.overshoot * left) for left in (1, 0.5, 0)] == [
        (100, 150),
        (100, 125),
        (100, 100),
    ]
    assert DynamicSparse(density=0.1, preset="rigl", fraction=0.5).fraction == 0.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"every": 1.5}, "every as a fraction lies in"),
        ({"begin": 0.8}, "begin=0.8 must lie before until=0.75"),
        ({"decay": "step"}, "milestones belong to"),
        ({"milestones": (0.5,)}, "milestones belong to"),
        ({"overshoot": 0.4}, "overshoot=0.4 is more than an update grows"),
        ({"fraction": 0.0}, "greater than 0"),
        ({"preset": "new"}, "preset"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        DynamicSparse(density=0.1, **values)


def test_steps_are_a_count(make_net: Callable[[], nn.Module]) -> None:
    with pytest.raises(ContractError, match="at least 0; got -1"):
        WANTED["dst"].start(make_net(), torch.zeros(1, 3, 8, 8), steps=-1)


def test_restarting_throws_the_given_weights_away(make_net: Callable[[], nn.Module]) -> None:
    def first(**settings: Any) -> Tensor:
        method = DynamicSparse(density=0.5, restart=True, **settings)
        return method.start(make_net(), torch.zeros(1, 3, 8, 8), steps=4)[0].get_parameter("deep.0.weight").detach()

    given = make_net().get_parameter("deep.0.weight")
    assert torch.equal(first(seed=1), first(seed=1))
    assert not torch.equal(first(seed=1), first(seed=2))
    kept = first(seed=1) != 0
    assert not (first(seed=1)[kept] == given[kept]).any()
    assert torch.equal(first(seed=1, build=type(make_net())) != 0, kept)
    assert "build" not in DynamicSparse(density=0.5, restart=True, build=make_net).model_dump()


def test_what_can_not_restart_is_refused(make_net: Callable[[], nn.Module]) -> None:
    with pytest.raises(SettingError, match="build is for restart=True"):
        DynamicSparse(density=0.5, build=make_net)
    net = make_net()
    net.get_parameter("deep.0.weight").requires_grad_(False)
    with pytest.raises(ContractError, match=r"restart=True would leave the frozen.*use restart=False"):
        DynamicSparse(density=0.5, restart=True).start(net, torch.zeros(1, 3, 8, 8), steps=4)


def test_no_optimizer_state_follows_thrown_away_weights(trainer: Callable[..., Any]) -> None:
    for restart in (False, True):
        method = Chain([DynamicSparse(density=0.5, every=1), DynamicSparse(density=0.2, restart=restart)])
        job = trainer(method, steps=4)
        for _ in range(2):
            job.step()
        assert (not job.state.state) == restart
        job.step()
        assert all((each == 0).all() for each in job.held())


def test_a_training_too_short_for_updates_is_noted(trainer: Callable[..., Any]) -> None:
    for preset, notes in (("rigl", 1), ("dst", 0)):
        job = trainer(DynamicSparse(density=0.2, preset=preset), steps=4)
        first = {name: mask.clone() for name, mask in job.run.masks.items()}
        for _ in range(4):
            job.step()
        job.run.finish(job.model)
        record = job.run.findings()["sparsity"]
        assert len(record.notes) == notes
        assert all(torch.equal(first[name], mask) for name, mask in job.run.masks.items()) == bool(notes)


def test_channels_can_not_be_cut_after_masks() -> None:
    cut, sparse = StructuredPruning(budget=Budget(macs=0.5)), DynamicSparse(density=0.1)
    with pytest.raises(SettingError, match=r"structured_pruning \(cut\) can't come after dynamic_sparse \(sparsify\)"):
        Chain([sparse, cut])
    with pytest.raises(SettingError, match=r"dynamic_sparse that trains from random weights .* after overparam"):
        Chain([Overparam(), DynamicSparse(density=0.1, restart=True)])
    assert Chain([cut, sparse]).parts == (cut, sparse)
