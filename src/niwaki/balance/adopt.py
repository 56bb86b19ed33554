"""Whatever may stand where a balancer is expected."""

from niwaki.balance.aggregator import Aggregator
from niwaki.balance.base import Balancer
from niwaki.balance.scalarizer import Scalarizer
from niwaki.balance.torchjd import room_of
from niwaki.errors import ContractError

__all__ = ["as_balancer"]


def as_balancer(given: object) -> Balancer:
    """Return a balancer unchanged, and a TorchJD aggregator or scalarizer as a balancer.

    TorchJD's object is copied and used as it is: its aggregate is not scaled.

    Args:
        given: What a user gave.

    Returns:
        The balancer.

    Raises:
        ContractError: When it is neither.

    Examples:
        >>> from torchjd.aggregation import Mean
        >>> as_balancer(Mean()).describe()["method"]
        'Mean'
    """
    if isinstance(given, Balancer):
        return given
    room = room_of(given)
    if room is None:
        raise ContractError(
            f"the balancer is of type {type(given).__name__}; give one of niwaki.balance such as Uncertainty(), or an "
            "aggregator or scalarizer of TorchJD"
        )
    return Aggregator(given) if room == "aggregation" else Scalarizer(given)
