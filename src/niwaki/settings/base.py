"""Settings: frozen values that are checked when made and read back from plain data unchanged."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict, PlainSerializer, ValidationError
from pydantic.functional_validators import BeforeValidator

from niwaki.errors import Problem, SettingError

__all__ = ["Settings", "family", "read_settings"]

S = TypeVar("S", bound="Settings")


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # it has no public name


class _Checked(ModelMetaclass):
    """Turns pydantic's report into one SettingError, but leaves nested validation its exact places."""

    def __call__(cls, *args: Any, **values: Any) -> Any:  # noqa: N805 - of a metaclass, it is the class
        if args:
            raise SettingError(f"{cls.__name__} takes keyword arguments only; got {len(args)} positional")
        try:
            return super().__call__(**values)
        except ValidationError as error:
            raise _explain(cast("type[BaseModel]", cls), error) from None


class Settings(BaseModel, metaclass=_Checked):
    """The base of every setting: frozen, keyword-only, unknown names refused, numbers accepted as text.

    A registered setting has a field ``kind`` whose only value is its registry name, so that plain data reads back.

    Raises:
        SettingError: When a value is not allowed; ``problems`` holds every fault with its place.

    Examples:
        >>> class Heat(Settings):
        ...     degrees: float = 20.0
        >>> Heat(degrees="1e1").degrees
        10.0
        >>> Heat(degree=3)
        Traceback (most recent call last):
        niwaki.errors.SettingError: Heat: degree: unknown setting; allowed: degrees
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class _Names(Protocol):
    """What `family` needs of a registry."""

    what: str

    def get(self, name: str) -> type[Settings]: ...


def read_settings(cls: type[S], values: Mapping[str, Any]) -> S:
    """Make settings from plain data, such as a part of a recipe.

    Args:
        cls: The settings class.
        values: Field names and values.

    Returns:
        The validated settings.

    Raises:
        SettingError: When a value is not allowed.
    """
    return cls(**{str(key): value for key, value in values.items()})


def family(registry: _Names) -> tuple[BeforeValidator, PlainSerializer]:
    """Return the two annotations of a field that holds any member of a registered family.

    The field accepts an instance, a name, or plain data with ``kind``; it is written as plain data with ``kind``.
    Use it as ``Annotated[Criterion, *family(criteria)]``.

    Args:
        registry: The family's registry of settings classes.

    Returns:
        A validator and a serializer for `typing.Annotated`.

    Raises:
        SettingError: While validating, when ``kind`` is missing or unknown, or a value is not allowed.
    """

    def read(value: Any) -> Any:
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, Mapping):
            return value
        if "kind" not in value:
            raise SettingError(f"a {registry.what} needs `kind`; write for example {{kind: NAME}}")
        try:
            cls = registry.get(str(value["kind"]))
        except SettingError as error:
            raise SettingError(str(error), (Problem(("kind",), str(error), value["kind"]),)) from None
        return read_settings(cls, value)

    def write(value: Settings) -> dict[str, Any]:
        return value.model_dump(mode="json")

    return BeforeValidator(read), PlainSerializer(write)


def _explain(cls: type[BaseModel], error: ValidationError) -> SettingError:
    problems = tuple(problem for fault in error.errors() for problem in _problems(cls, fault))
    return SettingError("; ".join(f"{cls.__name__}: {problem}" for problem in problems), problems)


def _problems(cls: type[BaseModel], fault: Any) -> tuple[Problem, ...]:
    place = tuple(fault["loc"])
    inner = fault.get("ctx", {}).get("error")
    if isinstance(inner, SettingError):
        return tuple(Problem((*place, *each.place), each.message, each.value) for each in inner.problems)
    value = fault.get("input")
    if fault["type"] == "extra_forbidden":
        allowed = ", ".join(_class_at(cls, place[:-1]).model_fields)
        return (Problem(place, f"unknown setting; allowed: {allowed}", value),)
    if fault["type"] == "missing":
        return (Problem(place, "is required", None),)
    message = fault["msg"].removeprefix("Value error, ")
    return (Problem(place, f"{message[:1].lower()}{message[1:]}; got {value!r}", value),)


def _class_at(cls: type[BaseModel], place: tuple[str | int, ...]) -> type[BaseModel]:
    """Return the settings class that stands at a place inside another."""
    for part in place:
        field = cls.model_fields.get(str(part))
        inside = (field.annotation, *get_args(field.annotation)) if field else ()
        cls = next((each for each in inside if isinstance(each, type) and issubclass(each, BaseModel)), cls)
    return cls
