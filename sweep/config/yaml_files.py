"""Compose YAML files with Hydra; each is checked before its values are built, so that no file can execute anything."""

import difflib
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import Container, DictConfig, OmegaConf

from eval.shipped_configs import CONFIGS, GROUPS
from sweep.config.messages import translate_errors
from sweep.errors import ConfigError

CHECKED_SCHEME = "checked"
"""URL scheme that marks the folders whose files Hydra reads through `CheckedFolder`."""
MAX_FILE_BYTES = 2**17
"""Maximum size of a file."""


class PlainLoader(yaml.SafeLoader):
    """YAML loader that refuses tags, aliases (with which a small file expands without end), and some texts."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node; raise ConfigError if the file must not contain it.

        Args:
            parent: the block or list that contains the node.
            index: the node of its key, or its place in a list.
        """
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        key = f"{index.value} = " if isinstance(index, yaml.ScalarNode) else ""
        if complaint := _event_problem(event, key):
            raise ConfigError(f"{self.name}, line {event.start_mark.line + 1}: {complaint}.")
        return super().compose_node(parent, index)


def read_config_file(path: Path) -> dict[str, Any]:
    """Read the values of a YAML file as written, without its groups and overrides; no tag is ever executed.

    Raises:
        ConfigError: the file does not exist, is not a block of keys and values, or is one that Hydra may not compose.
    """
    with translate_errors(path):
        check_config_path(path)
        _check_syntax(path)
        return _to_values(OmegaConf.load(path))


def check_config_path(path: Path) -> None:
    """Refuse a path that is not an existing .yaml file, with the nearest file name."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name a .yaml file in it.")
    if not path.exists():
        found = [file for folder in (CONFIGS, path.parent) for file in folder.glob("*.yaml")]
        files = {file.name: file for file in found} | {file.stem: file for file in found}
        near = difflib.get_close_matches(path.name, files, n=1)
        raise ConfigError(f"{path} does not exist" + (f" (nearest: {files[near[0]]})." if near else "."))
    if path.suffix != ".yaml" or not path.is_file():
        raise ConfigError(f"{path} is no configuration: it must be a file, and its name must end in .yaml.")


def check_texts(value: object, key: str) -> None:
    """Refuse a value in which, at any depth, is a text that no file may contain.

    Raises:
        ConfigError: a text has NUL or half of a surrogate pair, or has a resolver or nested `${`.
    """
    if isinstance(value, str) and (complaint := _text_problem(value)):
        raise ConfigError(f"{key} = {complaint}.")
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        check_texts(one, f"{key}.{name}")


def compose_yaml(file: Path, choices: Sequence[str]) -> DictConfig:
    """Compose a file with its `defaults`, which lie beside it or are shipped, and options such as `model=tiny`."""
    with warnings.catch_warnings(), initialize_config_dir(str(file.parent), version_base="1.3"):
        warnings.simplefilter("ignore")  # Hydra warns about a missing `_self_`; the file then comes last, as intended
        config = compose(file.name, [*choices])
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
            ConfigError: the file has a wrong syntax, it changes Hydra's own settings, or it names an option of a
                group outside `defaults`.
        """
        file = Path(self.path) / self._normalize_file_name(config_path)
        with translate_errors(file):
            _check_syntax(file)
            found = super().load_config(config_path)
            raw = _to_values(found.config)
        if "hydra" in raw or "hydra" in f"{raw.get('defaults')} {found.header['package']}":
            raise ConfigError(f"{file}: hydra is not allowed: Hydra's own settings are fixed.")
        for group in GROUPS:
            if "defaults" in raw and isinstance(raw.get(group), str):
                entry = f"{group}: {raw[group]}"
                raise ConfigError(
                    f"{file}: `{entry}` names an option of a group: write it as `- {entry}` in `defaults`."
                )
        return found


class CheckedFoldersPlugin(SearchPathPlugin):
    """Hydra plugin that makes Hydra read the file's own folder, then the shipped configs, through `CheckedFolder`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Set the scheme of the file's own folder, and add the folder of the shipped configs."""
        for element in search_path.get_path():
            if element.provider == "main":
                element.path = f"{CHECKED_SCHEME}://{element.path}"
        search_path.append("shipped", f"{CHECKED_SCHEME}://{CONFIGS}")


for plugin in (CheckedFolder, CheckedFoldersPlugin):
    Plugins.instance().register(plugin)


def _to_values(config: Container) -> dict[str, Any]:
    """Convert the block of a file to plain values, as written."""
    raw = OmegaConf.to_container(config)
    assert isinstance(raw, dict)
    return {str(key): value for key, value in raw.items()}


def _check_syntax(path: Path) -> None:
    """Refuse a file that is too large, begins with a byte order mark, is no block, or `PlainLoader` refuses."""
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} is larger than the {MAX_FILE_BYTES} bytes that a configuration may have.")
    text = content.decode()
    if text.startswith("\ufeff"):
        raise ConfigError(f"{path} begins with a byte order mark: it must be UTF-8 without one.")
    loader = PlainLoader(text)
    loader.name = str(path)
    root = loader.get_single_node()
    if not isinstance(root, yaml.MappingNode):
        found = "is empty" if root is None else f"holds a {'list' if isinstance(root, yaml.SequenceNode) else 'text'}"
        raise ConfigError(f"{path} {found}: a configuration is a block of keys and values, as configs/wtnpo.yaml is.")


def _event_problem(event: yaml.Event, key: str) -> str:
    """Return the reason for which a YAML event is rejected, or an empty string."""
    match event:
        case yaml.AliasEvent():
            return f"the alias *{event.anchor} is not allowed: ${{key}} repeats another key's value"
        case yaml.ScalarEvent(tag=str(tag)) | yaml.CollectionStartEvent(tag=str(tag)):
            return f"the tag {tag} is not allowed: values are texts, numbers, true, false, null, lists and blocks"
        case yaml.ScalarEvent() if complaint := _text_problem(event.value):
            return f"{key}{complaint}"
    return ""


def _text_problem(text: str) -> str:
    """Return the reason for which a text is rejected, or an empty string.

    Resolvers are rejected because `${oc.env:NAME}` would copy a secret into the files of the sweep.
    """
    if re.search("[\0\ud800-\udfff]", text):
        return f"{text!r} must be text, without NUL and halves of surrogate pairs"
    if re.search(r"\$\{[^}]*(:|\$\{)", text):
        return f"{text!r} is not allowed: only ${{key}}, another key's value, may stand in a value"
    return ""
