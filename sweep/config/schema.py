"""The configuration of a sweep as typed, frozen objects; `compose.load` makes one from YAML and overrides."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PositiveFloat,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sweep.records import Setting, Value
from sweep.redaction import has_secret

Fraction: TypeAlias = Annotated[float, Field(gt=0, le=1)]
Count: TypeAlias = Annotated[int, Field(gt=0, le=10**6)]
Few: TypeAlias = Annotated[int, Field(gt=0, le=1000)]
"""What more would be is a slip of the finger, over which a dry run would take for ever."""
Bound: TypeAlias = Annotated[float, Field(ge=-1e15, le=1e15)]
"""An end of a range: every whole number between is a float."""
LONGEST_NAME = 250
"""Characters of an experiment's name."""
TAUS = (0.4, 0.6, 0.8, 0.9)
"""Further retention levels at which the score is read off the grid, beside `score.tau`."""

INSTEAD = {
    "ledger": "set PGPASSWORD, or ~/.pgpass, on the machine of the driver",
    "artifacts": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY on all machines",
}
"""Where the password of a URL belongs that is written to files."""


class Frozen(BaseModel):
    """A block of the configuration: unknown keys are refused, values never change, numbers are finite.

    It is strict: a text or a truth value where a number is wanted is a mistake, not a number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=(), strict=True)


class Template(Frozen):
    """The text of a row; every token of the `answer` part is a label, with EOS after it."""

    question: str
    """The prompt, with {question} in it."""
    answer: str
    """What follows, with {answer} in it."""

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if "{question}" not in self.question or "{answer}" not in self.answer:
            raise ValueError("must have {question} in its question and {answer} in its answer")
        return self


class Shape(Frozen):
    """A Llama made from its configuration, with a tokenizer trained on the rows."""

    layers: Annotated[int, Field(gt=0, le=64)]
    hidden: Count
    intermediate: Count
    heads: Few
    vocabulary: Count

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.hidden % (2 * self.heads):
            raise ValueError(f"must have a hidden size ({self.hidden}) that is a multiple of 2 × heads ({self.heads})")
        return self


class ModelConfig(Frozen):
    """Which model is unlearned."""

    name: str
    path: str | None
    """Folder or hub id of the base model; null makes one from `shape`."""
    revision: str | None
    """Hub revision (a commit); null: the newest when the sweep begins."""
    shape: Shape | None
    layers: Few
    """Transformer layers; RMU's layer is checked against it before anything is loaded."""
    deepest: Few
    """The deepest layer that RMU may read, `layers` − 1."""
    template: Template

    @model_validator(mode="after")
    def _can_be_had(self) -> Self:
        if self.path is None and (self.shape is None or self.shape.layers != self.layers):
            raise ValueError("must have a path, or a shape with as many layers as `layers` says")
        if self.deepest != self.layers - 1:
            raise ValueError(f"must have deepest ({self.deepest}) one below layers ({self.layers})")
        return self


class TargetConfig(Frozen):
    """How the target is made: fine-tuning on forget, retain and holdout rows."""

    path: str | None
    """Folder or hub id of a model that is fine-tuned already; null fine-tunes `model`."""
    revision: str | None
    """Hub revision of `path`; null: the newest when the sweep begins."""
    epochs: Count
    lr: PositiveFloat
    batch: Count
    weight_decay: float = Field(ge=0)


class AuthorsConfig(Frozen):
    """Made-up authors: numbers of authors in each part, from a seed."""

    source: Literal["authors"]
    name: str
    paper_split: Literal["forget01", "forget05", "forget10"]
    """Column of the paper's table that stands in for this dataset."""
    seed: int = Field(ge=0, lt=2**31)
    forget: Count
    retain: Count
    holdout: Count
    unseen: int = Field(ge=0)
    max_retain: Count | None
    """At most so many retain rows (null: all)."""
    max_holdout: Count | None
    """At most so many holdout rows (null: all)."""


class TofuConfig(Frozen):
    """TOFU from a hub id or a local folder."""

    source: Literal["tofu"]
    name: str
    paper_split: Literal["forget01", "forget05", "forget10"]
    """The split that is forgotten, and the column of the paper's table."""
    path: str
    revision: str | None
    unseen: str | None
    """A split of rows that no model has seen, disjoint from `full`; membership inference needs it."""
    max_retain: Count | None
    max_holdout: Count | None


class RetainConfig(Frozen):
    """The retain term."""

    term: Literal["none", "kl", "nll"]
    weight: float = Field(ge=0)
    """λ, the weight of the retain term beside the forget term."""
    reduction: Literal["tokens", "padded500"]
    """Mean over real tokens, or (the paper's code) over all 500 positions of the padded rows."""


class TrainConfig(Frozen):
    """A trial's training."""

    lr: PositiveFloat
    epochs: Count
    """⌊epochs · forget rows / batch⌋ optimizer steps."""
    batch: Count
    clip: PositiveFloat | None
    """Largest norm of the gradient (null: not clipped)."""
    precision: Literal["float32", "master", "kahan"]
    """`float32`; `master`: bfloat16 arithmetic over float32 weights; `kahan`: bfloat16 weights, compensated updates."""
    attention: Literal["sdpa", "eager", "flash_attention_2"]
    """Which implementation of attention: PyTorch's own, the plain formula, or the flash-attn package's."""
    checkpointing: bool
    """Whether layers' activations are computed again in the backward pass, which takes time and saves memory."""
    tokens: Count
    """Padded positions of one forward pass with gradient; a batch that has more is split, which changes no step."""
    parallel: Literal["ddp", "fsdp"]
    """How several processes hold the model: each all of it, or each its share of weights, gradients and optimizer."""


class Range(Frozen):
    """Where a hyper-parameter is searched: from low to high, both included."""

    low: Bound
    high: Bound
    log: bool = False
    step: PositiveFloat | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"must have low ({self.low}) at most high ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"must have low above 0 (not {self.low}) where log is true")
        if self.log and self.step is not None:
            raise ValueError("must not have a step where log is true")
        return self


class Choices(Frozen):
    """A hyper-parameter that takes one of a few values."""

    choices: Annotated[tuple[Value, ...], Field(min_length=1, max_length=1000, strict=False)]


def _kind(entry: object) -> str:
    """Which of the two an entry of the space is meant to be, by a tag that is no key."""
    return "-choices" if isinstance(entry, Choices) or (isinstance(entry, Mapping) and "choices" in entry) else "-range"


Space: TypeAlias = dict[
    str,
    Annotated[Annotated[Range, Tag("-range")] | Annotated[Choices, Tag("-choices")], Discriminator(_kind)],
]


class SearchConfig(Frozen):
    """How settings are searched."""

    sampler: Literal["tpe", "random", "grid", "nsga2", "paper"]
    trials: Annotated[int, Field(gt=0, le=100_000)] | None
    """Trials of the search (null: as many as `hours` allows)."""
    hours: PositiveFloat | None
    """Hours after which no further trial of the search begins (null: no limit)."""
    epochs: Literal["last", "best"]
    """Which epoch of a trial is its candidate: the last, or that which forgets most while it keeps enough."""
    warm_start: Annotated[tuple[str, ...], Field(strict=False)]
    """Earlier sweeps of the same storage whose trials the sampler knows; all that a score depends on is the same."""
    stop: Literal["none", "asha"]
    """`asha`: after 2, 6, 18 ... epochs only the third of the trials goes on that has forgotten most."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.trials is None and self.hours is None:
            raise ValueError("must have trials or hours, or both")
        return self

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.warm_start and self.sampler != "tpe":
            raise ValueError(f"must have no warm_start with sampler {self.sampler!r}, which learns nothing from it")
        if self.stop == "asha" and self.sampler == "nsga2":
            raise ValueError("must have no stop with sampler 'nsga2': trials are stopped by their score alone")
        return self


class ScoreConfig(Frozen):
    """What the search minimises: forget ES of the mix that keeps the share `tau` of the reference's retain ES."""

    tau: Fraction


class EvalConfig(Frozen):
    """When a trial is evaluated while it trains, and with what at its end."""

    every: int = Field(ge=0)
    """Epochs between two points of the curve; 0: none."""
    suite: Literal["search", "full"]
    """`search`: what the score needs, and all metrics for finalists; `full`: all metrics, with a retain model made."""


class ClusterConfig(Frozen):
    """What a trial is given, and where."""

    @model_validator(mode="before")
    @classmethod
    def _one_for_each_gpu(cls, block: Any) -> Any:
        if isinstance(block, dict) and block.get("processes") is None and isinstance(block.get("gpus"), int | float):
            return block | {"processes": int(min(max(1, block["gpus"]), 1000))}
        return block

    name: str
    address: str | None
    """Ray address; null starts Ray on this machine, or uses RAY_ADDRESS (set inside a job)."""
    cpus: PositiveFloat
    """CPU cores of a trial."""
    gpus: float = Field(ge=0, le=1000)
    """GPUs of a trial; a fraction shares one, several are a process each."""
    processes: Few
    """Processes of a trial, which share its cores and GPUs (null: one for each GPU, at least one)."""
    accelerator: str | None
    """Ray's accelerator type, for example A100."""
    memory: PositiveFloat | None
    """Gigabytes of one GPU, against which --dry-run holds its forecast (null: not known)."""
    concurrency: Count | None
    """Trials at once (null: as many as fit)."""
    retries: int = Field(ge=0, le=1000)
    """Times a trial is run again after its process died."""
    deadline: float | None = Field(gt=0, le=8760)
    """Hours after which a trial that still runs is taken to hang, and its process ended (null: no limit).

    The preparation has none: it may wait for another sweep that makes the same.
    """


class SweepConfig(Frozen):
    """A whole sweep."""

    objective: str
    """A file of objectives/, or an importable `package.module`."""
    space: Space
    fixed: dict[str, Value]
    retain: RetainConfig
    search: SearchConfig
    score: ScoreConfig
    seed: int = Field(ge=0, lt=2**31)
    """Seed of the search and of all its trials."""
    seeds: int = Field(ge=0, le=10**6)
    """Fresh seeds on which the finalists are repeated (0: no finalists)."""
    train: TrainConfig
    eval: EvalConfig
    model: ModelConfig
    target: TargetConfig
    data: Annotated[AuthorsConfig | TofuConfig, Field(discriminator="source")]
    recipe: Literal["default", "paper"]
    cluster: ClusterConfig
    storage: Annotated[Path, Field(strict=False)]
    """Folder of sweeps and artifacts, absolute."""
    artifacts: str | None
    """URL where artifacts are kept for nodes that share no folder, such as s3://bucket/prefix (null: in `storage`)."""
    ledger: str | None
    """Database URL of the study, without a password (null: study.db in the sweep's folder)."""
    experiment: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)] | None
    """MLflow's experiment (null: `<model>-<data>`); MLFLOW_EXPERIMENT_NAME comes before it."""

    @field_validator("ledger", "artifacts")
    @classmethod
    def _keeps_no_secret(cls, url: str | None, info: ValidationInfo) -> str | None:
        # It is written to the sweep's folder and to MLflow.
        if url is not None and has_secret(url):
            raise ValueError(f"must hold no password: {INSTEAD[str(info.field_name)]}")
        return url

    def with_setting(self, setting: Setting) -> "SweepConfig":
        """The configuration in which a trial's `retain.weight`, `train.lr`, `train.epochs` are the setting's."""
        blocks = {block: self.__dict__[block].model_dump() for block in ("retain", "train")}
        for key, value in setting.items():
            block, _, name = key.rpartition(".")
            if block:
                blocks[block][name] = value
        return SweepConfig.model_validate(self.model_dump() | blocks)
