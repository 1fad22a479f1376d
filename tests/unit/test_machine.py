"""Trials side by side in this machine's memory, by hand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.toys import config
from sweep import run
from sweep.config.schema import ClusterConfig
from sweep.errors import ConfigError
from sweep.plan import machine_check
from sweep.prepare import forecast, machine
from sweep.prepare.machine import MachineShare, count_machine_bytes, share_machine


def share(machine: float, tensors: int = 10, **others: int) -> MachineShare:
    """Two trials at once in so many GB: each has tensors of 10 GB, and takes 1.2 · 10 + 0.5 = 12.5 GB."""
    counts = {"n_processes": 1, "n_at_once": 2} | others
    return MachineShare(tensor_bytes=tensors * 10**9, machine_bytes=machine * 1e9, **counts)


@pytest.mark.parametrize(
    ("machine", "fitting", "told"),
    [
        (26, 2, "2 trials at once: each takes 12.5 GB of this machine's 26 GB"),
        (25, 1, "1 trial at once, not 2: each takes 12.5 GB of this machine's 25 GB; a smaller train.tokens"),
        (10, 1, "1 trial at once, not 2: each takes 12.5 GB of this machine's 10 GB; a smaller train.tokens"),
        (9.9, 0, "a trial does not fit: each takes 12.5 GB of this machine's 9.9 GB; a smaller train.tokens"),
    ],
)
def test_trials_that_fit(machine: float, fitting: int, told: str) -> None:
    """Beside 1 GB of the driver's; only one whose tensors alone are more than the machine has is refused."""
    found = share(machine)
    assert found.n_fitting == fitting and str(found).startswith(told)
    assert share(51, n_processes=2).n_fitting == 2, "50 of 50 GB"


def test_fewer_trials_than_cores(capsys: pytest.CaptureFixture[str]) -> None:
    """Memory for one: one runs, and a line says why; memory for two, or unknown: as many as there is room for."""
    assert [run.limit_slots(2, one) for one in (share(26), None)] == [2, 2]
    assert capsys.readouterr().out == ""
    assert run.limit_slots(2, share(25)) == 1
    assert capsys.readouterr().out.startswith("warning: 1 trial at once, not 2: each takes 12.5 GB")


def cluster(storage: Path, **others: object) -> ClusterConfig:
    """The toy's cluster with other values."""
    return config(storage).cluster.model_copy(update={"concurrency": None} | others)


def test_trials_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores, as many as `cluster.concurrency` allows; nothing is known of GPUs and of another machine."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)

    def at_once(**others: object) -> int | None:
        found = share_machine(cluster(tmp_path, **others), 1)
        return None if found is None else found.n_at_once

    assert (at_once(cpus=1.0), at_once(cpus=3.0), at_once(cpus=9.0)) == (8, 2, 1)
    assert (at_once(cpus=1.0, concurrency=3), at_once(cpus=4.0, concurrency=3)) == (3, 2)
    assert (at_once(gpus=0.5), at_once(address="head:6379")) == (None, None)
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert at_once() is None


def test_a_container_has_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own memory, or the limit of the container where there is one."""
    own = count_machine_bytes()
    limit, unlimited = tmp_path / "limit", tmp_path / "unlimited"
    limit.write_text("1000000\n", encoding="ascii")
    unlimited.write_text("max\n", encoding="ascii")
    monkeypatch.setattr(machine, "CONTAINER_LIMITS", (str(unlimited), str(tmp_path / "none")))
    assert own <= count_machine_bytes() and count_machine_bytes() > 1e8
    monkeypatch.setattr(machine, "CONTAINER_LIMITS", (str(unlimited), str(limit)))
    assert count_machine_bytes() == 1e6


def plans(storage: Path, *precisions: str, path: str | None = "a-model") -> list[Any]:
    """Plans of sweeps of a model in these precisions."""
    found = []
    for precision in precisions:
        sweep = config(storage, train={"precision": precision})
        sweep = sweep.model_copy(update={"model": sweep.model.model_copy(update={"path": path})})
        found.append(SimpleNamespace(config=sweep, dataset=precision, artifacts=None))
    return found


def test_the_heaviest_sweep_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fewest of all kinds of trials, each forecast once; none fits: one sentence; a made model is not looked at."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    machine, asked = {"float32": 25.0, "kahan": 51.0, "master": 9.0}, []

    def forecast_sweep(sweep: Any, dataset: str, artifacts: None) -> SimpleNamespace:
        asked.append(dataset)
        return SimpleNamespace(machine=share(machine[dataset]))

    monkeypatch.setattr(forecast, "forecast_sweep", forecast_sweep)
    assert machine_check.find_narrowest_share(plans(tmp_path, "kahan", "float32", "kahan")) == share(25)
    assert sorted(asked) == ["float32", "kahan"]
    assert machine_check.find_narrowest_share(plans(tmp_path, "master", path=None)) is None
    with pytest.raises(ConfigError, match=r"cluster = 'local': a trial does not fit: each takes 12\.5 GB"):
        machine_check.find_narrowest_share(plans(tmp_path, "kahan", "master"))


def test_a_cpu_that_knows_bfloat16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint is for a real model in float32 on this CPU; where it has both, matrix units are the quicker."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cpu = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "CPU_FILE", str(cpu))
    (made,), (real,), (kahan,) = (
        plans(tmp_path, "float32", path=None),
        plans(tmp_path, "float32"),
        plans(tmp_path, "kahan"),
    )
    told = [machine.hint_precision(real.config)]
    for flags in ("fpu avx512_bf16 amx_bf16", "fpu avx512_bf16", "fpu avx512f"):
        cpu.write_text(f"flags\t\t: {flags}\n", encoding="ascii")
        told.append(machine.hint_precision(real.config))
        on_card = real.config.model_copy(update={"cluster": cluster(tmp_path, gpus=1.0)})
        assert [machine.hint_precision(sweep) for sweep in (made.config, kahan.config, on_card)] == ["", "", ""]
    assert told == [
        "",
        "this CPU has amx_bf16, with which train.precision=kahan was 2.7 times as quick as float32, and master 1.8"
        " times",
        "this CPU has avx512_bf16, with which train.precision=kahan was 1.5 times as quick as float32, and master 1.4"
        " times",
        "",
    ]
