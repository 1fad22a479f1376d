"""The full suite on models whose every metric is worked out by hand, and its laws on a random one."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from math import log, log10, sqrt
from pkgutil import iter_modules

import pytest
import torch
from transformers import PreTrainedModel

from eval import metrics
from eval.definitions import GREEDY_ANSWER, ROW_METRICS, SUITE
from eval.models import forward, generation
from eval.models.answers import TEXTS_BY_KIND
from eval.models.forward import distribution_statistics, label_statistics
from eval.rows.types import Dataset, Row
from eval.suite import Probes, RetainValues, SuiteReport, evaluate, evaluate_full, measure_retain_model
from support.commands import ROOT
from support.toys import TEMPLATE as TOY
from support.toys import dataset, encoded, llama, tokenizer
from support.unigrams import TEMPLATE, unigram

TOKENIZER = tokenizer()
HALF = {"x": 1 / 2, "end": 1 / 4, "y": 1 / 8}
"""Log-probabilities of −1, −2 and −3 in units of ln 2."""


def row(answer: str, **variants: object) -> Row:
    """A row with that answer and, unless told otherwise, with all variants."""
    every: dict[str, object] = {
        "question": "q",
        "answer": answer,
        "paraphrased_question": "p",
        "paraphrased_answer": "xx",
        "perturbed_answers": ("y", "yy"),
    }
    return Row(**every | variants)  # type: ignore[arg-type]


def general(answer: str) -> Row:
    """A row of general knowledge: no paraphrases."""
    return row(answer, paraphrased_question="", paraphrased_answer="")


WHOLE = Dataset(
    forget=(row("xxx"), row("x"), row("xxx")),
    retain=(),
    holdout=(row("xxx"),),
    unseen=(row("yyy"), row("y"), row("yyy")),
    real_authors=(general("x"),),
    world_facts=(general("x"), general("x")),
)


def measured(model: PreTrainedModel, rows: Dataset = WHOLE, retain: RetainValues | None = None) -> SuiteReport:
    """The full suite of a model that knows no context."""
    return evaluate_full(model, TOKENIZER, TEMPLATE, rows, retain=retain)


def test_every_metric_by_hand() -> None:
    """p(x) = 1/2, p(EOS) = 1/4, p(y) = 1/8; in units of ln 2 NLL/n of xxx is 5/4, x 3/2, xx 4/3, y 5/2, yy 8/3.

    R is 2^(4/3 − (5/2 + 8/3)/2) = 2^(−5/4) on forget rows, 2^(3/2 − 31/12) = 2^(−13/12) on general ones. All x are hits
    and EOS is missed, so ES is 0 by k = n; the greedy answer x, x, … is one long word and never ends.
    """
    p, r, g = 2 ** (-5 / 4), 2 ** (-5 / 4), 2 ** (-13 / 12)
    of_x = 2 ** (-3 / 2) / (2 ** (-3 / 2) + 2 ** (-5 / 2) + 2 ** (-8 / 3))
    always = unigram(x=1 / 2, end=1 / 4, y=1 / 4)
    report = measured(unigram(**HALF), retain=measure_retain_model(always, TOKENIZER, TEMPLATE, WHOLE))
    assert report.metrics == pytest.approx(
        {
            "forget/es": 0,
            "forget/es_paraphrase": 0,
            "forget/prob": (2 * p + 2 ** (-3 / 2)) / 3,
            "forget/rouge_l": 0,
            "forget/exact_memorisation": (3 / 4 + 1 / 2 + 3 / 4) / 3,
            "forget/truth_ratio": r,
            "retain/es": 0,
            "retain/es_paraphrase": 0,
            "retain/prob": p,
            "retain/rouge_l": 0,
            "retain/exact_memorisation": 3 / 4,
            "retain/truth_ratio": 1 - r,
            **{
                f"{part}/{key}": v
                for part in ("real_authors", "world_facts")
                for key, v in (("prob", of_x), ("truth_ratio", 1 - g), ("rouge_l", 0))
            },
            "model_utility": 0,
            "forget_quality": 1 / 10,  # three values against three others
            "forget_quality_log10": -1,
            "mia/loss": 1,
            "mia/min_k": 1,  # −2 of EOS against −3 of y
            "mia/min_k_plus_plus": 1,
            "privleak": -100,  # the retain model's lowest is p(EOS) = p(y) everywhere: all ties, AUC 1/2
        }
    )
    assert report.left_out == {}
    assert report.rows["forget/truth_ratio"] == pytest.approx([r, r, r])
    assert report.rows["mia/min_k/unseen"] == pytest.approx([-3 * log(2)] * 3)


@pytest.mark.parametrize(
    ("answer", "n"),
    [("", 1), ("x", 2), ("x\n\nx", 5), ("東", 4), ("É🙂", 7), ("x" * 250, 251), ("x" * 199, 200)],
)
def test_immediate_eos(answer: str, n: int) -> None:
    """A model that says EOS at once has every label wrong but EOS: ES = 1 − (n − 1)/n, n the answer's bytes and EOS.

    The empty answer alone is wholly known; as many tokens are memorised, and no word is said.
    """
    rows = replace(WHOLE, forget=(row(answer),))
    report = measured(unigram(end=1 / 2), rows)
    for metric in ("es", "es_paraphrase", "exact_memorisation"):
        assert report.rows[f"forget/{metric}"] == [pytest.approx(1 / n)]
    assert report.rows["forget/rouge_l"] == [0.0]


def test_spread_over_the_vocabulary_by_hand() -> None:
    """Mean and standard deviation of ln p under p, from the definition."""
    rest = (1 - 7 / 8) / (len(TOKENIZER) - 3)
    p = [1 / 2, 1 / 4, 1 / 8, *[rest] * (len(TOKENIZER) - 3)]
    mean = sum(v * log(v) for v in p)
    deviation = sqrt(sum(v * (log(v) - mean) ** 2 for v in p))
    found = distribution_statistics(unigram(**HALF), encoded((2, 3)))
    assert found.mean.tolist() == pytest.approx([mean] * 3, rel=1e-5)
    assert found.deviation.tolist() == pytest.approx([deviation] * 3, rel=1e-5)


def test_the_spread_of_a_sure_model_is_not_zero() -> None:
    """All but 1e-13 on one token: ln p of the others is −35 at most, their scores −35 / 1e-6 at the least."""
    report = measured(unigram(x=1 - 1e-13))
    assert min(report.rows["mia/min_k_plus_plus/forget"]) > -1e8
    assert report.metrics["mia/min_k_plus_plus"] == 1 / 2  # the lowest is EOS or y, which are alike


def test_one_pass_says_the_same_as_the_searchs() -> None:
    """Labels of the full pass are those of the cheap one, bit for bit; parts are split where they begin."""
    rows = encoded((5, 3), (2, 1), (9, 6), (4, 4))
    model = llama()
    cheap, whole = label_statistics(model, rows), distribution_statistics(model, rows)
    assert torch.equal(cheap.logp, whole.logp)
    assert torch.equal(cheap.hit, whole.hit)
    first, last = whole.split_rows([1, 3])
    assert first.row.tolist() == [0] * 3
    assert last.row.tolist() == [0] + [1] * 6 + [2] * 4
    assert torch.equal(torch.cat([first.logp, last.logp]), whole.logp)


def stretched() -> Dataset:
    """The toy rows with everything in them, of many lengths."""
    rows = dataset()
    return replace(rows, unseen=rows.retain, real_authors=rows.retain[:1], world_facts=rows.holdout)


def test_search_and_full_suite_agree() -> None:
    """The four ES of the search are the full suite's, on a model that hits some labels."""
    model = unigram(end=1 / 2)
    cheap = evaluate(model, Probes.from_dataset(stretched(), TOKENIZER, TOY))
    report = evaluate_full(model, TOKENIZER, TOY, stretched(), retain=None)
    assert cheap == pytest.approx({key: report.metrics[key] for key in cheap})
    assert all(value > 0 for value in cheap.values())


def test_rows_without_paraphrases_have_exact_es_alone() -> None:
    """Of both sides where one row of either lacks it, so that forgetting and keeping are measured alike."""
    bare = replace(stretched(), holdout=(replace(stretched().holdout[0], paraphrased_question=""),))
    found = evaluate(unigram(end=1 / 2), Probes.from_dataset(bare, TOKENIZER, TOY))
    whole = evaluate(unigram(end=1 / 2), Probes.from_dataset(stretched(), TOKENIZER, TOY))
    assert [*found] == ["forget/es", "retain/es"]
    assert found["forget/es"] == whole["forget/es"]


def random(rows: Dataset) -> SuiteReport:
    """What is said of a random model, whose answers never end: they are cut after 40 tokens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eval.suite.generate_greedy", partial(generation.generate_greedy, longest=40))
        return evaluate_full(llama(), TOKENIZER, TOY, rows, retain=measure_retain_model(llama(1), TOKENIZER, TOY, rows))


@pytest.fixture(scope="module")
def usual() -> SuiteReport:
    """That of the rows with everything in them, as batches usually are."""
    return random(stretched())


@pytest.mark.parametrize("size", [1, 40])
def test_rows_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch, size: int, usual: SuiteReport) -> None:
    """Each row alone, unpadded, or a few rows a batch: every value of every row within 1e-5."""
    monkeypatch.setattr(forward, "MAX_PASS_POSITIONS", size)
    monkeypatch.setattr(generation, "MAX_BATCH_POSITIONS", 10 * size)
    found = random(stretched())
    assert found.rows.keys() == usual.rows.keys()
    for key, values in usual.rows.items():
        assert found.rows[key] == pytest.approx(values, abs=1e-5), key


def test_rows_do_not_depend_on_their_order(usual: SuiteReport) -> None:
    """Every part reversed: every metric's rows reversed, within 1e-5."""
    back = random(Dataset(**{name: part[::-1] for name, part in vars(stretched()).items()}))
    for key, values in usual.rows.items():
        assert back.rows[key][::-1] == pytest.approx(values, abs=1e-5), key


def test_same_bits_twice(usual: SuiteReport) -> None:
    """The same model on the same rows gives the same report, bit for bit."""
    assert random(stretched()) == usual


def without(**parts: tuple[Row, ...]) -> Callable[[Dataset], Dataset]:
    """A change of the dataset's parts."""
    return lambda rows: replace(rows, **parts)


MIA = ("mia/loss", "mia/min_k", "mia/min_k_plus_plus", "privleak")


@pytest.mark.parametrize(
    ("change", "left_out"),
    [
        (without(unseen=()), dict.fromkeys(MIA, "there are no unseen rows")),
        (
            without(world_facts=()),
            dict.fromkeys(
                [f"world_facts/{key}" for key in ("prob", "truth_ratio", "rouge_l")], "there are no such rows"
            )
            | {"model_utility": "it needs world_facts/prob"},
        ),
        (
            without(forget=(row("x"), row("x", perturbed_answers=()))),
            {"forget/truth_ratio": "a row has no perturbed answers"}
            | dict.fromkeys(("forget_quality", "forget_quality_log10"), "it needs forget/truth_ratio"),
        ),
        (
            without(holdout=(row("x", paraphrased_question=""),)),
            {"retain/es_paraphrase": "a row has no paraphrased question"},
        ),
    ],
)
def test_what_rows_lack_is_left_out(change: Callable[[Dataset], Dataset], left_out: dict[str, str]) -> None:
    """With the reason, and nothing else is."""
    retain = RetainValues(truth_ratio=(0.1, 0.2), membership={"min_k": 0.5})
    report = measured(unigram(end=1 / 2), change(WHOLE), retain)
    assert report.left_out == left_out
    assert report.metrics.keys() == SUITE.keys() - left_out.keys()


@pytest.mark.parametrize("other", [SUITE | {"forget/other": "another"}, {"forget/es": SUITE["forget/es"]}])
def test_metrics_and_definitions_are_the_same(monkeypatch: pytest.MonkeyPatch, other: dict[str, str]) -> None:
    """A definition without a metric is refused, as are metrics without a definition."""
    monkeypatch.setattr("eval.suite.SUITE", other)
    with pytest.raises(AssertionError, match="a metric without a definition, or a definition without a metric"):
        measured(unigram(end=1 / 2))


def test_each_file_of_metrics_is_used() -> None:
    """By its name in a definition, or by an import; every function that a definition names is there."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "eval").glob("*.py")]
    sources += [path.read_text(encoding="utf-8") for path in (ROOT / "sweep").rglob("*.py")]
    imported = set(re.findall(r"eval\.metrics(?:\.| import )(\w+)", "".join(sources)))
    named = [metric.function.split(".") for metric in ROW_METRICS.values()]
    assert {file for file, _ in named} | imported == {module.name for module in iter_modules(metrics.__path__)}
    assert all(callable(getattr(import_module(f"eval.metrics.{file}"), name)) for file, name in named)
    assert {metric.reads for metric in ROW_METRICS.values()} <= {*TEXTS_BY_KIND, GREEDY_ANSWER}


def test_without_a_retain_model() -> None:
    """Forget quality and privleak are left out, the rest is there."""
    report = measured(unigram(end=1 / 2))
    needing = ("forget_quality", "forget_quality_log10", "privleak")
    assert report.left_out == dict.fromkeys(needing, "no retain model was given")
    assert report.metrics.keys() == SUITE.keys() - set(needing)


def test_a_retain_model_that_tells_all_apart() -> None:
    """Its AUC is 1: privleak would be divided by 0, and is left out."""
    retain = measure_retain_model(unigram(**HALF), TOKENIZER, TEMPLATE, WHOLE)
    report = measured(unigram(**HALF), retain=retain)
    assert retain.membership == {"loss": 1, "min_k": 1, "min_k_plus_plus": 1}
    assert report.left_out == {"privleak": "the retain model's AUC is 1, to which nothing can be relative"}
    assert report.metrics["forget_quality"] == 1
    assert report.metrics["forget_quality_log10"] == log10(1)


def test_a_diverged_model_has_no_metric() -> None:
    """NaN in the weights: no number at all, each left out with the reason; as a retain model it is refused."""
    model = unigram(x=float("nan"))
    report = measured(model)
    assert (report.metrics, report.rows) == ({}, {})
    assert report.left_out == dict.fromkeys(SUITE, "the model's log-probabilities are not finite")
    with pytest.raises(ValueError, match="retain model's log-probabilities are not finite"):
        measure_retain_model(model, TOKENIZER, TEMPLATE, WHOLE)
