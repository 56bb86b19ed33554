"""Ready tasks in recipes: plain data in, tasks out."""

from typing import Annotated, Any

import pytest

from niwaki.errors import ContractError, SettingError
from niwaki.settings import Settings, family
from niwaki.tasks import Depth, ReadySettings, Segmentation, Task, build_tasks, ready_tasks


class Recipe(Settings):
    tasks: tuple[Annotated[ReadySettings, *family(ready_tasks)], ...]


def test_a_recipe_names_ready_tasks_and_reads_back() -> None:
    recipe = Recipe(tasks=[{"kind": "segmentation", "classes": 13}, "depth"])
    plain = recipe.model_dump(mode="json")
    assert plain["tasks"][0] == {"kind": "segmentation", "classes": 13, "name": "segmentation", "ignore_index": -1}
    assert Recipe(**plain) == recipe
    assert [task.build() for task in recipe.tasks] == [Segmentation(13), Depth()]


def test_tasks_settings_and_plain_data_may_be_mixed() -> None:
    given: list[Task | ReadySettings | dict[str, Any]] = [
        Segmentation(13),
        Depth(name="far").settings,
        {"kind": "normals"},
    ]
    assert [task.name for task in build_tasks(given)] == ["segmentation", "far", "normals"]


def test_numbers_as_text_are_read() -> None:
    assert build_tasks([{"kind": "segmentation", "classes": "13"}]) == (Segmentation(13),)


def test_options_differ_so_do_tasks() -> None:
    assert Segmentation(13) != Segmentation(13, ignore_index=255)
    assert Segmentation(13) != 13
    assert len({Depth(), Depth(), Depth(unit="")}) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"classes": 13}, "a task needs `kind`, one of segmentation|classification"),
        ({"kind": "segmentaton", "classes": 13}, "unknown task 'segmentaton'; did you mean 'segmentation'?"),
        ({"kind": "segmentation"}, "Segmentation: classes: is required"),
        ({"kind": "depth", "units": "m"}, "Depth: units: unknown setting; allowed: kind, name, unit"),
    ],
)
def test_every_mistake_is_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        build_tasks([given])


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(ContractError, match="two tasks are named 'depth'; give one of them another `name`"):
        build_tasks([Depth(), Depth(unit="")])
