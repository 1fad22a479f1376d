"""Write a trial's model into a folder that `python -m eval.run` reads, as a whole or not at all."""

import json
import shutil
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from filelock import FileLock

from sweep.prepare import object_store
from sweep.prepare.artifacts import ROWS_FILE, TEMPLATE_FILE, Artifacts, write_folder
from sweep.records import TrialRecord
from sweep.results.saved_models import (
    TRIAL_FILE,
    Kind,
    SaveRequest,
    describe_full_disk,
    describe_trial,
    name_remote_copy,
    select_kinds,
)
from sweep.training.distributed import broadcast_object, rank
from sweep.training.weights import save_model
from sweep.trial.outcomes import TrialOutcome
from sweep.trial.session import Session

SetMixFn: TypeAlias = Callable[[float], None]
"""Function that sets the session's model to the mix θ(m) of the target's and the trial's weights."""


def save_models(
    request: SaveRequest,
    artifacts: Artifacts,
    record: TrialRecord,
    session: Session,
    set_mix: SetMixFn,
    outcome: TrialOutcome,
) -> str:
    """Save the weights of a trial that has been scored; every process of the trial calls this.

    Returns:
        Empty if all of them are saved, else why not: the disk has no room, or an error. A trial does not fail for it.
    """
    ended = replace(record, state="finished", metrics=outcome.metrics, reason=outcome.reason)
    for kind in select_kinds([*request.folders], outcome.metrics):
        set_mix(1.0 if kind == "unlearned" else outcome.metrics["mix"])
        if problem := broadcast_object(_try_saving(request, artifacts, ended, session, kind)):
            return problem
    return ""


def _try_saving(request: SaveRequest, artifacts: Artifacts, record: TrialRecord, session: Session, kind: Kind) -> str:
    """Save the session's model as it is; return why that failed, which only process 0 may know."""
    place, name = request.folders[kind], name_remote_copy(request, record, kind)
    if artifacts.url is not None:
        place = artifacts.target.with_name(name)
    size = sum(weight.numel() * weight.itemsize for weight in session.model.parameters())
    if problem := broadcast_object(describe_full_disk(place, size)):
        return problem
    texts = {
        ROWS_FILE: session.dataset.to_json(),
        TEMPLATE_FILE: session.template.model_dump_json(),
        TRIAL_FILE: json.dumps(describe_trial(request, record, kind), indent=1),
    }
    try:
        with ExitStack() as stack:
            part = stack.enter_context(_open_folder(place)) if rank() == 0 else place
            save_model(session.model, session.tokenizer, part)
            for file, text in texts.items() if rank() == 0 else ():
                (part / file).write_text(text, encoding="utf-8")
        if rank() == 0 and artifacts.url is not None:
            object_store.upload_artifact(artifacts.url, place)
            shutil.rmtree(place)
    except Exception as error:  # of the disk, of safetensors, or of the object store: the trial's numbers stand
        traceback.print_exc()
        return " ".join(str(error).split()) or type(error).__name__
    return ""


@contextmanager
def _open_folder(place: Path) -> Iterator[Path]:
    """Yield a folder that replaces `place` at the end; the worker of a driver that died may write at the same time."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_suffix(".lock")), write_folder(place) as part:
        yield part
