"""Composing: what wins over what, the round trip, names, and one clear sentence for every mistake."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.datasets import tofu
from eval.shipped_configs import CONFIGS
from sweep.config.compose import default_name, dump, load, validate_name
from sweep.config.search_schema import Choices, Range
from sweep.config.template import Template
from sweep.errors import ConfigError
from sweep.records import Value

WTNPO = CONFIGS / "wtnpo.yaml"
MODELS = sorted(file.stem for file in (CONFIGS / "model").glob("*.yaml"))
HEAD = """\
defaults: [base, model: tiny, data: authors, recipe: default, cluster: local, _self_]
objective: tnpo
"""
SPACE = "space: {beta: {low: 1.0, high: 2.0}}\n"
NOW = datetime(2026, 8, 2, 3, 4, 5, tzinfo=UTC)


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    """A file of the user's own."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, *overrides: str) -> str:
    """The sentence with which a configuration is refused; Hydra keeps no state of it."""
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    assert not GlobalHydra.instance().is_initialized()
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message


@pytest.mark.usefixtures("composed_anew")
def test_shipped_config_is_what_its_file_says() -> None:
    """The numbers of wtnpo.yaml and of the groups that it chooses arrive; storage is absolute."""
    config = load(WTNPO)
    assert config.objective == "wtnpo"
    assert config.space == {"alpha": Range(low=0.0, high=5.0), "beta": Range(low=0.25, high=10.0, log=True)}
    assert (config.model.name, config.data.name, config.recipe, config.cluster.name) == (
        "tiny",
        "authors",
        "default",
        "local",
    )
    assert config.model.layers == 4  # an interpolation of model.shape.layers
    assert config.storage == Path.cwd() / "runs"


@pytest.mark.usefixtures("composed_anew")
def test_loading_twice_is_the_same_and_leaves_hydra_clean() -> None:
    """Hydra's process-wide state is as before, and the second load does not see the first one's overrides."""
    before = load(WTNPO)
    assert load(WTNPO, ["search.trials=3"]).search.trials == 3
    assert load(WTNPO) == before
    assert not GlobalHydra.instance().is_initialized()


def test_override_beats_file_beats_group(tmp_path: Path) -> None:
    """train.lr of the group, then 0.25 of the file (though its `_self_` is not written), then 0.5 of the override."""
    group = yaml.safe_load((CONFIGS / "model" / "tiny.yaml").read_text(encoding="utf-8"))
    assert load(WTNPO).train.lr == group["train"]["lr"] < 0.25
    path = written(tmp_path, HEAD.replace(", _self_", "") + SPACE + "train: {lr: 0.25}\n")
    assert load(path).train.lr == 0.25
    assert load(path, ["train.lr=0.5"]).train.lr == 0.5
    assert load(path, ["++train.lr=0.5"]).train.lr == 0.5


def test_own_folder_has_its_own_groups_and_uses_ours(tmp_path: Path) -> None:
    """A config anywhere takes our groups and those that lie beside it."""
    written(tmp_path, "# @package _global_\ncluster: {cpus: 3}\n", "cluster/big.yaml")
    path = written(tmp_path, HEAD + SPACE + "cluster: {name: big, address: null, gpus: 0, accelerator: null}\n")
    assert load(path).cluster.cpus == 1
    assert refusal(path, "cluster=big").startswith("cluster.memory is missing")
    others = [f"cluster.{change}" for change in ("memory=40", "concurrency=2", "retries=0", "deadline=null")]
    assert load(path, ["cluster=big", *others]).cluster.cpus == 3
    assert "a100, a100-shared, big, local" in refusal(path, "cluster=small")


def test_config_may_extend_another(tmp_path: Path) -> None:
    """A file that lists wtnpo.yaml as its only default changes what it names and may still choose groups."""
    path = written(tmp_path, "defaults: [wtnpo, _self_]\nspace: {alpha: {high: 2.0}}\n")
    assert load(path, ["data=tofu-forget01"]).data.name == "tofu-forget01"
    assert load(path).space["alpha"] == Range(low=0.0, high=2.0)


@pytest.mark.usefixtures("composed_anew")
@pytest.mark.parametrize("model", ["phi-1.5", "llama-2-7b"])
def test_models_of_the_paper_bring_its_recipe(model: str) -> None:
    """recipe=paper comes with the model, in any order of overrides; recipe=default beats it; a value beats both."""
    config = load(WTNPO, [f"model={model}"])
    assert (config.recipe, config.retain.reduction, config.train.clip) == ("paper", "padded500", None)
    assert load(WTNPO, ["recipe=default", f"model={model}"]).train.clip == 1.0
    assert load(WTNPO, [f"model={model}", "train.clip=1"]).train.clip == 1.0


def test_recipe_of_the_file_stays_for_other_models(tmp_path: Path) -> None:
    """A model that brings no recipe leaves the one that the file chooses."""
    path = written(tmp_path, HEAD.replace("recipe: default", "recipe: paper") + SPACE)
    assert load(path).recipe == "paper"


@pytest.mark.usefixtures("composed_anew")
def test_entries_of_the_space_come_and_go() -> None:
    """`~` takes an entry away, a dotted name of a trial's value stays one name, choices replace a range."""
    config = load(WTNPO, ["~space.alpha", "fixed.alpha=1.5", "space.retain.weight={low: 0.1, high: 2}"])
    assert config.fixed == {"alpha": 1.5}
    assert config.space.keys() == {"beta", "retain.weight"}
    assert load(CONFIGS / "ga_kl.yaml", ["space.retain.weight.low=0.01"]).space == {
        "retain.weight": Range(low=0.01, high=10.0, log=True)
    }
    assert not load(CONFIGS / "ga_kl.yaml", ["~space.retain.weight"]).space
    chosen = load(WTNPO, ["~space.alpha", "space.alpha={choices: [1, 2.5]}", "fixed.train.epochs=3"])
    assert chosen.space["alpha"] == Choices(choices=(1, 2.5))
    assert chosen.fixed == {"train.epochs": 3}


def test_local_folders_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that is a folder here is made absolute; a hub id is left; `~` is the home folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "tofu").mkdir()
    config = load(WTNPO, ["data=tofu-forget01", "data.path=tofu", "model=smollm2-135m", "storage='~/runs'"])
    assert isinstance(config.data, tofu.Options) and config.data.path == str(tmp_path / "tofu")
    assert config.model.path == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert config.storage == Path("/home/me/runs")


def test_quoted_values_may_have_any_letter(tmp_path: Path) -> None:
    """In quotes of its own a value may hold '=' and Greek letters."""
    assert load(WTNPO, [f"storage='{tmp_path}/α=1'"]).storage == tmp_path / "α=1"


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["model=phi-1.5", "data=tofu-forget05", "cluster=a100"],
        ["model=smollm2-135m", "~space.alpha", "space.alpha={choices: [1, 2.5, true, x]}"],
        ["space.train.epochs={low: 1, high: 9, step: 2}", "fixed.train.lr=1e-5", "ledger=sqlite:///x.db"],
    ],
)
def test_dump_and_load_are_inverse(tmp_path: Path, overrides: list[str]) -> None:
    """The resolved file has no defaults, loads to the same stored values from any folder, and takes overrides."""
    config = load(WTNPO, overrides)
    path = written(tmp_path, dump(config))
    assert load(path).model_dump() == config.model_dump()
    assert load(path, ["seed=7"]).model_dump() == config.model_dump() | {"seed": 7}


def test_dump_keeps_every_text(tmp_path: Path) -> None:
    """Texts that mean something to YAML or OmegaConf come back as they are, wherever they stand in a line."""
    base = load(WTNPO)
    letters = st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t\\${}:'\"?#&*!|>%@`- ")

    @settings(max_examples=8, deadline=None)  # each example composes
    @given(texts=st.lists(st.text(letters, max_size=12), min_size=1, max_size=8))
    def law(texts: list[str]) -> None:
        template = Template(question=texts[0] + "{question}", answer="{answer}" + texts[-1])
        model = base.model.model_copy(update={"template": template})
        config = base.model_copy(update={"model": model, "fixed": fixed(texts)})
        assert load(written(tmp_path, dump(config))) == config

    law()


def fixed(texts: list[str]) -> dict[str, Value]:
    """A block of the user's own that holds the texts."""
    return {f"name{place}": text for place, text in enumerate(texts)}


def test_dump_keeps_texts_that_look_like_something_else(tmp_path: Path) -> None:
    """A hub revision of digits, say, stays a text."""
    base = load(WTNPO)
    texts = ["1e3", "null", "true", "12", "2024-01-01", "${seed}", r"\${seed}", r"\\${seed}", "~", " "]
    model = base.model.model_copy(update={"revision": "12"})
    config = base.model_copy(update={"model": model, "fixed": fixed(texts)})
    assert load(written(tmp_path, dump(config))) == config


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("modle=x", "modle = 'x' is not a known key: allowed are artifacts, cluster, data"),
        ("modle=x", "(nearest: model)."),
        ("trials=3", "(nearest: search.trials)."),
        ("search.trails=3", "(nearest: search.trials)."),
        ("model.template.qestion=x", "(nearest: model.template.question)."),
        ("space.alpha.lwo=1", "space.alpha.lwo = 1 is not a known key: allowed are choices, high, log, low, step"),
        ("space.alhpa.low=1", "space.alhpa.high is missing (nearest: alpha)."),
        ("train.lr.x=1", "train.lr = {'x': 1} must be a number."),
        ("train=[1]", "train = [1] must be a block of keys and values."),
        ("search.warm_start=x", "search.warm_start = 'x' must be a list."),
        ("data.path=x", "data.path = 'x' has no place in this kind of data: allowed are forget, holdout"),
        ("space.alpha.choices=[1]", "space.alpha.low = 0.0 has no place in this kind of space: allowed are choices."),
        (
            "model=tinny",
            f"model=tinny is not known: allowed are {', '.join(MODELS)} (nearest: tiny).",
        ),
        ("model=../wtnpo", "model=../wtnpo is not known"),
        ("model=null", "model=None is not known"),
        ("model=tiny,phi-1.5", "must give one value, not several"),
        ("model@train=tiny", "must begin with a key"),
        ("recipe=papr", "(nearest: paper)."),
        ("hydra.run.dir=x", "Hydra's own settings are fixed."),
        ("+hydra.run.dir=x", "Hydra's own settings are fixed."),
        ("hydra/launcher=x", "Hydra's own settings are fixed."),
        ("storage=${oc.env:HOME}", "'${oc.env:HOME}' is not allowed"),
        ("storage=${oc.env:HOME,x}", "is not allowed"),
        ("storage='${${seed}:HOME}'", "is not allowed"),
        ("fixed={alpha: ['${oc.env:HOME}']}", "'${oc.env:HOME}' is not allowed"),
        ("seed=${sed}", "seed = '${sed}' repeats the value of a key that has none: give seed a value of its own."),
        ("seed='a${seed}'", "seed = 'a${seed}' repeats the value of a key that has none"),
        ("seed=${seed.x}", "seed = '${seed.x}' repeats the value of a key that has none"),
        ("storage=${search.warm_start.x}", "storage = '${search.warm_start.x}' repeats the value of a key"),
        ("model.shape=null", "model.layers = '${model.shape.layers}' repeats the value of a key that has none"),
        ("storage='${seed'", r"storage must be a text in which each ${ begins ${key}, or is written \${."),
        ("storage='${}'", "storage must be a text in which each ${ begins ${key}"),
        ("storage=" + 20 * "${seed}", "${key} repeats another key's value 21 times, at most 20 are allowed."),
        ("~train.lr", "only entries of space and fixed can be taken away"),
        ("~model", "only entries of space and fixed can be taken away"),
        ("~space", "only entries of space and fixed can be taken away"),
        ("~space.alhpa", "space has no alhpa (nearest: alpha)."),
        ("fixed={a: '\0'}", r"fixed.a = '\x00' must be text, without NUL"),
        ("+foo=1", "foo = 1 is not a known key"),
        ("seed", "override 'seed' has no '=': write key=value."),
        ("=3", "must begin with a key"),
        ("storage=a=b", "quotes of its own"),
        ("storage=αβ", "quotes of its own"),
        ("α=3", "keys must be ASCII"),
        ("seed=", "seed = '' must be a whole number."),
        ("search.trials=abc", "search.trials = 'abc' must be a whole number."),
        ("search.trials=0", "search.trials = 0 must be greater than 0."),
        ("search.trials=1.5", "search.trials = 1.5 must be a whole number."),
        ("search.trials=true", "search.trials = True must be a whole number."),
        ("search.trials='8'", "search.trials = '8' must be a whole number."),
        ("search=3", "search = 3 must be a block of keys and values."),
        (
            "search.sampler=tp",
            "search.sampler = 'tp' must be 'auto', 'gp', 'tpe', 'random', 'grid', 'nsga2' or 'paper' (nearest: tpe).",
        ),
        ("space.alpha.low=x", "space.alpha.low = 'x' must be a number."),
        ("space.alpha.low=true", "space.alpha.low = True must be a number."),
        ("space.alpha.low=nan", "space.alpha.low = nan must be a finite number."),
        ("space.alpha.high=inf", "space.alpha.high = inf must be a finite number."),
        ("cluster.gpus=1e400", "cluster.gpus = inf must be a finite number."),
        ("cluster.gpus=nan", "cluster.gpus = nan must be a finite number."),
        ("space.alpha.low=9", "must have low (9.0) at most high (5.0)."),
        ("space.beta.low=0", "must have low above 0 (not 0.0) where log is true."),
        ("space.beta.step=1", "must not have a step where log is true."),
        ("space.alpha.step=0", "space.alpha.step = 0 must be greater than 0."),
        ("space.alpha=3", "space.alpha = 3 must be a block of keys and values."),
        ("space=null", "space = None must be a block of keys and values."),
        ("fixed={alpha: null}", "fixed.alpha = None must be a whole number or a number or a text or true or false."),
        ("seed=-1", "seed = -1 must be greater than or equal to 0."),
        ("score.tau=1.1", "score.tau = 1.1 must be less than or equal to 1."),
        ("data.source=tufo", "data.source = 'tufo' must be authors or own or tofu."),
        ("storage=???", "storage is missing"),
        ("storage=s3://bucket/x", "storage = 's3://bucket/x' must be a folder"),
        ("storage=3", "storage = 3 must be a folder."),
        ("model.template.question=hi", "must have {question} in its question"),
        ("model={layers: 3}", "model must have a path, or a shape"),
        ("model.shape.hidden=127", "must have a hidden size (127) that is a multiple of 2 × heads (4)."),
    ],
)
def test_refused_override_is_told_in_one_sentence(override: str, said: str) -> None:
    """Each mistake names the key, the value, and what is allowed or nearest."""
    assert said in refusal(WTNPO, override)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- a\n", "holds a list"),
        ("a\n", "holds a text"),
        ("a: 1\nb: c: d\n", "line 2: not valid YAML"),
        (HEAD + SPACE + "seed: 1\nseed: 2\n", "line 5: not valid YAML: found duplicate key seed."),
        (HEAD + SPACE + "_target_: os.system\n", "_target_ = 'os.system' is not a known key"),
        (HEAD + SPACE + "train: {epcohs: 3}\n", "train.epcohs = 3 is not a known key"),
        (HEAD + SPACE + "'': 1\n", "'' = 1 is not a known key"),
        (HEAD + SPACE + "hydra: {run: {dir: x}}\n", "hydra is not allowed"),
        (HEAD.replace("_self_", "_self_, {override hydra/job_logging: none}") + SPACE, "hydra is not allowed"),
        (HEAD + SPACE + "storage: ${oc.env:HOME}\n", "'${oc.env:HOME}' is not allowed"),
        (HEAD.replace("tiny", '"${oc.env:HOME}"') + SPACE, "'${oc.env:HOME}' is not allowed"),
        (HEAD.replace("tiny", "tinny") + SPACE, "model=tinny is not known: allowed are hf, llama-2-7b"),
        (
            HEAD.replace("model: tiny", "modle: tiny") + SPACE,
            "names modle/tiny, which does not exist (nearest: model).",
        ),
        (HEAD.replace("base", "bse") + SPACE, "names bse, which does not exist (nearest: base)."),
        (HEAD.replace("recipe: default, ", "") + SPACE, "recipe is missing: choose it with `- recipe: NAME`"),
        (HEAD + SPACE + "recipe: paper\n", "write it as `- recipe: paper` in `defaults`."),
        (HEAD + SPACE + "model: phi-1.5\n", "write it as `- model: phi-1.5` in `defaults`."),
        (HEAD, "space is missing"),
        (HEAD + SPACE + "1: 2\n", "1 = 2 is not a known key"),
        (HEAD + SPACE + "search: {trials: !!binary aGk=}\n", "line 4: the tag tag:yaml.org,2002:binary is"),
        (
            HEAD + SPACE + "storage: !!python/object/apply:os.mkdir [made]\n",
            "line 4: the tag tag:yaml.org,2002:python/object/apply:os.mkdir is not allowed",
        ),
        ("a: &x [*x]\n", "line 1: the alias *x is not allowed"),
        (HEAD + SPACE + 'storage: "${nowhere}"\n', "storage = '${nowhere}' repeats the value of a key that has none"),
        (HEAD + SPACE + 'storage: "${"\n', "storage must be a text in which each ${ begins ${key}"),
        ("a: " + "[" * 100_000, "its blocks and lists are nested too deep"),
        (HEAD + SPACE + "seed: " + "1" * 5_000, "integer string conversion: value has 5000 digits."),
        (HEAD + SPACE + "storage: a\x07\n", r"must be printable text, but has '\x07' at 149."),
        (HEAD + SPACE + 'storage: "a\\0"\n', r"line 4: storage = 'a\x00' must be text, without NUL"),
        (HEAD + SPACE + 'storage: "a\\ud800"\n', r"line 4: storage = 'a\ud800' must be text, without NUL"),
        ("\ufeff" + HEAD + SPACE, "begins with a byte order mark"),
        ("defaults: tiny\n", "defaults must be a list"),
        ("defaults: [mine]\n", "or its `defaults` lead back to it."),
        ("objective: tnpo\n", "model is missing"),
    ],
)
def test_refused_file_is_told_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    """Each mistake in a file names the place or the key."""
    assert said in refusal(written(tmp_path, text))


def test_refused_path_names_the_nearest_file(tmp_path: Path) -> None:
    """A missing file, another suffix, none, a folder, bytes that are no text."""
    assert refusal(CONFIGS / "wtnp.yaml").endswith(f"does not exist (nearest: {WTNPO}).")
    assert refusal(CONFIGS / "wtnpo").endswith(f"does not exist (nearest: {WTNPO}).")
    assert refusal(tmp_path / "nowhere" / "wtnpo.yml").endswith(f"does not exist (nearest: {WTNPO}).")
    assert "must end in .yaml" in refusal(written(tmp_path, HEAD + SPACE, "mine.yml"))
    assert "must end in .yaml" in refusal(written(tmp_path, HEAD + SPACE, "mine"))
    assert "is a folder" in refusal(CONFIGS)
    (tmp_path / "latin.yaml").write_bytes(b"storage: \xe9\n")
    assert "must be UTF-8 text, but has the byte 0xe9 at 9." in refusal(tmp_path / "latin.yaml")


def test_base_alone_is_no_sweep() -> None:
    """base.yaml says what is missing; a group file and a resolved file say that they choose no groups."""
    assert refusal(CONFIGS / "base.yaml").startswith("objective is missing")
    assert "is missing: choose it" in refusal(CONFIGS / "model" / "tiny.yaml")


def test_an_entry_cannot_be_taken_from_what_has_none(tmp_path: Path) -> None:
    """The block is no block, or there is none."""
    assert "space has no alpha." in refusal(written(tmp_path, HEAD + "space: 3\n"), "~space.alpha")
    assert "space has no alpha." in refusal(written(tmp_path, HEAD), "~space.alpha")


def test_resolved_file_takes_no_group(tmp_path: Path) -> None:
    """A group cannot replace a block that was resolved already, and the sentence says so."""
    assert "has no cluster in its `defaults`" in refusal(written(tmp_path, dump(load(WTNPO))), "cluster=a100")


@pytest.mark.parametrize("name", ["a", "0", "a" * 64, "wtnpo-tiny-authors-20260801-120000", "a..b"])
def test_valid_names(name: str) -> None:
    """A name within the rule is itself."""
    assert validate_name(name) == name


@pytest.mark.parametrize("name", ["", "../x", "a b", "A", "a" * 65, ".artifacts", "-a", "a/b", "αβ", "a\n"])
def test_invalid_names_are_refused_with_a_valid_one(name: str) -> None:
    """What is proposed instead, if anything, is within the rule."""
    with pytest.raises(ConfigError, match="must be 1 to 64") as caught:
        validate_name(name)
    _, proposed, near = str(caught.value).partition("(nearest: ")
    assert not proposed or validate_name(near.removesuffix(").")) != name


def test_default_name_ends_in_the_time() -> None:
    """2 August 2026, 03:04:05 UTC; letters that no name may have become one '-', or go at the ends."""
    assert default_name("wtnpo-tiny-authors", NOW) == "wtnpo-tiny-authors-20260802-030405"
    assert default_name("β-org/My Model-authors", NOW) == "org-my-model-authors-20260802-030405"


@given(front=st.text(max_size=160))
def test_default_name_is_valid(front: str) -> None:
    """Whatever it is made of, however long that is."""
    assert validate_name(default_name(front, NOW)).endswith("20260802-030405")
