"""Names that users give: of files, folders, sweeps and objectives; each works or is refused with one sentence."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from eval import run
from eval.shipped_configs import CONFIGS
from support.commands import ROOT, refusal
from sweep import launch, submit, sync
from sweep.config.compose import load
from sweep.config.stored import list_sweep_names, load_stored_config
from sweep.errors import ConfigError
from sweep.plan.sweep_plan import validate_config
from sweep.report.__main__ import main as report

TEXT = (CONFIGS / "wtnpo.yaml").read_text(encoding="utf-8")
WTNPO = str(CONFIGS / "wtnpo.yaml")
BODY = """
from dataclasses import dataclass
from objectives._base import Objective

@dataclass(frozen=True, kw_only=True)
class Own(Objective):
    unit = "token"
    needs = frozenset({"logp"})
    def __call__(self, answers): return answers.logp
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "ünï çødé",
        "日本語",
        "it's",
        'a"b',
        "a\nb",
        "a=b",
        "a,b",
        "a@b",
        "a:b",
        "$x",
        "${seed}",
        "a.b",
        "%s",
        "-",
        "x" * 250,
    ],
)
def test_a_config_may_have_any_name(here: Path, name: str) -> None:
    """Its folder too, and neither is taken for anything else."""
    folder = here / name
    folder.mkdir()
    file = folder / f"{name}.yaml"
    file.write_text(TEXT, encoding="utf-8")
    (folder / "data").mkdir()
    (folder / "data" / "mine.yaml").write_text(
        (CONFIGS / "data" / "authors.yaml").read_text().replace("forget: 6", "forget: 5")
    )
    assert load(file, ["data=mine"]) == load(WTNPO, ["data.forget=5"])


def _fifo(file: Path) -> None:
    os.mkfifo(file)


def _endless(file: Path) -> None:
    file.symlink_to("/dev/zero")


def _loop(file: Path) -> None:
    file.symlink_to(file)


def _huge(file: Path) -> None:
    with file.open("w") as made:
        made.truncate(2**40)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_fifo, "must be a file"),
        (_endless, "must be a file"),
        (_loop, "does not exist"),
        (_huge, "is larger than the 131072 bytes"),
        (Path.mkdir, "is a folder"),
        (Path.touch, "is empty"),
    ],
)
def test_what_is_no_config(
    capsys: pytest.CaptureFixture[str], here: Path, make: Callable[[Path], object], says: str
) -> None:
    """It is never waited for nor read to its end, as a config or as a group of one."""
    make(here / "mine.yaml")
    assert says in refusal(launch.main, capsys, "mine.yaml")
    (here / "own.yaml").write_text(TEXT)
    (here / "data").mkdir()
    make(here / "data" / "mine.yaml")
    assert "mine" in refusal(launch.main, capsys, "own.yaml", "data=mine")


@pytest.mark.parametrize(
    "file",
    [
        "/dev/null",
        "/dev/zero",
        "/",
        "",
        "x" * 5_000,
        "x" * 300 + ".yaml",
        "a\nb.yaml",
        "../..",
        "a\0b.yaml",
        "~x/y.yaml",
    ],
)
def test_a_path_that_is_no_config(capsys: pytest.CaptureFixture[str], file: str) -> None:
    """Whatever it is, it is one sentence."""
    refusal(launch.main, capsys, file)


@pytest.mark.parametrize(
    ("storage", "says"),
    [
        ("'~nobody-here/x'", "storage = '~nobody-here/x': Could not determine home directory"),
        ("x" * 300, "storage = 'xxx"),
        ("file", "must be a writable folder"),
        ("file/below", "must be a writable folder"),
        ("/dev/null/x", "must be a writable folder"),
        ("/proc/1/x", "must be a writable folder"),
        ('"a\\0b"', "storage"),
    ],
)
def test_a_storage_that_cannot_be(capsys: pytest.CaptureFixture[str], here: Path, storage: str, says: str) -> None:
    """Told with its key, before a folder is made."""
    (here / "file").touch()
    (here / "mine.yaml").write_text(TEXT + f"storage: {storage}\n")
    assert says in refusal(launch.main, capsys, "mine.yaml")
    assert sorted(file.name for file in here.iterdir()) == ["file", "mine.yaml"]


@pytest.mark.parametrize(
    "name", ["../x", "a b", "ünï", "A", "x" * 65, "", ".", "a/b", "a\nb", "-rf", "a\0", "${seed}", ".artifacts"]
)
def test_a_name_that_no_sweep_may_have(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Of a new sweep, of one that goes on, and where its report is asked for."""
    for argv in ([WTNPO, f"--name={name}"], [f"--resume={name}"]):
        refusal(launch.main, capsys, *argv)
        refusal(submit.main, capsys, *argv, "storage=/shared", "--address", "http://127.0.0.1:1")
    if not name.startswith("-"):
        refusal(report, capsys, name)


def test_an_experiment_that_mlflow_refuses(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable may be as long as the key: 250 characters."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "x" * 251)
    said = refusal(launch.main, capsys, WTNPO)
    assert said.startswith("error: MLFLOW_EXPERIMENT_NAME = 'xxx")
    assert said.endswith("must have at most 250 characters.\n")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise RuntimeError('of mine')", "cannot be imported: RuntimeError: of mine."),
        ("import sys; sys.exit(0)", "cannot be imported: SystemExit: 0."),
        ("import nothing_of_this_name", "cannot be imported: ModuleNotFoundError"),
        ("def (", "cannot be imported: SyntaxError"),
        ("", "the module holds 0 objectives"),
        (BODY + BODY.replace("Own", "Other"), "the module holds 2 objectives"),
        (BODY.replace('unit = "token"', 'unit = "batch"'), "its unit must be token or row"),
        (BODY.replace('"logp"', '"lopg"'), "its needs must be among direction, hidden, logits"),
        (BODY.replace("    unit", "    x: 'nowhere'\n    unit"), "its fields: name 'nowhere' is not defined"),
        (BODY.replace("def __call__", "def call"), "abstract"),
        (BODY + "    def __post_init__(self): raise KeyError('x')", "space and fixed allow {}: 'x'."),
    ],
)
def test_an_objective_that_cannot_be_used(here: Path, monkeypatch: pytest.MonkeyPatch, body: str, says: str) -> None:
    """Whatever its module does, it is one sentence with the key."""
    package = f"theirs_{here.name}"
    (here / package).mkdir()
    (here / package / "own.py").write_text(body)
    monkeypatch.syspath_prepend(str(here))
    with pytest.raises(ConfigError, match=r"^(objective|space)") as caught:
        validate_config(load(WTNPO, [f"objective={package}.own", "~space.alpha", "~space.beta"]))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../../x", "os.path", "..x", "a..b", "x" * 1_500, "nowhere.at_all", "wtnpo.", ".wtnpo", "_base", "日本"]
)
def test_an_objective_that_is_none(name: str) -> None:
    """A path, a module of Python, a name that is none."""
    with pytest.raises(ConfigError, match=r"^objective "):
        validate_config(load(WTNPO, [f"objective='{name}'"]))


@pytest.mark.parametrize(
    "listed",
    ["", "[]", "sweeps: 3\n", "sweeps: []\n", "sweeps: [1]\n", "other: []\n", "sweeps: [../x]\n", "sweeps: [a, a/b]\n"],
)
def test_a_list_of_sweeps_that_is_none(here: Path, listed: str) -> None:
    """What lies in a comparison's folder is read as a file of the user's own."""
    (here / "three").mkdir()
    (here / "three" / "sweeps.yaml").write_text(listed)
    with pytest.raises(ConfigError):
        _ = [load_stored_config(here, name) for name in list_sweep_names(here, "three")]


@pytest.mark.parametrize(
    ("main", "argv"),
    [
        (launch.main, ["nowhere.yaml"]),
        (launch.main, [WTNPO, "search.trials=x"]),
        (launch.main, ["--resume", "nothing"]),
        (launch.main, [WTNPO, "--nmae", "x"]),
        (launch.main, [WTNPO, "model=phi-1.5"]),
        (launch.main, [WTNPO, "data=tofu-forget01"]),
        (submit.main, [WTNPO, "storage=x", "--address", "http://127.0.0.1:1"]),
        (report, ["nothing", "sotrage=x"]),
        (sync.main, ["nothing"]),
        (run.main, ["/", "--data", "nothing", "--template", "tiny"]),
        (run.main, [str(ROOT), "--data", "authors", "--template", "tiyn"]),
    ],
)
def test_a_mistake_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    here: Path,
    main: Callable[[Sequence[str]], int],
    argv: Sequence[str],
) -> None:
    """Exit code 2, one line on stderr, nothing on stdout and nothing left in the working directory; no hub is there.

    Real processes with others are in test_real_mistakes.py, one of each command.
    """
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refusal(main, capsys, *argv)
    assert list(here.iterdir()) == []
