"""Run `sweep.submit` several times, each in a process forked after all imports.

Ray takes longer to import than a head takes to refuse a job, and it keeps the first token that it has read, so that
each try needs its own process.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Said(NamedTuple):
    """Exit code of a command, and its output to stdout and stderr."""

    code: int
    text: str


def submitted(
    here: Path, tries: Sequence[tuple[Mapping[str, str], Sequence[str]]], own: Mapping[str, str]
) -> list[Said]:
    """Run the commands one after the other in a folder, and return their results.

    Args:
        here: the folder.
        tries: additional variables and arguments of each command.
        own: environment of all commands.
    """
    command = [sys.executable, "-m", "support.submits", json.dumps(tries)]
    done = subprocess.run(command, cwd=here, env=own, capture_output=True, text=True, check=True)  # noqa: S603 (our own)
    return [Said(*json.loads(line)) for line in done.stdout.splitlines()]


def _forked(variables: Mapping[str, str], words: Sequence[str]) -> Said:
    from ray._private.authentication_test_utils import reset_auth_token_state

    from sweep.submit import main

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.environ.update(variables)
        reset_auth_token_state()  # Ray read it when it was imported
        for stream in (1, 2):
            os.dup2(writer, stream)
        code = main(words)
        sys.stdout.flush()
        os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as said:
        text = said.read()
    return Said(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text)


if __name__ == "__main__":
    import ray.job_submission  # noqa: F401

    from sweep.cluster import upload  # noqa: F401

    for one in json.loads(sys.argv[1]):
        print(json.dumps(_forked(*one)), flush=True)
