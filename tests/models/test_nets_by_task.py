"""Networks by task as a recipe names them: the single networks' own settings, begun alike or apart."""

import pytest
import torch

from niwaki.errors import ContractError, SettingError
from niwaki.models import NetsByTask, RoutedVGG, TaskNets, models

NET = {"kind": "routed_vgg", "norm": "shared", "channels": [8, 16], "depths": [1, 1], "in_channels": 1}


def test_a_common_start_is_the_same_weights_but_for_the_last_layers() -> None:
    nets = NetsByTask(net=NET).build({"a": 3, "b": 5}, seed=4)
    assert isinstance(nets, TaskNets)
    first, second = (dict(nets.get_submodule(f"nets.{task}").named_parameters()) for task in ("a", "b"))
    trunk = [name for name in first if name.startswith("trunk")]
    assert trunk
    assert all(torch.equal(first[name], second[name]) for name in trunk)
    alone = RoutedVGG(**NET).build({"b": 5}, seed=4)
    assert all(torch.equal(value, second[name]) for name, value in alone.named_parameters())


def test_networks_begun_apart_differ() -> None:
    nets = NetsByTask(net=NET, common_start=False).build({"a": 3, "b": 3}, seed=4)
    first, second = (next(nets.get_submodule(f"nets.{task}").parameters()) for task in ("a", "b"))
    assert not torch.equal(first, second)


def test_each_answers_its_own_task_with_its_own_channels() -> None:
    nets = NetsByTask(net={"kind": "vgg", "width": 0.125, "pooled": ("b",)}).build({"a": 2, "b": 5})
    answers = nets(torch.zeros(1, 3, 32, 32))
    assert {task: tuple(answer.shape) for task, answer in answers.items()} == {"a": (1, 2, 32, 32), "b": (1, 5)}


def test_what_is_said_in_the_wrong_place_is_refused() -> None:
    with pytest.raises(SettingError, match="say width inside `net`"):
        NetsByTask(net=NET, width=0.5)
    with pytest.raises(ContractError, match="`pooled` names the task 'c'"):
        NetsByTask(net={"kind": "vgg", "pooled": ("c",)}).build({"a": 2})
    with pytest.raises(ContractError, match="at least one task"):
        NetsByTask(net=NET).build({})


def test_settings_survive_plain_data() -> None:
    settings = NetsByTask(net=NET)
    assert NetsByTask(**settings.model_dump(mode="json")) == settings
    assert models.get("task_nets") is NetsByTask
