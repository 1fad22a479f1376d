"""Record of a trial, the source of tracking, results, recovery and the report; and the clock of the driver."""

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias, TypedDict, get_args

_CLOCK_OFFSET_S = time.time() - time.monotonic()


def now() -> float:
    """Return the Unix time in seconds; it ignores changes of the system time since the process began."""
    return _CLOCK_OFFSET_S + time.monotonic()


Value: TypeAlias = int | float | str | bool
Setting: TypeAlias = dict[str, Value]
"""Value by hyper-parameter: the objective's fields, and `retain.weight`, `train.lr`, `train.epochs` if searched."""
RowAnswers: TypeAlias = dict[str, str]
"""A row of a part with the answers to its question, shortened: the true one, and those of three models.

Keys: `part` (forget or retain), `row` (its number in the part, from 1), `chosen` (why it is shown), `question`,
`answer`, and the names of the weights: `target`, `compared` and `unlearned`.
"""
SPREAD_ROW = "evenly spread"
"""The reason why a row is shown that is one of those spread evenly over its part."""
State: TypeAlias = Literal["running", "finished", "failed", "pruned"]
Phase: TypeAlias = Literal["search", "race", "finalist"]
PHASES: tuple[Phase, ...] = get_args(Phase)
"""The phases in the order in which they run."""
INTERRUPTED_REASON = "interrupted"
"""Failure reason of a trial that was running when its driver ended."""


def format_value(value: Value) -> str:
    """Format a value for reading: a float with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def format_bytes(size: float) -> str:
    """Format bytes with three digits, in the largest unit that fits: GB, MB or kB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size / 1e3:.3g} kB"


def format_setting(setting: Setting) -> str:
    """Format a setting as one line: `alpha=1.5 beta=7`."""
    return " ".join(f"{name}={format_value(value)}" for name, value in setting.items())


def escape_unprintable(text: str) -> str:
    """Replace characters that a terminal would obey or not show by their Python escapes; keep line breaks."""
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Pace of a training: the last step's loss, tokens a second, and seconds until its last step."""

    loss: float
    tokens_per_s: float
    left_s: float

    def __str__(self) -> str:
        """Format it as text: `loss 1.234, 512 tokens/s, 0:12:30 left`."""
        left = timedelta(seconds=round(self.left_s))
        return f"loss {self.loss:.4g}, {self.tokens_per_s:.0f} tokens/s, {left} left"


@dataclass(frozen=True, kw_only=True)
class StepProgress:
    """Progress of work within its steps.

    Attributes:
        done: steps done.
        total: steps in all.
        pace: pace of a training; None where it was not measured now.
        goes_on: True where the work goes on from a checkpoint.
    """

    done: int
    total: int
    pace: Pace | None = None
    goes_on: bool = False

    def __str__(self) -> str:
        """Format it as text: `120/625 steps, loss 1.234, 512 tokens/s, 0:12:30 left`."""
        return ", ".join([f"{self.done}/{self.total} steps", *([str(self.pace)] if self.pace else [])])


Risk: TypeAlias = Literal["forget", "retain"]
Term: TypeAlias = Literal["objective", "retain_term"]


class TermEffect(TypedDict):
    """Gradient effect of a term of the loss on a risk, in nats per token and unit of the learning rate.

    A small step against the term's gradient lowers the risk where the effect is positive: wanted are an effect far
    below 0 on the risk of forget rows, and one of 0 or more on that of holdout rows.

    Keys: `risk` (mean cross-entropy over the answer tokens of forget rows, or, as `retain`, of holdout rows), `term`
    (the objective, or the retain term with its weight), `whole`, `parts` (the sums over the embeddings, the shallow,
    middle and deep third of the layers, and the head), and if they were asked for `layers` (each layer's share, from
    the first) and `rows` (each forget row's share, of the objective only).
    """

    risk: Risk
    term: Term
    whole: float
    parts: dict[str, float]
    layers: list[float]
    rows: list[float]


class WeightBin(TypedDict):
    """Weights that an objective gives to tokens of one tenth of the probabilities: how hard it pushes them down.

    A token's weight is the derivative of the unreduced loss by its log-probability; gradient ascent gives 1 to all.
    Keys: `p` (lower end of the tenth), `n` (number of tokens), `mean`, and the 10 % and 90 % quantiles `low` and
    `high`.
    """

    p: float
    n: int
    mean: float
    low: float
    high: float


class GEffect(TypedDict):
    """Gradient effects at a trial's weights after `step` optimizer steps.

    Keys: `step`, `effects` (of each term on each risk), `rows` (numbers of the forget rows that were measured, from 1;
    empty unless each row's share was asked for), and `weights` (of the tokens of these rows; empty for an objective
    that does not read the log-probability of its labels).
    """

    step: int
    effects: list[TermEffect]
    rows: list[int]
    weights: list[WeightBin]


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """Record of one attempt at a trial: one setting, one seed.

    Attributes:
        phase: search, race (a promising setting on a race seed), or finalist (the winner's or the paper's setting on a
            report seed).
        index: the trial's number within its phase, from 0; ours, not Optuna's.
        setting: every hyper-parameter, searched or fixed.
        seed: the seed of all randomness in the trial.
        state: running, finished (also if training diverged), failed (an exception) or pruned.
        metrics: final metrics; empty until the trial is finished.
        curve: metrics after each epoch, first epoch first; each has the key `epoch`.
        reason: the reason of a failure, of pruning, or of the worst score for a finished trial; else empty.
        run_id: the MLflow run, empty until there is one.
        started: Unix time in seconds.
        ended: Unix time in seconds; 0 while it runs.
        worker: the host and process that ran it.
        answers: answers to a few rows, of trials on the first report seed; else empty.
        target_metrics: metrics of the target in the full suite, from the same trials; else empty.
        g_effects: gradient effects, in the order of their steps; empty unless `eval.g_effect` is set.
        progress: progress between two points of the curve while it runs long, for the display; else None; not stored.
    """

    phase: Phase
    index: int
    setting: Setting
    seed: int
    state: State
    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)
    reason: str = ""
    run_id: str = ""
    started: float = 0.0
    ended: float = 0.0
    worker: str = ""
    answers: list[RowAnswers] = field(default_factory=list)
    target_metrics: dict[str, float] = field(default_factory=dict)
    g_effects: list[GEffect] = field(default_factory=list)
    progress: StepProgress | None = None

    @property
    def score(self) -> float:
        """The trial's score, lower is better; infinity if it has none."""
        return self.metrics.get("score", float("inf"))


@dataclass(frozen=True, kw_only=True)
class TrackingRun:
    """Location of a sweep's MLflow run; no field holds a password."""

    tracking_uri: str
    experiment: str
    run_id: str
