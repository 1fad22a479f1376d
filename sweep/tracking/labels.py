"""Texts of a sweep's MLflow runs: their names, tags and params."""

import hashlib
import json
from collections.abc import Mapping

from eval.definitions import DEFINITIONS, define_score
from eval.models.packaged import describe_weights
from eval.provenance import find_revision, list_versions
from sweep.config.schema import SweepConfig
from sweep.records import INTERRUPTED_REASON, Setting, TrialRecord, format_setting
from sweep.tracking.metrics import to_milliseconds

MAX_TEXT_CHARS = 5000
"""Maximum length of a param or a tag in characters; MLflow accepts 6000 and 8000."""
MAX_NAME_CHARS = 250
"""Maximum length of a run's name in characters, MLflow's own."""
DEFINITIONS_FILE = "definitions.yaml"
"""Artifact of the parent with the definition of each metric."""
TAGGED_LIBRARIES = ("torch", "transformers", "ray", "optuna")
"""Libraries whose versions may change a sweep's numbers, and are logged as tags."""


def format_attempt_key(record: TrialRecord) -> str:
    """Return a key unique to the attempt: phase, index and start time, which differs when a trial runs again."""
    return f"{record.phase}/{record.index}/{to_milliseconds(record.started)}"


def format_run_name(config: SweepConfig, record: TrialRecord) -> str:
    """Return a run name that begins with what tells the trial from others: `race #3 0.302 alpha=1.5 seed=104`."""
    phase = [] if record.phase == "search" else [record.phase]
    ended = "interrupted" if record.reason == INTERRUPTED_REASON else record.state
    result = f"{record.score:.3f}" if record.state == "finished" else ended
    searched = {key: value for key, value in record.setting.items() if key in config.space} or record.setting
    words = [*phase, f"#{record.index}", result, format_setting(searched), f"seed={record.seed}"]
    return " ".join(word for word in words if word not in ("running", ""))[:MAX_NAME_CHARS]


def build_shared_tags(config: SweepConfig) -> dict[str, str]:
    """Return the tags that parent and nested runs share, so that one table can compare objectives."""
    split = {} if config.data.paper_split is None else {"split": config.data.paper_split}
    weights = describe_weights(config.model.path)
    return {
        "objective": config.objective,
        "model": config.model.name,
        "data": config.data.name,
        **split,
        **({} if weights is None else {"weights": weights}),
        "recipe": config.recipe,
        "git": find_revision(),
    }


def define_metrics(config: SweepConfig) -> dict[str, str]:
    """Return the definition of each metric."""
    return DEFINITIONS | {"score": define_score(config.data.has_paraphrases)}


def build_sweep_tags(config: SweepConfig, name: str) -> dict[str, str]:
    """Return the parent's own tags: its folder, the definition of the score, the versions of libraries."""
    defined = define_metrics(config)
    digest = hashlib.sha256(json.dumps(defined, sort_keys=True).encode()).hexdigest()
    own = {
        "sweep": name,
        "folder": str(config.storage / name),
        "score": f"{defined['score']}; tau={config.score.tau}",
        "definitions": f"{DEFINITIONS_FILE}, SHA-256 {digest[:12]}",
        "seed": str(config.seed),
        "status": "running",
    }
    return own | _collect_commits(config) | list_versions(TAGGED_LIBRARIES)


def _collect_commits(config: SweepConfig) -> dict[str, str]:
    """Return the commits of the model, target and data that come from the Hugging Face hub."""
    blocks = {name: getattr(config, name) for name in ("model", "target", "data")}
    commits = {f"{name}.revision": getattr(block, "revision", None) for name, block in blocks.items()}
    return {key: commit for key, commit in commits.items() if commit is not None}


def build_trial_tags(record: TrialRecord) -> dict[str, str]:
    """Return the tags of a trial's nested run."""
    tags = {
        "phase": record.phase,
        "index": str(record.index),
        "attempt": format_attempt_key(record),
        "seed": str(record.seed),
        "status": record.state,
        "reason": record.reason,
        "worker": record.worker,
    }
    return {key: value for key, value in tags.items() if value}


def format_params(setting: Setting) -> dict[str, str]:
    """Return the params of a trial's nested run."""
    return {key: str(value) for key, value in setting.items()}


def truncate_texts(texts: Mapping[str, str]) -> dict[str, str]:
    """Truncate the texts to the length that MLflow accepts; mark those that were cut, with their full length."""
    short = {
        key: f"{text[:MAX_TEXT_CHARS]} ... (cut, {len(text)} characters)"
        for key, text in texts.items()
        if len(text) > MAX_TEXT_CHARS
    }
    return dict(texts) | short
