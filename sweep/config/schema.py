"""The configuration of a sweep as typed, frozen objects; `compose.load` builds one from YAML and overrides."""

from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, PositiveFloat, ValidationInfo, field_validator, model_validator

from eval import datasets
from eval.options import Count, Fraction, Frozen, SmallCount
from sweep.config.model_schema import LORA, LoraConfig, ModelConfig, RetainModelConfig, TargetConfig
from sweep.config.search_schema import SearchConfig, Space
from sweep.records import Setting, Value
from sweep.redaction import has_secret

MAX_EXPERIMENT_CHARS = 250
"""Maximum length of an MLflow experiment's name."""
EXTRA_TAUS = (0.4, 0.6, 0.8, 0.9)
"""Retention levels besides `score.tau` at which the score is interpolated on the grid."""

SAVING_KEYS = ("save", "save_as", "registry")
"""Keys that say which models are kept and how: they change no number, and may differ when a sweep is resumed."""

PASSWORD_HINTS = {
    "ledger": "set PGPASSWORD, or ~/.pgpass, on the machine of the driver",
    "artifacts": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY on all machines",
}
"""Alternatives to a password in a URL, by key; the URLs are written to files."""


if TYPE_CHECKING:
    DataConfig: TypeAlias = datasets.DatasetOptions
else:
    DataConfig = reduce(or_, map(datasets.load_options, datasets.list_names()))
    """Options of one of the datasets in `eval.datasets`, by `data.source`."""


class RetainConfig(Frozen):
    """The retain term."""

    term: Literal["none", "kl", "nll"]
    """Loss on retain rows: none; `kl`, the divergence from the reference's distribution; or `nll`, that of training."""
    weight: float = Field(ge=0)
    """λ, the weight of the retain term in the loss; the forget term has weight 1."""
    reduction: Literal["tokens", "padded500"]
    """Mean over real tokens, or, as in the paper's code, over all 500 positions of the padded rows."""


class TrainConfig(Frozen):
    """Training of a trial."""

    lr: PositiveFloat
    """Highest learning rate of AdamW (not given: the model's; for adapters ten times it, up to 5e-4)."""
    epochs: Count
    """Epochs over the forget rows: ⌊epochs · forget rows / batch⌋ optimizer steps."""
    warmup_from: Literal[0, 1] = 1
    """Number of the first step: step s of W warm-up steps has the learning rate lr · s / W; 0 as in transformers."""
    batch: Count
    """Forget rows of an optimizer step, which reads as many retain rows too."""
    clip: PositiveFloat | None
    """Maximum norm of the gradient (null: not clipped)."""
    precision: Literal["float32", "master", "kahan"]
    """`float32`; `master`: bfloat16 arithmetic over float32 weights; `kahan`: bfloat16 weights, compensated updates.

    On a CPU with AMX, master and kahan are 1.8 and 2.7 times as quick as float32.
    """
    attention: Literal["sdpa", "eager", "flash_attention_2"]
    """Implementation of attention: PyTorch's own, the plain formula, or the flash-attn package's."""
    checkpointing: bool
    """Recompute the layers' activations in the backward pass, which saves memory and takes time."""
    tokens: Count
    """Maximum padded positions in one forward pass with gradient; a larger batch is split, which changes no step."""
    parallel: Literal["ddp", "fsdp"]
    """Model in several processes: `ddp` copies it to each; `fsdp` shards weights, gradients and optimizer states."""
    lora: LoraConfig | None = LORA
    """Train adapters over the frozen target (null: all its weights)."""


class ScoreConfig(Frozen):
    """Score that the search minimises: forget ES of the mix that keeps the share `tau` of the reference's retain ES."""

    tau: Fraction
    """τ, the share of the reference's retain ES that the scored mix must keep."""


class GEffectConfig(Frozen):
    """Gradient effects of the loss on the risks of forget and holdout rows, while a trial trains; no number changes."""

    every: Count
    """Number of optimizer steps between two measurements; the first is made before the first step."""
    rows: Count = 16
    """Number of rows of each part that are measured, evenly chosen and the same in all trials."""
    by: Annotated[tuple[Literal["layer", "row"], ...], Field(strict=False)] = ("layer",)
    """Shares that are kept beside the whole and the thirds of the layers: `layer`, each layer's; `row`, each row's."""


class EvalConfig(Frozen):
    """Evaluation of a trial, during its training and at its end."""

    every: int = Field(ge=0)
    """Epochs between two points of the curve (0: no curve)."""
    suite: Literal["search", "full"]
    """`search`: metrics for the score, all metrics on the first report seed; `full`: all, also makes a retain model."""
    g_effect: GEffectConfig | None = Field(default=None, exclude_if=lambda block: block is None)
    """Measure gradient effects in every trial (null: not)."""


class ClusterConfig(Frozen):
    """Resources of a trial, and the cluster that provides them."""

    @model_validator(mode="before")
    @classmethod
    def _fill_processes(cls, block: Any) -> Any:
        if isinstance(block, dict) and block.get("processes") is None and isinstance(block.get("gpus"), int | float):
            return block | {"processes": int(min(max(1, block["gpus"]), 1000))}
        return block

    name: str
    """Name of the cluster in messages: that of its file in configs/cluster."""
    address: str | None
    """Ray address; null starts Ray on this machine, or uses RAY_ADDRESS (set inside a job)."""
    cpus: PositiveFloat
    """CPU cores of a trial."""
    gpus: float = Field(ge=0, le=1000)
    """GPUs of a trial: a fraction shares one GPU; with several, each has a process of its own."""
    processes: SmallCount
    """Processes of a trial, which share its cores and GPUs (null: one per GPU, at least one)."""
    accelerator: str | None
    """Ray's accelerator type, for example A100 (null: any)."""
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
    checkpoint: PositiveFloat | None = 10.0
    """Minutes that a fine-tuning or a trial runs, from its start or its last checkpoint, before it writes a checkpoint.

    After a kill or the loss of a node it goes on from there (null: it begins again).
    """


class SweepConfig(Frozen):
    """The configuration of a whole sweep."""

    objective: str
    """Name of a file in objectives/, or an importable `package.module`."""
    space: Space
    """Hyper-parameters to search, by name: a range or choices; `~space.NAME` on the command line takes one away."""
    fixed: dict[str, Value]
    """Values of the hyper-parameters that are not searched; with `space`, these are exactly the objective's."""
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
    """Way in which trials train, by the name of its file in configs/recipe: ours, or that of the paper's code."""
    cluster: ClusterConfig
    storage: Annotated[Path, Field(strict=False)]
    """Absolute path of the folder for sweeps and artifacts."""
    artifacts: str | None
    """URL of the artifacts for nodes that share no folder, such as s3://bucket/prefix (null: in `storage`)."""
    ledger: str | None
    """Database URL of the study, without a password (null: study.db in the sweep's folder)."""
    experiment: Annotated[str, Field(min_length=1, max_length=MAX_EXPERIMENT_CHARS)] | None
    """MLflow's experiment (null: `<model>-<data>`); MLFLOW_EXPERIMENT_NAME takes precedence."""
    save: Literal["none", "best", "finalists", "pareto"] = "none"
    """Models that are kept: the best setting's; the paper's too; or those on the front of forget and retain ES too."""
    save_as: Literal["unlearned", "compared", "both"] = "compared"
    """Weights of a kept model: as unlearned (m = 1), the mix θ(m*) that was scored, or each in a folder of its own."""
    registry: Annotated[str, Field(min_length=1, max_length=MAX_EXPERIMENT_CHARS)] | None = None
    """Name in MLflow's model registry under which kept models are registered and copied (null: they are not)."""

    @field_validator("ledger", "artifacts")
    @classmethod
    def _check_no_password(cls, url: str | None, info: ValidationInfo) -> str | None:
        # The URL is written to the sweep's folder and to MLflow.
        if url is not None and has_secret(url):
            raise ValueError(f"must hold no password: {PASSWORD_HINTS[str(info.field_name)]}")
        return url

    @field_validator("registry")
    @classmethod
    def _check_registry(cls, name: str | None) -> str | None:
        if name is not None and ("/" in name or ":" in name):
            raise ValueError("must be a name without / and :, as MLflow's registry wants it")
        return name

    def with_setting(self, setting: Setting) -> "SweepConfig":
        """Return a copy with a setting's `retain.weight`, `train.lr` and `train.epochs`, where it has them."""
        blocks = {block: self.__dict__[block].model_dump() for block in ("retain", "train")}
        for key, value in setting.items():
            block, _, name = key.rpartition(".")
            if block:
                blocks[block][name] = value
        return SweepConfig.model_validate(self.model_dump() | blocks)
