"""Registries: names that recipes and the command line know, each with the thing it stands for."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from niwaki.errors import SettingError, did_you_mean

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of one kind of thing. It refuses duplicates, and an unknown name is answered with the known ones.

    Args:
        what: What the things are called in messages, singular (``"criterion"``).

    Examples:
        >>> colours: Registry[int] = Registry("colour")
        >>> _ = colours.register("red")(0xFF0000)
        >>> colours.get("red"), colours.names()
        (16711680, ('red',))
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._things: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files a thing under ``name``.

        Args:
            name: The name recipes use.

        Returns:
            A decorator that returns its argument unchanged.

        Raises:
            SettingError: When the name is taken.
        """
        if name in self._things:
            raise SettingError(f"the {self.what} name {name!r} is already registered; choose another name")

        def keep(thing: T) -> T:
            self._things[name] = thing
            return thing

        return keep

    def get(self, name: str) -> T:
        """Return the thing filed under ``name``.

        Args:
            name: A registered name.

        Returns:
            The registered thing.

        Raises:
            SettingError: When nothing has that name; the message lists the known ones and the closest.
        """
        if name in self._things:
            return self._things[name]
        known = ", ".join(sorted(self._things)) or "none"
        raise SettingError(f"unknown {self.what} {name!r}{did_you_mean(str(name), self._things)} (known: {known})")

    def names(self) -> tuple[str, ...]:
        """Return every registered name, in order of registration."""
        return tuple(self._things)

    def items(self) -> Iterator[tuple[str, T]]:
        """Iterate over names and things, in order of registration."""
        return iter(self._things.items())
