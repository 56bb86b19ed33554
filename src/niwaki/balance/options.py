"""A balancer from plain data, and the error that names an option that is not allowed."""

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import create_model

from niwaki.balance.base import Balancer, balancers
from niwaki.errors import Problem, SettingError
from niwaki.settings import Settings
from niwaki.settings.base import read_settings

__all__ = ["check_scale", "make_balancer", "not_allowed"]


def not_allowed(kind: str, option: str, value: object, allowed: str) -> SettingError:
    """Return the error about an option's value; the caller raises it.

    Args:
        kind: The balancer.
        option: The option; an entry of one that is a dict stands behind a dot.
        value: What was given.
        allowed: What is allowed, as the end of "must be …".

    Returns:
        An error whose problem stands at the option's place.

    Examples:
        >>> str(not_allowed("DWA", "temperature", 0, "a number above 0"))
        'DWA: temperature must be a number above 0; got 0'
    """
    message = f"{option} must be {allowed}; got {value!r}"
    place = tuple(option.split(".", 1))
    return SettingError(f"{kind}: {message}", (Problem(place, f"must be {allowed}; got {value!r}", value),))


def make_balancer(given: Mapping[str, Any] | str) -> Balancer:
    """Make a new balancer as a recipe describes it.

    Args:
        given: A registered name, or plain data with ``kind`` and options. Numbers may be text.

    Returns:
        The balancer.

    Raises:
        SettingError: When the name or an option is unknown, or a value is not allowed.
        MissingExtraError: When the balancer needs a package that is not installed.

    Examples:
        >>> make_balancer({"kind": "DWA", "temperature": "1e1"}).describe()
        {'kind': 'DWA', 'temperature': 10.0}
    """
    options: dict[str, Any] = {"kind": given} if isinstance(given, str) else dict(given)
    kind = options.pop("kind", None)
    if kind is None:
        raise SettingError("a balancer needs `kind`; write for example {kind: EW}")
    try:
        make = balancers.get(str(kind))
    except SettingError as error:
        raise SettingError(str(error), (Problem(("kind",), str(error), kind),)) from None
    fields: Any = {
        name: (each.annotation, ... if each.default is each.empty else each.default)
        for name, each in inspect.signature(make).parameters.items()
    }
    checked = read_settings(create_model(str(kind), __base__=Settings, **fields), options)
    return make(**{name: getattr(checked, name) for name in fields})


def check_scale(kind: str, scale: float | str) -> float | str:
    """Return a scale that is a number or ``"tasks"``.

    Args:
        kind: The balancer.
        scale: What was given.

    Raises:
        SettingError: When it is something else.

    Examples:
        >>> check_scale("Aggregator", "tasks"), check_scale("Aggregator", "0.5")
        ('tasks', 0.5)
    """
    try:
        return scale if scale == "tasks" else float(scale)
    except ValueError:
        raise not_allowed(kind, "scale", scale, 'a number or "tasks"') from None
