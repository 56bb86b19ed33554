"""How much of a model may stay."""

from typing import Literal, Self, get_args

from pydantic import model_validator

from niwaki.settings.base import Settings

__all__ = ["Budget", "BudgetKind"]

BudgetKind = Literal["channels", "params", "macs", "bytes", "latency_ms"]
_KINDS: tuple[BudgetKind, ...] = get_args(BudgetKind)


class Budget(Settings):
    """What may **stay** of a model, in exactly one unit. A float up to 1 is a fraction, an int is absolute.

    Attributes:
        channels: Fraction of the *removable* channels that stay, in (0, 1].
        params: Parameters of the whole model that stay: a fraction in (0, 1] or a count.
        macs: Multiply-accumulates of one forward pass of the whole model that stay: a fraction in (0, 1] or a count.
        bytes: Bytes of parameters and saved buffers that stay: a fraction in (0, 1] or a count.
        latency_ms: Milliseconds that one call of the whole model may take, measured in ``runtime``; always absolute.
        runtime: Where latency is measured, such as ``"onnxruntime"`` or ``"eager"``.

    Raises:
        SettingError: When none or several units are given, or an amount is not positive.

    Examples:
        >>> Budget(macs=0.5)
        Budget(macs=0.5)
        >>> Budget(params=2_000_000).share_of(8_000_000)
        0.25
    """

    channels: float | None = None
    params: int | float | None = None
    macs: int | float | None = None
    bytes: int | float | None = None
    latency_ms: float | None = None
    runtime: str = "onnxruntime"

    @model_validator(mode="after")
    def _one_positive_amount(self) -> Self:
        given = {name: getattr(self, name) for name in _KINDS if getattr(self, name) is not None}
        if len(given) != 1:
            raise ValueError(f"a budget is given in exactly one of {', '.join(_KINDS)}, not in {len(given)}")
        ((name, amount),) = given.items()
        if amount <= 0:
            raise ValueError(f"{name} must be positive")
        if name == "channels" and amount > 1:
            raise ValueError("channels is the share of the channels that can go which stays, in (0, 1], such as 0.5")
        if self.is_fraction and amount > 1:
            raise ValueError(f"{name} as a fraction lies in (0, 1]; an absolute amount is written as an int")
        return self

    @property
    def kind(self) -> BudgetKind:
        """The unit that was given."""
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)

    @property
    def amount(self) -> float:
        """The amount as given: a fraction or a count."""
        value: float = getattr(self, self.kind)
        return value

    @property
    def is_fraction(self) -> bool:
        """Whether the amount is a fraction of the dense model."""
        return isinstance(self.amount, float) and self.kind != "latency_ms"

    def share_of(self, dense: int) -> float:
        """Return the budget as a fraction of a dense model.

        Args:
            dense: The dense model's amount in the budget's unit.

        Returns:
            The fraction that may stay, in (0, inf): an absolute budget above the dense model gives more than 1.
        """
        return self.amount if self.is_fraction else self.amount / dense

    def __repr__(self) -> str:
        amount = f"{self.kind}={self.amount:{'_' if isinstance(self.amount, int) else 'g'}}"
        return f"Budget({amount}, runtime={self.runtime!r})" if self.kind == "latency_ms" else f"Budget({amount})"

    __str__ = __repr__
