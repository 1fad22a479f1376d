"""The configuration of a sweep as typed, frozen objects; `compose.load` builds one from YAML and overrides."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    Discriminator,
    Field,
    PositiveFloat,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from eval import datasets
from eval.options import Count, Frozen
from sweep.config.template import RowTemplate, Template
from sweep.records import Setting, Value
from sweep.redaction import has_secret

Fraction: TypeAlias = Annotated[float, Field(gt=0, le=1)]
SmallCount: TypeAlias = Annotated[int, Field(gt=0, le=1000)]
"""Positive number up to 1000; a larger one is a typing error that would make a dry run endless."""
Bound: TypeAlias = Annotated[float, Field(ge=-1e15, le=1e15)]
"""End of a range, limited so that every whole number in it is exact as a float."""
MAX_EXPERIMENT_CHARS = 250
"""Maximum length of an MLflow experiment's name."""
EXTRA_TAUS = (0.4, 0.6, 0.8, 0.9)
"""Retention levels besides `score.tau` at which the score is interpolated on the grid."""

PASSWORD_HINTS = {
    "ledger": "set PGPASSWORD, or ~/.pgpass, on the machine of the driver",
    "artifacts": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY on all machines",
}
"""Alternatives to a password in a URL, by key; the URLs are written to files."""


class Shape(Frozen):
    """Sizes of a Llama built from scratch, with a tokenizer trained on the rows."""

    layers: Annotated[int, Field(gt=0, le=64)]
    hidden: Count
    intermediate: Count
    heads: SmallCount
    vocabulary: Count

    @model_validator(mode="after")
    def _check_hidden_size(self) -> Self:
        if self.hidden % (2 * self.heads):
            raise ValueError(f"must have a hidden size ({self.hidden}) that is a multiple of 2 × heads ({self.heads})")
        return self


class Architecture(Frozen):
    """Values of a model's config.json that tell its size, as transformers names them; `layers` is in the model."""

    model_type: str
    vocab_size: Count
    hidden_size: Count
    intermediate_size: Count
    num_attention_heads: SmallCount
    num_key_value_heads: SmallCount
    tie_word_embeddings: bool


class ModelConfig(Frozen):
    """The base model of the sweep."""

    name: str
    path: str | None
    """Folder or hub id of the base model; null builds one from `shape`."""
    revision: str | None
    """Hub revision (a commit); null uses the newest when the sweep begins."""
    shape: Shape | None
    architecture: Architecture | None = Field(default=None, exclude=True)
    """The size of the model at `path`, for --dry-run where the hub cannot be reached; not stored."""
    layers: SmallCount
    """Number of transformer layers; null in a file reads it from the configuration of `path`."""
    deepest: SmallCount
    """The deepest layer that RMU may read, `layers` − 1; null in a file stands for it."""
    template: RowTemplate | None
    """The text of a row, or the name of a shipped model whose text it is; null renders the tokenizer's chat template,
    and is `Question: {question}\\nAnswer: {answer}` where it has none."""

    @property
    def row_template(self) -> Template:
        """The text of a row, which a plan has."""
        assert isinstance(self.template, Template), "the plan has rendered the chat template"
        return self.template

    @model_validator(mode="after")
    def _check_layers(self) -> Self:
        if self.path is None and (self.shape is None or self.shape.layers != self.layers):
            raise ValueError("must have a path, or a shape with as many layers as `layers` says")
        if self.deepest != self.layers - 1:
            raise ValueError(f"must have deepest ({self.deepest}) one below layers ({self.layers})")
        return self


class TargetConfig(Frozen):
    """Fine-tuning of the target on forget, retain and holdout rows."""

    path: str | None
    """Folder or hub id of an already fine-tuned model; null fine-tunes `model`."""
    revision: str | None
    """Hub revision of `path`; null uses the newest when the sweep begins."""
    epochs: Count
    lr: PositiveFloat
    batch: Count
    weight_decay: float = Field(ge=0)
    until: Fraction | None = None
    """ES that ends the fine-tuning, after the first epoch in which forget and holdout rows have it (null: `epochs`)."""
    min_es: float = Field(default=0.1, ge=0, le=1)
    """ES on forget and on holdout rows below which the target is refused: it does not know them (0: never)."""


class RetainModelConfig(Frozen):
    """The retain model, which forget quality and privleak compare with; it is used only where they are measured."""

    path: str | None
    """Folder or hub id of a model fine-tuned on retain and holdout rows alone; null fine-tunes `model`."""
    revision: str | None
    """Hub revision of `path`; null uses the newest when the sweep begins."""


if TYPE_CHECKING:
    DataConfig: TypeAlias = datasets.DatasetOptions
else:
    DataConfig = reduce(or_, map(datasets.load_options, datasets.list_names()))
    """Options of one of the datasets in `eval.datasets`, by `data.source`."""


class RetainConfig(Frozen):
    """The retain term."""

    term: Literal["none", "kl", "nll"]
    weight: float = Field(ge=0)
    """λ, the weight of the retain term in the loss; the forget term has weight 1."""
    reduction: Literal["tokens", "padded500"]
    """Mean over real tokens, or, as in the paper's code, over all 500 positions of the padded rows."""


class TrainConfig(Frozen):
    """Training of a trial."""

    lr: PositiveFloat
    epochs: Count
    """Epochs over the forget rows: ⌊epochs · forget rows / batch⌋ optimizer steps."""
    warmup_from: Literal[0, 1] = 1
    """Number of the first step: step s of W warm-up steps has the learning rate lr · s / W; 0 as in transformers."""
    batch: Count
    clip: PositiveFloat | None
    """Maximum norm of the gradient (null: not clipped)."""
    precision: Literal["float32", "master", "kahan"]
    """`float32`; `master`: bfloat16 arithmetic over float32 weights; `kahan`: bfloat16 weights, compensated updates."""
    attention: Literal["sdpa", "eager", "flash_attention_2"]
    """Implementation of attention: PyTorch's own, the plain formula, or the flash-attn package's."""
    checkpointing: bool
    """Recompute the layers' activations in the backward pass, which saves memory and takes time."""
    tokens: Count
    """Maximum padded positions in one forward pass with gradient; a larger batch is split, which changes no step."""
    parallel: Literal["ddp", "fsdp"]
    """Model in several processes: `ddp` copies it to each; `fsdp` shards weights, gradients and optimizer states."""


class Range(Frozen):
    """Range in which a hyper-parameter is searched: from low to high, both included."""

    low: Bound
    high: Bound
    log: bool = False
    step: PositiveFloat | None = None

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
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


def _entry_tag(entry: object) -> str:
    """Return the tag of the type that an entry of the space is meant to have; a tag is never a key of the user."""
    return "-choices" if isinstance(entry, Choices) or (isinstance(entry, Mapping) and "choices" in entry) else "-range"


Space: TypeAlias = dict[
    str,
    Annotated[Annotated[Range, Tag("-range")] | Annotated[Choices, Tag("-choices")], Discriminator(_entry_tag)],
]


class SearchConfig(Frozen):
    """Search for the best setting."""

    sampler: Literal["auto", "gp", "tpe", "random", "grid", "nsga2", "paper"]
    """`auto`: gp (a Gaussian process) for the first 250 trials of a space of numbers without `stop`, else tpe."""
    also: Annotated[
        tuple[Literal["train.lr", "retain.weight", "train.epochs"], ...], Field(strict=False, exclude=True)
    ] = ()
    """Hyper-parameters to search besides those of `space`: `compose.load` adds them to it, and this is not stored."""
    trials: Annotated[int, Field(gt=0, le=100_000)] | None
    """Number of trials of the search (null: as many as `hours` allows)."""
    seeds: int = Field(ge=1, le=1000)
    """Number of seeds on which its trials take turns (1: all on `seed`), so that no seed's luck decides."""
    hours: PositiveFloat | None
    """Hours after which no further trial of the search is started (null: no limit)."""
    epochs: Literal["last", "best"]
    """Epoch by which a trial is scored: its last, mixed with the target; or, if it forgets more, an earlier one that
    keeps τ without a mix (`best`)."""
    warm_start: Annotated[tuple[str, ...], Field(strict=False)]
    """Earlier sweeps of the same storage that the sampler learns from; all that a score depends on must be equal."""
    stop: Literal["none", "asha"]
    """`asha`: after 2, 6, 18, ... epochs only the third of the trials that has forgotten most continues."""
    race: int = Field(ge=0, le=10_000)
    """Maximum number of runs in which the best settings race on fresh seeds (0: no race; else at least 2)."""

    @field_validator("race")
    @classmethod
    def _check_race(cls, race: int) -> int:
        if race == 1:
            raise ValueError("must be 0, for no race, or at least 2: one run is no race")
        return race

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.trials is None and self.hours is None:
            raise ValueError("must have trials or hours, or both")
        return self

    @model_validator(mode="after")
    def _check_sampler(self) -> Self:
        if self.warm_start and self.sampler not in ("auto", "gp", "tpe"):
            raise ValueError(f"must have no warm_start with sampler {self.sampler!r}, which learns nothing from it")
        if self.stop == "asha" and self.sampler == "nsga2":
            raise ValueError("must have no stop with sampler 'nsga2': trials are stopped by their score alone")
        if self.stop == "asha" and self.sampler == "gp":
            raise ValueError("must have no stop with sampler 'gp', which does not see stopped trials: take auto")
        return self


class ScoreConfig(Frozen):
    """Score that the search minimises: forget ES of the mix that keeps the share `tau` of the reference's retain ES."""

    tau: Fraction


class EvalConfig(Frozen):
    """Evaluation of a trial, during its training and at its end."""

    every: int = Field(ge=0)
    """Epochs between two points of the curve (0: no curve)."""
    suite: Literal["search", "full"]
    """`search`: metrics for the score, all metrics on the first report seed; `full`: all, also makes a retain model."""


class ClusterConfig(Frozen):
    """Resources of a trial, and the cluster that provides them."""

    @model_validator(mode="before")
    @classmethod
    def _fill_processes(cls, block: Any) -> Any:
        if isinstance(block, dict) and block.get("processes") is None and isinstance(block.get("gpus"), int | float):
            return block | {"processes": int(min(max(1, block["gpus"]), 1000))}
        return block

    name: str
    address: str | None
    """Ray address; null starts Ray on this machine, or uses RAY_ADDRESS (set inside a job)."""
    cpus: PositiveFloat
    """CPU cores of a trial."""
    gpus: float = Field(ge=0, le=1000)
    """GPUs of a trial: a fraction shares one GPU; with several, each has a process of its own."""
    processes: SmallCount
    """Processes of a trial, which share its cores and GPUs (null: one per GPU, at least one)."""
    accelerator: str | None
    """Ray's accelerator type, for example A100."""
    memory: PositiveFloat | None
    """Memory of one GPU in gigabytes, with which --dry-run compares its forecast (null: unknown)."""
    concurrency: Count | None
    """Maximum number of concurrent trials (null: as many as fit)."""
    retries: int = Field(ge=0, le=1000)
    """Number of times a trial is rerun after its process died."""
    deadline: float | None = Field(gt=0, le=8760)
    """Hours after which a running trial counts as hung and its process is ended (null: no limit).

    The preparation has no deadline: it may wait for another sweep that makes the same artifacts.
    """


class SweepConfig(Frozen):
    """The configuration of a whole sweep."""

    objective: str
    """Name of a file in objectives/, or an importable `package.module`."""
    space: Space
    fixed: dict[str, Value]
    retain: RetainConfig
    search: SearchConfig
    score: ScoreConfig
    seed: int = Field(ge=0, lt=2**31)
    """Seed of the search and of all its trials."""
    seeds: int = Field(ge=0, le=10**6)
    """Number of report seeds, on which the winner and the paper's setting are measured (0: no report)."""
    train: TrainConfig
    eval: EvalConfig
    model: ModelConfig
    target: TargetConfig
    retain_model: RetainModelConfig = RetainModelConfig(path=None, revision=None)
    data: Annotated[DataConfig, Field(discriminator="source")]
    recipe: Literal["default", "paper"]
    cluster: ClusterConfig
    storage: Annotated[Path, Field(strict=False)]
    """Absolute path of the folder for sweeps and artifacts."""
    artifacts: str | None
    """URL of the artifacts for nodes that share no folder, such as s3://bucket/prefix (null: in `storage`)."""
    ledger: str | None
    """Database URL of the study, without a password (null: study.db in the sweep's folder)."""
    experiment: Annotated[str, Field(min_length=1, max_length=MAX_EXPERIMENT_CHARS)] | None
    """MLflow's experiment (null: `<model>-<data>`); MLFLOW_EXPERIMENT_NAME takes precedence."""

    @field_validator("ledger", "artifacts")
    @classmethod
    def _check_no_password(cls, url: str | None, info: ValidationInfo) -> str | None:
        # The URL is written to the sweep's folder and to MLflow.
        if url is not None and has_secret(url):
            raise ValueError(f"must hold no password: {PASSWORD_HINTS[str(info.field_name)]}")
        return url

    def with_setting(self, setting: Setting) -> "SweepConfig":
        """Return a copy with a setting's `retain.weight`, `train.lr` and `train.epochs`, where it has them."""
        blocks = {block: self.__dict__[block].model_dump() for block in ("retain", "train")}
        for key, value in setting.items():
            block, _, name = key.rpartition(".")
            if block:
                blocks[block][name] = value
        return SweepConfig.model_validate(self.model_dump() | blocks)
