"""MLflow, from the driver alone: one parent run for a sweep, one nested run for every attempt at a trial.

All of it happens in one background thread, so that a store that is slow or dead neither delays nor fails a sweep; what
it did not take while the sweep ran is filled in from the records at the end.
"""

import os

# MLflow reads the first two while it is imported. By its own defaults a call to a server that is gone takes 4 minutes;
# a call whose answer was lost it would send again, and make a second run.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
