"""Compose YAML files with Hydra; each is checked before its values are built, so that no file can execute anything."""

import re
import warnings
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from sweep.config.diff import flatten_block
from sweep.config.messages import GROUPS, translate_errors
from sweep.errors import ConfigError

CHECKED_SCHEME = "checked"
"""URL scheme that marks the folders whose files Hydra reads through `CheckedFolder`."""
MAX_FILE_BYTES = 2**17
"""Maximum size of a file."""
MAX_DEPTH = 20
"""Maximum depth of nested blocks and lists."""
MAX_NUMBER_DIGITS = 1000
"""Maximum number of digits in a number; Python reads a few thousand."""
MAX_TEXT_CHARS = 10_000
"""Maximum length of a text."""
FORMAT_HINT = "a configuration is a block of keys and values, as configs/wtnpo.yaml is"


def parse_yaml_file(path: Path) -> dict[str, Any]:
    """Parse a YAML file into plain values, without composing it; no tag is ever executed.

    Raises:
        ConfigError: the file is not a block of keys and values, is too large or too deep, or has a tag, an alias, or a
            text that `check_texts` refuses.
    """
    with translate_errors(path):
        _check_syntax(path)
        loaded = OmegaConf.to_container(OmegaConf.load(path))
        assert isinstance(loaded, dict)
        raw = {str(key): value for key, value in loaded.items()}
        check_texts(raw)
        return raw


def check_texts(raw: Mapping[str, object]) -> None:
    """Refuse texts that a configuration must not contain.

    Resolvers are among them: `${oc.env:NAME}` would copy a secret into the files of the sweep.

    Raises:
        ConfigError: a text is too long, has NUL or half of a surrogate pair, or has a resolver or nested `${`.
    """
    for key, value in flatten_block(raw):
        for text in _iterate_texts(value):
            if complaint := _text_problem(text):
                raise ConfigError(f"{key} = {text!r} {complaint}.")


def compose_yaml(folders: Sequence[Path], name: str, choices: Sequence[str]) -> DictConfig:
    """Compose a file of the first folder with its `defaults`, which may lie in any of the folders.

    Args:
        folders: searched for files and groups in this order.
        name: name of the file.
        choices: options of groups, such as `model=tiny`.
    """
    own, *others = folders
    searched = ",".join("'{}://{}'".format(CHECKED_SCHEME, str(folder).replace("'", r"\'")) for folder in others)
    with warnings.catch_warnings(), initialize_config_dir(str(own), version_base="1.3"):
        warnings.simplefilter("ignore")  # Hydra warns about a missing `_self_`; the file then comes last, as intended
        config = compose(name, [*choices, f"hydra.searchpath=[{searched}]"])
    OmegaConf.set_struct(config, False)
    return config


class CheckedFolder(FileConfigSource):
    """Hydra config source that checks each file before Hydra reads it."""

    @staticmethod
    def scheme() -> str:
        """Return the URL scheme of the folders that this source reads."""
        return CHECKED_SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        """Load a file for Hydra.

        Raises:
            ConfigError: `parse_yaml_file` refuses the file, it changes Hydra's own settings, or it names an option of a
                group outside `defaults`.
        """
        file = Path(self.path) / self._normalize_file_name(config_path)
        raw = parse_yaml_file(file)
        with translate_errors(file):
            found = super().load_config(config_path)
        if "hydra" in raw or "hydra" in f"{raw.get('defaults')} {found.header['package']}":
            raise ConfigError(f"{file}: hydra is not allowed: Hydra's own settings are fixed.")
        for group in GROUPS:
            if "defaults" in raw and isinstance(raw.get(group), str):
                entry = f"{group}: {raw[group]}"
                raise ConfigError(
                    f"{file}: `{entry}` names an option of a group: write it as `- {entry}` in `defaults`."
                )
        return found


class OwnFolderPlugin(SearchPathPlugin):
    """Hydra plugin that makes Hydra read the file's own folder through `CheckedFolder`, like all others."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Set the scheme of the file's own folder."""
        for element in search_path.get_path():
            if element.provider == "main":
                element.path = f"{CHECKED_SCHEME}://{element.path}"


for plugin in (CheckedFolder, OwnFolderPlugin):
    Plugins.instance().register(plugin)


def _check_syntax(path: Path) -> None:
    """Refuse a file that is not a block or could expand without end; read only YAML events and build no value."""
    depth, nodes = 0, 0
    for event in yaml.parse(_read_text(path), Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        nodes += isinstance(event, yaml.NodeEvent)
        if complaint := _event_problem(event, depth, root=nodes == 1):
            assert event.start_mark is not None
            raise ConfigError(f"{path}, line {event.start_mark.line + 1}: {complaint}.")
    if not nodes:
        raise ConfigError(f"{path} is empty: {FORMAT_HINT}.")


def _read_text(path: Path) -> str:
    """Read a file, and refuse one that is too large, has a byte order mark or has unprintable characters."""
    with path.open("rb") as file:
        start = file.read(MAX_FILE_BYTES + 1)
    if len(start) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} is larger than the {MAX_FILE_BYTES} bytes that a configuration may have.")
    if start.startswith(BOM_UTF8):
        raise ConfigError(f"{path} begins with a byte order mark: it must be UTF-8 without one.")
    text = start.decode()
    if odd := yaml.reader.Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, odd.start()) + 1
        raise ConfigError(f"{path}, line {line}: the character {odd[0]!r} is not allowed in a text.")
    return text


def _event_problem(event: yaml.Event, depth: int, *, root: bool) -> str:
    """Return the reason for which a YAML event is rejected, or an empty string."""
    match event:
        case yaml.AliasEvent():
            return f"the alias *{event.anchor} is not allowed: ${{key}} repeats another key's value"
        case yaml.ScalarEvent(tag=str()) | yaml.CollectionStartEvent(tag=str()):
            return f"the tag {event.tag} is not allowed: values are texts, numbers, true, false, null, lists and blocks"
        case yaml.SequenceStartEvent() | yaml.ScalarEvent() if root:
            return f"the file holds a {'list' if isinstance(event, yaml.SequenceStartEvent) else 'text'}: {FORMAT_HINT}"
        case yaml.ScalarEvent(value=str(value)) if re.fullmatch(rf"[-+\d_]{{{MAX_NUMBER_DIGITS},}}", value):
            return f"a number of more than {MAX_NUMBER_DIGITS} digits is not allowed"
        case yaml.CollectionStartEvent() if depth > MAX_DEPTH:
            return f"blocks and lists are more than {MAX_DEPTH} deep"
    return ""


def _iterate_texts(value: object) -> Iterator[str]:
    """Yield the texts in a value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _iterate_texts(one)
    elif isinstance(value, Mapping):
        yield from _iterate_texts([*value.values()])


def _text_problem(text: str) -> str:
    """Return the reason for which a text is rejected, or an empty string."""
    if len(text) > MAX_TEXT_CHARS:
        return f"must have at most {MAX_TEXT_CHARS} characters"
    if re.search("[\0\ud800-\udfff]", text):
        return "must be text, without NUL and halves of surrogate pairs"
    if re.search(r"\$\{[^}]*(:|\$\{)", text):
        return "is not allowed: only ${key}, another key's value, may stand in a value"
    return ""
