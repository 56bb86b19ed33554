"""Ready tasks: named in recipes by kind, and each the equal of its own settings."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import create_model

from niwaki.errors import ContractError, SettingError
from niwaki.registry import Registry
from niwaki.settings import Settings
from niwaki.tasks.task import Task

__all__ = ["ReadySettings", "ReadyTask", "build_tasks", "ready", "ready_tasks"]


class ReadySettings(Settings):
    """What a recipe says of a ready task: its kind and its options. Made from the task's own signature."""

    task_class: ClassVar[Callable[..., Task]]
    kind: str

    def build(self) -> Task:
        """Return the task these settings describe."""
        return type(self).task_class(**self.model_dump(exclude={"kind"}))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.model_dump(),)  # the derived class stands in no module, but in the registry


ready_tasks: Registry[type[ReadySettings]] = Registry("task")
"""Kind to the settings of a ready task: ``ready_tasks.get("segmentation")(classes=13).build()``."""


class ReadyTask(Task):
    """A task whose loss and metrics come with Niwaki. Two are equal when their settings are."""

    settings_class: ClassVar[Callable[..., ReadySettings]]
    settings: ReadySettings

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReadyTask) and self.settings == other.settings

    def __hash__(self) -> int:
        return hash(self.settings)

    def __repr__(self) -> str:
        return repr(self.settings)

    @property
    def _marks(self) -> tuple[int, ...]:
        return (int(getattr(self.settings, "ignore_index", -1)),)


T = TypeVar("T", bound=type[ReadyTask])


def ready(kind: str) -> Callable[[T], T]:
    """Return a decorator that derives a ready task's settings from its constructor and registers them.

    Args:
        kind: The name recipes use.

    Returns:
        A decorator that returns the class, with its `settings_class`.

    Examples:
        >>> ready_tasks.get("segmentation")(classes=13).build().primary
        'miou'
    """

    def derive(cls: T) -> T:
        fields: dict[str, Any] = {"kind": (Literal[kind], kind)}
        for name, parameter in list(inspect.signature(cls).parameters.items()):
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (parameter.annotation, default)
        settings: type[ReadySettings] = create_model(
            cls.__name__, __base__=ReadySettings, __module__=cls.__module__, __doc__=cls.__doc__, **fields
        )
        settings.task_class = cls
        cls.settings_class = ready_tasks.register(kind)(settings)
        return cls

    return derive


def build_tasks(given: Iterable[Task | ReadySettings | Mapping[str, Any]]) -> tuple[Task, ...]:
    """Return tasks from tasks, settings or plain data.

    Args:
        given: Each a task, a ready task's settings, or plain data with ``kind`` as in a recipe.

    Returns:
        The tasks, in order.

    Raises:
        SettingError: When a kind is missing or unknown, or an option is not allowed.
        ContractError: When two tasks have one name.

    Examples:
        >>> [task.name for task in build_tasks([{"kind": "depth"}, {"kind": "segmentation", "classes": 13}])]
        ['depth', 'segmentation']
    """
    tasks = tuple(_build(each) for each in given)
    names = [task.name for task in tasks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ContractError(f"two tasks are named {twice!r}; give one of them another `name`")
    return tasks


def _rebuild(values: dict[str, Any]) -> ReadySettings:
    return ready_tasks.get(values["kind"])(**values)


def _build(given: Task | ReadySettings | Mapping[str, Any]) -> Task:
    if isinstance(given, Task):
        return given
    if isinstance(given, ReadySettings):
        return given.build()
    if "kind" not in given:
        raise SettingError(f"a task needs `kind`, one of {', '.join(ready_tasks.names())}; got {dict(given)}")
    return ready_tasks.get(str(given["kind"]))(**given).build()
