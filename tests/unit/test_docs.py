"""The README and the pages of docs/: their commands compose, their keys exist, their errors are those of the code."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import yaml

from eval import datasets
from eval.definitions import PAPER, ROW_METRICS, SCORE, SUITE
from objectives import names
from support.commands import ROOT
from sweep.__main__ import COMMANDS
from sweep.config.compose import load
from sweep.config.matrix import expand_files
from sweep.config.request import find_config
from sweep.config.stored import VERSION
from sweep.shell.keys import list_blocks

PAGES = sorted((ROOT / "docs" / "pages").glob("*.md"))
TEXTS = {path.name: path.read_text(encoding="utf-8").replace("\\\n", "") for path in [ROOT / "README.md", *PAGES]}
WORDS_IN_README = 1_200


def commands(module: str) -> list[str]:
    """The lines of code blocks that run a module, without their comments."""
    lines = [
        line
        for text in TEXTS.values()
        for code in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        for line in code.splitlines()
    ]
    found = [
        line[line.index(f"python -m {module} ") :].partition(" #")[0].strip()
        for line in lines
        if f"python -m {module} " in line
    ]
    return sorted(set(found))


def test_the_readme_is_short() -> None:
    """All else is in docs/."""
    assert len(TEXTS["README.md"].split()) < WORDS_IN_README


@pytest.mark.parametrize("line", commands("sweep.launch") + commands("sweep.submit"))
def test_a_command_composes(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each config, group and key of a printed command is there; models and rows are not looked for."""
    monkeypatch.chdir(ROOT)
    words = [word for word in shlex.split(line)[3:] if not word.startswith("--")]
    files = [word for word in words if word.startswith(("configs/", "wtnpo"))]
    changes = [word for word in words if "=" in word]
    if "model=hf" in changes:
        changes += ["model.layers=4", "model.deepest=3"]
    assert files or "--resume" in line
    for file in files:
        first, *_ = expand_files([Path(find_config(file))], changes)
        load(first.file, [*first.choices, *changes])


def test_the_version_is_told_everywhere() -> None:
    """Citation and changelog have that of the program."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == VERSION
    assert f"\n## {VERSION} (" in TEXTS["changelog.md"]


def test_links_of_the_readme_lead_somewhere() -> None:
    """A strict build of the site checks those of the pages."""
    links = re.findall(r"\]\((?!https?://)([^)#]+)", TEXTS["README.md"])
    assert len(links) > 15
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_keys_in_the_texts_exist() -> None:
    """Whatever looks like `block.key=`; NAME in the reference stands for any hyper-parameter."""
    known = {key.name for block in list_blocks() for key in block.keys}
    blocks = "|".join(sorted({name.partition(".")[0] for name in known if "." in name} - {"space"}))
    told = {key for text in TEXTS.values() for key in re.findall(rf"(?<![\w./-])((?:{blocks})(?:\.\w+)+)=", text)}
    assert len(told) > 30
    assert told - known == set()


def test_every_objective_metric_dataset_and_command_is_told() -> None:
    """A new one needs a line in its page."""
    assert [
        name
        for name in names()
        if f"| {name} |" not in TEXTS["objectives.md"] and f" {name}," not in TEXTS["objectives.md"]
    ] == []
    metrics = {*SUITE, *SCORE, *PAPER} - {
        f"{part}/{name}" for part in ("real_authors", "world_facts") for name in ("prob", "truth_ratio", "rouge_l")
    }
    assert [name for name in metrics if f"`{name}`" not in TEXTS["metrics.md"]] == []
    assert len(ROW_METRICS) < len(metrics)
    assert [name for name in datasets.list_names() if name not in TEXTS["models.md"]] == []
    everything = "\n".join(TEXTS.values())
    assert [
        name
        for name in COMMANDS
        if f"sweep.{name}" not in everything
        and f"unlearn-sweep {name}" not in everything
        and f"-m {name}" not in everything
        and f"{name}.run" not in everything
    ] == []


@cache
def constant_texts() -> str:
    """All texts in the code, a line each; what a formatted text fills in is `…`."""
    found = []
    for package in ("sweep", "eval"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                parts = (
                    node.values if isinstance(node, ast.JoinedStr) else [node] if isinstance(node, ast.Constant) else []
                )
                found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts))
    return "\n".join(found)


def quoted_errors() -> list[str]:
    """The sentences of the first column of the page, in code quotes."""
    rows = re.findall(r"^\| (`.+?`) \|", TEXTS["troubleshooting.md"], re.MULTILINE)
    return [row.split("`")[1] for row in rows if "ModuleNotFoundError" not in row]


@pytest.mark.parametrize("sentence", quoted_errors())
def test_a_symptom_is_said_by_the_code(sentence: str) -> None:
    """Each part between its gaps stands in one text of the code."""
    for part in filter(None, (part.strip(" :.,()'") for part in sentence.split("…"))):
        assert part in constant_texts(), part
