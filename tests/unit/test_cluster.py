"""What a trial is given of a cluster, and what is refused before Ray is asked for anything."""

import os
from importlib import reload
from pathlib import Path

import pytest

import sweep.cluster
from support.toys import config as toy_config
from sweep.cluster.connection import connect_ray
from sweep.cluster.resources import trial_resources
from sweep.errors import ConfigError


def test_what_a_trial_is_given() -> None:
    """CPU always, GPU and the accelerator's type only where they are asked for."""
    cluster = toy_config(Path()).cluster
    assert trial_resources(cluster) == {"CPU": 1.0}
    large = cluster.model_copy(update={"cpus": 8.0, "gpus": 0.5, "accelerator": "A100"})
    assert trial_resources(large) == {"CPU": 8.0, "GPU": 0.5, "accelerator_type:A100": 0.001}


@pytest.mark.parametrize("address", ["127.0.0.1:1", "http://127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_one_sentence(address: str) -> None:
    """An address where nothing listens, and one of another kind, are refused at once with the key."""
    cluster = toy_config(Path()).cluster.model_copy(update={"address": address})
    with pytest.raises(ConfigError, match=r"^cluster\.address = "), connect_ray(cluster):
        pass


def test_threads_that_wait_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial's threads give up their core while they wait for one another, unless the user's environment differs."""
    for given, kept in (("", "passive"), ("active", "active")):
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
        if not given:
            monkeypatch.delenv("OMP_WAIT_POLICY")
        reload(sweep.cluster)
        assert os.environ["OMP_WAIT_POLICY"] == kept
