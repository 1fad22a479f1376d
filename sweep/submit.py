"""Run a sweep on a Ray cluster: checked here, then sent to its head as a job, whose log is shown until it ends.

python -m sweep.submit configs/wtnpo.yaml cluster=a100 storage=/shared/runs --address http://HEAD:8265
"""

import asyncio
import logging
import os
import shlex
import socket
import sys
from argparse import Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sweep.arguments import Parser
from sweep.config import ConfigError
from sweep.redaction import has_secret

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

    from sweep.matrix import Member

# What takes long to import is imported where it is used: --help and mistakes are answered without waiting for it.

USAGE = """%(prog)s CONFIG [CONFIG ...] [key=value ...] --address http://HEAD:8265 [--name NAME] [--detach]
       %(prog)s --resume NAME storage=DIR --address http://HEAD:8265 [--detach]"""
DESCRIPTION = "Run a sweep on a Ray cluster, as a job of its head; code and configs are sent, nothing else."
EPILOG = """examples:
  export MLFLOW_TRACKING_URI=http://tracking:5000
  python -m sweep.submit configs/wtnpo.yaml model=phi-1.5 data=tofu-forget10 cluster=a100-shared \\
      storage=/shared/runs --address http://head:8265
  python -m sweep.submit --resume NAME storage=/shared/runs --address http://head:8265

What is checked here: the words, the configurations, the objectives. What only the cluster can know (folders of models
and data, the storage, the ledger, the room for a trial) the job checks first of all.
A cluster with token authentication: RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH.

exit codes: those of python -m sweep.launch, which the job runs; 2 also where nothing was sent; 130 Ctrl-C, after which
the job goes on"""
LAUNCH = ("python", "-m", "sweep.launch")
"""The command of a job, before its words."""
PATIENCE = 5.0
"""Seconds that the head may take to take a connection."""
PASSED_ON = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")
"""Variables that the job gets from here; all others are the cluster's."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job that can be sent.

    Attributes:
        name: its submission id.
        command: what the head runs.
        files: what it runs it with, by where it lies in the job's working directory.
    """

    name: str
    command: Sequence[str]
    files: Mapping[Path, Path]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit code."""
    try:
        typed, variables = parse(argv), environment()
        job = resumed(typed.words, typed.resume) if typed.resume else new(typed.words, typed.name, typed.address)
        client = connected(typed.address)
        send(job, client, variables)
        if typed.detach:
            print(hints(job.name, typed.address))
            return 0
        return follow(job.name, client, typed.address)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def parse(argv: Sequence[str] | None) -> Namespace:
    """What was typed: `words`, `name`, `resume`, `address` and `detach`.

    Raises:
        ConfigError: there is no such option, the address is missing, or options exclude one another.
    """
    parser = Parser(
        prog="python -m sweep.submit",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", metavar="CONFIG key=value", help="YAML files, then changes to them")
    parser.add_argument("--address", required=True, metavar="URL", help="dashboard of the cluster's head")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--name", help="of the sweep and the job (default: <config>-<model>-<data>-<UTC time>)")
    which.add_argument("--resume", metavar="NAME", help="go on: finished trials are kept, the rest is run")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--follow", dest="detach", action="store_false", help="show the log until the job ends (default)")
    end.add_argument("--detach", action="store_true", help="send the job and leave it alone")
    parser.set_defaults(detach=False)
    return parser.parse_intermixed_args(argv)


def new(words: Sequence[str], name: str | None, address: str) -> Job:
    """The job that runs new sweeps; needs no network.

    Raises:
        ConfigError: anything in a configuration is wrong, or means something only on this machine.
    """
    from sweep import plan, plans, upload

    wish = plans.wished(words, name)
    for member in wish.members.values():
        _check_places(member)
    for config in wish.configs.values():
        there = config.cluster.model_copy(update={"address": address})
        plan.check(config.model_copy(update={"cluster": there}))
    sources = [*wish.files, *(member.file for member in wish.members.values())]
    files = upload.gathered(sources, [config.objective for config in wish.configs.values()])
    sent = [str(upload.place(file)) for file in wish.files]
    return Job(name=wish.name, command=[*LAUNCH, *sent, *words[len(sent) :], "--name", wish.name], files=files)


def resumed(words: Sequence[str], name: str) -> Job:
    """The job that goes on with sweeps that are there; its name has the time too, since a name is taken for ever.

    Raises:
        ConfigError: no sweep may have this name, or a word beside it is no absolute storage=DIR.
    """
    from sweep import plan, upload
    from sweep.compose import default_name, valid_name

    plan.storage_of(words, "--resume")
    _check_storage(words[-1].removeprefix("storage=") if words else str(plan.STORAGE))
    again = default_name(f"{valid_name(name)}-again", datetime.now(UTC))
    return Job(name=again, command=[*LAUNCH, "--resume", name, *words], files=upload.gathered([], []))


def environment() -> dict[str, str]:
    """What the job's environment gets from this one's: where MLflow is, and nothing secret.

    Raises:
        ConfigError: MLFLOW_TRACKING_URI is not set, holds a password, or names a file of the job's working directory.
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
    if uri.startswith("file:") or (uri != "databricks" and _is_local(uri)):
        raise ConfigError(
            f"MLFLOW_TRACKING_URI = {uri!r} would be lost with the job: set a server, as http://HOST:5000."
        )
    passed = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    return passed | {"PYTHONUNBUFFERED": "1"}  # the log is shown line by line


def connected(address: str) -> "JobSubmissionClient":
    """A client of the cluster's Jobs API.

    Raises:
        ConfigError: ray[default] is not installed, the address is none, nobody answers there, or it wants a token.
    """
    url = urlsplit(address)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ConfigError(f"--address {address} must be the URL of the head's dashboard, as http://HOST:8265.")
    try:
        from ray.job_submission import JobSubmissionClient
    except ImportError:
        raise ConfigError(
            "jobs need ray[default], which is not installed: pip install 'unlearn-sweep[cluster]'."
        ) from None
    for talkative in ("dashboard_sdk", "job.sdk"):
        logging.getLogger(f"ray.dashboard.modules.{talkative}").setLevel(logging.WARNING)
    # Ray prefers this variable to what it is given, and RAY_ADDRESS to both.
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    with told(address):
        socket.create_connection((url.hostname, url.port or (443 if url.scheme == "https" else 80)), PATIENCE).close()
        return JobSubmissionClient(address)


def send(job: Job, client: "JobSubmissionClient", variables: dict[str, str]) -> None:
    """Upload the job's files, and start it.

    Raises:
        ConfigError: the files are too large, the name is taken, or the cluster refuses the job.
    """
    from sweep import upload

    print("upload:", upload.check(job.files))
    with told(client.get_address()), TemporaryDirectory(prefix="sweep-") as folder:
        if job.name in [known.submission_id for known in client.list_jobs()]:
            raise ConfigError(f"name = {job.name!r} is the name of a job there: choose another with --name.")
        archive = Path(folder) / "sweep.zip"
        upload.pack(job.files, archive)
        client.submit_job(
            entrypoint=shlex.join(job.command),
            submission_id=job.name,
            runtime_env={"working_dir": str(archive), "env_vars": variables},
        )
    print("job:", job.name)


def follow(name: str, client: "JobSubmissionClient", address: str) -> int:
    """Show the job's log until it ends; gives the driver's exit code, 130 where Ctrl-C came first."""
    try:
        asyncio.run(_show_log(name, client))
        details = client.get_job_info(name)
    except KeyboardInterrupt:
        print(f"\nthe job goes on\n{hints(name, address)}")
        return 130
    except Exception as error:
        print(f"error: {_said(error)}\n{hints(name, address)}", file=sys.stderr)
        return 1
    if details.driver_exit_code is None:
        print(f"error: {details.message}", file=sys.stderr)
        return 1
    return int(details.driver_exit_code)


def hints(name: str, address: str) -> str:
    """The commands that look after a job."""
    return "\n".join(f"ray job {command} {name} --address {address}" for command in ("status", "logs -f", "stop"))


@contextmanager
def told(address: str) -> Iterator[None]:
    """Raise whatever comes of talking to the cluster as one sentence."""
    from ray.exceptions import AuthenticationError

    try:
        yield
    except ConfigError:
        raise
    except AuthenticationError as error:
        raise ConfigError(
            f"{address} refuses: {_said(error)}: set RAY_AUTH_MODE=token, and the cluster's token as RAY_AUTH_TOKEN"
            " or in a file that RAY_AUTH_TOKEN_PATH names."
        ) from None
    except Exception as error:
        raise ConfigError(f"--address {address}: {_said(error)}.") from None


async def _show_log(name: str, client: "JobSubmissionClient") -> None:
    async for text in client.tail_job_logs(name):
        print(text, end="", flush=True)


def _check_places(member: "Member") -> None:
    """Refuse what would be lost with the job, or is not sent with it: files of this machine's working directory."""
    from sweep.compose import typed

    raw = typed(member.file, member.choices)
    _check_storage(str(raw["storage"]))
    if raw["ledger"] is not None and _is_local(str(raw["ledger"])):
        raise ConfigError(f"ledger = {raw['ledger']!r} would be lost with the job: give an absolute path or a server.")
    for block in ("model", "target", "data"):
        path = raw[block].get("path")
        if path and not Path(path).is_absolute() and (path.startswith((".", "~")) or Path(path).is_dir()):
            raise ConfigError(f"{block}.path = {path!r} must be absolute for a job: code and configs alone are sent.")


def _check_storage(storage: str) -> None:
    if not Path(storage).is_absolute():
        raise ConfigError(
            f"storage = {storage!r} must be absolute for a job, as /shared/runs, a folder that all nodes share."
        )


def _is_local(uri: str) -> bool:
    """Whether a database or a store would lie in the working directory."""
    scheme, separator, path = uri.partition("://")
    return not separator or (scheme.startswith("sqlite") and not path.startswith("//"))


def _said(error: BaseException) -> str:
    """The first sentence of an error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].split(". ")[0].rstrip(".:")


if __name__ == "__main__":
    sys.exit(main())
