"""Mends an installed torchvision that does not import, because torchmetrics imports it without being asked.

A torchvision wheel beside a torch build it was not made for lacks its compiled operators; its Python part then fails on
registering fake kernels for operators nobody defined. Niwaki needs nothing of torchvision, but torchmetrics imports it
wherever it is installed, and fails with it. Defining the two schemas first lets the Python part import. This may go
when torchmetrics survives a broken torchvision.
"""

import sys
import warnings
from importlib import import_module
from importlib.util import find_spec

import torch

from niwaki.errors import MeasureError

__all__ = ["mend_torchvision"]

_SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def mend_torchvision() -> bool:
    """Make an installed torchvision importable whose compiled operators are missing.

    Returns:
        Whether something had to be mended: False where torchvision is absent, already imported, or imports by itself.

    Raises:
        MeasureError: When torchvision is installed and can't be imported even so.

    Examples:
        >>> mend_torchvision() and mend_torchvision()  # a second call finds nothing to do
        False
    """
    if "torchvision" in sys.modules or find_spec("torchvision") is None or _fault_of_import() is None:
        return False
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", schema)
    fault = _fault_of_import()
    if fault is not None:
        raise MeasureError(
            f"the installed torchvision does not import ({fault}), and torchmetrics does not without it; "
            "uninstall torchvision (Niwaki does not use it) or install the build that belongs to this torch"
        ) from fault
    return True


def _fault_of_import() -> Exception | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it also warns of its missing image codecs
            import_module("torchvision")
    except Exception as fault:  # noqa: BLE001 - a broken package raises whatever it likes
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        return fault
    return None
