"""What multiplying by the non-zero weights alone gained: layer by layer, and for the whole model."""

from niwaki.records.base import RecordBase

__all__ = ["Gain", "LayerGain", "SparseRuntimeRecord"]


class Gain(RecordBase):
    """How many times faster something became, over interleaved rounds; below 1 it became slower.

    Attributes:
        median: Median over the rounds.
        lower: Lower quartile.
        upper: Upper quartile.
    """

    median: float
    lower: float
    upper: float

    @property
    def sure(self) -> bool:
        """Whether at least three rounds in four were faster."""
        return self.lower > 1

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({self.lower:.2f} to {self.upper:.2f})"


class LayerGain(RecordBase):
    """One layer as compressed rows beside its dense form.

    Attributes:
        name: The layer's name in the model.
        kind: ``"1x1 convolution"`` or ``"linear"``.
        shape: Outputs and inputs of the weight.
        sparsity: Share of its weights that are zero.
        dense_ms: Median time of the dense layer, milliseconds (of the processor where one thread is used).
        sparse_ms: Median time of compressed rows, milliseconds.
        gain: The first over the second, round by round.
        replaced: Whether the layer was replaced.
    """

    name: str
    kind: str
    shape: tuple[int, int]
    sparsity: float
    dense_ms: float
    sparse_ms: float
    gain: Gain
    replaced: bool


class SparseRuntimeRecord(RecordBase):
    """What `niwaki.sparse_runtime` found.

    Attributes:
        kernel: Who multiplied: ``"mkl"`` or ``"scipy"``.
        threads: Threads inside one operator.
        device: The machine, in words.
        layers: The layers that were sparse enough, in the order of the model.
        left: Other 1x1 convolutions and linear layers to the reason why they stayed dense.
        gains: Runtime of the dense model to the whole model's gain over it; empty without an example.
        difference: Largest difference of an answer, as a share of the largest answer; None without an example.
        warnings: Why the figures may be off.
        version: Version of this form.
    """

    kernel: str
    threads: int
    device: str
    layers: tuple[LayerGain, ...] = ()
    left: dict[str, str] = {}
    gains: dict[str, Gain] = {}
    difference: float | None = None
    warnings: tuple[str, ...] = ()
    version: int = 1

    @property
    def replaced(self) -> tuple[str, ...]:
        """Names of the layers that were replaced."""
        return tuple(layer.name for layer in self.layers if layer.replaced)

    @property
    def verdict(self) -> str:
        """What was gained, in a sentence."""
        if not self.layers:
            return "No gain: no 1x1 convolution or linear layer is sparse enough; the model is dense as before."
        if not self.replaced:
            whole = f" (the whole model: {self._whole()})" if self.gains else ""
            return f"No gain: compressed rows are no faster here{whole}; the model is dense as before."
        count = f"{len(self.replaced)} of {len(self.layers)} sparse layers replaced"
        if not self.gains:
            return f"{count}; give an example to learn what the whole model gains."
        slower = [runtime for runtime, gain in self.gains.items() if gain.median < 1]
        remark = f" The dense form is faster in {', '.join(slower)}." if slower else ""
        return f"{count}; the whole model against its dense form: {self._whole()}.{remark}"

    def _whole(self) -> str:
        return ", ".join(f"{gain} in {runtime}" for runtime, gain in self.gains.items())

    def __str__(self) -> str:
        wide = max([len("layer"), *(len(layer.name) for layer in self.layers)])
        lines = [f"{'layer':<{wide}}{'zeros':>9}{'dense ms':>12}{'sparse ms':>12}   gain"]
        for layer in self.layers:
            times = f"{layer.dense_ms:>12.3f}{layer.sparse_ms:>12.3f}"
            note = "" if layer.replaced else ", stays dense"
            lines.append(f"{layer.name:<{wide}}{layer.sparsity:>9.1%}{times}   {layer.gain}{note}")
        told = [f"{self.kernel} kernel, {self.threads} thread(s), {self.device}", self.verdict]
        return "\n".join([*(lines if self.layers else []), *told, *self.warnings])
