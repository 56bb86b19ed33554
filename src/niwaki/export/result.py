"""What an export reports: plain data that fits into a record."""

from typing import Literal

from niwaki.records.base import RecordBase

__all__ = ["Agreement", "ExportResult"]


class Agreement(RecordBase):
    """How an exported file's answers for one output compare with the model's own.

    Attributes:
        max_difference: Largest absolute difference over the inputs that count; over all inputs when none counts.
        scale: Largest absolute answer of the model on those inputs.
        differing: Share of elements, over all inputs tried, that differ by more than the tolerance.
        own_differing: Share of elements in which the model's answers differ so from its own in float64 or, where the
            program chooses, a few roundings off; these are asked for where the file differs.
        metrics: Metric to (the model's value, the file's value), where labelled data and an evaluation were given.
    """

    max_difference: float
    scale: float
    differing: float
    own_differing: float
    metrics: dict[str, tuple[float, float]] = {}


class ExportResult(RecordBase):
    """An exported file and what is known about it.

    Attributes:
        path: The file, as text.
        format: Always ``"onnx"``.
        opset: ONNX operator set.
        inputs: Names of the inputs.
        outputs: Names of the outputs: the task names.
        batch: ``"dynamic"``, or ``"fixed"``.
        batch_reason: Why the batch is fixed; empty when it is dynamic.
        bytes: Size on disk.
        checked: Whether the answers were compared.
        counted: Inputs the file is judged by: its answers are the model's, or must be, because the model agrees with
            itself there.
        tried: Inputs drawn.
        batches: Batch sizes that were run.
        agreement: Output to its comparison.
        tolerance: Largest difference allowed, as a fraction of max(1, largest answer).
        runtime: Name and version of the runtime that gave the answers.
        notes: Remarks, such as inputs on which a near-tie flipped an index.
    """

    path: str
    format: Literal["onnx"] = "onnx"
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    batch: Literal["dynamic", "fixed"]
    batch_reason: str = ""
    bytes: int
    checked: bool = False
    counted: int = 0
    tried: int = 0
    batches: tuple[int, ...] = ()
    agreement: dict[str, Agreement] = {}
    tolerance: float = 0.0
    runtime: str = ""
    notes: tuple[str, ...] = ()

    @property
    def max_difference(self) -> float:
        """Largest difference of any output; NaN when nothing was compared."""
        return max((each.max_difference for each in self.agreement.values()), default=float("nan"))

    def __str__(self) -> str:
        batch = self.batch if self.batch == "dynamic" else f"fixed ({self.batch_reason})"
        lines = [f"{self.path}: onnx opset {self.opset}, {self.bytes / 1e6:.2f} MB, batch {batch}"]
        if not self.checked:
            return f"{lines[0]}, not compared"
        lines.append(f"compared in {self.runtime} on {self.counted} inputs that count, of {self.tried} drawn")
        for name, each in self.agreement.items():
            lines.append(f"  {name:<20} max difference {each.max_difference:.2e}, differing {each.differing:.3%}")
            for metric, (own, other) in each.metrics.items():
                lines.append(f"  {'':<20} {metric} {own:.5g} -> {other:.5g}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])
