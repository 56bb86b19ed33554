"""What a model file says about itself."""

from typing import Any

from pydantic import ConfigDict

from niwaki.records.base import RecordBase

__all__ = ["Manifest"]


class Manifest(RecordBase):
    """The heading of a model file.

    Attributes:
        format: Version of the file form.
        kind: Always ``"model"``.
        niwaki: Version of Niwaki that wrote the file.
        torch: Version of torch that wrote it.
        model: Class of the model, in words; nothing is looked up by it.
        plans: The plans by which the dense model was cut, oldest first.
        examples: Shapes, types and plain values of the example inputs.
        tasks: Task names.
        names: Names of the model's tensors, in its own order.
        tied: Name of a tensor to the name under which its content is stored.
        sparse: Name of a tensor stored as mask and values to its shape.
        extra: What the model's modules keep beside tensors.
        sha256: Digest of the tensors.
    """

    # a newer niwaki may say more in the same format; what it adds is passed over
    model_config = ConfigDict(extra="ignore")

    format: int
    kind: str
    niwaki: str
    torch: str
    model: str = ""
    plans: tuple[dict[str, Any], ...] = ()
    examples: tuple[dict[str, Any], ...] = ()
    tasks: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    tied: dict[str, str] = {}
    sparse: dict[str, list[int]] = {}
    extra: dict[str, Any] = {}
    sha256: str
