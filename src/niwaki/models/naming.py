"""Which task names can name the parts of a network."""

from torch import nn

from niwaki.errors import ContractError

__all__ = ["check_name"]


def check_name(task: object) -> None:
    """Refuse a task name that can't name a submodule.

    Args:
        task: The name.

    Raises:
        ContractError: When it is no text, empty, has a dot, or is a word `nn.ModuleDict` keeps for itself.

    Examples:
        >>> check_name("depth")
        >>> check_name("keys")
        Traceback (most recent call last):
        niwaki.errors.ContractError: 'keys' can't name a head: it becomes part of parameter names, so it is ...
    """
    if not isinstance(task, str) or not task or "." in task or hasattr(nn.ModuleDict(), task):
        raise ContractError(
            f"{task!r} can't name a head: it becomes part of parameter names, so it is text without a dot and none "
            "of the words nn.ModuleDict keeps for itself (keys, items, values, type, ...); choose another task name"
        )
