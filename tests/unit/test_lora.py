"""Adapters: frozen weights, the target with B = 0, mixes, saved models, optimizer, configuration, forecast."""

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, PreTrainedModel

from eval.models.checkpoint import load_config, load_model, load_tokenizer
from eval.models.forward import find_blocks, hidden_states
from eval.models.logits import output_layer
from eval.rows.encode import collate
from eval.rows.types import DataError
from objectives._base import Objective
from objectives.rmu import RMU
from objectives.wtnpo import WTNPO
from support.toys import config, dataset, encoded, llama, tokenizer
from sweep.config import train_rules
from sweep.config.compose import dump, load
from sweep.config.model_schema import LoraConfig
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.plan.checks import check_lora_targets
from sweep.prepare import cost
from sweep.prepare.artifacts import locate_artifacts
from sweep.prepare.budget import Budget
from sweep.prepare.digests import digest_model
from sweep.prepare.forecast import Forecast
from sweep.prepare.memory import StageMemory, SweepRows, measure_stages
from sweep.search.paper import find_paper_setting, list_qualifiers, recipe_differences
from sweep.training import reference
from sweep.training.loop import Schedule, train_steps
from sweep.training.lora import (
    AdapterWeights,
    add_adapters,
    compute_merged,
    list_adapters,
    reset_adapters,
    save_adapter,
)
from sweep.training.loss_terms import build_terms
from sweep.training.precision import WEIGHT_DTYPES, apply_precision, trainable_parameters
from sweep.training.reference import TrainingRows
from sweep.training.weights import save_model, snapshot_weights

PRECISIONS = ("float32", "master", "kahan")
ROWS = encoded((3, 2), (2, 5), (4, 1), (6, 2))
ASKED = TrainingRows(forget=ROWS, refusals=ROWS, retain=ROWS, min_length=0)
BATCH = collate(ROWS, torch.device("cpu"))
LORA = LoraConfig.model_validate({"rank": 4})
LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def adapted(precision: str = "float32", lora: LoraConfig = LORA, seed: int = 0) -> PreTrainedModel:
    """The toy model with new adapters."""
    model = apply_precision(llama(), precision)
    add_adapters(model, lora, precision)
    reset_adapters(model, seed)
    return model


def moved(precision: str = "float32") -> PreTrainedModel:
    """The toy model with adapters that have learned something."""
    model = adapted(precision)
    torch.manual_seed(0)
    with torch.no_grad():
        for _, parameter in trainable_parameters(model):
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def logits(model: PreTrainedModel) -> torch.Tensor:
    """The logits of the rows' answers."""
    with torch.no_grad():
        out: torch.Tensor = output_layer(model)(hidden_states(model, BATCH)[BATCH.row, BATCH.position])
    return out


def train(model: PreTrainedModel, objective: Objective, folder: Path, checkpointing: bool = False) -> list[float]:
    """Two steps of unlearning; their losses."""
    sweep = config(folder)
    reference.write_reference(folder, model, ASKED, next(iter(find_blocks(model)[0].parameters())).dtype)
    said = reference.read_reference(folder, model, ASKED)
    forget, retain = build_terms(sweep, objective, 0, model, ASKED, said)
    schedule = Schedule(
        n_rows=4,
        n_epochs=2,
        batch_size=4,
        lr=1e-2,
        warmup_from=1,
        weight_decay=0.0,
        max_grad_norm=1.0,
        checkpointing=checkpointing,
    )
    parts = (chain(forget.loss_parts(model, [0, 1]), retain.loss_parts(model, [2, 3])) for _ in range(2))
    return [step.loss for step in train_steps(model, schedule, parts)]


# The model


@pytest.mark.parametrize("precision", PRECISIONS)
def test_new_adapters_are_the_target_to_the_bit(precision: str) -> None:
    """With B = 0, with the adapters off, and without any; the adapters are float32, the weights as without them."""
    plain, model = apply_precision(llama(), precision), adapted(precision)
    target = logits(plain)
    assert torch.equal(logits(model), target)
    assert {weight.dtype for _, weight in trainable_parameters(model)} == {torch.float32}
    frozen = {p.dtype for p in model.parameters() if not p.requires_grad}
    assert frozen == {WEIGHT_DTYPES[precision]}
    assert type(model) is type(plain) and len(find_blocks(model)) == 2
    model = moved(precision)
    for layer in list_adapters(model).values():
        layer.enable_adapters(False)
    assert torch.equal(logits(model), target)


def test_all_linear_layers_of_the_blocks_have_an_adapter() -> None:
    """Seven in each of two blocks, not the head; with rank 4, A and B have 4 (in + out) weights."""
    model = adapted()
    assert {name.rsplit(".", 1)[-1] for name in list_adapters(model)} == LINEAR
    assert len(list_adapters(model)) == 14
    block = 4 * (4 * (32 + 32) + 3 * (32 + 64))
    assert sum(weight.numel() for _, weight in trainable_parameters(model)) == 2 * block
    some = adapted(lora=LoraConfig.model_validate({"rank": 4, "targets": ["q_proj", "self_attn.v_proj"]}))
    assert {name.rsplit(".", 1)[-1] for name in list_adapters(some)} == {"q_proj", "v_proj"}


def test_a_seed_makes_the_adapter() -> None:
    """The same A for the same seed whatever came before, another for another; B is 0 again."""
    model, weights = moved(), AdapterWeights()
    found = []
    for seed in (3, 4, 3):
        weights.reset(model, seed)
        found.append(snapshot_weights(model))
        assert all(not value.any() for name, value in found[-1].items() if ".lora_B." in name)
    assert all(torch.equal(found[0][name], found[2][name]) for name in found[0])
    assert not any(torch.equal(found[0][name], found[1][name]) for name in found[0] if ".lora_A." in name)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("objective", [WTNPO(alpha=1.0, beta=1.0), RMU(layer=1, c=2.0, normalize=False)])
def test_only_adapters_are_trained(precision: str, objective: Objective, tmp_path: Path) -> None:
    """Two steps move them and nothing else, with layers that are computed twice too; frozen weights get no gradient."""
    found = []
    for checkpointing in (False, True):
        model = adapted(precision)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        losses = train(model, objective, tmp_path, checkpointing)
        moving = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        assert moving and all(".lora_" in name for name in moving)
        assert not any(parameter.grad is not None for parameter in model.parameters())
        found.append((losses, snapshot_weights(model)))
    (plain, weights), (again, same) = found
    assert plain == again and all(torch.equal(weights[name], same[name]) for name in weights)


def test_the_head_of_the_reference_is_the_model_s_own(tmp_path: Path) -> None:
    """It is frozen with the model, so that no copy is needed; a model that is trained has one."""
    for model, is_copy in ((adapted(), False), (llama(), True)):
        reference.write_reference(tmp_path, model, ASKED, torch.float32)
        said = reference.read_reference(tmp_path, model, ASKED)
        own = {id(parameter) for parameter in model.parameters()}
        assert all((id(weight) in own) != is_copy for weight in said.head.parameters())


# Mixing and saving


@pytest.mark.parametrize("m", [0.0, 0.3, 1.0])
def test_a_mix_scales_the_update(m: float, tmp_path: Path) -> None:
    """The logits are those of (1 − m) · target + m · merged, mixed by hand in float64 (1e-6 of the largest)."""
    model, target = moved(), llama()
    save_model(model, tokenizer(), tmp_path)
    merged, unlearned = load_model(tmp_path), snapshot_weights(model)
    AdapterWeights().mix(model, unlearned, m)
    with torch.no_grad():
        for own, other in zip(target.parameters(), merged.parameters(), strict=True):
            own.copy_((1 - m) * own.double() + m * other.double())
    expected = logits(target)
    assert float((logits(model) - expected).abs().max() / expected.abs().max()) < 1e-6


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_model_is_measured_as_it_is_saved(precision: str, tmp_path: Path) -> None:
    """To the bit; afterwards it computes as in training, and nothing of it has changed."""
    model = moved(precision)
    before = logits(model)
    save_model(model, tokenizer(), tmp_path)
    with compute_merged(model):
        found = logits(model)
    saved = apply_precision(load_model(tmp_path, dtype=WEIGHT_DTYPES[precision]), precision)
    assert torch.equal(found, logits(saved))
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("precision", ["float32", "kahan"])
def test_a_saved_model_is_merged(precision: str, tmp_path: Path) -> None:
    """W + 2 B A, computed here, rounded once; a plain load has the logits, and the model in memory stays as it was."""
    model = moved(precision)
    before = snapshot_weights(model)
    save_model(model, tokenizer(), tmp_path)
    loaded = load_model(tmp_path, dtype=WEIGHT_DTYPES[precision])
    layer = list_adapters(model)["model.layers.1.mlp.down_proj"]
    a, b = (part["default"].weight.detach() for part in (layer.lora_A, layer.lora_B))
    expected = layer.get_base_layer().weight.float() + 2 * b @ a
    own = loaded.get_submodule("model.layers.1.mlp.down_proj").get_parameter("weight")
    assert torch.equal(own, expected.to(own.dtype))
    assert all(torch.equal(before[name], value) for name, value in snapshot_weights(model).items())
    assert all(weight.requires_grad for weight in loaded.parameters())
    if precision == "float32":
        assert torch.allclose(logits(loaded), logits(model), rtol=0, atol=1e-4)


def test_a_model_of_convolutions_is_adapted_and_saved(tmp_path: Path) -> None:
    """GPT-2 has its linear layers transposed, as Conv1D."""
    torch.manual_seed(0)
    model: PreTrainedModel = GPT2LMHeadModel(GPT2Config(vocab_size=300, n_positions=32, n_embd=32, n_layer=2, n_head=2))
    model.eval()
    add_adapters(model, LORA, "float32")
    reset_adapters(model, 0)
    with torch.no_grad():
        for _, parameter in trainable_parameters(model):
            parameter.add_(0.1 * torch.randn(parameter.shape))
    assert {name.rsplit(".", 1)[-1] for name in list_adapters(model)} == {"c_attn", "c_proj", "c_fc"}
    save_model(model, tokenizer(), tmp_path)
    assert torch.allclose(logits(load_model(tmp_path)), logits(model), rtol=0, atol=1e-5)


# Adapters in a folder


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path, PreTrainedModel]:
    """A base and an adapter in folders, and the model with both."""
    base, folder, model = tmp_path / "base", tmp_path / "adapter", moved()
    save_model(llama(), tokenizer(), base)
    save_adapter(model, str(base), folder)
    return base, folder, model


def test_an_adapter_is_merged_at_load(pair: tuple[Path, Path, PreTrainedModel]) -> None:
    """With its base's tokenizer and configuration, trainable and without a trace of peft; also in bfloat16."""
    base, folder, model = pair
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".safetensors"]
    found = load_model(folder)
    assert torch.allclose(logits(found), logits(model), rtol=0, atol=1e-4)
    assert not torch.allclose(logits(found), logits(load_model(base)), rtol=0, atol=1e-2)
    assert list_adapters(found) == {} and all(weight.requires_grad for weight in found.parameters())
    assert {weight.dtype for weight in load_model(folder, dtype=torch.bfloat16).parameters()} == {torch.bfloat16}
    assert load_config(folder).hidden_size == 32
    assert load_tokenizer(folder).get_vocab() == tokenizer().get_vocab()


def test_the_content_of_base_and_adapter_is_pinned(pair: tuple[Path, Path, PreTrainedModel], tmp_path: Path) -> None:
    """Another base, or another adapter, is another model."""
    base, folder, _ = pair
    first = digest_model(folder, tmp_path)
    assert first == digest_model(folder, tmp_path)
    save_adapter(adapted(), str(base), folder)
    second = digest_model(folder, tmp_path)
    save_model(llama(seed=1), tokenizer(), base)
    assert len({first, second, digest_model(folder, tmp_path)}) == 3


def described(**values: object) -> Callable[[Path], None]:
    """Change keys of the adapter's description."""

    def plant(folder: Path) -> None:
        file = folder / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return plant


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (described(peft_type="IA3"), "holds an adapter of type IA3: only LORA is merged here"),
        (described(base_model_name_or_path="/gone"), "'/gone' in adapter_config.json, is no folder"),
        (described(base_model_name_or_path=None), "None in adapter_config.json, is no folder"),
        (described(base_model_name_or_path="."), "is an adapter too"),
        (described(target_modules=["c_attn"]), "cannot be loaded: "),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "has no adapter_model.safetensors"),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"no"), "is no safetensors file"),
    ],
)
def test_an_adapter_that_cannot_be_merged_is_refused(
    plant: Callable[[Path], None], said: str, pair: tuple[Path, Path, PreTrainedModel]
) -> None:
    """In one sentence that names it, or what is wrong with its base."""
    _, folder, _ = pair
    plant(folder)
    with pytest.raises(DataError, match=said) as error:
        load_model(folder)
    assert str(folder) in str(error.value)


def test_a_base_beside_the_adapter_is_found(pair: tuple[Path, Path, PreTrainedModel]) -> None:
    """By a path from the adapter's own folder, so that both can be moved together."""
    _, folder, model = pair
    described(base_model_name_or_path="../base")(folder)
    assert torch.allclose(logits(load_model(folder)), logits(model), rtol=0, atol=1e-4)


# The configuration

FILE = Path("configs/wtnpo.yaml")


@pytest.mark.parametrize("typed", ["train.lora={rank: 16}", "+train.lora.rank=16"])
def test_a_rank_is_enough(typed: str) -> None:
    """Alpha is twice the rank, the learning rate ten times the model's; what is stored is read back the same."""
    found = load(FILE, ["model=llama-2-7b", typed])
    assert found.train.lora == LoraConfig(rank=16, alpha=32.0, targets=None)
    assert (found.train.lr, found.target.lr, found.target.lora) == (1e-4, 1e-5, None)
    assert "alpha: 32.0" in dump(found) and "lora:" not in dump(load(FILE))


def test_a_stored_sweep_keeps_its_rate(tmp_path: Path) -> None:
    """It is not multiplied again; the range of search.also is around the adapters' own."""
    found = load(FILE, ["model=phi-1.5", "train.lora.rank=8", "target.lora.rank=8", "search.also=[train.lr]"])
    file = tmp_path / "config.yaml"
    file.write_text(dump(found))
    assert load(file).model_dump() == found.model_dump()
    assert (found.train.lr, found.target.lr) == (2e-4, 2e-4)
    assert found.space["train.lr"].model_dump()["high"] == 1e-3


@pytest.mark.parametrize("typed", ["train.lr=3e-4", "train={lr: 3e-4}"])
def test_a_rate_that_is_given_stays(typed: str, tmp_path: Path) -> None:
    """By an override, or in the file itself."""
    assert load(FILE, ["train.lora.rank=8", typed]).train.lr == 3e-4
    own = tmp_path / "own.yaml"
    own.write_text(f"{FILE.read_text()}\ntrain: {{lr: 3.0e-4, lora: {{rank: 8}}}}\n")
    assert load(own).train.lr == 3e-4
    assert load(own, ["target.lora.rank=8"]).target.lr == 3e-3  # above 5e-4 as it is


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("train.lora={rank: 0}", r"^train.lora.rank = 0 must be greater than 0\.$"),
        ("train.lora={}", r"^train.lora.rank is missing"),
        ("train.lora=16", r"^train.lora = 16 must be a block of keys and values\.$"),
        ("train.lora={rank: 8, dropout: 0.1}", r"^train.lora.dropout = 0.1 "),
        ("train.lora={rank: 8, targets: []}", r"^train.lora.targets = \(?\[?\]?\)? ?must not be empty\.$"),
    ],
)
def test_mistakes(typed: str, said: str) -> None:
    """One sentence with the key and the value."""
    with pytest.raises(ConfigError, match=said):
        load(FILE, [typed])


def lora_sweep(storage: Path, **lora: object) -> SweepConfig:
    """The toy sweep with adapters of rank 4."""
    return config(storage, train={"lora": {"rank": 4} | lora})


def test_a_layer_that_the_model_lacks(tmp_path: Path) -> None:
    """It is refused with the nearest name, and what there is."""
    check_lora_targets(lora_sweep(tmp_path, targets=("q_proj", "layers.0.mlp.up_proj")), dataset())
    with pytest.raises(ConfigError, match=r"^train.lora.targets = 'q_prj' must be .* \(nearest: q_proj\)\.$") as error:
        check_lora_targets(lora_sweep(tmp_path, targets=("q_prj",)), dataset())
    assert all(name in str(error.value) for name in LINEAR)
    with pytest.raises(ConfigError, match="must be a linear layer of the model's blocks"):
        check_lora_targets(lora_sweep(tmp_path, targets=("lm_head",)), dataset())


def test_shards_of_adapters_are_refused(tmp_path: Path) -> None:
    """Before anything starts; several processes share the rows alone."""
    sweep = config(tmp_path, train={"lora": {"rank": 4}, "parallel": "fsdp"})
    two = sweep.model_copy(update={"cluster": sweep.cluster.model_copy(update={"processes": 2})})
    with pytest.raises(ConfigError, match=r"^train.parallel = 'fsdp' must be ddp where train.lora trains adapters"):
        train_rules.validate_training(two)


def test_without_adapters_no_address_changes(tmp_path: Path) -> None:
    """A null is not stored; adapters of a trial share the target, those of the fine-tuning make another."""
    plain = config(tmp_path)
    assert "lora" not in plain.model_dump_json()
    tuned = plain.model_copy(update={"target": plain.target.model_copy(update={"lora": LORA})})
    places = [locate_artifacts(sweep, dataset()).target for sweep in (plain, lora_sweep(tmp_path), tuned)]
    assert places[0] == places[1] != places[2]


def test_adapters_are_not_the_paper_s_recipe() -> None:
    """No result with them is called a recovery without that word; a searched rate stands at the adapters' own."""
    sweep = load(FILE, ["model=phi-1.5", "data=tofu-forget10", "train.lora.rank=8", "search.also=[train.lr]"])
    said = 'train.lora = {"rank": 8, "alpha": 16.0, "targets": null}, not null'
    assert recipe_differences(sweep) == [said]
    assert "other recipe" in list_qualifiers(sweep)
    setting = find_paper_setting(sweep)
    assert setting is not None and setting["train.lr"] == 2e-4


# The forecast

LLAMA = LlamaConfig(
    vocab_size=1000,
    hidden_size=128,
    intermediate_size=384,
    num_hidden_layers=1,
    num_attention_heads=4,
    tie_word_embeddings=True,
)


def test_memory_of_adapters(tmp_path: Path) -> None:
    """Gradients of 4 bytes and moments of 8 for each of an adapter's weights; the others 2, and no second head."""
    rows = encoded((20, 60), (20, 61))
    asked = TrainingRows(forget=rows, refusals=rows, retain=rows, min_length=0)
    texts = SweepRows(training_rows=asked, target_rows=rows, retain_model_rows=rows, probes=rows)
    sweep = config(tmp_path, train={"precision": "kahan", "lora": {"rank": 4}})
    found = measure_stages(sweep, WTNPO(alpha=1.0, beta=1.0), LLAMA, texts)
    weights = 1000 * 128 + 128 + 4 * 128 * 128 + 3 * 128 * 384 + 2 * 128
    trained = 4 * (4 * (128 + 128) + 3 * (128 + 384))
    stage = found["unlearning"]
    assert stage.weights == 2 * weights + 4 * trained
    assert stage.gradients == 4 * trained and stage.head == 0
    assert stage.optimizer == pytest.approx(8 * trained, rel=1e-2)
    assert found["fine-tuning"].gradients == 2 * weights


def test_a_fine_tuning_that_does_not_fit_is_told_of_adapters() -> None:
    """Of 74 and 20 GB on a card of 24, the first has all weights trained; shards are no way where adapters are."""
    gigabytes = {"head": 0, "optimizer": 0, "activations": 6 * 10**9}
    full = StageMemory(weights=14 * 10**9, gradients=14 * 10**9, **gigabytes | {"optimizer": 40 * 10**9})
    own = StageMemory(weights=14 * 10**9, gradients=10**8, **gigabytes)
    budget = Budget(n_trials=1, trial_hours=None, artifact_costs={})
    said = Forecast(stages={"unlearning": own, "fine-tuning": full}, card_bytes=24e9, budget=budget).lines[0]
    assert "target.lora.rank=16 has the fine-tuning train adapters alone" in said
    assert "train.lora" not in said and "fsdp" not in said
    both = Forecast(stages={"unlearning": full, "fine-tuning": full}, card_bytes=24e9, budget=budget).lines[0]
    assert all(key in both for key in ("train.lora.rank=16", "target.lora.rank=16", "fsdp"))
    assert "it fits" in Forecast(stages={"unlearning": own}, card_bytes=24e9, budget=budget).lines[0]


def test_hours_of_adapters(tmp_path: Path) -> None:
    """A trained position costs two thirds: no gradients of the frozen weights."""
    card = {"gpus": 1.0, "accelerator": "A100"}
    hours = []
    for sweep in (config(tmp_path), lora_sweep(tmp_path)):
        cheap = sweep.model_copy(update={"cluster": sweep.cluster.model_copy(update=card)})
        own = cost.load_model_info(cheap.model, cheap.target, dataset(), "sdpa")
        hours.append(cost._estimate_hours(cheap, own, cheap.train.lora, None, cost.Work(trained=100)))
    assert hours[0] and hours[1] == pytest.approx(hours[0] * 2 / 3)
