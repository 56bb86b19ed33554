import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from niwaki.atomic import atomic_folder, atomic_target, remove_leftovers, write_atomically
from niwaki.errors import FileError
from niwaki.files import load_state, save_state


@pytest.mark.parametrize("content", ["thin\nnéw", b"\x00\xff"])
def test_content_is_written_and_the_folder_made(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "deep" / "file"
    write_atomically(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert [each.name for each in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(FileError, match="No space left on device; choose a path"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_an_exception_inside_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(KeyError), atomic_target(path) as temporary:  # noqa: PT012 - both lines are the point
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(FileError, match="can't write"):
        write_atomically(tmp_path / "file", "text")


def test_a_folder_of_files_moves_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "net.onnx"
    with atomic_folder(path) as staged:
        staged.write_text("graph")
        staged.with_name("net.onnx.data").write_text("weights")
        assert not path.exists()
    assert sorted(each.name for each in path.parent.iterdir()) == ["net.onnx", "net.onnx.data"]
    with pytest.raises(OSError, match="a disk of the block's own"), atomic_folder(path) as staged:  # noqa: PT012
        staged.write_text("half")
        raise OSError("a disk of the block's own")
    assert path.read_text() == "graph"
    assert len(list(path.parent.iterdir())) == 2


def test_a_folder_that_cannot_be_made_or_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError, match="can't write"), atomic_folder(tmp_path / "file" / "net.onnx"):
        pass

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(FileError, match="No space left on device; choose"), atomic_folder(tmp_path / "new") as staged:
        staged.write_text("new")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_leftovers_of_files_and_folders_go_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / ".0.png.12ab34cd.niwaki-tmp").write_text("half")
    (tmp_path / ".net.onnx.12ab34cd.niwaki-tmp").mkdir()
    (tmp_path / ".net.onnx.12ab34cd.niwaki-tmp" / "net.onnx").write_text("half")
    (tmp_path / "pictures" / "0.png").write_text("whole")
    remove_leftovers(tmp_path)
    assert [each.name for each in tmp_path.rglob("*")] == ["pictures", "0.png"]


_WRITER = """
import sys, torch
from niwaki.files.state import save_state
torch.set_num_threads(1)
tensors = {str(i): torch.full((500_000,), float(sys.argv[2])) for i in range(4)}
print("ready", flush=True)
while True:
    save_state(sys.argv[1], tensors)
"""


def test_a_kill_in_the_middle_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_state(path, {str(i): torch.zeros(500_000) for i in range(4)})
    caught = 0
    for round_ in range(1, 3):
        command = [sys.executable, "-c", _WRITER, str(path), str(round_)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            deadline = time.monotonic() + 30
            while not (begun := any(tmp_path.glob(".*.niwaki-tmp"))) and time.monotonic() < deadline:
                pass
            process.send_signal(signal.SIGKILL)
            process.wait()
        caught += begun
        values = {float(each[0]) for each in load_state(path).values()}
        assert len(values) == 1
        assert values <= {float(i) for i in range(round_ + 1)}
        remove_leftovers(tmp_path)
        assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert caught == 2
