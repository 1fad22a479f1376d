"""Which models a sweep keeps, what is written of each, and what is said where one cannot be written."""

import errno
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from eval.models.checkpoint import load_model, load_tokenizer
from support import toys
from support.plans import toy_plan
from support.trials import PAPER, repeats, sweep_of, trial
from sweep.atomic_io import atomic_write
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.export.__main__ import find_trial, parse_arguments
from sweep.export.cards import build_card, write_cards
from sweep.export.delivery import fetch_models, find_differences, place_models
from sweep.prepare.artifacts import Artifacts, is_intact
from sweep.prepare.budget import ArtifactCost, Budget, KeptModels, summarize_budgets
from sweep.records import Setting, TrialRecord
from sweep.results import saved_models
from sweep.results.chosen_models import choose_early_saves, choose_trials
from sweep.results.saved_models import KINDS, SavedModel, read_models, request_model, select_kinds
from sweep.trial import model_folder
from sweep.trial.outcomes import TrialOutcome

BEST: Setting = {"alpha": 1.0, "beta": 2.0}
OTHER: Setting = {"alpha": 3.0, "beta": 2.0}
METRICS = {"score": 0.25, "mix": 0.5, "forget/es": 0.125, "retain/es": 0.75, "compared/forget/es": 0.375}
RECORDS = (
    trial(0, PAPER, 0.5, metrics={"score": 0.5, "mix": 1.0, "forget/es": 0.5, "retain/es": 0.875}),
    trial(1, BEST, 0.25, metrics=METRICS),
    trial(2, OTHER, 0.375, metrics={"score": 0.375, "mix": 1.0, "forget/es": 0.25, "retain/es": 0.5}),
    *repeats(0, PAPER, 0.5, 0.75, **{"forget/es": 0.5}),
    *repeats(2, BEST, 0.25, 0.5, **{"forget/es": 0.125, "retain/es": 0.75, "mix": 0.5, "compared/forget/es": 0.375}),
)


def config(folder: Path, **blocks: Any) -> SweepConfig:
    """The toy sweep with two report seeds, which keeps the model of the best setting."""
    return toys.config(folder, **{"save": "best", "seeds": 2} | blocks)


def chosen(sweep: SweepConfig, *records: TrialRecord) -> dict[str, tuple[str, int]]:
    """Phase and index of the trials whose models are kept, by label."""
    found = choose_trials(sweep_of(sweep, records))
    return {label: (record.phase, record.index) for label, record in found.items()}


def test_the_model_of_the_first_report_seed_is_kept(tmp_path: Path) -> None:
    """Of the best setting, with finalists of the paper's too; without a report of the search."""
    assert chosen(config(tmp_path), *RECORDS) == {"best": ("finalist", 2)}
    assert chosen(config(tmp_path, save="finalists"), *RECORDS) == {"best": ("finalist", 2), "paper": ("finalist", 0)}
    assert chosen(config(tmp_path, seeds=0), *RECORDS[:3]) == {"best": ("search", 1)}
    assert chosen(config(tmp_path, save="none"), *RECORDS) == chosen(config(tmp_path)) == {}
    assert chosen(config(tmp_path, save="finalists"), RECORDS[0], *RECORDS[3:5]) == {"best": ("finalist", 0)}


def test_a_first_report_trial_that_failed_is_replaced_by_the_search(tmp_path: Path) -> None:
    """No other report seed takes its place, since only the first has all metrics."""
    failed = replace(RECORDS[5], state="failed", metrics={})
    assert chosen(config(tmp_path), *RECORDS[:5], failed, RECORDS[6]) == {"best": ("search", 1)}


def test_the_front_is_kept_beside_the_best(tmp_path: Path) -> None:
    """Trial 1 forgets most; 2 forgets less and keeps less, so that it is not on it; 0 keeps most."""
    found = chosen(config(tmp_path, save="pareto"), *RECORDS)
    assert found == {"best": ("finalist", 2), "search-1": ("search", 1), "search-0": ("search", 0)}


@pytest.mark.parametrize(("save", "paper"), [("best", None), ("pareto", None), ("finalists", "paper")])
def test_a_worker_saves_what_is_known_to_be_kept(tmp_path: Path, save: str, paper: str | None) -> None:
    """First report trials, but not the paper's where it may turn out to be the best; no race, no search."""
    early = choose_early_saves(config(tmp_path, save=save), "mine", PAPER)
    assert early is not None
    labels = [request and request.label for request in map(early.find_request, RECORDS)]
    assert labels == [None, None, None, paper, None, "best", None]
    request = early.find_request(RECORDS[5])
    assert request is not None and request.folders == {"compared": tmp_path / "mine" / "models" / "best" / "compared"}


def test_a_sweep_of_one_trial_saves_it_at_once(tmp_path: Path) -> None:
    """Whatever its setting; of several trials without a report none is known to be the best."""
    alone = config(tmp_path, seeds=0, search={"trials": 1}, save_as="both")
    early = choose_early_saves(alone, "mine", PAPER)
    assert early is not None
    for setting in (PAPER, BEST):
        request = early.find_request(trial(0, setting, 0.5))
        assert request is not None and (request.label, [*request.folders]) == ("best", ["unlearned", "compared"])
    assert choose_early_saves(config(tmp_path, seeds=0), "mine", PAPER) is None
    assert choose_early_saves(config(tmp_path, save="none"), "mine", PAPER) is None


def test_a_trial_has_no_weights_that_are_not_there() -> None:
    """A trial that diverged has none; where no mix keeps τ there is nothing to compare."""
    assert select_kinds(KINDS, METRICS) == ["unlearned", "compared"]
    assert select_kinds(KINDS, {"forget/es": 0.5, "mix": 0.0, "score": 1.0}) == ["unlearned"]
    assert select_kinds(KINDS, {"mix": 0.0, "score": 1.0}) == []


# Writing


def save(folder: Path, mixed: list[float] | None = None, url: str | None = None) -> str:
    """Save both kinds of weights of a toy whose mix is recorded, and return the problem if there is one."""
    request = request_model("mine", folder, "best", ("unlearned", "compared"))
    session: Any = SimpleNamespace(
        model=toys.llama(), tokenizer=toys.tokenizer(), dataset=toys.dataset(), template=toys.TEMPLATE
    )
    places = Artifacts(target=folder / "t", reference=folder / "r", retain_model=None, url=url)
    tell: Any = (mixed if mixed is not None else []).append
    outcome = TrialOutcome(metrics=METRICS)
    return model_folder.save_models(request, places, replace(RECORDS[5], metrics={}), session, tell, outcome)


def test_a_saved_model_is_the_model(tmp_path: Path) -> None:
    """Loaded again it has the same bits, tokens and rows; m = 1, then m*, are mixed; its checksums hold."""
    mixed: list[float] = []
    assert save(tmp_path, mixed) == ""
    assert mixed == [1.0, 0.5]
    compared, unlearned = read_models(tmp_path)
    assert [(one.label, one.kind, one.trial["mix"]) for one in (compared, unlearned)] == [
        ("best", "compared", 0.5),
        ("best", "unlearned", 1.0),
    ]
    assert compared.record == replace(RECORDS[5], metrics=METRICS)
    assert compared.size == sum(file.stat().st_size for file in compared.folder.iterdir())
    loaded = load_model(compared.folder)
    assert all(map(torch.equal, loaded.parameters(), toys.llama().parameters()))
    assert load_tokenizer(compared.folder).get_vocab() == toys.tokenizer().get_vocab()
    assert (compared.folder / "rows.json").read_text() == toys.dataset().to_json()
    assert json.loads((compared.folder / "template.json").read_text()) == toys.TEMPLATE.model_dump()
    assert (compared.folder / "generation_config.json").is_file() and is_intact(compared.folder)


def test_half_a_model_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """A disk that fills up while the weights are written: the reason comes back, and no folder is left."""

    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(model_folder, "save_model", fill)
    assert "No space left on device" in save(tmp_path)
    assert read_models(tmp_path) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == []
    assert "Traceback" in capsys.readouterr().err


def test_a_killed_save_looks_like_nothing(tmp_path: Path) -> None:
    """What is left of it has another name, and the next save takes its place."""
    assert save(tmp_path) == ""
    (whole,) = [one.folder for one in read_models(tmp_path) if one.kind == "compared"]
    whole.rename(whole.with_suffix(".part"))
    assert [one.kind for one in read_models(tmp_path)] == ["unlearned"]
    assert save(tmp_path) == ""
    assert len(read_models(tmp_path)) == 2 and not whole.with_suffix(".part").exists()


def test_a_disk_without_room_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the disk, what it has and what it takes."""
    monkeypatch.setattr(saved_models, "count_free_bytes", lambda _: 2 * 10**7)
    assert save(tmp_path).startswith(f"the disk of {tmp_path / 'models' / 'best'} has 20 MB free, and the model")
    assert [*tmp_path.iterdir()] == []


def test_a_model_of_another_machine_comes_by_the_url(tmp_path: Path) -> None:
    """The worker leaves nothing on its own disk; the driver fetches both kinds of weights, without another trial."""
    plan = toy_plan(config(tmp_path / "runs"), "mine")
    plan = replace(plan, artifacts=replace(plan.artifacts, url=(tmp_path / "store").as_uri()))
    wanted = place_models(plan, "best", RECORDS[5], ("unlearned", "compared"))
    assert fetch_models([wanted]) == [wanted]
    assert save(plan.folder, url=plan.artifacts.url) == ""
    assert read_models(plan.folder) == [] and not [*plan.folder.rglob("*.safetensors")]
    assert fetch_models([wanted]) == []
    assert [(one.kind, is_intact(one.folder)) for one in read_models(plan.folder)] == [
        ("compared", True),
        ("unlearned", True),
    ]


# The card


def saved(folder: Path, kind: str = "compared") -> tuple[Any, SavedModel]:
    """A plan, and the saved model of its best setting."""
    plan = toy_plan(config(folder), "mine")
    assert save(plan.folder) == ""
    return plan, next(one for one in read_models(plan.folder) if one.kind == kind)


def test_the_card_tells_numbers_seeds_and_lineage(tmp_path: Path) -> None:
    """Of compared weights: their own forget ES, .375, and the score over two seeds, .375 ± √(2 · .125²)."""
    plan, model = saved(tmp_path)
    card = ModelCard(build_card(plan, sweep_of(plan.config, RECORDS), model))
    data: Any = card.data
    assert (data.library_name, data.tags) == ("transformers", ["machine-unlearning", "wtnpo"])
    assert {one.metric_type: one.metric_value for one in data.eval_results or ()} == {
        "forget/es": 0.375,
        "score": 0.25,
        "mix": 0.5,
    }
    for part in (
        "| forget/es | 0.375 | - |",
        "| score | 0.25 | 0.375 ± 0.177 (2) |",
        "| setting | alpha=1.0 beta=2.0 |",
        "| seed | 1 |",
        f"SHA-256 {plan.dataset.digest}",
        "python -m sweep.export mine ",
        "extraction strength 1 - k/n",
        "MIT licence",
    ):
        assert part in card.text, part


def test_the_card_of_unlearned_weights_has_their_numbers(tmp_path: Path) -> None:
    """Forget ES .125 at m = 1, which both report seeds have."""
    plan, model = saved(tmp_path, "unlearned")
    text = build_card(plan, sweep_of(plan.config, RECORDS), model)
    assert "| forget/es | 0.125 | 0.125 ± 0.000 (2) |" in text and "compared/" not in text


def test_a_folder_with_its_card_is_whole(tmp_path: Path) -> None:
    """The checksums are those of the card and of the trial's configuration too; a changed file is told."""
    plan, model = saved(tmp_path)
    write_cards(plan, sweep_of(plan.config, RECORDS), [model])
    assert is_intact(model.folder)
    assert "seed: 1\n" in (model.folder / "sweep.yaml").read_text()
    assert str(tmp_path) not in (model.folder / "sweep.yaml").read_text()
    atomic_write(model.folder / "rows.json", "{}")
    assert not is_intact(model.folder)


# Later


def test_trials_by_their_names(tmp_path: Path) -> None:
    """A number is a trial of the search; one that there is not is refused with those that there are."""
    sweep = sweep_of(config(tmp_path), RECORDS)
    for name, label, index in (
        ("best", "best", 2),
        ("paper", "paper", 0),
        ("2", "search-2", 2),
        ("finalist-3", "finalist-3", 3),
    ):
        assert (find_trial(sweep, name)[0], find_trial(sweep, name)[1].index) == (label, index)
    with pytest.raises(ConfigError, match=r"^mine has no finished trial serch-2: allowed are best, paper, search-0 to"):
        find_trial(sweep, "serch-2")
    with pytest.raises(ConfigError, match=r"\(nearest: search-2\)\.$"):
        find_trial(sweep, "serch-2")
    with pytest.raises(ConfigError, match=r"^mine has no finished trial yet"):
        find_trial(sweep_of(config(tmp_path), []), "best")


def test_the_words_of_the_command() -> None:
    """The trial may be left out; what is neither a trial nor the storage is left for the refusal."""
    typed = parse_arguments(["mine", "storage=x", "--as", "both"])
    assert (typed.name, typed.trial, typed.words, typed.kinds) == ("mine", "best", ["storage=x"], "both")
    assert parse_arguments(["mine", "3", "4"]).words == ["4"]
    with pytest.raises(ConfigError, match="--as"):
        parse_arguments(["mine", "--as", "worst"])


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    """The kinds that a folder lacks are left; another trial's model is none of this one."""
    plan, _ = saved(tmp_path)
    assert place_models(plan, "best", RECORDS[5], KINDS).lacking is None
    assert place_models(plan, "best", RECORDS[6], KINDS).lacking is not None
    output = place_models(plan, "best", RECORDS[5], KINDS, tmp_path / "out").lacking
    assert output is not None and output.request.folders == {kind: tmp_path / "out" / kind for kind in KINDS}


def test_numbers_of_a_trial_run_again() -> None:
    """Those that differ are named with both values; NaN is NaN, and a lost one is None."""
    nan = float("nan")
    assert find_differences({"a": 1.0, "b": nan, "c": 2.0}, {"a": 1.0, "b": nan, "c": 2.0}) == []
    assert find_differences({"a": 1.0, "b": nan}, {"a": 1.5}) == ["a 1.5, not 1.0", "b None, not nan"]


def test_the_disk_of_kept_models_is_counted() -> None:
    """Two of 3 GB beside 5 GB of artifacts, and the front on top, whose length nobody knows."""
    artifacts = {Path("a"): ArtifactCost(disk_bytes=5 * 10**9, hours=None)}
    kept = KeptModels(number=2, each_bytes=3 * 10**9)
    budget = Budget(n_trials=1, trial_hours=None, artifact_costs=artifacts, models=kept)
    assert budget.disk_text == "5 GB for what the trials share, 6 GB for 2 kept models"
    front = replace(budget, models=replace(kept, number=1, has_front=True))
    assert summarize_budgets([front]).endswith("3 GB for the kept model and 3 GB for each trial on a front")
