from typing import Any

import pytest

from niwaki.records import first_difference


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({}, {}, None),
        ({"a": {"b": [1, 2], "c": None}}, {"a": {"b": [1, 2]}}, None),
        (1, 1.5, ("", 1, 1.5)),
        ({"a": 1}, None, ("", {"a": 1}, None)),
        ({"a": {"b": 1}}, {"a": 2}, ("a", {"b": 1}, 2)),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3, "b": 1}}, ("a.c", 2, 3)),
        ({"z": 1, "a": 1}, {"a": 2, "z": 2}, ("z", 1, 2)),
        ({"a": {}}, {"a": {"b": {"c": 1}}}, ("a.b", None, {"c": 1})),
        ({1: {"x": [1, 2]}}, {1: {"x": [2, 1]}}, ("1.x", [1, 2], [2, 1])),
    ],
)
def test_the_first_difference_is_found_with_its_place(first: Any, second: Any, expected: Any) -> None:
    assert first_difference(first, second) == expected
    turned = None if expected is None else (expected[0], expected[2], expected[1])
    if not isinstance(first, dict) or not isinstance(second, dict) or list(first) == list(second):
        assert first_difference(second, first) == turned
