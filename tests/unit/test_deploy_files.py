"""configs/deploy/: each file is what its tool reads, a typo in it is refused, and every name of ours in it is real."""

import gzip
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from eval.shipped_configs import CONFIGS
from support.commands import SHARED
from sweep import launch, submit
from sweep.cluster.resources import trial_resources
from sweep.config import request
from sweep.shell import arguments

ROOT = CONFIGS.parent
DEPLOY = CONFIGS / "deploy"
CRDS = SHARED / "kuberay"
IN_THE_IMAGE = "/home/ray/unlearn-sweep/"
FILES = sorted(path.name for path in DEPLOY.iterdir())
ONE_DATASET = ("data=tofu-forget10",)
"""Keeps each objective on each model, ten of thirty sweeps; test_paper_settings.py composes the other datasets."""
COMMAND = re.compile(r"(?:python -m sweep\.(launch|submit)|sbatch .*slurm\.sh) ([^\n`]+)")
SECRET = re.compile(r"PASSWORD|TOKEN|SECRET", re.IGNORECASE)


def text_of(name: str) -> str:
    """A file of configs/deploy/."""
    return (DEPLOY / name).read_text(encoding="utf-8")


@cache
def crd(kind: str) -> dict[str, Any]:
    """KubeRay's own schema of a kind of ray.io/v1, which refuses what a cluster would silently leave out."""
    path = CRDS / f"ray.io_{kind.lower()}s.yaml.gz"
    if not path.is_file():
        pytest.skip(f"KubeRay's schemas are not at {CRDS}")
    found = yaml.load(gzip.decompress(path.read_bytes()), Loader=yaml.CSafeLoader)  # the one in Python takes seconds
    versions = found["spec"]["versions"]
    (schema,) = [version["schema"]["openAPIV3Schema"] for version in versions if version["name"] == "v1"]
    made: dict[str, Any] = closed(schema)
    return made


def closed(schema: Any) -> Any:
    """The schema, in which an object that lists its properties has no others."""
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if "properties" in schema:
        made["properties"] = {key: closed(value) for key, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    return made


# What takes long to import is imported where it is used: all workers read this file, and one runs it.


def ray_up(text: str) -> None:
    """Check a cluster for `ray up` as it does itself, before it looks for the cloud."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(yaml.safe_load(text)))


def kubernetes(text: str) -> None:
    """Check each object; a claim for storage by what KubeRay's schema says of those inside a pod."""
    from jsonschema import Draft7Validator

    for found in yaml.safe_load_all(text):
        if found["apiVersion"] == "ray.io/v1":
            Draft7Validator(crd(found["kind"])).validate(found)
        else:
            assert found["kind"] == "PersistentVolumeClaim"
            Draft7Validator(claim(crd("RayCluster"))).validate(found["spec"])


def claim(schema: dict[str, Any]) -> Any:
    """The schema of a claim, as it stands in that of a pod's volumes."""
    group = schema["properties"]["spec"]["properties"]["headGroupSpec"]["properties"]
    volume = group["template"]["properties"]["spec"]["properties"]["volumes"]["items"]["properties"]
    return volume["ephemeral"]["properties"]["volumeClaimTemplate"]["properties"]["spec"]


def compose(text: str) -> None:
    """Check a file for Docker Compose by its specification; what depends on nothing else has no say in it."""
    from compose_spec import PyCompose

    PyCompose.from_yaml(text).validate()
    services = yaml.safe_load(text)["services"]
    for service in services.values():
        if missing := set(service.get("depends_on", ())) - set(services):
            raise ValueError(f"there is no service {missing}")


def dockerfile(text: str) -> None:
    """Check that an image is made from files that are there, with an extra that there is."""
    for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE):
        *sources, target = [word for word in line.split() if not word.startswith("--")]
        assert target.startswith(IN_THE_IMAGE)
        if missing := [source for source in sources if not (ROOT / source).exists()]:
            raise ValueError(f"there is no {missing}")


VALIDATORS: dict[str, Callable[[str], None]] = {
    "Dockerfile": dockerfile,
    "kuberay.yaml": kubernetes,
    "mlflow-compose.yaml": compose,
    "ray-up.yaml": ray_up,
    "rayjob.yaml": kubernetes,
}
TYPOS = [
    ("Dockerfile", " objectives ", " objective "),
    ("kuberay.yaml", "minReplicas: 0", "minReplica: 0"),
    ("kuberay.yaml", "maxReplicas: 4", "maxReplicas: four"),
    ("kuberay.yaml", "authOptions: {mode: token}", "authOptions: {mode: tokens}"),
    ("kuberay.yaml", "volumeMounts: &mounts", "volumeMount: &mounts"),
    ("kuberay.yaml", "secretRef: {name", "secretRef: {nam"),
    ("kuberay.yaml", "accessModes:", "accessMode:"),
    ("rayjob.yaml", "clusterSelector", "clusterSelektor"),
    ("rayjob.yaml", "backoffLimit: 0", "backoffLimit: none"),
    ("mlflow-compose.yaml", "healthcheck: {test: [CMD, pg_", "healthchek: {test: [CMD, pg_"),
    ("mlflow-compose.yaml", "service_healthy", "healthy"),
    ("mlflow-compose.yaml", "bucket: {cond", "buckets: {cond"),
    ("mlflow-compose.yaml", "127.0.0.1:5000:5000", "127.0.0.1:5000:mlflow"),
    ("ray-up.yaml", "max_workers: 4 ", "max_worker: 4 "),
    ("ray-up.yaml", "node_config: &node", "node_configs: &node"),
    ("ray-up.yaml", "head_node_type: head", "head_node_type: heads"),
    ("ray-up.yaml", "ssh_user: ubuntu", "sshuser: ubuntu"),
]


@pytest.mark.parametrize("name", [name for name in FILES if name != "slurm.sh"])
def test_a_file_is_what_its_tool_reads(name: str) -> None:
    """By the tool's own schema; each file has a validator (the script's is in test_deploy_script.py)."""
    VALIDATORS[name](text_of(name))


@pytest.mark.parametrize(("name", "right", "wrong"), TYPOS)
def test_a_typo_is_refused(name: str, right: str, wrong: str) -> None:
    """A validator that lets everything pass would show nothing."""
    from jsonschema import ValidationError

    assert right in text_of(name)
    with pytest.raises((ValueError, ValidationError)):
        VALIDATORS[name](text_of(name).replace(right, wrong))


def commands(name: str) -> Iterator[tuple[str, list[str]]]:
    """The module that each command line in a file runs, and its words, as they are meant in a checkout."""
    for module, words in COMMAND.findall(text_of(name)):
        if '"$@"' not in words:
            here = words.replace(IN_THE_IMAGE, "").replace(" configs/", f" {CONFIGS}/").replace("  #", " #")
            found = shlex.split(re.sub("^configs/", f"{CONFIGS}/", here), comments=True)
            yield module or "launch", [*found, *ONE_DATASET] if found[0].endswith("/recover.yaml") else found


COMMANDS = [(name, module, words) for name in FILES for module, words in commands(name)]
"""Of all files."""


def test_there_are_commands() -> None:
    """Each way to a cluster says how a sweep is started on it."""
    assert {name for name, _, _ in COMMANDS} == set(FILES) - {"Dockerfile"}


@pytest.mark.parametrize(("name", "module", "words"), COMMANDS)
def test_a_command_line_composes(name: str, module: str, words: list[str]) -> None:
    """With all its configs, keys and options; it starts nothing."""
    if module == "submit":
        typed = submit.parse_arguments(words)
        assert submit.build_job(typed.words, typed.name, typed.address).name
        return
    typed = arguments.parse_arguments(words)
    if typed.resume is None:
        assert request.parse_request(typed.words, typed.name).configs


def worker_of(name: str) -> dict[str, Any]:
    """What the autoscaler knows of a node of A100s while there is none."""
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
    from ray.autoscaler._private.util import prepare_config

    if name == "ray-up.yaml":
        types = prepare_config(yaml.safe_load(text_of(name)))["available_node_types"]
    else:
        _, cluster = yaml.safe_load_all(text_of(name))
        cluster["metadata"]["namespace"] = "default"
        types = _derive_autoscaling_config_from_ray_cr(cluster)["available_node_types"]
    found: dict[str, Any] = types["a100"]
    return found


@pytest.mark.parametrize("name", ["ray-up.yaml", "kuberay.yaml"])
def test_the_largest_cluster_holds_the_trials_of_its_command(name: str) -> None:
    """Trials of cluster=a100 fit on a node that the autoscaler could start, eight at once, and it may start enough."""
    ((words),) = [words for file, module, words in COMMANDS if file == name and module == "submit"]
    (config, *_) = request.parse_request(submit.parse_arguments(words).words, "any").configs.values()
    node, wants = worker_of(name), trial_resources(config.cluster)
    assert set(wants) <= set(node["resources"])
    at_once = min(int(node["resources"][key] / amount) for key, amount in wants.items())
    assert at_once == 8
    assert config.cluster.concurrency == node["max_workers"] * at_once
    assert node["min_workers"] == 0


def requirements(extra: str = "") -> dict[str, Requirement]:
    """What the project, or an extra of it, requires."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = map(Requirement, project["optional-dependencies"][extra] if extra else project["dependencies"])
    return {requirement.name: requirement for requirement in found}


def test_versions_are_those_of_the_project() -> None:
    """Ray's version must be the same on all nodes and on the machine that submits."""
    everything = "".join(map(text_of, FILES))
    rays = re.findall(r"rayproject/ray:([\d.]+)-py311|rayVersion: ([\d.]+)", everything)
    assert len(rays) == 3
    for one, other in rays:
        assert requirements()["ray"].specifier.contains(one or other)
        assert requirements("cluster")["ray"].specifier.contains(one or other)
    (mlflow,) = re.findall(r"mlflow==([\d.]+)", everything)
    assert requirements()["mlflow"].specifier.contains(mlflow)
    assert set(re.findall(r"unlearn-sweep\[(\w+)\]", everything)) == {"cluster"}


def test_images_are_pinned() -> None:
    """No image is what somebody calls the latest today."""
    images = re.findall(r"(?:image: (?:&\w+ )?|FROM )(\S+)", "".join(map(text_of, FILES)))
    assert len(images) >= 7
    assert [image for image in images if not image.startswith("*") and not re.search(r":[\w.]*\d[\w.-]*$", image)] == []


def values(node: Any) -> Iterator[tuple[str, Any]]:
    """Every key of a document with its value; of a pod's variables the name with what gives the value."""
    if isinstance(node, dict):
        named = [(str(node["name"]), node.get("value"))] if "value" in node else []
        yield from [*((str(key), value) for key, value in node.items()), *named]
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from values(one)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".yaml")])
def test_secrets_are_named_not_written(name: str) -> None:
    """They come from the environment, which must have them, or from Kubernetes' own secrets."""
    given = [value for document in yaml.safe_load_all(text_of(name)) for value in values(document)]
    texts = [(key, value) for key, value in given if isinstance(value, str)]
    allowed = re.compile(r"\$\{\w+:\?\}|~/\.ray/auth_token|sweep-secrets")
    assert [(key, value) for key, value in texts if SECRET.search(key) and not allowed.fullmatch(value)] == []
    assert not re.search(r"://[^/\s:@]+:(?!\$)[^/\s@]+@", text_of(name))


def test_servers_are_reached_from_their_own_machine_alone() -> None:
    """The tracking server and the dashboard are on loopback, the service of KubeRay's head is its cluster's own."""
    services = yaml.safe_load(text_of("mlflow-compose.yaml"))["services"]
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    (head,) = [line for line in yaml.safe_load(text_of("ray-up.yaml"))["head_start_ray_commands"] if "--head" in line]
    assert "--dashboard-host=127.0.0.1" in head
    _, cluster = yaml.safe_load_all(text_of("kuberay.yaml"))
    assert cluster["spec"]["headGroupSpec"]["serviceType"] == "ClusterIP"


def test_the_tracking_server_takes_its_options() -> None:
    """As MLflow's own command line reads them."""
    from mlflow.cli import cli

    _, server, *options = yaml.safe_load(text_of("mlflow-compose.yaml"))["services"]["mlflow"]["command"]
    context = cli.commands[server].make_context(server, options)
    assert context.params["backend_store_uri"] == "postgresql://mlflow@postgres/mlflow"


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".yaml")])
def test_a_file_is_no_config_of_a_sweep(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Given to launch it is one sentence, not a trace."""
    assert launch.main([str(DEPLOY / name)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
