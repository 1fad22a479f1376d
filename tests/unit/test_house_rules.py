"""Rules for names, docstrings and sizes that no linter has; CONTRIBUTING.md says them in words."""

import ast
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from support.commands import ROOT

PACKAGES = ("sweep", "objectives", "eval")
MAX_FUNCTION_LINES = 50
MAX_FILE_LINES = 350
MAX_FILES_IN_A_FOLDER = 16
MAX_ONE_WORD_SHARE = 0.25


def files() -> list[Path]:
    """All files of the product."""
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@cache
def nodes() -> Sequence[tuple[Path, ast.AST]]:
    """Every node of every file."""
    trees = {path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8")) for path in files()}
    return [(path, node) for path, tree in trees.items() for node in ast.walk(tree)]


def functions() -> list[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function and method."""
    return [(path, node) for path, node in nodes() if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_a_docstring_names_its_subject() -> None:
    """It begins with a verb or a noun, not with a question."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    texts = [(path, ast.get_docstring(node) or "") for path, node in nodes() if isinstance(node, documented)]
    assert len(texts) > 1_000
    assert [one for one in texts if re.match(r"(What|Whether|How|Where|Who|Why|When)\b", one[1])] == []


def test_a_function_s_name_is_verb_and_noun() -> None:
    """A quarter may be one word, where that is the field's own."""
    names = [node.name.strip("_") for _, node in functions() if not re.fullmatch("__.+__", node.name)]
    assert sum("_" not in name for name in names) <= MAX_ONE_WORD_SHARE * len(names)


def test_functions_files_and_folders_are_small() -> None:
    """Each can be read at one sitting; a folder of one kind, such as objectives/, may grow."""
    long = [(path, node.name) for path, node in functions() if span(node) > MAX_FUNCTION_LINES]
    assert long == []
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files()}
    assert [path for path, count in lines.items() if count > MAX_FILE_LINES] == []
    folders = Counter(path.parent for path in files())
    assert [folder for folder, n in folders.items() if n > MAX_FILES_IN_A_FOLDER and folder.name != "objectives"] == []


def span(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function."""
    return (node.end_lineno or node.lineno) - node.lineno + 1
