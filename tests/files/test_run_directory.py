import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from niwaki.errors import FileError
from niwaki.files import RunDirectory

RECIPE = {"method": {"kind": "prune", "budget": {"macs": 0.5}}, "training": {"epochs": 3, "lr": 1e-3}, "seed": 0}


def test_names_are_those_of_the_house(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "deep" / "run", RECIPE) as run:
        names = [run.recipe, run.metrics, run.checkpoint, run.dense, run.model, run.onnx, run.record]
        assert [each.name for each in names] == [
            *("recipe.yaml", "metrics.jsonl", "checkpoint.safetensors", "dense.safetensors"),
            *("model.safetensors", "model.onnx", "record.json"),
        ]
        assert (run.report.name, run.pictures.name) == ("report.html", "pictures")
        assert {each.parent for each in [*names, run.report, run.pictures]} == {run.path}
        assert yaml.safe_load(run.recipe.read_text()) == RECIPE
        assert list(yaml.safe_load(run.recipe.read_text())) == list(RECIPE)


def test_another_run_is_not_written_over(tmp_path: Path) -> None:
    RunDirectory(tmp_path, RECIPE).close()
    with pytest.raises(FileError, match=r"already \(recipe.yaml\); .* resume=True \(`--resume`\), .* \(`--out`\)"):
        RunDirectory(tmp_path, RECIPE)


@pytest.mark.parametrize("left", ["dense.safetensors", "checkpoint-dense.safetensors", "pictures"])
def test_a_run_is_seen_by_any_file_it_leaves(tmp_path: Path, left: str) -> None:
    (tmp_path / left).mkdir()
    with pytest.raises(FileError, match=rf"holds a run already \({left}\)"):
        RunDirectory(tmp_path, RECIPE)


def test_files_of_other_kinds_may_lie_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    RunDirectory(tmp_path, RECIPE).close()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_run_is_resumed_with_its_own_recipe_only(tmp_path: Path) -> None:
    RunDirectory(tmp_path, RECIPE).close()
    (tmp_path / ".model.safetensors.12ab34cd.niwaki-tmp").write_text("left by a kill")
    with RunDirectory(tmp_path, RECIPE, resume=True) as run:
        run.write(run.record, "{}")
    assert sorted(each.name for each in tmp_path.iterdir()) == [".lock", "recipe.yaml", "record.json"]
    other = {**RECIPE, "training": {"epochs": 3, "lr": 1e-2}}
    with pytest.raises(FileError, match=r"training\.lr is 0\.01, but 0\.001 in .*recipe\.yaml"):
        RunDirectory(tmp_path, other, resume=True)
    with pytest.raises(FileError, match=r"extra is 1, but None"):
        RunDirectory(tmp_path, {**RECIPE, "extra": 1}, resume=True)


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"no run to resume .* resume=True \(`--resume`\), .* \(`--out`\)"):
        RunDirectory(tmp_path, RECIPE, resume=True)
    with pytest.raises(FileError, match="no run to resume"):
        RunDirectory(tmp_path / "new" / "run", RECIPE, resume=True)
    assert list(tmp_path.iterdir()) == [], "a run that can't be resumed leaves something behind"


def test_a_damaged_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("a: [1")
    with pytest.raises(FileError, match="can't be read"):
        RunDirectory(tmp_path, RECIPE, resume=True)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(FileError, match="can't make the run directory"):
        RunDirectory(tmp_path / "run", RECIPE)


_HOLDER = """
import sys
from niwaki.files.run_directory import RunDirectory
run = RunDirectory(sys.argv[1], {"seed": 0})
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_directory_in_use_is_refused_and_free_again_after_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(FileError, match="another process is writing to"):
            RunDirectory(tmp_path, {"seed": 0}, resume=True)
        holder.kill()
        holder.wait()
    RunDirectory(tmp_path, {"seed": 0}, resume=True).close()


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, RECIPE)
    run.close()
    run.close()
    RunDirectory(tmp_path, RECIPE, resume=True).close()
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text()) == RECIPE


def test_a_lock_file_that_cannot_be_opened_is_told_from_one_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with pytest.raises(FileError, match=r"can't open .*\.lock: .*; choose a directory that can be written"):
        RunDirectory(tmp_path, RECIPE)


def test_a_disk_without_locks_is_told_from_a_lock_that_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(FileError, match=r"can't lock .*\.lock: No locks available; choose a directory on a disk"):
        RunDirectory(tmp_path, RECIPE)
