"""Run jobs on a Ray cluster: connect to its head, send a job, and show its log until it ends."""

import asyncio
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sweep.errors import ConfigError
from sweep.redaction import has_secret
from sweep.tracking.address import check_uri_kind

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient


@dataclass(frozen=True, kw_only=True)
class ClusterJob:
    """A job that is ready to be sent.

    Attributes:
        name: submission id.
        arguments: arguments of `python -m sweep.launch`, which the head runs.
        files: files to upload, keyed by their path in the job's working directory.
    """

    name: str
    arguments: Sequence[str]
    files: Mapping[Path, Path]


def job_environment() -> dict[str, str]:
    """Return the environment variables for the job: MLflow's address and experiment; the cluster sets all others.

    Raises:
        ConfigError: MLFLOW_TRACKING_URI is not set, holds a password, or names a file of the job's working directory or
            no store of MLflow.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        raise ConfigError(
            "MLFLOW_TRACKING_URI is not set: a job needs one that its cluster reaches, as http://HOST:5000."
        )
    if has_secret(uri):
        raise ConfigError(
            "MLFLOW_TRACKING_URI holds a password, which a job would show: leave it out, and set"
            " MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD on the cluster."
        )
    if uri.startswith("file:") or (uri != "databricks" and is_local(uri)):
        raise ConfigError(
            f"MLFLOW_TRACKING_URI = {uri!r} would be lost with the job: set a server, as http://HOST:5000."
        )
    check_uri_kind(uri)
    passed = {key: os.environ[key] for key in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME") if key in os.environ}
    return passed | {"PYTHONUNBUFFERED": "1"}  # so that the log can be followed line by line


def connect_client(address: str) -> "JobSubmissionClient":
    """Connect to the cluster's Jobs API.

    Raises:
        ConfigError: the address is no URL, nobody answers there, the head wants a token, or ray[default] is missing.
    """
    url = urlsplit(address)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ConfigError(f"--address {address} must be the URL of the head's dashboard, as http://HOST:8265.")
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    from sweep.cluster.access_token import adopt_token, check_token_file
    from sweep.cluster.head_watch import check_reachable

    for talkative in ("dashboard_sdk", "job.sdk"):
        logging.getLogger(f"ray.dashboard.modules.{talkative}").setLevel(logging.WARNING)
    # Ray prefers this variable to its argument, and RAY_ADDRESS to both.
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    with translate_errors(address):
        check_token_file()
        check_reachable(f"{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}")
        try:
            return JobSubmissionClient(address)
        except AuthenticationError:
            if not adopt_token():
                raise
            return JobSubmissionClient(address)


def send_job(job: ClusterJob, client: "JobSubmissionClient", variables: dict[str, str]) -> None:
    """Upload the job's files and start the job.

    Raises:
        ConfigError: the files are too large, the name is taken, or the cluster refuses the job.
    """
    from sweep.cluster import upload

    print("upload:", upload.check_size(job.files))
    with translate_errors(client.get_address()), TemporaryDirectory(prefix="sweep-") as folder:
        if job.name in [known.submission_id for known in client.list_jobs()]:
            raise ConfigError(f"name = {job.name!r} is taken by a job of the cluster: choose another with --name.")
        archive = Path(folder) / "sweep.zip"
        upload.write_archive(job.files, archive)
        client.submit_job(
            entrypoint=shlex.join(["python", "-m", "sweep.launch", *job.arguments]),
            submission_id=job.name,
            runtime_env={"working_dir": str(archive), "env_vars": variables},
        )
    print("job:", job.name)


def follow_job(name: str, client: "JobSubmissionClient", address: str) -> int:
    """Show the job's log until it ends.

    Returns:
        The exit code of the job's driver; 130 after Ctrl-C, which leaves the job running; 1 after an error.
    """
    try:
        asyncio.run(_show_log(name, client))
        details = client.get_job_info(name)
    except KeyboardInterrupt:
        print(f"\nthe job goes on\n{follow_up_commands(name, address)}")
        return 130
    except Exception as error:
        print(f"error: {_first_sentence(error)}\n{follow_up_commands(name, address)}", file=sys.stderr)
        return 1
    if details.driver_exit_code is None:
        print(f"error: {details.message}", file=sys.stderr)
        return 1
    return int(details.driver_exit_code)


def follow_up_commands(name: str, address: str) -> str:
    """Return the commands that show the status and the log of a job, and stop it."""
    return "\n".join(f"ray job {command} {name} --address {address}" for command in ("status", "logs -f", "stop"))


@contextmanager
def translate_errors(address: str) -> Iterator[None]:
    """Turn any error of the cluster's API into a ConfigError of one sentence."""
    from ray.exceptions import AuthenticationError

    try:
        yield
    except ConfigError:
        raise
    except AuthenticationError as error:
        raise ConfigError(
            f"{address} refuses: {_first_sentence(error)}: set RAY_AUTH_MODE=token, and the cluster's token as"
            " RAY_AUTH_TOKEN or in a file that RAY_AUTH_TOKEN_PATH names."
        ) from None
    except Exception as error:
        raise ConfigError(f"--address {address}: {_first_sentence(error)}.") from None


async def _show_log(name: str, client: "JobSubmissionClient") -> None:
    async for text in client.tail_job_logs(name):
        print(text, end="", flush=True)


def is_local(uri: str) -> bool:
    """Return True if a database or a store at this URI would lie in the working directory."""
    scheme, separator, path = uri.partition("://")
    return not separator or (scheme.startswith("sqlite") and not path.startswith("//"))


def _first_sentence(error: BaseException) -> str:
    """Return the first sentence of an error, else the name of its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].split(". ")[0].rstrip(".:")
