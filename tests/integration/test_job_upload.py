"""What a job runs with, in a process that has nothing else; and addresses at which there is no Ray."""

import os
import subprocess
import sys
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread
from zipfile import ZipFile

import pytest

from support.commands import ROOT, refusal
from support.own import mine
from sweep.cluster import upload
from sweep.cluster.jobs import ClusterJob, connect_client
from sweep.config.compose import dump, load
from sweep.errors import ConfigError
from sweep.submit import build_job, main

WTNPO = str(ROOT / "configs" / "wtnpo.yaml")
NOWHERE = "http://127.0.0.1:1"
"""An address at which nobody listens."""
SHARED = "storage=/shared/runs"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test works in a folder of its own, with a tracking server in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")  # `connected` sets it
    return tmp_path


def unpacked(job: ClusterJob, folder: Path) -> Path:
    """The job's working directory, as the head makes it of the archive."""
    upload.write_archive(job.files, folder / "job.zip")
    with ZipFile(folder / "job.zip") as archive:
        archive.extractall(folder / "job")
    return folder / "job"


@pytest.mark.parametrize("config", ["mine.yaml", WTNPO])
def test_the_driver_composes_what_was_checked_here(
    here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, config: str
) -> None:
    """From the upload alone, with the job's own command line, and with the objective there to be imported."""
    monkeypatch.syspath_prepend(mine(here))
    job = build_job([config, SHARED, "seed=3"], "same", NOWHERE)
    file, *changes = job.arguments[:-2]
    code = "import sys; from sweep.config.compose import dump, load; import objectives; "
    code += "config = load(sys.argv[1], sys.argv[2:]); objectives.load(config.objective); print(dump(config))"
    folder = unpacked(job, tmp_path_factory.mktemp("head"))
    alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", code, file, *changes]
    out = subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True, check=True)  # noqa: S603 (our own)
    assert out.stdout.strip() == dump(load(config, [SHARED, "seed=3"])).strip()


def test_another_server(capsys: pytest.CaptureFixture[str]) -> None:
    """Something answers there, but no Ray."""
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(ConfigError, match=f"^--address {address}: "):
            connect_client(address)
        server.shutdown()


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, exit code 2, and nothing is sent."""
    said = refusal(main, capsys, WTNPO, SHARED, "--address", NOWHERE)
    assert f"{NOWHERE}: [Errno 111] Connection refused" in said
