"""Run a sweep on a Ray cluster: check it here, submit it to the head as a job, and show its log until it ends.

python -m sweep.submit configs/wtnpo.yaml cluster=a100 storage=/shared/runs --address http://HEAD:8265
"""

import sys
from argparse import Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sweep.cluster import jobs
from sweep.errors import ConfigError
from sweep.shell.arguments import Parser

# Slow imports stand where they are used: --help and errors need not wait for them.

USAGE = """%(prog)s CONFIG [CONFIG ...] [key=value ...] --address http://HEAD:8265 [--name NAME] [--detach]
       %(prog)s --resume NAME storage=DIR [search.trials=N] --address http://HEAD:8265 [--detach]"""
DESCRIPTION = "Run a sweep on a Ray cluster, as a job on its head node; only code and configs are uploaded."
EPILOG = """examples:
  export MLFLOW_TRACKING_URI=http://tracking:5000
  python -m sweep.submit configs/wtnpo.yaml model=phi-1.5 data=tofu-forget10 cluster=a100-shared \\
      storage=/shared/runs --address http://head:8265

For a cluster with token authentication set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH.

exit codes: those of python -m sweep.launch, which the job runs; 2 also if no job was submitted; 130 Ctrl-C,
which leaves the job running"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    try:
        typed, variables = parse_arguments(argv), jobs.job_environment()
        job = (
            build_resume_job(typed.words, typed.resume)
            if typed.resume
            else build_job(typed.words, typed.name, typed.address)
        )
        client = jobs.connect_client(typed.address)
        jobs.send_job(job, client, variables)
        if typed.detach:
            print(jobs.follow_up_commands(job.name, typed.address))
            return 0
        return jobs.follow_job(job.name, client, typed.address)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def parse_arguments(argv: Sequence[str] | None) -> Namespace:
    """Parse the command line into `words`, `name`, `resume`, `address` and `detach`.

    Raises:
        ConfigError: an option is unknown, the address is missing, or two options exclude each other.
    """
    parser = Parser(
        prog="python -m sweep.submit",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", metavar="CONFIG key=value", help="YAML files, then overrides")
    parser.add_argument("--address", required=True, metavar="URL", help="dashboard of the cluster's head")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--name", help="name of the sweep and the job (default: <config>-<model>-<data>-<UTC time>)")
    which.add_argument("--resume", metavar="NAME", help="resume a sweep: keep its finished trials, run the rest")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--follow", dest="detach", action="store_false", help="show the log until the job ends (default)")
    end.add_argument("--detach", action="store_true", help="submit the job and return at once")
    parser.set_defaults(detach=False)
    return parser.parse_intermixed_args(argv)


def build_job(words: Sequence[str], name: str | None, address: str) -> jobs.ClusterJob:
    """Build the job that runs new sweeps; this needs no network.

    Raises:
        ConfigError: a configuration is wrong, or names something that exists only on this machine.
    """
    from sweep.cluster import upload
    from sweep.config import request
    from sweep.plan import sweep_plan

    wish = request.parse_request(words, name)
    for source in wish.sources.values():
        _check_paths(source.file, source.choices)
    for config in wish.configs.values():
        there = config.cluster.model_copy(update={"address": address})
        sweep_plan.validate_config(config.model_copy(update={"cluster": there}))
    sources = [*wish.files, *(source.file for source in wish.sources.values())]
    files = upload.collect_files(sources, [config.objective for config in wish.configs.values()])
    sent = [str(upload.job_path(file)) for file in wish.files]
    return jobs.ClusterJob(name=wish.name, arguments=[*sent, *words[len(sent) :], "--name", wish.name], files=files)


def build_resume_job(words: Sequence[str], name: str) -> jobs.ClusterJob:
    """Build the job that resumes sweeps; its name ends with the time, because Ray never frees a job's name.

    Raises:
        ConfigError: the name is not a valid sweep name, or the arguments are not an absolute storage=DIR and keys that
            may change.
    """
    from sweep.cluster import upload
    from sweep.config import stored
    from sweep.config.compose import default_name, validate_name

    stored.parse_resume(words, name)
    places = [word.removeprefix("storage=") for word in words if word.startswith("storage=")]
    _check_storage_path(places[-1] if places else str(stored.DEFAULT_STORAGE))
    again = default_name(f"{validate_name(name)}-again", datetime.now(UTC))
    return jobs.ClusterJob(name=again, arguments=["--resume", name, *words], files=upload.collect_files([], []))


def _check_paths(file: Path, overrides: Sequence[str]) -> None:
    """Reject paths in this machine's working directory: the job would lose them, or never receive them."""
    from sweep.config.compose import compose_values

    raw = compose_values(file, overrides)
    _check_storage_path(str(raw["storage"]))
    if raw["ledger"] is not None and jobs.is_local(str(raw["ledger"])):
        raise ConfigError(f"ledger = {raw['ledger']!r} would be lost with the job: give an absolute path or a server.")
    tables = [f"data.{key}" for key in ("forget", "retain", "holdout", "unseen")]
    for key in ("model.path", "target.path", "data.path", *tables):
        path = raw[key.partition(".")[0]].get(key.partition(".")[2])
        if not isinstance(path, str) or Path(path).is_absolute():
            continue
        if path.startswith((".", "~")) or (path and Path(path).exists()):
            raise ConfigError(f"{key} = {path!r} must be absolute for a job: code and configs alone are sent.")


def _check_storage_path(storage: str) -> None:
    if not Path(storage).is_absolute():
        raise ConfigError(
            f"storage = {storage!r} must be absolute for a job, as /shared/runs, a folder that all nodes share."
        )


if __name__ == "__main__":
    sys.exit(main())
