"""MLflow tracking, by the driver alone: one parent run for each sweep, one nested run for each attempt at a trial.

A background thread does all of it, so that a slow or dead server neither delays nor fails a sweep; at the end of the
sweep, the tracker logs from the records whatever is still missing.

    address    the tracking URI, and what can be no store of MLflow
    store      the store's client, and errors without passwords
    runs       the parent and nested runs of a sweep: created, logged, ended, found again
    labels, metrics, description   what they hold: names, tags and params; metrics; the parent's Markdown
    views      the page that shows them: a saved view of the experiment, and the link that opens it
    tracker    the background thread
    backfill   logging after a sweep: missing trials, reports, scores of a checkpoint
    logged_models   saved models as logged models, and versions in the registry

Imported by run, outputs and sync, and by plan and cluster for the URI; the only package that imports MLflow.
"""

import os

# MLflow reads the first two during its import. With its default timeouts a call to a lost server takes 4 minutes; with
# its default retries a call whose answer was lost is sent again, and creates a second run.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
