"""Names for the arrays of the renderer; NumPy's stubs lose float precision, so Floats and Doubles tell people only."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Bits", "Bytes", "Doubles", "Floats", "Ints", "Mask"]

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Doubles: TypeAlias = npt.NDArray[np.floating[Any]]
Ints: TypeAlias = npt.NDArray[np.int64]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Mask: TypeAlias = npt.NDArray[np.bool_]
Bits: TypeAlias = npt.NDArray[Any]
