"""How many networks are cut, and proved: all of torchvision's float models and backbones of timm, beside Torch-Pruning.

Half of each group's channels goes, with no layer named by hand; Torch-Pruning is told which layers make the outputs,
since it can't know. Seconds are CPU seconds of one thread. One process a model; finished rows are cached under the
hash of the package's code, so that the table is completed piece by piece.

python benchmarks/coverage.py --all              # everything, several hours on one core
python benchmarks/coverage.py --quick            # seventeen models of different kinds
python benchmarks/coverage.py torchvision/swin_t timm/levit_128s+heads
"""

import argparse
import json
import multiprocessing
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness import CACHE, RECORDS, code_version, commit
from niwaki.records import Environment
from niwaki.tasks.torchvision_shim import mend_torchvision

ROWS = CACHE / "coverage"
LIMIT = 60.0
"""CPU seconds after which a peer is stopped."""

QUICK = (
    *("resnet50", "densenet121", "shufflenet_v2_x0_5", "mobilenet_v3_small", "efficientnet_b0", "vit_b_32", "swin_t"),
    *("swin3d_t", "raft_small", "googlenet", "ssdlite320_mobilenet_v3_large", "keypointrcnn_resnet50_fpn"),
)
QUICK_TIMM = ("vit_tiny_patch16_224", "levit_128s+heads", "hrnet_w18_small+heads", "efficientvit_b0", "pvt_v2_b0+heads")

COLUMNS = {
    "groups": "groups", "form": "comes as", "module": "modules", "graph": "graph", "shapes": "shapes",
    "proved": "proved", "as_exported": "as exported", "backward": "backward", "left": "left",
    "seconds": "s: read, choose, cut", "unproved_seconds": "s: cut unproved", "peak_mb": "MB",
    "peer": "Torch-Pruning", "peer_left": "left", "peer_seconds": "s",
}  # fmt: skip


def main() -> None:
    """Measure what was asked for, one process a model, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks, such as torchvision/resnet18")
    parser.add_argument("--all", action="store_true", help="every network")
    parser.add_argument("--quick", action="store_true", help="some of each kind")
    parser.add_argument("--show", action="store_true", help="measure nothing, print the rows at hand")
    asked = parser.parse_args()
    mend_torchvision()
    from coverage_models import all_names  # noqa: PLC0415 - imports torchvision, after the shim

    names = all_names()
    wanted = list(asked.names)
    wanted += names if asked.all else [name for name in names if asked.quick and _is_quick(name)]
    for name in [] if asked.show else wanted:
        if not _row_path(name).exists():
            Console(stderr=True).print(name, highlight=False)
            _keep(name, _measured(name))
    _print(wanted or names)
    if not asked.show:
        _write(names)


def _is_quick(name: str) -> bool:
    kind, _, rest = name.partition("/")
    return rest in (QUICK if kind == "torchvision" else QUICK_TIMM)


def _measured(name: str) -> dict[str, Any]:
    from coverage_row import measure, measure_peer  # noqa: PLC0415 - imports torchvision, after the shim

    row = _run(partial(measure, name), "failure", limit=3600.0)
    return {**row, **_run(partial(measure_peer, name, LIMIT), "peer", limit=4 * LIMIT)}


def _run(work: Callable[[], dict[str, Any]], failed: str, *, limit: float) -> dict[str, Any]:
    """Run one model in a process of its own, forked from this one, which has imported all there is to import."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, work, failed))
    process.start()
    sender.close()
    try:
        row: dict[str, Any] = receiver.recv() if receiver.poll(limit) else {failed: f"stopped after {limit:.0f} s"}
    except EOFError:
        process.join()
        row = {failed: f"ended with {process.exitcode}"}
    process.kill()
    process.join()
    return row


def _send(sender: Connection, work: Callable[[], dict[str, Any]], failed: str) -> None:
    try:
        sender.send(work())
    except Exception as error:  # noqa: BLE001 - whatever is raised is the row
        sender.send({failed: f"{type(error).__name__}: {error}"[:300]})


def _row_path(name: str) -> Path:
    return ROWS / code_version() / f"{name.replace('/', '.')}.json"


def _keep(name: str, row: dict[str, Any]) -> None:
    path = _row_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"network": name, **row}), encoding="utf-8")


def _rows(names: Sequence[str]) -> list[dict[str, Any]]:
    paths = [(name, _row_path(name)) for name in names]
    return [
        json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"network": name, "missing": True}
        for name, path in paths
    ]


def _print(names: Sequence[str]) -> None:
    rows = _rows(names)
    table = Table(title="coverage: half of every group", title_justify="left")
    table.add_column("network", overflow="fold")
    for title in COLUMNS.values():
        table.add_column(title, justify="right", overflow="fold")
    for row in rows:
        shown = [_text(row.get(key)) for key in COLUMNS]
        table.add_row(row["network"], *(["missing"] if row.get("missing") else shown))
    console = Console()
    (console if console.is_terminal else Console(width=170)).print(table)
    for line in summary(rows):
        console.print(line, highlight=False)


def summary(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Count what the rows show, for each collection."""
    lines = []
    for kind in ("torchvision", "timm"):
        own = [row for row in rows if row["network"].startswith(f"{kind}/") and not row.get("missing")]
        both = [row for row in own if row.get("proved") == "yes" and row.get("peer") == "right"]
        ours, theirs = sum(sum(row["seconds"]) for row in both), sum(row["peer_seconds"] for row in both)
        bare = sum(sum(row["seconds"][:2]) + row["unproved_seconds"] for row in both)
        lines.append(
            f"{kind}: {len(own)} measured; read as torch.export reads {_count(own, 'as_exported')}; proved "
            f"{_count(own, 'proved')}, as the user's own class "
            f"{sum(row.get('form') == 'module' for row in own)}, shapes kept {_count(own, 'shapes')}; Torch-Pruning "
            f"runs on {sum('peer_left' in row and 'peer_seconds' in row for row in own)}, keeps the outputs of "
            f"{sum(row.get('peer') == 'right' for row in own)}; over the {len(both)} both can do {ours:.0f} s against "
            f"{theirs:.0f} s, {bare:.0f} s without proofs"
        )
    return lines


def _count(rows: Sequence[dict[str, Any]], key: str) -> int:
    return sum(row.get(key) == "yes" for row in rows)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, list):
        return " ".join(_text(each) for each in value)
    return "" if value is None else str(value)


def _write(names: Sequence[str]) -> None:
    record = {
        "benchmark": "coverage",
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "code": code_version(),
        "environment": Environment.capture().model_dump(mode="json"),
        "summary": summary(_rows(names)),
        "rows": _rows(names),
    }
    RECORDS.mkdir(exist_ok=True)
    (RECORDS / "coverage.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
