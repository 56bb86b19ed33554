"""Whether networks come from a common start, so that their filters can be compared position by position."""

from collections.abc import Sequence

from niwaki.errors import ContractError
from niwaki.methods.share.stack import LayerStack
from niwaki.methods.share.stacking import matched_cosine

__all__ = ["require_common_start"]


def require_common_start(stacks: Sequence[LayerStack], least: float) -> float | None:
    """Measure how alike networks are position by position, and refuse those that were trained apart.

    Args:
        stacks: The layers.
        least: What `matched_cosine` has to reach.

    Returns:
        What it is; None where there is one network.

    Raises:
        ContractError: When it is less.
    """
    found = matched_cosine(stacks)
    if found is not None and found < least:
        raise ContractError(
            f"these networks have no common start: filters at equal positions are alike by a cosine of {found:.3f} "
            f"more than any two, {least:g} is expected. Train them from one set of initial weights; or bring their "
            'channels into one order first, with align="weights", or align="activations" and data; or set '
            "common_start=-1 to share as they are"
        )
    return found
