"""Peace for one block: from what torch and the exporters print, log and warn about, and from the garbage collector."""

import contextlib
import gc
import io
import logging
import warnings
from collections.abc import Iterator

__all__ = ["quiet", "uninterrupted"]

_NOISY = ("torch", "onnx", "onnxscript", "onnx_ir", "onnxruntime")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop prints, warnings and the log lines of the export packages inside a block, and put all back after it.

    Loggers of other packages keep speaking. Errors still come out as exceptions.

    Examples:
        >>> with quiet():
        ...     print("Run decompositions...")
    """
    with _silent_loggers(), warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.simplefilter("ignore")
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        yield


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Keep Python's garbage collector off inside a block that makes many objects and drops few.

    Each of its full rounds looks at everything that torch has imported; reading models took half as long again with
    them. What a block leaves in circles is collected after it.

    Examples:
        >>> with uninterrupted():
        ...     gc.isenabled()
        False
        >>> gc.isenabled()
        True
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextlib.contextmanager
def _silent_loggers() -> Iterator[None]:
    names = [name for name in (*_NOISY, *logging.root.manager.loggerDict) if name.partition(".")[0] in _NOISY]
    loggers = [logging.getLogger(name) for name in dict.fromkeys(names)]
    before = [(each, each.disabled, each.level) for each in loggers]
    for each in loggers:
        each.disabled = True
        if each.level or each.name in _NOISY:
            each.setLevel(logging.CRITICAL + 1)  # what a child made inside the block inherits
    try:
        yield
    finally:
        for each, disabled, level in before:
            each.disabled = disabled
            if each.level != level:
                each.setLevel(level)
