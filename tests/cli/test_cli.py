import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from niwaki.cli.app import app
from niwaki.errors import FileError, SettingError
from niwaki.files import load
from niwaki.recipes import pick_cut, read_cuts, read_recipe, recipe_names
from niwaki.recipes.workplace import open_workplace
from niwaki.records import Plan, Record
from niwaki.train import Silent
from niwaki.version import __version__

Finished = tuple[Path, Record]


def call(*words: str) -> str:
    """Call the command line and return its standard output."""
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def shell(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Call the installed command as a user does."""
    code = "from niwaki.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=cwd, check=False)


def test_the_command_line_grows_on_purpose() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]  # it is a group
    options = {name: {option for each in command.params for option in each.opts} for name, command in commands.items()}
    assert options == {
        "demo": {"--out", "--set", "--resume", "--dry"},
        "run": {"recipe", "--out", "--set", "--resume", "--dry"},
        "pick": {"run", "--step", "--out"},
        "plan": {"target", "--weights", "--input", "--set", "--why", "--out"},
        "measure": {"target", "--weights", "--input", "--rounds", "--threads"},
        "export": {"target", "--out", "--weights", "--input"},
        "check-data": {"kind", "root", "--set"},
        "list": {"what"},
        "share": set(),
    }
    (pick,) = commands["share"].commands.values()
    assert {option for each in pick.params for option in each.opts} == {"run", "--point", "--train", "--out"}


def test_it_names_its_version() -> None:
    assert call("--version").strip() == __version__


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("recipes", recipe_names()),
        ("methods", ("structured_pruning",)),
        ("models", ("resnet_unet", "segnet", "deeplab")),
        ("data", ("rooms", "nyuv2")),
        ("balancers", ("EW", "UW", "DWA")),
    ],
)
def test_it_lists_every_name_with_a_sentence(what: str, names: tuple[str, ...]) -> None:
    text = call("list", what)
    for name in names:
        assert re.search(rf"[│ ]{name}[, ][^│]*│ \w", text), text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "nowhere"), "there is no recipe 'nowhere'"),
        (("run", "demo", "--set", "training.lr=-1"), "--set training.lr: training.lr: input should be greater than 0"),
        (("run", "nyuv2_quick", "--set", "data.root=nowhere"), "nowhere"),
        (("check-data", "nothing"), "unknown data set 'nothing'"),
        (("check-data", "rooms", "--set", "train"), "--set train: write it as name=value"),
        (("measure", "nowhere"), "nowhere is no run directory"),
        (("measure", "json:loads", "--input", "a"), "--input a: write the shape as numbers"),
    ],
)
def test_a_mistake_is_one_message_without_a_traceback(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = shell(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_run_writes_a_report_and_prints_the_outcome(tiny_text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(tiny_text.replace("pictures: 2", "pictures: 1"))
    text = call("run", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "run"), "--set", "control=false")
    assert "multiply-accumulates" in text
    assert re.search(r"as fast|slower", text)
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000


def test_dry_says_what_would_be_done_and_writes_nothing(tiny_text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(tiny_text)
    text = call("run", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "run"), "--dry")
    assert "reachable" in text
    assert not (tmp_path / "run").exists()


def test_measure_counts_and_times_a_finished_run(finished: Finished) -> None:
    text = call("measure", str(finished[0]), "--rounds", "3")
    whole = finished[1].cost["small"].whole
    assert f"{whole.macs:,}" in text
    assert "onnxruntime" in text


def test_pick_lists_the_cuts_of_a_run_and_takes_the_model_of_one(finished: Finished, tmp_path: Path) -> None:
    folder, record = finished
    (cut,) = record.cuts
    assert f"{cut.params:,}" in call("pick", str(folder))
    out = tmp_path / "deep" / "picked.safetensors"
    assert str(out) in call("pick", str(folder), "--step", "1", "--out", str(out)).replace("\n", "")
    place = open_workplace(read_recipe(folder / "recipe.yaml"), Silent())
    picked = load(place.build(), out)
    assert sum(each.numel() for each in picked.parameters()) == cut.params == record.cost["small"].whole.params
    with pytest.raises(SettingError, match="has no cut 2; its cuts: 1 to 1"):
        pick_cut(folder, 2, out)
    with pytest.raises(FileError, match="can't write"):
        pick_cut(folder, 1, tmp_path)
    lost = tmp_path / "lost"
    lost.mkdir()
    with pytest.raises(FileError, match="holds no finished run"):
        read_cuts(lost)
    (lost / "record.json").write_text(record.to_json())
    with pytest.raises(FileError, match="the model of cut 1 is not kept"):
        pick_cut(lost, 1, out)


def test_plan_shows_every_group_or_tells_of_one(finished: Finished, tmp_path: Path) -> None:
    text = call("plan", str(finished[0]), "--set", "macs=0.6", "--set", "round_to=2", "--out", str(tmp_path / "p.json"))
    assert "asked: macs=0.6" in text
    assert "frozen by the output" in text
    assert Plan.from_json((tmp_path / "p.json").read_text()).reached["macs"] <= 0.6
    name = Plan.from_json((tmp_path / "p.json").read_text()).groups[0].name
    assert "channels" in call("plan", str(finished[0]), "--why", name)
    assert "asked: channels=0.5" in call("plan", str(finished[0]), "--set", "round_to=4")
    for wrong in ("macs", "macs={"):
        assert "write NAME=VALUE" in shell("plan", str(finished[0]), "--set", wrong).stderr


def test_export_writes_a_file_and_says_how_it_compares(finished: Finished, tmp_path: Path) -> None:
    text = call("export", str(finished[0]), "--out", str(tmp_path / "again.onnx"))
    assert (tmp_path / "again.onnx").exists()
    assert "max difference" in text


def test_check_data_tables_what_is_there() -> None:
    text = call("check-data", "rooms", "--set", "train=4", "--set", "val=2", "--set", "test=0", "--set", "size=[24,32]")
    assert "24x32" in text
    assert "normals" in text
    assert "100.0%" in text


def test_check_data_names_the_first_things_wrong(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["check-data", "nyuv2", str(tmp_path)])
    assert done.exit_code == 1
    assert "train" in done.output
