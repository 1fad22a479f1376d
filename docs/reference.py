"""Write the page of all config keys and all objectives from their types: python docs/reference.py."""

import inspect
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import objectives  # noqa: E402
from objectives.__main__ import LEGEND, read_field_docs  # noqa: E402
from sweep.shell.keys import Block, list_blocks  # noqa: E402

PAGE = ROOT / "docs" / "pages" / "reference.md"
HEAD = """# Every key

Written by `python docs/reference.py` from the types that check a configuration; `unlearn-sweep keys search.seeds train`
prints the same in a terminal. A default is that of `python -m sweep.launch configs/wtnpo.yaml`, from the file that is
named; options of a group (`model=`, `data=`, `recipe=`, `cluster=`) bring their own. Where it is a dash, the key has to
be given, or its block is not there. `null` is YAML's word for nothing.

A key is changed by `key=value` after the config, as in `search.trials=48`, or by a line in a config of your own:

```yaml
defaults: [base, model: tiny, data: authors, recipe: default, cluster: local, _self_]
objective: wtnpo
space: {alpha: {low: 0.0, high: 5.0}, beta: {low: 0.25, high: 10.0, log: true}}
search: {trials: 48}
```
"""


def format_page() -> str:
    """Return the page."""
    blocks = [line for block in _name_apart(list_blocks()) if block.keys for line in _format_block(block)]
    return "\n".join([HEAD, *blocks, *_format_objectives()])


def _name_apart(blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks; where several kinds may stand at a place, their names hold their keys."""
    count = Counter((block.name, block.kind) for block in blocks)
    return [
        replace(block, name=f"{block.name}: {', '.join(key.name.rpartition('.')[2] for key in block.keys)}")
        if count[block.name, block.kind] > 1
        else block
        for block in blocks
    ]


def _format_block(block: Block) -> Iterator[str]:
    source = f" where data.source is {block.kind}" if block.kind else ""
    yield f"## {block.name or 'The sweep'}{source}\n"
    yield f"{block.description}\n"
    rows = [
        [f"`{key.name}`", key.description, key.allowed, f"`{key.default}`<br>{key.origin}" if key.default else "–"]
        for key in block.keys
    ]
    yield _format_table(["key", "meaning, with its unit", "allowed", "default"], rows)


def _format_objectives() -> Iterator[str]:
    """Yield the table of the objectives, as `python -m objectives` prints it."""
    yield "## Objectives\n"
    yield f"`objective=NAME`, whose fields are the keys of `space` and `fixed`. {LEGEND}\n"
    rows = []
    for name in objectives.names():
        objective = objectives.load(name)
        formula = (inspect.getdoc(objective) or "").partition("\n")[0]
        fields = [f"`{field}`: {meaning}" for field, meaning in read_field_docs(objective).items()]
        rows.append([f"`{name}`", formula, "<br>".join(fields) or "none", objective.unit])
    yield _format_table(["objective", "loss", "fields", "mean over"], rows)


def _format_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [[*head], ["---" for _ in head], *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(format_page(), encoding="utf-8")
