"""Rows of the user's own (eval/datasets/own.py): the parts, what is refused, and what a sweep of them lacks."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.cli import UsageError, load_dataset, parse_arguments
from eval.datasets import load
from eval.datasets.own import Options
from eval.definitions import define_score
from eval.rows.types import DataError, Dataset
from eval.shipped_configs import CONFIGS
from support.composing import load_shipped
from support.reports import GOOD, reported
from support.tables import FORMATS, write_table
from support.tofu import Record, plain, varied
from support.trials import repeats, trial
from sweep import submit
from sweep.config.compose import load as load_config
from sweep.config.request import parse_request
from sweep.config.schema import SweepConfig
from sweep.config.yaml_files import read_config_file
from sweep.errors import ConfigError
from sweep.plan.hub_commits import adopt_commits, pin_commits
from sweep.plan.sweep_plan import plan_new_sweep, validate_config
from sweep.report.verdict import build_evidence
from sweep.search.paper import find_paper_setting

LETTERS = "CDEFGHIJKLMNOPQRSTUV"
"""Letters of 20 retain rows."""


def tables(folder: Path, retain: Sequence[Record] = (), forget: Sequence[Record] = ()) -> list[str]:
    """Write forget rows A and B and 20 retain rows, unless others are given; return the overrides that name them."""
    parts = {"forget": forget or [*map(plain, "AB")], "retain": retain or [*map(plain, LETTERS)]}
    paths = {key: write_table(folder / f"{key}.jsonl", records) for key, records in parts.items()}
    return ["data=own", *(f"data.{key}={path}" for key, path in paths.items())]


def own(*words: str) -> SweepConfig:
    """The shipped WTNPO on these rows."""
    return load_shipped("wtnpo", *words)


def refused(*words: str) -> str:
    """The one sentence with which the rows are refused."""
    with pytest.raises((DataError, ConfigError)) as error:
        load(own(*words).data)
    assert "\n" not in str(error.value)
    return str(error.value)


def letters(dataset: Dataset) -> dict[str, str]:
    """The letters that are asked about, by part."""
    return {part: "".join(row.question[8] for row in rows) for part, rows in vars(dataset).items() if rows}


def test_a_fifth_of_the_retain_rows_is_held_out(tmp_path: Path) -> None:
    """4 of 20, drawn by the seed, in the order of the table; the others are retained."""
    words = tables(tmp_path)
    found = letters(load(own(*words).data))
    assert found["forget"] == "AB"
    assert len(found["holdout"]) == 4
    assert [*found["holdout"]] == sorted(found["holdout"])
    assert sorted(found["holdout"] + found["retain"]) == [*LETTERS]
    assert letters(load(own(*words).data)) == found
    assert letters(load(own(*words, "data.seed=1").data))["holdout"] != found["holdout"]


@pytest.mark.parametrize(
    ("word", "held", "kept"),
    [("holdout=0.5", 10, 10), ("holdout=7", 7, 13), ("max_holdout=2", 2, 16), ("max_retain=3", 4, 3)],
)
def test_holdout_is_a_number_or_a_share(tmp_path: Path, word: str, held: int, kept: int) -> None:
    """Caps come after it: a row that is left out is in no part."""
    dataset = load(own(*tables(tmp_path), f"data.{word}").data)
    assert (len(dataset.holdout), len(dataset.retain)) == (held, kept)


@pytest.mark.parametrize(("rows", "held"), [(3000, 400), (2, 1)])
def test_the_default_holds_out_one_to_400(tmp_path: Path, rows: int, held: int) -> None:
    """Of 3000 rows a fifth would be 600, of two rows none."""
    dataset = load(own(*tables(tmp_path, [{"question": f"{i}?", "answer": "x"} for i in range(rows)])).data)
    assert (len(dataset.holdout), len(dataset.retain)) == (held, rows - held)


def test_holdout_is_a_table(tmp_path: Path) -> None:
    """Its rows in its order, and all of the retain rows; unseen rows are another."""
    held, new = (
        write_table(tmp_path / "h.csv", [plain("Y"), plain("X")]),
        write_table(tmp_path / "u.json", [plain("Z")]),
    )
    found = letters(load(own(*tables(tmp_path), f"data.holdout={held}", f"data.unseen={new}").data))
    assert found == {"forget": "AB", "retain": LETTERS, "holdout": "YX", "unseen": "Z"}


def test_all_answers_of_a_question_are_in_one_part(tmp_path: Path) -> None:
    """Whatever the seed: a question that is held out is not trained on with another answer."""
    twice = [plain(name) | {"answer": f"{name}{i}"} for name in "CDEF" for i in range(2)]
    for seed in range(8):
        found = letters(load(own(*tables(tmp_path, twice), "data.holdout=0.5", f"data.seed={seed}").data))
        assert len(found["holdout"]) == 4
        assert not {*found["holdout"]} & {*found["retain"]}


@pytest.mark.parametrize("suffix", FORMATS)
def test_columns_have_the_names_that_the_user_gives(tmp_path: Path, suffix: str) -> None:
    """In every format, variants included; those that are not renamed keep TOFU's name."""
    names = {"question": "prompt", "answer": "response", "perturbed_answer": "wrong"}
    renamed = [{names.get(key, key): value for key, value in varied(name).items()} for name in "AB"]
    held = write_table(tmp_path / f"holdout{suffix}", renamed)
    plainly = [{names[key]: value for key, value in plain(name).items()} for name in "CDE"]
    words = tables(tmp_path, plainly, [{names[key]: value for key, value in plain("F").items()}])
    columns = "data.columns={question: prompt, answer: response, perturbed_answer: wrong}"
    dataset = load(own(*words, columns, f"data.holdout={held}").data)
    assert [row.perturbed_answers[0] for row in dataset.holdout] == ["A number is A.", "A number is B."]
    assert dataset.holdout[1].paraphrased_question == "Say what B is."
    assert dataset.forget[0].answer == "F is a letter."


@pytest.mark.parametrize(
    ("forget", "said"),
    [
        ([plain("A"), plain("A")], "row 2 is row 1 again: 'What is A?'"),
        ([plain("A"), {"question": "x", "answer": None}], "row 2 has no answer"),
        ([plain("A"), {"question": "x", "answer": " "}], "row 2: answer is empty"),
        ([plain("A"), {"question": 5, "answer": "x"}], "row 2: question is 5, not text"),
        ([varied("A"), plain("B")], "row 2 has no paraphrased_question"),
        ([plain("A") | {"perturbed_answer": "['x']"}], "not a list of texts, written as JSON"),
        (
            [{"Question": "x", "answer": "y"}],
            "has no column 'question', but 'Question': data.columns={question: Question} names it",
        ),
        (
            [{"question": "x", "output": "y"}],
            "has no column 'answer', but 'question', 'output': data.columns={answer: NAME} names it",
        ),
        (
            [{"text": "A novel."}],
            "holds running text (a column 'text'): only rows of question and answer are supported",
        ),
    ],
)
def test_wrong_rows_are_told(tmp_path: Path, forget: list[Record], said: str) -> None:
    """The file, the row counted from 1, the column and the value."""
    message = refused(*tables(tmp_path, forget=forget))
    assert message.startswith(f"{tmp_path / 'forget.jsonl'} ")
    assert message.endswith(said)


def test_an_empty_cell_is_told(tmp_path: Path) -> None:
    """A cell of a CSV file without text is a value that is missing."""
    (tmp_path / "f.csv").write_text("question,answer\nx,y\n,z\n")
    assert (
        refused(*tables(tmp_path), f"data.forget={tmp_path / 'f.csv'}") == f"{tmp_path / 'f.csv'} row 2 has no question"
    )


@pytest.mark.parametrize(
    ("key", "rows", "said"),
    [
        ("retain", "CA", "{0}.csv row 2 is a forget row ({1}/forget.jsonl): 'What is A?'"),
        ("holdout", "XB", "{0}.csv row 2 is a forget row ({1}/forget.jsonl): 'What is B?'"),
        ("holdout", "XE", "{1}/retain.jsonl row 3 is a holdout row ({0}.csv): 'What is E?'"),
        ("unseen", "XB", "{1}/forget.jsonl row 2 is an unseen row ({0}.csv): 'What is B?'"),
        ("unseen", "XD", "{1}/retain.jsonl row 2 is an unseen row ({0}.csv): 'What is D?'"),
    ],
)
def test_parts_do_not_overlap(tmp_path: Path, key: str, rows: str, said: str) -> None:
    """A question that is in two parts is told with both tables."""
    other = write_table(tmp_path / "other.csv", [plain(name) for name in rows])
    words = tables(tmp_path)
    keep_d = ["data.holdout=1", "data.seed=2"] if key == "unseen" else []
    assert refused(*words, *keep_d, f"data.{key}={other}") == said.format(tmp_path / "other", tmp_path)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("holdout=20", "has 20 questions, of which data.holdout=20 takes 20: each part needs a row"),
        ("holdout=0.01", "has 20 questions, of which data.holdout=0.01 takes 0: each part needs a row"),
        ("holdout=0", "must be a table, a number of rows, or a share of the retain rows between 0 and 1."),
        ("holdout=1.0", "must be a table, a number of rows, or a share of the retain rows between 0 and 1."),
        ("holdout=-0.5", "must be a table, a number of rows, or a share of the retain rows between 0 and 1."),
        ("paper_split=forget01", "data.paper_split = 'forget01' must be null."),
        ("columns.qestion=x", "is not a known key: allowed are answer, paraphrased_answer, paraphrased_question,"
         " perturbed_answer, question (nearest: data.columns.question)."),
        ("path=x", "has no place in this kind of data: allowed are columns, forget, holdout, max_holdout, max_retain,"
         " name, paper_split, retain, revision, seed, source, unseen."),
        ("forget=forgett.jsonl", "data.forget=forgett.jsonl: there is no such file (nearest: forget.jsonl), nor is it a"
         " split on the hub, OWNER/NAME:SPLIT"),
    ],
)  # fmt: skip
def test_wrong_options_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, said: str) -> None:
    """The key, its value, and what is allowed."""
    monkeypatch.chdir(tmp_path)
    assert refused(*tables(tmp_path), f"data.{word}").endswith(said)


def test_both_tables_must_be_named() -> None:
    """A sweep and a measurement say which key is missing."""
    with pytest.raises(ConfigError, match=r"^data\.retain is missing: .* data\.retain=VALUE must give it\.$"):
        own("data=own", "data.forget=x")
    with pytest.raises(UsageError, match=r"^--data own needs data\.retain=VALUE$"):
        load_dataset(parse_arguments(["m", "--data", "own", "data.forget=x"]))


def test_paths_do_not_depend_on_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What exists is made absolute; a split on the hub, a number and what is missing stay as they are typed."""
    tables(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    data: Any = own("data=own", "data.forget=forget.jsonl", "data.retain='~/retain.jsonl'", "data.unseen=a/b:c").data
    assert (data.forget, data.retain) == (str(tmp_path / "forget.jsonl"), str(tmp_path / "retain.jsonl"))
    assert (data.unseen, data.holdout) == ("a/b:c", None)
    words = [str(CONFIGS / "wtnpo.yaml"), "data=own", "data.forget=forget.jsonl", "data.retain=/r.jsonl"]
    with pytest.raises(ConfigError, match=r"^data\.forget = 'forget\.jsonl' must be absolute for a job"):
        submit.build_job([*words, f"storage={tmp_path}"], "mine", "http://head:8265")


def test_a_sweep_keeps_its_rows(tmp_path: Path) -> None:
    """Their hash is pinned; the same words resume it, and rows that were changed since are refused."""
    words = tables(tmp_path)
    begun = pin_commits(own(*words))
    assert begun.data.revision == load(begun.data).digest[:16]  # type: ignore[attr-defined]
    assert adopt_commits(own(*words), begun) == begun
    tables(tmp_path, [*map(plain, LETTERS), {"question": "new", "answer": "x"}])
    with pytest.raises(DataError, match=rf"^data\.revision={begun.data.revision}: the rows of .* have changed since"):  # type: ignore[attr-defined]
        load(begun.data)


def test_a_split_of_the_hub_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each names its commit; a resumed sweep takes that of the one that began."""
    monkeypatch.setattr("eval.datasets.own.load", lambda _: Dataset(forget=(), retain=(), holdout=()))
    config = own("data=own", "data.forget=a/b:forget", "data.retain=a/b@old:conf/retain", "data.holdout=c/d:x")
    assert isinstance(config.data, Options)
    pinned = config.data.pin_rows(lambda path, revision: f"{path[0]}-{revision}")
    assert (pinned.forget, pinned.retain) == ("a/b@a-None:forget", "a/b@a-old:conf/retain")
    assert (pinned.holdout, pinned.unseen) == ("c/d@c-None:x", None)
    begun = config.model_copy(update={"data": config.data.pin_rows(lambda path, revision: revision or "old")})
    assert adopt_commits(config, begun) == begun


def test_a_score_without_paraphrases_is_of_exact_es(tmp_path: Path) -> None:
    """So says its definition; holdout rows without paraphrases are enough for it, and TOFU's rows have them all."""
    exact = define_score(has_paraphrases=False)
    assert exact.startswith("forget ES (exact alone, since rows have no paraphrase) of the mix of reference and")
    assert own().data.has_paraphrases
    for forget, retain, has in ((plain, plain, False), (varied, plain, False), (varied, varied, True)):
        words = tables(tmp_path, [*map(retain, LETTERS)], [*map(forget, "AB")])
        assert own(*words).data.has_paraphrases == has


def test_a_dry_run_says_what_rows_lack(tmp_path: Path) -> None:
    """The number of rows of each part, and of what the score is made."""
    plan = plan_new_sweep(own(*tables(tmp_path), f"storage={tmp_path}"), "mine")
    lack = "; without paraphrased questions, the score is of exact ES alone"
    assert plan.rows_summary == f"2 forget, 16 retain, 4 holdout{lack}"
    assert replace(plan, dataset=Dataset(forget=(), retain=(), holdout=())).rows_summary == ""


def test_own_rows_have_no_setting_of_the_paper(tmp_path: Path) -> None:
    """No objective of the paper; what needs one is refused in one sentence."""
    words = tables(tmp_path)
    assert find_paper_setting(own(*words)) is None
    with pytest.raises(ConfigError, match=r"the paper has no setting of alpha, beta for objective wtnpo and own\.$"):
        validate_config(own(*words, "search.sampler=paper"))
    assert read_config_file(CONFIGS / "recover.yaml")["needs_paper"] is True
    (tmp_path / "one.yaml").write_text("sweeps: [wga]\nneeds_paper: true\n")
    with pytest.raises(ConfigError) as error:
        parse_request([str(tmp_path / "one.yaml"), *words], "mine")
    assert str(error.value) == (
        "data.name = own: the paper tuned nothing on this data, so that no setting can be recovered: launch"
        " configs/wga.yaml instead."
    )


def test_the_report_names_the_best_with_its_mean(tmp_path: Path) -> None:
    """(.2 + .3 + .4) / 3 with a standard deviation of .1; there is nothing of the paper to compare it with."""
    data = load_config(CONFIGS / "wtnpo.yaml", tables(tmp_path)).data.model_dump()
    found = build_evidence(reported(trial(0, GOOD, 0.2), *repeats(0, GOOD, 0.2, 0.3, 0.4), data=data))
    assert found.verdict == "best found"
    assert found.sentence == (
        "Best setting (wtnpo on toy, own): alpha=2.1 beta=6 leaves 0.300 ± 0.100 of the forget rows extractable at 95 %"
        " of retention (3 report seeds). The paper tuned no setting for this search."
    )


def test_a_checkpoint_is_measured_on_own_rows(tmp_path: Path) -> None:
    """With the keys of a sweep, in any place of the command line; a wrong one is told."""
    words = tables(tmp_path)[1:]
    typed = parse_arguments(["m", words[0], "--data", "own", words[1], "--template", "tiny", "data.holdout=3"])
    found = letters(load_dataset(typed))
    assert (found["forget"], len(found["holdout"])) == ("AB", 3)
    for more, said in {
        "data.holdout=0": "data.holdout = 0 is not allowed: Value error, must be a table, a number of rows",
        "data.path=x": "data.path = 'x' is not allowed: Extra inputs are not permitted",
        "data.columns={": r"data.columns=\{: the value is not YAML",
        "holdout=3": "holdout=3 must be data.KEY=VALUE, as in data.forget=forget.jsonl",
    }.items():
        with pytest.raises(UsageError, match=f"^{said}"):
            load_dataset(parse_arguments(["m", "--data", "own", *words, more]))
    with pytest.raises(UsageError, match=r"^data.holdout=3 is not allowed here: it changes a key of a dataset"):
        load_dataset(parse_arguments(["m", "data.holdout=3", "--data", str(tmp_path)]))
