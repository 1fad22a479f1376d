"""Submitting: what is refused before anything is sent, what a job is made of, and what is uploaded."""

import shlex
import socket
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import pytest

from support.commands import ROOT, refusal
from support.own import mine
from sweep.cluster import jobs, upload
from sweep.cluster.jobs import connect_client, job_environment, send_job
from sweep.errors import ConfigError
from sweep.submit import build_job, build_resume_job, main

WGA, NPO, WTNPO = (str(ROOT / "configs" / f"{name}.yaml") for name in ("wga", "npo", "wtnpo"))
NOWHERE = "http://127.0.0.1:1"
"""An address at which nobody listens."""
SHARED = "storage=/shared/runs"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test works in a folder of its own, with a tracking server in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")  # `connected` sets it
    return tmp_path


@pytest.fixture
def own(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a config, a group and an objective of the user's own, and with what sweeps leave."""
    for name in ("runs/old/study.db", ".git/x", "mlruns/1/x", "mlflow.db", "mine/.venv/x", "notes.txt"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).touch()
    monkeypatch.syspath_prepend(mine(here))
    return here


refused = partial(refusal, main)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--address", NOWHERE), "a config file must come first"),
        ((WTNPO, SHARED), "--address"),
        ((WTNPO, SHARED, "--address", NOWHERE, "--follow", "--detach"), "not allowed with"),
        ((WTNPO, SHARED, "--address", NOWHERE, "serch.trials=3"), "nearest: search"),
        ((WTNPO, SHARED, "--address", NOWHERE, "~space.beta"), "beta is missing"),
        ((WTNPO, SHARED, "--address", NOWHERE, "search.stop=asha", "eval.every=2"), "eval.every = 2"),
        ((WTNPO, SHARED, "--address", NOWHERE, "--name", "a b"), "nearest: a-b"),
        ((WTNPO, WTNPO, SHARED, "--address", NOWHERE), "wtnpo is named twice"),
        ((WTNPO, "--address", NOWHERE), "storage = './runs' must be absolute"),
        ((WTNPO, "storage=../runs", "--address", NOWHERE), "storage = '../runs' must be absolute"),
        ((WTNPO, SHARED, "ledger=sqlite:///study.db", "--address", NOWHERE), "ledger = 'sqlite:///study.db'"),
        ((WTNPO, SHARED, "ledger=postgresql://me:pw@db/x", "--address", NOWHERE), "PGPASSWORD"),
        ((WTNPO, SHARED, "ledger=postgresql://db/x?password=pw", "--address", NOWHERE), "cannot be read"),
        ((WTNPO, SHARED, "artifacts=s3://me:pw@bucket/x", "--address", NOWHERE), "AWS_SECRET_ACCESS_KEY"),
        ((WTNPO, SHARED, "model.path=.", "--address", NOWHERE), "model.path = '.' must be absolute"),
        (("--resume", "first", "--address", NOWHERE), "storage = 'runs' must be absolute"),
        (("--resume", "first", "seed=2", "--address", NOWHERE), "only storage=DIR"),
        (("--resume", "../x", SHARED, "--address", NOWHERE), "nearest: x"),
        ((WTNPO, SHARED, "--address", "localhost:8265"), "must be the URL of the head's dashboard"),
        ((WTNPO, SHARED, "--address", "ray://head:10001"), "must be the URL of the head's dashboard"),
    ],
)
def test_a_mistake_is_one_sentence(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str) -> None:
    """Exit code 2, without the network."""
    said = refused(capsys, *words)
    assert says in said
    assert "pw" not in said


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("", "is not set"),
        ("sqlite:///mlflow.db", "would be lost with the job"),
        ("./mlruns", "would be lost with the job"),
        ("file:///shared/mlruns", "would be lost with the job"),
        ("http://me:planted@tracking:5000", "MLFLOW_TRACKING_PASSWORD on the cluster"),
        ("postgresql://tracking/db?user=me&password=planted", "MLFLOW_TRACKING_PASSWORD on the cluster"),
    ],
)
def test_a_tracking_uri_that_a_job_cannot_have(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, uri: str, says: str
) -> None:
    """One sentence, without the password."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    said = refused(capsys, WTNPO, SHARED, "--address", NOWHERE)
    assert says in said
    assert "planted" not in said


@pytest.mark.parametrize(
    "uri", ["https://tracking", "sqlite:////shared/mlflow.db", "postgresql://me@db/x", "databricks"]
)
def test_what_the_job_gets_of_the_environment(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    """Where MLflow is; no other variable, secret or not."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    for secret in ("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "PGPASSWORD", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(secret, "planted")
    wanted = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_EXPERIMENT_NAME": "mine", "PYTHONUNBUFFERED": "1"}
    assert job_environment() == wanted


def test_what_only_the_cluster_can_see_is_not_refused() -> None:
    """Folders of models and data, the storage, packages of the workers."""
    there = ("data=tofu-forget01", "data.path=/shared/tofu", "model=phi-1.5", "model.path=/shared/phi", "cluster=a100")
    job = build_job(
        [WTNPO, SHARED, *there, "train.precision=kahan", "train.attention=flash_attention_2"], None, NOWHERE
    )
    assert job.name.startswith("wtnpo-phi-1.5-tofu-forget01-")


def test_the_job_and_the_sweep_have_one_name() -> None:
    """The one that is given, or the one that is made up: the driver is told."""
    job = build_job([WTNPO, SHARED], "mine", NOWHERE)
    assert [*job.arguments] == ["configs/wtnpo.yaml", SHARED, "--name", "mine"]
    job = build_job([WGA, NPO, SHARED, "seed=1"], None, NOWHERE)
    assert job.name.startswith("wga-npo-")
    assert [*job.arguments] == ["configs/wga.yaml", "configs/npo.yaml", SHARED, "seed=1", "--name", job.name]


def test_a_job_that_goes_on_has_a_name_of_its_own() -> None:
    """Ray takes a submission id once; the sweep's name stays."""
    job = build_resume_job([SHARED, "search.trials=48"], "first")
    assert [*job.arguments] == ["--resume", "first", SHARED, "search.trials=48"]
    assert job.name.startswith("first-again-")


def test_only_code_and_configs_are_sent(own: Path) -> None:
    """Neither what sweeps leave nor hidden folders nor other files; the user's config, group and package are."""
    sent = {str(place) for place in build_job(["mine.yaml", SHARED], "mine", NOWHERE).files}
    assert {"sweep/launch.py", "eval/suite.py", "objectives/wtnpo.py", "configs/base.yaml"} <= sent
    assert {"eval/datasets/authors.yaml", "eval/rows/refusals.txt"} <= sent
    assert {"own/mine.yaml", "own/cluster/mine.yaml", "mine/fade.py"} <= sent
    tops = {place.split("/")[0] for place in sent}
    assert tops == {"sweep", "eval", "objectives", "configs", "own", "mine"}
    assert not [place for place in sent if "__pycache__" in place or "/." in place]


def test_a_config_of_another_folder_keeps_its_place(own: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two files of one name do not meet, and the shipped ones are not in their way."""
    other = tmp_path_factory.mktemp("other") / "configs" / "wtnpo.yaml"
    other.parent.mkdir()
    other.write_text(Path(WTNPO).read_text())
    places = [upload.job_path(Path(file)) for file in ("configs/wtnpo.yaml", "./x/../configs/wtnpo.yaml", other, WTNPO)]
    assert places[0] == places[1] == Path("own/configs/wtnpo.yaml")
    assert places[2:] == [Path("own") / other.relative_to("/"), Path("configs/wtnpo.yaml")]


def test_an_upload_that_is_too_large_names_the_largest(own: Path) -> None:
    """100 MiB and a byte of a user's own package; without that byte it is not the package's fault."""
    with (own / "mine" / "weights.bin").open("wb") as file:
        file.truncate(upload.MAX_UPLOAD_MIB * 2**20 + 1)
    with pytest.raises(
        ConfigError, match=r"^10[01]\.\d MiB are too large .* takes 100 MiB: .* mine/weights\.bin \(100"
    ):
        upload.check_size(build_job(["mine.yaml", SHARED], "mine", NOWHERE).files)
    assert upload.check_size({Path("a"): own / "mine.yaml", Path("b"): own / "notes.txt"}) == "2 files, 0.0 MiB"


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that says what to install, once somebody answers."""
    monkeypatch.setattr("ray.dashboard.modules.job.sdk.requests", None)
    with socket.create_server(("127.0.0.1", 0)) as listens:
        address = f"http://127.0.0.1:{listens.getsockname()[1]}"
        with pytest.raises(ConfigError, match=rf"^--address {address}: .* `pip install 'ray\[default\]'`\.$"):
            connect_client(address)


def test_a_word_with_blanks_stays_one_word(capsys: pytest.CaptureFixture[str]) -> None:
    """The head runs the command through a shell; the archive holds what it needs."""
    sent: dict[str, Any] = {}

    def submit_job(**options: Any) -> None:
        sent.update(options, files=ZipFile(options["runtime_env"]["working_dir"]).namelist())

    head: Any = SimpleNamespace(get_address=lambda: NOWHERE, list_jobs=list, submit_job=submit_job)
    send_job(build_job([WTNPO, SHARED, "experiment='a b; c'"], "mine", NOWHERE), head, {"A": "b"})
    assert shlex.split(sent["entrypoint"]) == [
        *("python", "-m", "sweep.launch", "configs/wtnpo.yaml", SHARED, "experiment='a b; c'", "--name", "mine")
    ]
    assert {"sweep/launch.py", "configs/wtnpo.yaml"} <= {*sent["files"]}
    assert sent["runtime_env"]["env_vars"] == {"A": "b"}
    assert capsys.readouterr().out.startswith(f"upload: {len(sent['files'])} files, ")


def test_a_job_that_nobody_waits_for(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is sent --detach ends with 0, and prints the commands that look after it."""
    sent: list[str] = []
    monkeypatch.setattr(jobs, "connect_client", lambda address: None)
    monkeypatch.setattr(jobs, "send_job", lambda job, client, variables: sent.append(job.name))
    assert main([WTNPO, SHARED, "--name", "long", "--address", NOWHERE, "--detach"]) == 0
    assert sent == ["long"]
    assert f"ray job status long --address {NOWHERE}" in capsys.readouterr().out
