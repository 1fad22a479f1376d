"""The docs' guide "Add an objective" and tutorial, done to the letter in a copy of the checkout, sweep included."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = (
    *("target.epochs=2", "target.min_es=0", "train.epochs=1"),
    *("search.trials=2", "search.race=0", "seeds=0", "save=none", "cluster.concurrency=1"),
)
"""Changes that make the tutorial's sweep take seconds."""


def page(name: str) -> str:
    """The text of a page of the docs."""
    return (ROOT / "docs" / "pages" / name).read_text(encoding="utf-8")


def blocks() -> dict[str, str]:
    """The guide's files by name: each is named before its block of code."""
    guide = page("objectives.md").partition("## Add an objective")[2]
    return dict(re.findall(r"`((?:objectives|configs)/\w+\.\w+)`[^\n]*\n\n```\w+\n(.*?)```", guide, re.DOTALL))


def tutorial() -> list[list[str]]:
    """The words of the tutorial's commands, in their order."""
    codes = re.findall(r"```bash\n(.*?)```", page("tutorial.md").replace("\\\n", ""), re.DOTALL)
    return [shlex.split(line) for code in codes for line in code.splitlines()]


@contextmanager
def started(command: list[str], folder: Path) -> "Iterator[subprocess.Popen[str]]":
    """A command in a folder, its output in one text, until the block ends."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_new_objective_is_two_files_and_takes_any_model_and_rows(tmp_path: Path, empty_mlflow: Path) -> None:
    """Both files and the tutorial's model, and a sweep of two trials finishes; the contract's tests take it in."""
    files = blocks()
    assert list(files) == ["objectives/fade.py", "configs/fade.yaml"]
    for part in ("sweep", "objectives", "eval", "configs", "examples", "tests"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    model, dry, *_ = tutorial()
    assert (model[0], dry[:4]) == ("python", ["python", "-m", "sweep.launch", "configs/wtnpo.yaml"])
    subprocess.run([sys.executable, *model[1:]], cwd=tmp_path, check=True)  # noqa: S603 (our own)
    words = [word for word in dry if "=" in word]
    run = [sys.executable, "-m", "sweep.launch", "configs/fade.yaml", *words, *SMALL, "--name", "fade"]
    checks = [sys.executable, "-m", "pytest", "-q", "-n", "0", "tests/unit/test_objectives_contract.py", "-k", "fade"]
    with started(run, tmp_path) as sweep, started(checks, tmp_path) as checked:
        said, told = sweep.communicate()[0], checked.communicate()[0]
    assert sweep.returncode == 0, said
    summary = json.loads((tmp_path / "runs" / "fade" / "summary.json").read_text())
    assert summary["trials"] == {"planned": 2, "finished": 2, "failed": 0, "pruned": 0}
    assert set(summary["best"]["params"]) == {"gamma"}
    assert checked.returncode == 0, told
    assert re.search(r"\b[1-9]\d* passed", told), told
