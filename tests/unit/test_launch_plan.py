"""Several sweeps in one command: which they are, what is refused, what they share, and how they are found again."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from eval.shipped_configs import CONFIGS
from sweep.config.matrix import expand_files, is_matrix
from sweep.config.schema import SweepConfig
from sweep.config.stored import CONFIG_FILE, SWEEP_LIST_FILE
from sweep.errors import ConfigError
from sweep.plan.launch_plan import LaunchPlan, plan_new, plan_resume
from sweep.search.queue import count_planned_trials

FILES = [str(CONFIGS / f"{name}.yaml") for name in ("wga", "npo")]
SMALL = ["data.forget=1", "data.retain=2", "data.holdout=1", "data.unseen=0", "search.trials=3", "seeds=1"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test works in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(words: Sequence[str], name: str | None = "both") -> str:
    """What is said of a command that is refused."""
    with pytest.raises(ConfigError) as caught:
        plan_new(words, name)
    return str(caught.value)


def written(folder: Path, text: str, name: str = "mine.yaml") -> str:
    """A file in the folder."""
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_configs_side_by_side() -> None:
    """Each is a sweep of its own name after the comparison's; a change holds for all."""
    both = plan_new([*FILES, *SMALL], "both")
    assert both.is_comparison
    assert [plan.name for plan in both.plans] == ["both.wga", "both.npo"]
    assert [plan.config.objective for plan in both.plans] == ["wga", "npo"]
    assert {plan.config.search.trials for plan in both.plans} == {3}


def test_one_config_is_a_sweep_of_its_own_name() -> None:
    """No comparison, no folder beside its own."""
    alone = plan_new([FILES[0], *SMALL], "one")
    assert not alone.is_comparison
    assert [plan.name for plan in alone.plans] == ["one"]


def test_what_sweeps_share_is_made_once() -> None:
    """Same model, rows and refusals: one maker in all; with two seeds of the rows there would be two."""
    both = plan_new([*FILES, *SMALL], "both")
    assert [len(plan.preparers) for plan in both.plans] == [1, 1]
    assert len(both.preparers) == 1


def test_a_file_may_name_them(here: Path) -> None:
    """2 configs × 2 models × 1 dataset, in the order of the lists; the group's options are part of the names."""
    path = Path(written(here, "sweeps: [wga, npo]\nmodel: [tiny, smollm2-135m]\ndata: [authors]\n"))
    found = expand_files([path], [])
    assert [one.name for one in found] == [
        f"{name}-{model}-authors" for name in ("wga", "npo") for model in ("tiny", "smollm2-135m")
    ]
    assert found[1].choices == ("model=smollm2-135m", "data=authors")
    assert found[1].file == CONFIGS / "wga.yaml"


def test_a_change_of_a_group_takes_the_place_of_its_list(here: Path) -> None:
    """`model=tiny` runs the matrix on that model alone."""
    path = written(here, "sweeps: [wga, npo]\nmodel: [phi-1.5, llama-2-7b]\ndata: [authors]\n")
    found = plan_new([path, *SMALL, "model=tiny"], "m")
    assert [plan.name for plan in found.plans] == ["m.wga-authors", "m.npo-authors"]
    assert {plan.config.model.name for plan in found.plans} == {"tiny"}


def test_overrides_of_all_sweeps_come_first_and_those_of_the_command_line_last(here: Path) -> None:
    """An entry may be the same config again under a name of its own, with other keys."""
    text = """
sweeps:
  - wga
  - {config: wga, name: cold, overrides: [train.lr=2e-3, train.epochs=4]}
overrides: [train.lr=1e-3, train.epochs=2, seeds=0]
"""
    plans = plan_new([written(here, text), "train.epochs=3", "search.race=0"], "m").plans
    found = [(plan.name, plan.config.train.lr, plan.config.train.epochs, plan.config.seeds) for plan in plans]
    assert found == [("m.wga", 1e-3, 3, 0), ("m.cold", 2e-3, 3, 0)]


def test_the_gallery_runs_each_variant_once(here: Path) -> None:
    """1 + 4 + 3 + 3 + 2 × 2 + 2 × 2 trials, without race and report seeds."""
    plans = plan_new([str(CONFIGS / "g_effect.yaml")], "g").plans
    counts = {plan.config.objective: count_planned_trials(plan.config, None) for plan in plans}
    assert counts == {"ga": 1, "wga": 4, "npo": 3, "tnpo": 3, "wtnpo": 4, "rmu": 4}
    assert all(plan.config.eval.g_effect is not None and plan.config.save == "none" for plan in plans)


def test_the_papers_matrix_is_30_sweeps() -> None:
    """5 objectives × 2 models × 3 splits, and every name is short enough for a default name."""
    assert is_matrix(CONFIGS / "recover.yaml")
    found = expand_files([CONFIGS / "recover.yaml"], [])
    assert len(found) == 5 * 2 * 3
    assert max(len(f"recover-20260802-030405.{one.name}") for one in found) <= 64


def test_sweeps_of_several_datasets_share_an_experiment(here: Path) -> None:
    """It has the comparison's name; those of one model and dataset go where a sweep alone would go."""
    path = written(here, "sweeps: [wga]\ndata: [authors, other]\n")
    written(here, (CONFIGS / "wga.yaml").read_text(), "wga.yaml")  # groups are looked for beside it
    (here / "data").mkdir()
    other = (CONFIGS / "data" / "authors.yaml").read_text().replace("name: authors", "name: other")
    written(here / "data", other, "other.yaml")
    assert {plan.config.experiment for plan in plan_new([path, *SMALL], "both").plans} == {"both"}
    assert {plan.config.experiment for plan in plan_new([*FILES, *SMALL], "both").plans} == {None}
    assert {plan.config.experiment for plan in plan_new([path, *SMALL, "experiment=x"], "both").plans} == {"x"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sweeps: []\n", "sweeps = [] must not be empty."),
        ("sweeps: [wgaa]\n", "there is no config wgaa (nearest: wga)"),
        ("sweeps: [compare]\n", "there is no config compare"),
        ("sweeps: wga\n", "sweeps = 'wga' must be a list."),
        ("sweeps: [1]\n", "sweeps = 1 must be a text"),
        (
            "sweeps: [wga]\nmodle: [tiny]\n",
            "modle = ['tiny'] is not a known key: allowed are data, model, needs_paper, overrides, sweeps"
            " (nearest: model).",
        ),
        ("sweeps: [wga, wga]\n", "wga is named twice"),
        ("sweeps: [wga]\nmodel: [tyni]\n", "model=tyni is not known"),
        (
            "sweeps: [{confg: wga}]\n",
            "sweeps.confg = 'wga' is not a known key: allowed are config, name, overrides (nearest: sweeps.config).",
        ),
        ("sweeps: [{overrides: [seed=1]}]\n", "sweeps.config is missing."),
        ("sweeps: [{config: wgaa}]\n", "there is no config wgaa (nearest: wga)"),
        ("sweeps: [wga]\noverrides: seed=1\n", "overrides = 'seed=1' must be a list."),
        ("sweeps: [wga]\noverrides: [seed]\n", "override 'seed' has no '=': write key=value."),
        ("sweeps: [{config: wga, overrides: [sed=1]}]\n", "sed = 1 is not a known key"),
        ("sweeps: [{config: wga, overrides: [seed=1]}, npo]\n", "seed = 1 in both.wga but 0 in both.npo: "),
        ("sweeps: [wga, {config: wga, overrides: [fixed.train.lr=1e-3]}]\n", "wga is named twice"),
    ],
)
def test_a_file_that_is_wrong_is_one_sentence(here: Path, text: str, says: str) -> None:
    """With the key, and the nearest name."""
    said = refusal([written(here, text)])
    assert says in said
    assert "\n" not in said


def test_budgets_must_be_equal(here: Path) -> None:
    """12 trials beside 24 would be no comparison."""
    text = (CONFIGS / "wga.yaml").read_text().replace("trials: 24", "trials: 12")
    said = refusal([written(here, text), FILES[1]])
    assert said.startswith("search.trials = 12 in both.mine but 24 in both.npo: ")
    assert plan_new([written(here, text), FILES[1], *SMALL], "both").is_comparison


def test_the_same_config_twice_is_refused() -> None:
    """Their names would be the same."""
    assert refusal([FILES[0], FILES[0]]) == "wga is named twice: a sweep is run once in one command."


def test_a_name_that_becomes_too_long_is_refused() -> None:
    """60 letters and `.wga` fit; `.wtnpo` does not."""
    assert plan_new([*FILES, *SMALL], "n" * 60).is_comparison
    assert "must be 1 to 64" in refusal([*FILES, str(CONFIGS / "wtnpo.yaml"), *SMALL], "n" * 60)


def test_a_comparison_is_found_again(here: Path) -> None:
    """Once its ledgers were made: the same configurations by the one name, wherever the storage lies now."""
    first = plan_new([*FILES, *SMALL], "both")
    assert first.resume_command == "give the same command again"
    with ExitStack() as stack:
        for plan in first.plans:
            stack.enter_context(plan.open_study())
    assert (here / "runs" / "both" / SWEEP_LIST_FILE).is_file()
    assert first.resume_command == "python -m sweep.launch --resume both"
    (here / "runs").rename(here / "moved")
    found = plan_resume(["storage=moved"], "both")
    assert [plan.name for plan in found.plans] == ["both.wga", "both.npo"]
    assert {plan.config.storage for plan in found.plans} == {here / "moved"}
    assert [plan.name for plan in plan_resume(["storage=moved"], "both.npo").plans] == ["both.npo"]


def begun(words: Sequence[str], name: str) -> None:
    """The sweeps' folders and ledgers, as a command that was interrupted leaves them."""
    with ExitStack() as stack:
        for plan in plan_new(words, name).plans:
            stack.enter_context(plan.open_study())


def test_the_command_that_began_it_may_be_given_again(here: Path) -> None:
    """The same words, or others that say the same; a comparison of two models in the experiment of its name, too."""
    begun([FILES[0], *SMALL, "seed=1"], "one")
    assert configs(plan_resume([FILES[0], "seed=1", *SMALL, "retain.weight=1.0"], "one")) == configs(
        plan_resume([], "one")
    )
    (here / "model").mkdir()
    (here / "model" / "other.yaml").write_text((CONFIGS / "model" / "tiny.yaml").read_text().replace("tiny", "other"))
    (here / "wga.yaml").write_text((CONFIGS / "wga.yaml").read_text())
    two = [written(here, "sweeps: [wga]\nmodel: [tiny, other]\n"), *SMALL]
    begun(two, "two")
    assert [config.experiment for config in configs(plan_resume(two, "two"))] == ["two", "two"]


def configs(plans: LaunchPlan) -> list[SweepConfig]:
    """The configurations of the sweeps."""
    return [plan.config for plan in plans.plans]


def test_another_configuration_is_refused_with_the_difference() -> None:
    """Every key that is another, with both values, and what to do about another space; other sweeps of a comparison."""
    begun([FILES[0], *SMALL], "one")
    with pytest.raises(ConfigError) as caught:
        plan_resume([FILES[0], *SMALL, "seed=7", "space.alpha.low=1"], "one")
    assert str(caught.value) == (
        "--resume one: it was begun with another configuration:"
        " space.alpha.low is 0.0 there and 1.0 here, seed is 0 there and 7 here;"
        " in another space, a new sweep learns from its trials: --name NEW and search.warm_start=[one]."
    )
    assert resume_refusal([FILES[0], *SMALL, "search.trials=2"]) == (
        "--resume one: it was begun with another configuration: search.trials is 3 there and 2 here;"
        " fewer are allowed where no config is named: --resume one search.trials=2."
    )
    assert configs(plan_resume([FILES[0], *SMALL, "search.trials=5"], "one"))[0].search.trials == 5
    begun([*FILES, *SMALL], "both")
    with pytest.raises(ConfigError, match=r"--resume both: it holds both.wga, both.npo, but the command names both\."):
        plan_resume([FILES[0], *SMALL], "both")


def resume_refusal(words: Sequence[str], name: str = "one") -> str:
    """What is said of a sweep that is not resumed."""
    with pytest.raises(ConfigError) as caught:
        plan_resume(words, name)
    return str(caught.value)


def test_a_sweep_goes_on_with_a_larger_budget(here: Path) -> None:
    """Its config.yaml changes once it runs, and then it is the one to repeat; less than that is refused with a config.

    A driver that died between the file and the study leaves a larger budget in the file, which is the sweep's then.
    """
    begun([FILES[0], *SMALL], "one")
    file, words = here / "runs" / "one" / CONFIG_FILE, ["search.trials=5", "search.race=4", "search.hours=2", "seeds=2"]
    before = file.read_text()
    larger = plan_resume([*words, "save=none"], "one")
    (plan,) = larger.plans
    again = "python -m sweep.launch --resume one"
    assert larger.resume_command == f"{again} search.trials=5 search.hours=2.0 search.race=4 seeds=2"
    assert (plan.config.search.trials, plan.config.search.race, plan.config.seeds) == (5, 4, 2)
    assert (plan.config.search.hours, plan.config.save) == (2.0, "none")
    assert plan.notes[0] == (
        "one goes on with search.trials = 5 instead of 3, search.hours = 2.0 instead of null,"
        " search.race = 4 instead of 16, seeds = 2 instead of 1"
    )
    assert file.read_text() == before
    with plan.open_study():
        pass
    assert larger.resume_command == again
    assert sorted(path.name for path in file.parent.iterdir()) == [".lock", CONFIG_FILE, "study.db"]
    file.write_text(file.read_text().replace("trials: 5", "trials: 6"))
    assert [config.search.trials for config in configs(plan_resume([], "one"))] == [6]
    file.write_text(before)
    assert resume_refusal([]).startswith("search.trials = 3 in ")


def test_what_else_may_not_change_is_one_sentence() -> None:
    """With what may; another space has a way of its own."""
    begun([FILES[0], *SMALL], "one")
    for word, says in (
        ("search.trails=9", "not 'search.trails=9' (nearest: search.trials)."),
        ("search.trials=x", "search.trials = 'x' must be a whole number"),
        ("search.race=1", "must be 0, for no race, or at least 2"),
        ("seed=7", "only storage=DIR, search.trials, search.hours, search.race, seeds, save, save_as, registry"),
        ("space.alpha.high=9", "a new sweep learns from its trials: --name NEW and search.warm_start=[one]."),
    ):
        assert says in resume_refusal([word])


def test_a_comparison_goes_on_alike() -> None:
    """One word for all of its sweeps; one of them alone would no longer be comparable."""
    begun([*FILES, *SMALL], "both")
    plans = plan_resume(["search.trials=5"], "both").plans
    assert [plan.config.search.trials for plan in plans] == [5, 5]
    assert resume_refusal(["search.trials=5"], "both.wga").endswith("for all of them, with --resume both.")
    with plans[0].open_study():
        pass
    assert resume_refusal([], "both").startswith("search.trials = 5 in both.wga but 3 in both.npo: ")


def test_a_configuration_that_was_changed_in_its_folder_is_refused(here: Path) -> None:
    """The ledger knows how it was begun; on what it runs may be changed."""
    begun([FILES[0], *SMALL], "one")
    file = here / "runs" / "one" / CONFIG_FILE
    text = file.read_text()
    file.write_text(text.replace("retries: 1", "retries: 3"))
    assert plan_resume([], "one").plans[0].config.cluster.retries == 3
    file.write_text(text.replace("seed: 0\nseeds: 1", "seed: 5\nseeds: 1"))
    with pytest.raises(ConfigError, match=r"^seed = 5 in .*/runs/one/config.yaml was 0 when the sweep began"):
        plan_resume([], "one")


def test_what_another_process_runs_is_refused_before_anything_is_prepared() -> None:
    """Of a comparison one sweep is enough."""
    begun([*FILES, *SMALL], "both")
    (_, second) = plan_resume([], "both").plans
    with second.open_study(), pytest.raises(ConfigError, match=r"'both\.npo': another process is running this sweep"):
        plan_resume([], "both")
    assert plan_resume([], "both").is_comparison


def test_a_comparison_of_a_taken_name_is_refused(here: Path) -> None:
    """Its own folder or that of one of its sweeps is in the way."""
    for taken in ("both", "both.npo"):
        (here / "runs" / taken).mkdir(parents=True)
        assert f"name = '{taken}' exists" in refusal([*FILES, *SMALL])
        (here / "runs" / taken).rmdir()


@pytest.mark.parametrize("file", ["eval/__init__.py", "objectives.py"])
def test_a_folder_with_packages_of_our_names_is_refused(here: Path, file: str) -> None:
    """Ray's workers look into the working directory first; a copy of our own, as in a checkout, is none of these."""
    (here / file).parent.mkdir(exist_ok=True)
    (here / file).touch()
    other = here / file.split("/")[0].removesuffix(".py")
    assert refusal(FILES[:1]).startswith(f"{other} is another package called {other.name}, which Ray's workers would")
    with pytest.raises(ConfigError, match="start in another folder"):
        plan_resume([], "mine")


def test_a_checkout_and_a_folder_without_init_are_welcome(here: Path) -> None:
    """Python takes a folder without `__init__.py` only where there is no package."""
    (here / "objectives").mkdir()
    for name in ("eval/__init__.py", "eval/suite.py"):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).touch()
    assert plan_new([*FILES[:1], *SMALL], "mine").name == "mine"
