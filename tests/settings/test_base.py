from typing import Annotated, Literal

import pytest

from niwaki.errors import SettingError
from niwaki.registry import Registry
from niwaki.settings import Settings, family
from niwaki.settings.base import read_settings


class Tool(Settings):
    kind: str


tool_registry: Registry[type[Tool]] = Registry("tool")


@tool_registry.register("saw")
class Saw(Tool):
    kind: Literal["saw"] = "saw"
    teeth: int = 10


@tool_registry.register("knife")
class Knife(Tool):
    kind: Literal["knife"] = "knife"
    length_cm: float = 8.0


class Box(Settings):
    tool: Annotated[Tool, *family(tool_registry)] = Saw()
    tools: tuple[Annotated[Tool, *family(tool_registry)], ...] = ()
    name: str = "box"


def test_settings_are_frozen_and_keyword_only() -> None:
    box = Box()
    with pytest.raises(Exception, match="frozen"):
        box.name = "other"  # type: ignore[misc]  # what the test is about
    with pytest.raises(SettingError, match="Box takes keyword arguments only; got 1 positional"):
        Box("other")  # type: ignore[call-arg]  # what the test is about


def test_numbers_are_accepted_as_text() -> None:
    assert Knife(length_cm="1e-4").length_cm == 1e-4


@pytest.mark.parametrize("value", [Saw(teeth=3), {"kind": "saw", "teeth": 3}])
def test_a_family_field_takes_instances_and_plain_data(value: object) -> None:
    box = Box(tool=value)
    assert box.tool == Saw(teeth=3)


def test_a_family_field_takes_a_name() -> None:
    assert Box(tool="knife").tool == Knife()


def test_settings_round_trip_through_plain_data() -> None:
    box = Box(tool=Knife(length_cm=5), tools=(Saw(), Knife()))
    plain = box.model_dump(mode="json")
    assert plain["tool"] == {"kind": "knife", "length_cm": 5.0}
    assert read_settings(Box, plain) == box


def test_faults_inside_a_family_keep_their_place() -> None:
    with pytest.raises(SettingError) as caught:
        Box(tools=[{"kind": "saw", "teeth": "many"}], name=3)
    places = [problem.place for problem in caught.value.problems]
    assert places == [("tools", 0, "teeth"), ("name",)]
    assert "tools.0.teeth" in str(caught.value)


def test_an_unknown_kind_names_the_known() -> None:
    with pytest.raises(SettingError, match=r"unknown tool 'sow'; did you mean 'saw'\? \(known: knife, saw\)"):
        Box(tool={"kind": "sow"})


def test_a_missing_kind_is_asked_for() -> None:
    with pytest.raises(SettingError, match="a tool needs `kind`"):
        Box(tool={"teeth": 3})


def test_an_unknown_setting_is_answered_with_the_allowed() -> None:
    with pytest.raises(SettingError, match="lenght_cm: unknown setting; allowed: kind, length_cm"):
        Knife(lenght_cm=3)  # type: ignore[call-arg]  # fault on purpose


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(SettingError, match="kind: is required"):
        Tool()  # type: ignore[call-arg]  # fault on purpose


def test_something_that_is_no_member_is_refused() -> None:
    with pytest.raises(SettingError, match="tool"):
        Box(tool=3)
