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
        plans: What was done to the dense model, oldest first: plans of cuts, and other steps, which bear ``step``.
        examples: Shapes, types and plain values of the example inputs.
        tasks: Task names.
        names: Names of the model's tensors, in its own order.
        tied: Name of a tensor to the name under which its content is stored.
        sparse: Name of a tensor stored as places and values to its shape.
        rounded: Name of a sparse tensor whose values were rounded when saved to the element type it had before.
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
    rounded: dict[str, str] = {}
    extra: dict[str, Any] = {}
    sha256: str
