"""All commands under one name: what is listed, what is refused, what a shell completes, what `configs` copies."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from eval.shipped_configs import CONFIGS
from sweep import __main__ as command
from sweep.config.compose import load
from sweep.config.request import find_config
from sweep.shell.completion import OPTIONS, build_parser, list_words
from sweep.shell.copy_configs import find_names, main


def test_each_command_is_listed_and_answers(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a word all commands are shown; the --help of each names the options that a shell completes."""
    assert command.main([]) == 0
    listed = capsys.readouterr().out
    for name, one in command.COMMANDS.items():
        assert f"  {name} " in listed
        with pytest.raises(SystemExit) as ended:
            import_module(one.module).main(["--help"])
        assert ended.value.code == 0
        options = {*re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out.partition("examples:")[0])} - {"--help"}
        assert options == {*OPTIONS.get(name, ())}, name


def test_an_unknown_command_has_a_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence and exit code 2."""
    assert command.main(["lanch", "configs/wtnpo.yaml"]) == 2
    assert "lanch is no command: allowed are launch, submit" in (said := capsys.readouterr().err)
    assert said.endswith("(nearest: launch).\n")


def test_a_command_gets_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    """The rest of the line goes to the command, whose exit code is the answer."""
    assert command.main(["launch", "wtnp"]) == 2
    assert capsys.readouterr().err == f"error: wtnp does not exist (nearest: {CONFIGS / 'wtnpo.yaml'}).\n"
    assert command.main(["launch", "nosuch.yaml"]) == 2
    assert "nosuch.yaml does not exist" in capsys.readouterr().err
    assert command.main(["--version"]) == 0
    assert re.fullmatch(r"unlearn-sweep (\d+\.\d+\.\d+|\(not installed\))\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("before", "offered"),
    [
        ("wtn", ["wtnpo"]),
        ("model=ti", ["model=tiny"]),
        ("search.tri", ["search.trials="]),
        ("clus", ["cluster="]),
        ("storage=", []),
    ],
)
def test_a_shell_is_offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: str, offered: list[str]) -> None:
    """Shipped configs, keys, and the names of a group's options."""
    monkeypatch.chdir(tmp_path)
    assert [word for word in list_words("launch", before) if word.startswith(before)] == offered


def test_a_key_is_offered_where_it_is_explained() -> None:
    """Without the equals sign that follows it in an override."""
    assert list_words("keys", "search.r") == ["search.race"]


def test_options_are_offered_with_their_values() -> None:
    """A word follows an option without a value; one with a few values has these."""
    parser = build_parser(["launch"])
    typed = parser.parse_args(["launch", "--dry-run", "wtnpo"])
    assert (typed.dry_run, typed.words) == (True, ["wtnpo"])
    assert parser.parse_args(["launch", "--cfg", "job"]).cfg == "job"
    with pytest.raises(SystemExit):
        parser.parse_args(["launch", "--cfg", "hydra"])


def test_a_sweep_is_offered_where_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folders of ./runs, but no hidden ones."""
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second", ".artifacts"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert list_words("report") == ["first", "second"]


def test_a_shipped_config_has_a_short_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file of the folder wins over a shipped one; a path is taken as it is."""
    monkeypatch.chdir(tmp_path)
    assert find_config("wtnpo") == CONFIGS / "wtnpo.yaml"
    assert find_config("wtnpo.yaml") == Path("wtnpo.yaml")
    assert find_config("nosuch") == Path("nosuch")
    (tmp_path / "wtnpo").touch()
    assert find_config("wtnpo") == Path("wtnpo")


def test_configs_are_listed_and_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is listed with what it is; a copy is the file, and runs from where it lies."""
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*find_names()]
    assert all(len(line.split()) > 1 for line in lines)
    assert main(["wtnpo", "model/tiny", "--to", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"copied {tmp_path}/wtnpo.yaml\ncopied {tmp_path}/model/tiny.yaml\n"
    assert yaml.safe_load((tmp_path / "wtnpo.yaml").read_text()) == yaml.safe_load((CONFIGS / "wtnpo.yaml").read_text())
    assert load(tmp_path / "wtnpo.yaml").objective == "wtnpo"


def test_nothing_is_copied_over_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is anything copied where one name of several is unknown."""
    (tmp_path / "npo.yaml").write_text("mine")
    assert main(["wtnpo", "npo", "--to", str(tmp_path)]) == 2
    assert "npo.yaml is there already" in capsys.readouterr().err
    assert main(["wga", "wtnp", "--to", str(tmp_path)]) == 2
    assert "wtnp is no shipped config (nearest: wtnpo)" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["npo.yaml"]
    assert (tmp_path / "npo.yaml").read_text() == "mine"
