import pytest

from niwaki.errors import SettingError
from niwaki.registry import Registry


@pytest.fixture
def shapes() -> Registry[int]:
    registry: Registry[int] = Registry("shape")
    registry.register("triangle")(3)
    registry.register("square")(4)
    return registry


def test_gives_back_what_was_filed(shapes: Registry[int]) -> None:
    assert shapes.get("square") == 4
    assert shapes.names() == ("triangle", "square")
    assert dict(shapes.items()) == {"triangle": 3, "square": 4}


def test_refuses_a_taken_name(shapes: Registry[int]) -> None:
    with pytest.raises(SettingError, match="shape name 'square' is already registered"):
        shapes.register("square")
    assert shapes.get("square") == 4


def test_an_unknown_name_is_answered_with_the_closest_and_the_known(shapes: Registry[int]) -> None:
    with pytest.raises(SettingError, match=r"unknown shape 'sqare'; did you mean 'square'\? \(known: square"):
        shapes.get("sqare")


def test_an_empty_registry_says_so() -> None:
    with pytest.raises(SettingError, match=r"known: none"):
        Registry("shape").get("square")
