"""Write the model cards of saved models: README.md with the metadata that the Hugging Face hub reads."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from eval.definitions import DEFINITIONS, define_score
from eval.models.hub import is_repo_id
from eval.provenance import find_revision, list_versions
from sweep.config.schema import SweepConfig
from sweep.config.stored import VERSION, sweep_arguments
from sweep.plan.sweep_plan import SweepPlan
from sweep.prepare.artifacts import add_text
from sweep.records import format_setting
from sweep.results.rerun_configs import format_shared_config
from sweep.results.saved_models import CARD_FILE, COMPARED_PREFIX, CONFIG_FILE, SavedModel
from sweep.results.statistics import collect_repeat_values, mean, std
from sweep.results.sweep_records import SweepRecords

TEMPLATE_FILE = Path(__file__).with_name("model_card.md")
LIBRARIES = ("torch", "transformers")
SCORE_KEYS = ("score", "mix")
"""Metrics of a trial that are of no weights alone, and end the table of scores."""
NO_BASE_LICENCE = (
    "The model was made from random weights and made-up rows by a program under the MIT licence, which covers these"
    " weights too."
)
BASE_LICENCE = (
    "These weights derive from {base}: its licence and terms of use cover them, also where they ask for a name or a"
    " notice. The rows come from {data}, whose licence covers what the model still repeats of them. A low extraction"
    " strength is a measurement on these rows, no proof that the model holds nothing of them."
)


def write_cards(plan: SweepPlan, sweep: SweepRecords, models: Iterable[SavedModel]) -> None:
    """Write the card of each model and the configuration of its trial into its folder, each atomically."""
    for model in models:
        config = format_shared_config(plan.config, model.record)
        add_text(model.folder, CONFIG_FILE, f"# The trial of {model.name}.\n{config}")
        add_text(model.folder, CARD_FILE, build_card(plan, sweep, model))


def build_card(plan: SweepPlan, sweep: SweepRecords, model: SavedModel) -> str:
    """Build the text of a model's card from its trial and from the sweep's trials so far."""
    config, scores = plan.config, collect_scores(sweep, model)
    card = ModelCard.from_template(
        _build_metadata(config, model, scores),
        template_path=str(TEMPLATE_FILE),
        title=model.name,
        summary=_describe_model(plan, model),
        facts=_format_table(("", ""), _list_facts(plan, model).items()),
        scores=_format_scores(sweep, model, scores),
        definitions=_list_definitions(config, scores),
        lineage=_format_list(_trace_lineage(plan, model)),
        commands="\n".join(_list_commands(plan, model)),
        licence=_note_licence(config),
    )
    return f"{card.content.rstrip()}\n"


def collect_scores(sweep: SweepRecords, model: SavedModel) -> dict[str, float]:
    """Collect the metrics of a model's own weights, by name, then the score and the mix of its trial."""
    metrics: Mapping[str, float] = model.trial["metrics"]
    plain = {key: value for key, value in metrics.items() if not key.startswith((COMPARED_PREFIX, *SCORE_KEYS))}
    compared = {
        key.removeprefix(COMPARED_PREFIX): value for key, value in metrics.items() if key.startswith(COMPARED_PREFIX)
    }
    own = compared if model.kind == "compared" else plain
    return {key: own[key] for key in DEFINITIONS if key in own} | {key: metrics[key] for key in SCORE_KEYS}


def _build_metadata(config: SweepConfig, model: SavedModel, scores: Mapping[str, float]) -> ModelCardData:
    """Build the metadata; only what is on the hub is named as base model and dataset."""
    base, data = config.target.path or config.model.path, getattr(config.data, "path", None)
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=config.data.name,
            dataset_name=config.data.name,
            metric_type=key,
            metric_value=value,
        )
        for key, value in scores.items()
    ]
    return ModelCardData(
        base_model=base if _is_on_hub(base, "model") else None,
        datasets=data if _is_on_hub(data, "dataset") else None,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["machine-unlearning", config.objective],
        model_name=model.name,
        eval_results=results,
    )


def _is_on_hub(path: str | None, kind: Any) -> bool:
    return path is not None and not Path(path).is_dir() and is_repo_id(path, kind)


def _describe_model(plan: SweepPlan, model: SavedModel) -> str:
    """Describe in a few sentences what the model is and which weights these are."""
    config, mix = plan.config, model.trial["mix"]
    weights = (
        "the weights at the end of the unlearning (m = 1), which may have lost more than they had to"
        if model.kind == "unlearned"
        else f"the mix of {mix:g} parts of the unlearned and {1 - mix:g} parts of the target's weights that keeps"
        f" {config.score.tau:.0%} of the target's retain ES, and by which the trial is scored"
    )
    return (
        f"The model {config.model.name} was fine-tuned on {config.data.name}, and then unlearned"
        f" {len(plan.dataset.forget)} of its rows by the objective {config.objective}. This folder holds {weights}."
    )


def _list_facts(plan: SweepPlan, model: SavedModel) -> dict[str, object]:
    """List setting, seed and recipe of the model's trial."""
    config = plan.config.with_setting(model.record.setting)
    train, retain = config.train, config.retain
    return {
        "sweep": f"{plan.name}, {model.trial_label}",
        "setting": format_setting({key: repr(value) for key, value in model.record.setting.items()}),
        "seed": model.record.seed,
        "share m of the unlearned weights": model.trial["mix"],
        "retain term": f"{retain.term}, weight {retain.weight:g}, {retain.reduction}",
        "recipe": f"{config.recipe}: AdamW, lr {train.lr:g}, {train.epochs} epochs, batch {train.batch},"
        f" clip {train.clip}, {train.precision}",
        "text of a row": f"`{config.model.row_template.question!r}`, `{config.model.row_template.answer!r}`",
    }


def _format_scores(sweep: SweepRecords, model: SavedModel, scores: Mapping[str, float]) -> str:
    """Format the scores; the spread over report seeds is of the same weights, of those that were measured there."""
    known = {"unlearned": [*scores], "compared": [*SCORE_KEYS]}[model.kind]
    by_seed = {key: collect_repeat_values(sweep.records, model.record.setting, key) for key in known}
    rows = [(key, f"{value:.6g}", _format_spread(by_seed.get(key, {}))) for key, value in scores.items()]
    return _format_table(("metric", "this model", "mean ± std over report seeds"), rows)


def _format_spread(by_seed: Mapping[int, float]) -> str:
    return f"{mean(by_seed):.3f} ± {std(by_seed):.3f} ({len(by_seed)})" if len(by_seed) > 1 else "-"


def _list_definitions(config: SweepConfig, scores: Iterable[str]) -> str:
    """List the definitions of the scores, one a line."""
    defined = DEFINITIONS | {"score": define_score(config.data.has_paraphrases)}
    return _format_list({f"`{key}`": defined[key] for key in scores})


def _trace_lineage(plan: SweepPlan, model: SavedModel) -> dict[str, str]:
    """Trace base model, target, data and program, with commits and digests."""
    config, rows = plan.config, plan.dataset
    base, target = config.model, config.target
    made = f"a Llama of random weights, {base.shape.model_dump_json()}" if base.shape else "-"
    tuned = f"fine-tuned here, {target.epochs} epochs, lr {target.lr:g}, batch {target.batch}"
    counts = ", ".join(f"{len(part)} {name}" for name, part in vars(rows).items() if part)
    program = {"version": VERSION, "commit": find_revision()} | list_versions(LIBRARIES)
    return {
        "base": _name_source(base.path, base.revision) or made,
        "target": f"{_name_source(target.path, target.revision) or tuned}; artifact {plan.artifacts.target.name}",
        "data": f"{config.data.name}{_describe_data(config)}: {counts}; SHA-256 {rows.digest}",
        "program": f"unlearn-sweep, {', '.join(f'{name} {value}' for name, value in program.items())}",
        "worker": str(model.trial["worker"]) or "-",
    }


def _describe_data(config: SweepConfig) -> str:
    """Return where the rows come from; empty where they are made up."""
    found = _name_source(getattr(config.data, "path", None), getattr(config.data, "revision", None))
    return f" from {found}" if found else ""


def _name_source(path: str | None, revision: str | None) -> str:
    """Name a repository or a folder with its commit or the digest of its content; empty without one."""
    return "" if path is None else f"{path}{f' at {revision}' if revision else ''}"


def _list_commands(plan: SweepPlan, model: SavedModel) -> Sequence[str]:
    """List the commands that measure the model, make its folder again, and run its trial."""
    retain = plan.artifacts.retain_model
    folder, name = shlex.quote(str(model.folder)), sweep_arguments(plan.config.storage, plan.name)
    which = "" if model.label == "best" else f" {model.label}"
    return [
        f"python -m eval.run {folder}" + (f" --retain-model {shlex.quote(str(retain))}" if retain else ""),
        f"python -m sweep.export {name}{which} --as {model.kind} --output again",
        f"python -m sweep.launch {shlex.quote(str(model.folder / CONFIG_FILE))} save=best save_as={model.kind}",
    ]


def _note_licence(config: SweepConfig) -> str:
    base, data = config.target.path or config.model.path, getattr(config.data, "path", None)
    if base is None:
        return NO_BASE_LICENCE
    return BASE_LICENCE.format(base=base, data=data or config.data.name)


def _format_list(items: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {text}" for name, text in items.items())


def _format_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in lines)
