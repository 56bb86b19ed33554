import pytest

from niwaki.contract import task_names
from niwaki.errors import ContractError
from niwaki.tasks import Depth


def test_tasks_and_names_mix() -> None:
    assert task_names([Depth(), "edges"]) == ["depth", "edges"]
    assert task_names(None) is None


def test_a_text_is_not_split_into_letters() -> None:
    with pytest.raises(ContractError, match=r"write tasks=\['segmentation'\] for a single one"):
        task_names("segmentation")


@pytest.mark.parametrize("tasks", [3, [3], Depth()])
def test_what_has_no_name_is_refused(tasks: object) -> None:
    with pytest.raises(ContractError, match="a list of tasks or names, such as"):
        task_names(tasks)  # type: ignore[arg-type]  # the mistake under test


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(ContractError, match="a name of its own; got depth, depth"):
        task_names([Depth(), "depth"])
