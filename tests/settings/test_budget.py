from typing import Any

import pytest

from niwaki.errors import SettingError
from niwaki.settings import Budget


@pytest.mark.parametrize(
    ("given", "kind", "share"),
    [
        ({"macs": 0.5}, "macs", 0.5),
        ({"params": 250}, "params", 0.25),
        ({"channels": 0.3}, "channels", 0.3),
        ({"bytes": 100}, "bytes", 0.1),
    ],
)
def test_a_budget_is_a_share_of_the_dense_model(given: dict[str, Any], kind: str, share: float) -> None:
    budget = Budget(**given)
    assert budget.kind == kind
    assert budget.share_of(1000) == share


def test_a_float_is_a_fraction_and_an_int_is_absolute() -> None:
    assert Budget(macs=1.0).is_fraction
    assert not Budget(macs=1).is_fraction
    assert repr(Budget(macs=1_000_000)) == "Budget(macs=1_000_000)"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "exactly one of channels, params, macs, bytes, latency_ms, not in 0"),
        ({"macs": 0.5, "params": 0.5}, "not in 2"),
        ({"macs": 0.0}, "macs must be positive"),
        ({"params": -3}, "params must be positive"),
        ({"macs": 1.5}, r"macs as a fraction lies in \(0, 1\]"),
        ({"channels": 3}, r"channels is the share of the channels .*, in \(0, 1\]"),
    ],
)
def test_anything_else_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Budget(**given)


def test_a_latency_is_always_absolute() -> None:
    assert not Budget(latency_ms=0.5).is_fraction
    assert Budget(latency_ms=12.5).amount == 12.5
    assert repr(Budget(latency_ms=12.5, runtime="eager")) == "Budget(latency_ms=12.5, runtime='eager')"
    with pytest.raises(SettingError, match="latency_ms must be positive"):
        Budget(latency_ms=0)


def test_it_round_trips() -> None:
    budget = Budget(macs=0.25)
    assert Budget(**budget.model_dump()) == budget
