"""A model's folder may hold anything: no code of it is run, and only safetensors are read.

Each planted file would write a flag when it is read by something that runs it.
"""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import torch
from transformers import AutoConfig

import eval.run
from eval.models.checkpoint import count_layers, load_model, load_tokenizer
from eval.models.generation import generate_greedy
from eval.models.safetensors_check import check_file_names
from eval.rows.encode import encode_rows
from eval.rows.types import DataError
from eval.shipped_configs import CONFIGS
from support.commands import SMALL, refusal
from support.toys import SHAPE, TEMPLATE, dataset, llama, tokenizer
from sweep import launch

Plant: TypeAlias = Callable[[Path, Path], object]
"""Changes a model's folder; whatever runs code of it leaves a flag."""
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SWEEP = [str(CONFIGS / "wtnpo.yaml"), *SMALL, f"model.shape.layers={SHAPE.layers}", f"model.deepest={SHAPE.layers - 1}"]
WORDING = ["--question", TEMPLATE.question, "--answer", TEMPLATE.answer]


class Planted:
    """What touches a file when it is unpickled."""

    def __init__(self, flag: Path) -> None:
        """Of this name."""
        self._flag = flag

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        """Call Path.touch."""
        return Path.touch, (self._flag,)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy model that can be loaded, with its rows."""
    folder = tmp_path_factory.mktemp("base")
    llama().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    (folder / "rows.json").write_text(dataset().to_json(), encoding="utf-8")
    return folder


@pytest.fixture
def folder(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in an otherwise empty working directory."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(base, tmp_path / "model")


@pytest.fixture
def flag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that must not be there afterwards."""
    return tmp_path_factory.mktemp("flag") / "was_run"


def pickled(name: str) -> Plant:
    """Put a pickle in this file, in place of the weights."""

    def plant(folder: Path, flag: Path) -> None:
        (folder / WEIGHTS).unlink()
        (folder / name).write_bytes(pickle.dumps(Planted(flag)))

    return plant


def saved(name: str) -> Plant:
    """The same as torch saves it."""

    def plant(folder: Path, flag: Path) -> None:
        (folder / WEIGHTS).unlink()
        torch.save({"model.norm.weight": Planted(flag)}, folder / name)

    return plant


def indexed(name: str) -> Plant:
    """A list of safetensors that names this file, which is a pickle."""

    def plant(folder: Path, flag: Path) -> None:
        saved(name)(folder, flag)
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {"model.norm.weight": name}}))

    return plant


def configured(file: str = "config.json", **values: object) -> Plant:
    """Keys of a configuration, and the code that they may name."""

    def plant(folder: Path, flag: Path) -> None:
        there = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(there | values))
        (folder / "custom_generate").mkdir()
        code = f"from pathlib import Path\nPath({str(flag)!r}).touch()\nclass M: ...\nC = T = generate = M\n"
        for name in ("mine.py", "custom_generate/generate.py"):
            (folder / name).write_text(code)

    return plant


def written(name: str, content: bytes) -> Plant:
    """This in that file."""
    return lambda folder, flag: (folder / name).write_bytes(content)


def gone(folder: Path, flag: Path) -> None:
    """Take the weights away."""
    (folder / WEIGHTS).unlink()


def adapter(folder: Path, flag: Path) -> None:
    """Make it an adapter of another model, in a pickle."""
    pickled("adapter_model.bin")(folder, flag)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "a/b"}')


def without_tokenizer(folder: Path, flag: Path) -> None:
    """Take the tokenizer away."""
    for file in folder.glob("tokenizer*"):
        file.unlink()


PICKLE = "a pickle, which can run code when it is read"
REFUSED: list[tuple[Plant, str]] = [
    (pickled("pytorch_model.bin"), f"has no model.safetensors, only pytorch_model.bin, {PICKLE}"),
    (saved("pytorch_model.bin"), f"has no model.safetensors, only pytorch_model.bin, {PICKLE}"),
    (saved("weights.pt"), f"has no model.safetensors, only weights.pt, {PICKLE}"),
    (saved("last.ckpt"), f"has no model.safetensors, only last.ckpt, {PICKLE}"),
    (pickled(WEIGHTS), "model.safetensors is no safetensors file (Error while deserializing header: "),
    (saved(WEIGHTS), "model.safetensors is no safetensors file (Error while deserializing header: "),
    (indexed("weights.bin"), f"{INDEX} names 'weights.bin': only a safetensors file of the same folder is read"),
    (indexed("../weights.safetensors"), f"{INDEX} names '../weights.safetensors': only a safetensors file of the same"),
    (indexed("own.safetensors"), "own.safetensors is no safetensors file (Error while deserializing header: "),
    (lambda folder, flag: (folder / WEIGHTS).rename(folder / INDEX), f"{INDEX} lists no files of weights"),
    (written(WEIGHTS, b""), "model.safetensors is no safetensors file ("),
    (gone, "has no model.safetensors, no weights at all"),
    (adapter, f"has no adapter_model.safetensors, only adapter_model.bin, {PICKLE}"),
    (configured(model_type="mine", auto_map={"AutoConfig": "mine.C"}), "it needs code of its own, which is never run"),
    (configured(attn_implementation="some/kernel"), "its attention is code from the hub, which is never run"),
    (configured(transformers_weights="a.safetensors"), "its config.json names weights of its own"),
    (configured(hidden_size="x"), "Field 'hidden_size' expected int, got str (value: 'x')"),
    (configured(num_hidden_layers=None), "Field 'num_hidden_layers' expected int, got NoneType"),
    (written("config.json", b"[]"), "Should have a `model_type` key in its config.json"),
]


@pytest.mark.parametrize(("plant", "said"), REFUSED)
def test_it_is_refused(plant: Plant, said: str, folder: Path, flag: Path) -> None:
    """With the reason, in one line, and no code is run."""
    plant(folder, flag)
    with pytest.raises(DataError) as refused:
        load_model(folder)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not flag.exists()


@pytest.mark.parametrize(("plant", "said"), REFUSED[::4])
@pytest.mark.parametrize("key", ["model", "target"])
def test_a_sweep_refuses_it(
    plant: Plant, said: str, key: str, folder: Path, flag: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `model.path` and as `target.path`: one sentence with the key and the reason, and nothing is left."""
    plant(folder, flag)
    line = refusal(launch.main, capsys, *SWEEP, f"{key}.path={folder}")
    assert line.startswith(f"error: {key}.path = {folder}")
    assert said in line
    assert not flag.exists()
    assert not Path("runs").exists()


UNFIT: list[tuple[Plant, str]] = [
    (
        configured(quantization_config={"quant_method": "gptq", "bits": 4}),
        "is quantised (gptq): its weights cannot be trained; give the unquantised model",
    ),
    (
        configured(quantization_config={"load_in_4bit": True}),
        "is quantised (bitsandbytes): its weights cannot be trained; give the unquantised model",
    ),
    (without_tokenizer, "has no tokenizer (tokenizer.json): save that of the model from which it was made beside it"),
    (configured("tokenizer_config.json", eos_token=None), "has no EOS token, which ends every answer"),
    (
        written("config.json", b'{"model_type": "t5"}'),
        "is an encoder-decoder model (t5): give a causal language model",
    ),
    (written("config.json", b'{"model_type": "vit"}'), "is no causal language model that transformers knows (vit)"),
    (
        configured(model_type="gemma2", head_dim=16),
        "cannot be loaded: Gemma2ForCausalLM does not support this attention: in a sweep give another, as"
        " train.attention=eager",
    ),
]
"""Models that can be read but not trained."""


def test_an_adapter_on_the_hub_is_refused_by_the_names_of_its_files() -> None:
    """As in a folder; it has no weights of the model that it adapts."""
    with pytest.raises(
        DataError, match=r"^a/b holds an adapter \(adapter_config.json\): merge it into its model first"
    ):
        check_file_names("a/b", ["adapter_config.json", "adapter_model.safetensors"])


@pytest.mark.parametrize(("plant", "said"), UNFIT)
def test_a_sweep_refuses_what_cannot_be_trained(
    plant: Plant, said: str, folder: Path, flag: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its small files alone, in a dry run too, with the key, the path and the reason."""
    plant(folder, flag)
    line = refusal(launch.main, capsys, *SWEEP, f"model.path={folder}", "--dry-run")
    assert line.startswith(f"error: model.path = {folder} {said}")


@pytest.mark.parametrize(("plant", "said"), REFUSED[::4])
def test_eval_refuses_it(plant: Plant, said: str, folder: Path, flag: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for a checkpoint, and no file of scores."""
    plant(folder, flag)
    assert said in refusal(eval.run.main, capsys, str(folder), *WORDING, "--out", "scores.json")
    assert not flag.exists()
    assert not Path("scores.json").exists()


@pytest.mark.parametrize(
    "plant",
    [
        configured(auto_map={"AutoConfig": "mine.C", "AutoModelForCausalLM": "mine.M"}),
        configured("generation_config.json", custom_generate="mine", do_sample=True, max_new_tokens=1),
        written("chat_template.jinja", b"{{ ''.__class__.__mro__[1].__subclasses__() }}"),
        lambda folder, flag: (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Planted(flag))),
    ],
)
def test_code_beside_good_weights_is_left_alone(plant: Plant, base: Path, folder: Path, flag: Path) -> None:
    """A model of a kind that transformers knows answers as without it, and the code that it brings is not run."""
    plant(folder, flag)
    said = []
    for path in (folder, base):
        tokens = load_tokenizer(path)
        prompts = [row.ids[: row.start] for row in encode_rows(tokens, TEMPLATE, dataset().forget)]
        said.append(generate_greedy(load_model(path), tokens, prompts, longest=8))
    assert said[0] == said[1]
    assert len(tokens.encode("".join(said[0]))) > 8
    assert not flag.exists()


def test_a_tokenizer_with_code_of_its_own_is_refused(folder: Path, flag: Path) -> None:
    """The code is not run."""
    configured("tokenizer_config.json", tokenizer_class="T", auto_map={"AutoTokenizer": ["mine.T"] * 2})(folder, flag)
    with pytest.raises(DataError, match="it needs code of its own, which is never run"):
        load_tokenizer(folder)
    assert not flag.exists()


def test_the_planted_code_does_run_where_it_is_trusted(folder: Path, flag: Path) -> None:
    """The pickle as one, and the configuration's code with trust_remote_code: the tests above can fail."""
    pickled("pytorch_model.bin")(folder, flag)
    pickle.loads((folder / "pytorch_model.bin").read_bytes())  # noqa: S301 (planted here)
    assert flag.exists()
    flag.unlink()
    configured(model_type="mine", auto_map={"AutoConfig": "mine.C"})(folder, flag)
    with pytest.raises(AttributeError):  # its class is no configuration
        AutoConfig.from_pretrained(folder, trust_remote_code=True)
    assert flag.exists()


def test_weights_that_transformers_would_make_up_are_refused(folder: Path, flag: Path) -> None:
    """A shape that is not the configuration's, and a model of which no weight is there."""
    configured(hidden_size=64)(folder, flag)
    with pytest.raises(DataError, match=r"20 of the weights .* first model.embed_tokens.weight$"):
        load_model(folder)
    (folder / "config.json").write_text('{"model_type": "gpt2", "n_layer": 1, "n_embd": 8, "n_head": 2}')
    assert count_layers(folder) == 1
    with pytest.raises(DataError, match=r"of the weights that its config.json asks for are not there"):
        load_model(folder)
