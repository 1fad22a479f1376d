"""Secrets of the environment and of a URL are in nothing that a sweep leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from support.commands import ROOT, SMALL
from support.servers import free_port, mlflow

PLANTED = {
    key: f"planted-{key}"
    for key in ("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "PGPASSWORD")
}
IN_THE_URI = "planted-in-uri"


def test_a_sweep_leaves_no_secret(tmp_path: Path) -> None:
    """Not in its folder, in MLflow's database and artifacts, in its output, nor in what Ray logs meanwhile."""
    (tmp_path / "server").mkdir()
    (tmp_path / "work").mkdir()
    port = free_port()
    with (
        TemporaryDirectory(prefix="ray-") as logs,
        mlflow(f"sqlite:///{tmp_path / 'server' / 'mlflow.db'}", tmp_path / "server", port),
    ):
        uri = f"http://me:{IN_THE_URI}@127.0.0.1:{port}"
        done = subprocess.run(  # noqa: S603 (our own)
            [
                sys.executable,
                "-m",
                "sweep.launch",
                str(ROOT / "configs" / "wtnpo.yaml"),
                *SMALL,
                "search.trials=1",
                "--name",
                "kept",
            ],
            cwd=tmp_path / "work",
            env=os.environ | PLANTED | {"MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT), "RAY_TMPDIR": logs},
            capture_output=True,
            text=True,
        )
        left = {str(file): file.read_bytes() for file in Path(logs).rglob("*") if file.is_file()}
    assert done.returncode == 0, done.stderr
    assert any("runtime_env_agent" in name for name in left)
    assert json.loads((tmp_path / "work" / "runs" / "kept" / "summary.json").read_text())["trials"]["finished"] == 1
    assert (tmp_path / "server" / "artifacts").is_dir()
    left |= {str(file): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    left["output"] = (done.stdout + done.stderr).encode()
    secrets = [secret.encode() for secret in (*PLANTED.values(), IN_THE_URI)]
    assert [name for name, text in left.items() if any(secret in text for secret in secrets)] == []
