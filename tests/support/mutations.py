"""Mutations of configurations: mistakes in a file or in an argument of the command line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from eval.shipped_configs import CONFIGS, GROUPS
from sweep.config.compose import dump, load

MODELS = ("hf.yaml", "phi-1.5.yaml", "tiny.yaml")
"""One of each kind of model: the others are as phi-1.5, and planning with them takes seconds."""
FILES = {
    str(file.relative_to(CONFIGS)): file.read_text(encoding="utf-8")
    for file in (*CONFIGS.glob("*.yaml"), *(file for group in GROUPS for file in (CONFIGS / group).glob("*.yaml")))
    if file.parent.name != "model" or file.name in MODELS
} | {"config.yaml": dump(load(CONFIGS / "wtnpo.yaml"))}
"""Shipped files by path, and `config.yaml`, which has all keys, as in a sweep's folder."""
ODD = (
    *("null", "true", "false", "0", "1", "-1", "7", "2.5", "1e400", "-1e400", "1e-400", ".nan", ".inf", "-.inf"),
    *("1" + "0" * 30, "1" + "0" * 400, "1" + "0" * 5000, "0x1F", "0o17", "1_000", "1:30", "2024-01-01", "2024-13-45"),
    *(
        "''",
        "' '",
        "text",
        "'8'",
        "ünï çødé",
        "日本語",
        "'🦙'",
        '"\\0"',
        '"\\e[31m"',
        '"\\uD800"',
        '"\\n"',
        "\u202eabc",
    ),
    *("x" * 5_000, "y" * 100_000, "'../../x'", "'~nobody/x'", "/dev/null", "'a b'", "'%s%n'", "'{question}'", "a:b"),
    *("[]", "[1, [2, [3]]]", "[null]", "['']", "{}", "{a: 1}", "{low: 0, high: 1}", "{choices: []}", "{1: 2}"),
    *("{choices: [1, 1, true, .nan]}", "{low: 1, high: 0}", "{choices: [null]}", "[[[[[[[]]]]]]]", "[" * 50 + "]" * 50),
    *("!!binary aGk=", "!!set {a, b}", "!!omap [a: 1]", "!!timestamp 2024-01-01", "!!float 3", "!mine 3", "!!str 3"),
    *("!!python/object/apply:os.system ['exit 3']", "!!python/name:os.system", "!!python/tuple [1, 2]"),
    *("&a [*a]", "&a {b: *a}", "*nowhere", "{<<: {a: 1}}", "{<<: *a}", "<<", "=", "???", "'???'"),
    *("${seed}", "${nowhere}", "${seed", "${}", "${.}", "${..seed}", "${seed}${seed}", "a${seed}", "${oc.env:HOME}"),
    *(
        "${oc.decode:1}",
        "${oc.select:seed}",
        "${${seed}}",
        "${hydra.runtime.cwd}",
        "${train}",
        "${objective}",
        "\\${x}",
    ),
    *("{_target_: os.system}", "{_target_: builtins.exit, _args_: [3]}", "{_partial_: true}", "{_recursive_: x}"),
    *(
        "@",
        "%",
        "`",
        "|",
        ">",
        "- a",
        "? a",
        "a: b: c",
        "[",
        "{",
        "'",
        '"',
        "]",
        "\t",
        "#",
        "&",
        "*",
        "!",
        "\x00",
        "\x07",
    ),
)
"""Odd values as they are written in YAML, valid or not."""
KEYS = ("modle", "_target_", "hydra", "", "a.b", "1", "null", "<<", "ключ", "x" * 300, "a\nb", "defaults", "🦙", "seed")
"""New names for a key."""


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A changed file.

    Attributes:
        file: its path among the shipped ones.
        content: its new content.
        about: names of which an error must mention one, or else a line number; empty if any key may be affected.
    """

    file: str
    content: bytes
    about: frozenset[str]

    def written(self, folder: Path) -> list[str]:
        """Write the file as a user's own, and return the arguments that launch it."""
        own = folder / self.file
        own.parent.mkdir(parents=True)
        own.write_bytes(self.content)
        group, _, option = self.file.rpartition("/")
        if self.file != "base.yaml" and not group:
            return [str(own)]
        main = folder / "wtnpo.yaml"
        main.write_text(FILES["wtnpo.yaml"], encoding="utf-8")
        return [str(main), *([f"{group}={option.removesuffix('.yaml')}"] if group else [])]


def dotted(block: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yield the dotted keys of nested blocks, those of the blocks themselves included."""
    for key, value in block.items():
        yield above + key
        if isinstance(value, dict):
            yield from dotted(value, f"{above}{key}.")


KEYS_OF = {file: sorted(dotted(yaml.safe_load(text))) for file, text in FILES.items()}
KNOWN = sorted({key for keys in KEYS_OF.values() for key in keys})


@st.composite
def mutations(draw: st.DrawFn) -> Mutation:
    """Draw a shipped file with a few of its keys or bytes changed."""
    file = draw(st.just("config.yaml") | st.sampled_from(sorted(FILES)))
    if draw(st.integers(0, 4)) == 0:
        return Mutation(file=file, content=draw(_bytes(FILES[file])), about=frozenset())
    raw = yaml.safe_load(FILES[file])
    # Without its list the file counts as a sweep.
    about = {"objective", "recipe", "model"} if "sweeps" in raw else set[str]()
    values: list[str] = []
    for _ in range(draw(st.integers(1, 2))):
        about |= draw(_changed(raw, draw(st.sampled_from(KEYS_OF[file])), values))
    text = yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=10**6)
    for place, value in enumerate(values):
        text = text.replace(f"PLACE{place}END", value)
    head = "# @package _global_\n" if FILES[file].startswith("# @package") else ""
    return Mutation(
        file=file,
        content=(head + text).encode("utf-8", "surrogatepass"),
        about=frozenset(name if name.strip() else repr(name) for name in {*about, Path(file).stem}),
    )


@st.composite
def _changed(draw: st.DrawFn, raw: dict[str, Any], key: str, values: list[str]) -> set[str]:
    """Change a key in place if it is still there, and return the names that an error may mention."""
    *above, name = key.split(".") if not key.endswith(("retain.weight", "train.lr")) else [key]
    block: Any = raw
    for part in above:
        block = block.get(part) if isinstance(block, dict) else None
    if not isinstance(block, dict) or name not in block:
        return set()
    match draw(st.sampled_from(("replace", "replace", "replace", "remove", "rename", "move", "copy"))):
        case "replace":
            values.append(draw(st.sampled_from(ODD)))
            block[name] = f"PLACE{len(values) - 1}END"
        case "remove":
            del block[name]
        case "rename":
            other = draw(st.sampled_from(KEYS) | st.text(max_size=8))
            block[other] = block.pop(name)
            return {key, name, other, ".".join([*above, other])}
        case "move":
            raw[name] = block.pop(name)
        case "copy":
            block[name + name[-1]] = block[name]
    return {key, name, name + name[-1]}


@st.composite
def _bytes(draw: st.DrawFn, text: str) -> bytes:
    """Draw the file with bytes inserted or cut out, with other line ends or tabs, or in another encoding."""
    content = text.encode(
        draw(st.sampled_from(("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp037"))), "replace"
    )
    match draw(st.sampled_from(("insert", "cut", "end", "crlf", "tabs"))):
        case "insert":
            place = draw(st.integers(0, len(content)))
            return content[:place] + draw(st.binary(min_size=1, max_size=4)) + content[place:]
        case "cut":
            place, size = draw(st.integers(0, len(content))), draw(st.integers(1, 40))
            return content[:place] + content[place + size :]
        case "end":
            return content[: draw(st.integers(0, len(content)))]
        case "crlf":
            return content.replace(b"\n", draw(st.sampled_from((b"\r\n", b"\r", b"\n\t", b"\xc2\x85"))))
    return content.replace(b" ", b"\t", draw(st.integers(1, 9)))


@st.composite
def words(draw: st.DrawFn) -> str:
    """Draw an argument of the command line that overrides something, or tries to."""
    key = draw(st.sampled_from(KNOWN) | st.sampled_from(GROUPS) | st.sampled_from(KEYS) | st.text(max_size=6))
    value = draw(st.sampled_from(ODD) | st.sampled_from(WORDS) | st.text(max_size=12))
    form = draw(st.sampled_from(FORMS))
    return str(form.format(key=key, value=value))


FORMS = ("{key}={value}",) * 6 + (
    *("~{key}", "~{key}={value}", "+{key}={value}", "++{key}={value}", "{key}@x={value}", "{key}.x={value}"),
    *("{key}='{value}'", '{key}="{value}"', "{key}=[{value}]", "{key}={{x: {value}}}", "{key}[0]={value}", "{key}"),
    *("/{key}={value}", "{key}/x={value}", "{key}.0={value}", "{key}=={value}", "{key}:{value}", "{key}@={value}"),
)
WORDS = (
    *(
        "1,2",
        "choice(1,2)",
        "range(1,9)",
        "interval(0,1)",
        "glob(*)",
        "glob(t*, exclude=x)",
        "sort(2,1)",
        "shuffle(1,2)",
    ),
    *("int(3)", "float(x)", "str(1)", "json_str({a: 1})", "bool(1)", "tag(a, 1)", "extend_list(1)", "[1", "{a:", "'x"),
    *(
        "tiny",
        "phi-1.5",
        "paper",
        "a100",
        "tofu-forget01",
        "../tiny",
        "tiny,phi-1.5",
        "TINY",
        "null",
        "\\",
        "\\'",
        "\\,",
    ),
)
"""Values that mean something to Hydra."""
