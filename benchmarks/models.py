"""Every ready network at full width: its size, and the way to half its MACs with no layer named.

python benchmarks/models.py --quick
python benchmarks/models.py --part networks --part zoo

`--quick` counts parameters and MACs and writes the table of docs/models.md. The part `zoo` needs pip install
'niwaki[zoo]' and is left out, with a note, where that is missing. Weights are random: figures of cost do not depend on
them; batch norms are estimated once, so that answers have a scale at which a comparison means something.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

import niwaki as nw
from harness import ROOT, Benchmark, Cell
from niwaki.measure import measure_latency
from niwaki.models import (
    VGG,
    ConvNet,
    DeepLab,
    MobileNetV2,
    ModelSettings,
    ResNetUNet,
    RoutedVGG,
    SegNet,
    SegNetMTAN,
    Timm,
)
from niwaki.records import Latency
from niwaki.surgery import plans_of, reestimate_batchnorm

PAGE = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- sizes: written by benchmarks/models.py -->\n", "<!-- end of sizes -->"


class Row(NamedTuple):
    """One network: its settings, its tasks, and the picture it usually gets."""

    settings: ModelSettings
    tasks: dict[str, int]
    size: tuple[int, int]

    @property
    def input(self) -> str:
        """The shape of a picture, in words."""
        return "x".join(map(str, (self.settings.in_channels, *self.size)))

    @property
    def asked(self) -> str:
        """The tasks and their channels, in words."""
        if len(self.tasks) < 5:
            return ", ".join(f"{task} {count}" for task, count in self.tasks.items())
        return f"{len(self.tasks)} tasks of {max(self.tasks.values())}"

    def build(self) -> nn.Module:
        """Return the dense network in eval mode, its batch norms estimated on noise."""
        model = self.settings.build(self.tasks).eval()
        if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
            count = 8 if self.size[0] < 64 else 2
            reestimate_batchnorm(model, [self.examples(count)])
        return model

    def examples(self, count: int = 1) -> list[nw.Example]:
        """Return one example for each route through the network."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(count, self.settings.in_channels, *self.size, generator=generator)
        if isinstance(self.settings, RoutedVGG):
            return [nw.Example(x, task=task) for task in self.tasks]
        return [nw.Example(x)]


NYUV2 = {"segmentation": 13, "depth": 1, "normals": 3}
LARGE = (288, 384)
ROWS = {
    "resnet_unet": Row(ResNetUNet(), NYUV2, (96, 128)),
    "segnet": Row(SegNet(), NYUV2, LARGE),
    "segnet, decoder: shared": Row(SegNet(decoder="shared"), NYUV2, LARGE),
    "segnet_mtan": Row(SegNetMTAN(), NYUV2, LARGE),
    "deeplab, resnet: 18": Row(DeepLab(resnet=18), NYUV2, LARGE),
    "deeplab, resnet: 34": Row(DeepLab(resnet=34), NYUV2, LARGE),
    "deeplab, resnet: 50": Row(DeepLab(resnet=50), NYUV2, LARGE),
    "vgg": Row(VGG(), {**NYUV2, "segmentation": 40}, LARGE),
    "mobilenet_v2": Row(MobileNetV2(), NYUV2, LARGE),
    "mobilenet_v2, pooled: [coarse, fine]": Row(
        MobileNetV2(pooled=("coarse", "fine")), {"coarse": 20, "fine": 100}, (224, 224)
    ),
    "routed_vgg": Row(RoutedVGG(), {f"coarse{i}": 5 for i in range(20)}, (32, 32)),
    "convnet, size: [36, 36]": Row(ConvNet(size=(36, 36), in_channels=1), {"left": 10, "right": 10}, (36, 36)),
}
ZOO = {
    "resnet50, fpn": Row(Timm(backbone="resnet50"), NYUV2, LARGE),
    "convnext_tiny, aspp": Row(Timm(backbone="convnext_tiny", decoder="aspp"), NYUV2, LARGE),
    "mobilenetv3_large_100, linear": Row(Timm(backbone="mobilenetv3_large_100", decoder="linear"), NYUV2, LARGE),
    "vit_small_patch16_224, fpn": Row(
        Timm(backbone="vit_small_patch16_224", options={"img_size": list(LARGE)}), NYUV2, LARGE
    ),
}


def sizes(model: str) -> dict[str, Any]:
    """Parameters and MACs of a call; of one task's call where the network runs one task at a time."""
    row = {**ROWS, **ZOO}[model]
    net, examples = row.settings.build(row.tasks).eval(), row.examples()
    whole = nw.measure(net, examples if len(examples) > 1 else examples[0])
    once = whole if len(examples) == 1 else nw.measure(net, examples[0])
    return {
        "input": row.input,
        "tasks": row.asked,
        "params": whole.whole.params,
        "params M": whole.whole.params / 1e6,
        "in heads M": sum(part.params for part in whole.heads.values()) / 1e6,
        "GMACs": once.whole.macs / 1e9,
        "uncounted": ", ".join(whole.uncounted),
    }


def networks(model: str, macs: float, rounds: int) -> dict[str, Any]:
    """The whole way: cut with its proof, exported with its comparison, dense and small timed side by side."""
    row = {**ROWS, **ZOO}[model]
    dense, examples = row.build(), row.examples()
    began = time.perf_counter()
    small = nw.prune(dense, examples, macs=macs)  # raises where the cut does not prove itself
    cut_s = time.perf_counter() - began
    before, after = (nw.measure(each, examples).whole for each in (dense, small))
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.onnx" for name in ("dense", "small")}
        began = time.perf_counter()
        result = nw.export(small, examples[0], files["small"])
        export_s = time.perf_counter() - began
        nw.export(dense, examples[0], files["dense"], check=False)
        times = {
            "eager": measure_latency({"dense": dense, "small": small}, examples[0], runtimes=("eager",), rounds=rounds),
            "onnxruntime": measure_latency(files, examples[0], runtimes=("onnxruntime",), rounds=rounds),
        }
    return {
        "params M": [before.params / 1e6, after.params / 1e6],
        "GMACs": [before.macs / 1e9, after.macs / 1e9],
        "MACs that stay": after.macs / before.macs,
        "prune s": cut_s,
        "self-check": "passed",
        "form": plans_of(small)[-1].form,
        "export s": export_s,
        "compared": f"{result.counted} of {result.tried}",
        "difference": result.max_difference,
        **{key: value for runtime, found in times.items() for key, value in _timed(runtime, found).items()},
        "warnings": "; ".join(dict.fromkeys(text for found in times.values() for text in found.warnings)),
    }


def _timed(runtime: str, found: Latency) -> dict[str, Any]:
    dense, small = found.of("dense", runtime), found.of("small", runtime)
    assert dense is not None
    assert small is not None
    name = {"onnxruntime": "ORT"}.get(runtime, runtime)
    told = [f"{each.median_ms:.4g} ±{each.spread_ms:.2g}" for each in (dense, small)]
    return {
        f"{name} ms": " → ".join(told),
        f"{name} gain": found.gain("dense", "small", runtime),
        f"{name} timings": [each.model_dump(mode="json") for each in (dense, small)],
    }


def _cells(part: str, measure: Callable[..., dict[str, Any]], rows: dict[str, Row], **settings: Any) -> list[Cell]:
    return [Cell(part, {"model": name, **settings}, measure) for name in rows]


def write_page(cells: list[Cell]) -> None:
    """Write the table of sizes into the page of the ready networks, where every row of it was measured."""
    found = {str(cell.settings["model"]): cell.figures() for cell in cells}
    lines = [
        "| network | tasks | input | parameters | in heads | MACs |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in found.items():
        if each is None:
            return
        counts = f"{each['params M']:.2f} M | {each['in heads M']:.2f} M | {each['GMACs']:.3g} G"
        lines.append(f"| `{name}` | {ROWS[name].asked} | {ROWS[name].input} | {counts} |")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n\n" + END + rest.partition(END)[2], encoding="utf-8")


SIZES = _cells("sizes", sizes, ROWS)
CELLS = [
    *SIZES,
    *_cells("networks", networks, ROWS, macs=0.5, rounds=10),
    *_cells("zoo", networks, ZOO, macs=0.5, rounds=10),
]
WAY = (
    "params M",
    "GMACs",
    "prune s",
    "self-check",
    "compared",
    "difference",
    "eager ms",
    "eager gain",
    "ORT ms",
    "ORT gain",
)
COLUMNS = {"sizes": ("tasks", "input", "params M", "in heads M", "GMACs"), "networks": WAY, "zoo": WAY}

if __name__ == "__main__":
    Benchmark("models", CELLS, quick=("sizes",), columns=COLUMNS).main()
    write_page(SIZES)
