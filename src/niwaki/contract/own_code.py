"""The user's own code, named by text: ``package.module:callable``."""

import importlib
import sys
from pathlib import Path
from typing import Any

from niwaki.errors import ContractError

__all__ = ["import_own"]


def import_own(target: str) -> Any:
    """Import what a text names; modules in the working directory are found.

    Args:
        target: ``package.module:name``; the name may have dots.

    Returns:
        What has that name.

    Raises:
        ContractError: When the text has another form, or there is no such module or name.

    Examples:
        >>> import_own("math:sqrt")(9.0)
        3.0
    """
    module, colon, path = target.partition(":")
    if not module or not colon or not path:
        raise ContractError(f"{target!r} names no code; write it as package.module:callable")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ContractError(f"{target} can't be imported: {error}; write it as package.module:callable") from error
    finally:
        sys.path.remove(here)
    return found
