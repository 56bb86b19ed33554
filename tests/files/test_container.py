import base64
import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from niwaki.errors import FileError
from niwaki.files import container as containers
from niwaki.files import deflated, load_state, save_state
from niwaki.files.container import read_container, read_manifest_of, write_container
from niwaki.files.deflated import inflate


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file.safetensors"
    save_state(path, {"a": torch.arange(5.0), "b": [torch.tensor(3), "text"], "c": {1: (2.5, None)}})
    return path


def test_any_changed_bit_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    bits = np.random.default_rng(0).integers(0, 8, size=len(content))
    for place, bit in enumerate(bits):
        altered = bytearray(content)
        altered[place] ^= 1 << int(bit)
        path.write_bytes(altered)
        with pytest.raises(FileError):
            load_state(path)


def test_any_truncation_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(FileError, match="truncated, altered or no safetensors file"):
            load_state(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(FileError):
        load_state(path)


def test_the_messages_say_what_was_altered(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"2.5", b"3.5"))
    with pytest.raises(FileError, match="its manifest does not have its digest"):
        load_state(path)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(FileError, match="its tensors don't have the digest"):
        load_state(path)


def test_a_newer_format_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "FORMAT", containers.FORMAT + 1)
    save_state(path, 1)
    monkeypatch.undo()
    with pytest.raises(FileError, match=r"file format 4.*reads formats up to 3: upgrade"):
        load_state(path)


def test_another_kind_a_foreign_file_and_none(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds a state, not a model"):
        read_container(path, "model")
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(FileError, match="was not written by Niwaki"):
        load_state(tmp_path / "foreign.safetensors")
    with pytest.raises(FileError, match="there is no file"):
        load_state(tmp_path / "missing.safetensors")


def test_the_form_is_plain_safetensors_with_json(path: Path) -> None:
    # read by hand: 8 bytes of length, a JSON header, the tensors
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    digest, _, text = header["__metadata__"]["niwaki"].partition("\n")
    assert digest == hashlib.sha256(text.encode()).hexdigest()
    manifest = json.loads(text)
    assert (manifest["format"], manifest["kind"]) == (3, "state")
    start, end = header["t0"]["data_offsets"]
    assert np.frombuffer(content[8 + length + start : 8 + length + end], "<f4").tolist() == [0, 1, 2, 3, 4]


LARGE = {"plans": [{"kept": list(range(3000)), "factor": float("inf")}] * 4, "tasks": ["a\u00e9"]}


def test_large_entries_are_deflated_and_short_ones_legible(tmp_path: Path) -> None:
    write_container(tmp_path / "f", "state", {}, LARGE)
    content = (tmp_path / "f").read_bytes()
    text = json.loads(content[8:])["__metadata__"]["niwaki"].partition("\n")[2]
    told = json.loads(text)
    assert told["deflated"] == ["plans"]
    assert told["tasks"] == LARGE["tasks"]
    assert json.loads(zlib.decompress(base64.b64decode(told["plans"]))) == LARGE["plans"]
    assert len(content) < len(json.dumps(LARGE)) / 4
    found = read_manifest_of(tmp_path / "f", "state")
    assert {name: found[name] for name in LARGE} == LARGE
    assert "deflated" not in found


def test_files_of_the_format_before_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "FORMAT", 2)
    monkeypatch.setattr(containers, "deflate", dict)
    write_container(tmp_path / "f", "state", {"a": torch.ones(2)}, LARGE)
    monkeypatch.undo()
    tensors, manifest = read_container(tmp_path / "f", "state")
    assert torch.equal(tensors["a"], torch.ones(2))
    assert (manifest["format"], manifest["plans"]) == (2, LARGE["plans"])


@pytest.mark.parametrize(
    "packed", ["?", None, 3, base64.b64encode(b"xx").decode(), base64.b64encode(zlib.compress(b"{")).decode()]
)
def test_what_is_no_deflated_json_is_refused(packed: object) -> None:
    with pytest.raises(FileError, match="file was altered: plans in its manifest is no deflated JSON"):
        inflate({"plans": packed, "deflated": ["plans"]}, "file")


def test_an_entry_that_would_fill_the_memory_or_breaks_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = zlib.compress(json.dumps("a" * 4000).encode())
    monkeypatch.setattr(deflated, "_MOST", 1000)
    for packed in (whole, whole[:-6]):
        with pytest.raises(FileError, match="breaks off, or makes it larger than 1,000 characters"):
            inflate({"plans": base64.b64encode(packed).decode(), "deflated": ["plans"]}, "file")


def test_the_entries_have_one_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a" * 998  # and two quotes
    names = ["plans", "rounds", "sharing"]
    entries = dict.fromkeys(names, base64.b64encode(zlib.compress(json.dumps(text).encode())).decode())
    monkeypatch.setattr(deflated, "_MOST", 2000)
    found = inflate({**entries, "deflated": names[:2]}, "file")
    assert (found["plans"], found["rounds"]) == (text, text)
    with pytest.raises(FileError, match="file: sharing in its manifest .* larger than 2,000 characters"):
        inflate({**entries, "deflated": names}, "file")


@pytest.mark.parametrize("names", [None, 3, "plans", {"plans": 1}, [["a"]], [None]])
def test_what_is_no_list_of_names_is_refused(names: object) -> None:
    with pytest.raises(FileError, match="file was altered: deflated in its manifest is no list of names"):
        inflate({"plans": "", "deflated": names}, "file")


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_container(tmp_path / name, "state", {"b": torch.ones(2), "a": torch.zeros(3)}, {"x": 1, "y": [2]})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_tensors_that_share_memory_are_written_apart(tmp_path: Path) -> None:
    base = torch.arange(6.0)
    write_container(tmp_path / "f", "state", {"a": base, "b": base[:], "c": base.view(2, 3).T}, {})
    tensors, _ = read_container(tmp_path / "f", "state")
    assert torch.equal(tensors["a"], base)
    assert torch.equal(tensors["b"], base)
    assert torch.equal(tensors["c"], base.view(2, 3).T)


def test_a_place_that_can_not_be_written() -> None:
    with pytest.raises(FileError, match="can't write"):
        write_container("/dev/full/x", "state", {}, {})
