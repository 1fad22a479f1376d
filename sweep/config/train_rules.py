"""Rules for `train` and the rest of the configuration, checked without torch before anything is started."""

import os
from importlib.util import find_spec

from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError

FLASH_ATTENTION = "flash_attention_2"


def validate_training(config: SweepConfig) -> None:
    """Refuse a training configuration that cannot run, as far as the driver can know.

    The driver does not know the packages that the workers of a running cluster have; there the worker raises.

    Raises:
        ConfigError: flash attention in float32, without a GPU, or without its package if the workers run on this
            machine; a weight decay that bfloat16 weights would lose; a number of processes that differs from the
            number of GPUs; `fsdp` with one process, with compensated updates or with adapters.
    """
    train, cluster = config.train, config.cluster
    if train.attention == FLASH_ATTENTION and train.precision == "float32":
        raise ConfigError(
            f"train.precision = 'float32' must be master or kahan where train.attention = {FLASH_ATTENTION!r}."
        )
    if train.attention == FLASH_ATTENTION and not cluster.gpus:
        raise ConfigError(
            f"cluster.gpus = {cluster.gpus:g} must be above 0 where train.attention = {FLASH_ATTENTION!r}."
        )
    _check_processes(config)
    here = not (cluster.address or os.environ.get("RAY_ADDRESS"))
    if train.attention == FLASH_ATTENTION and here and find_spec("flash_attn") is None:
        raise ConfigError(
            f"train.attention = {FLASH_ATTENTION!r} needs the package flash-attn, which is not installed."
        )
    decay = 0.0 if config.target.path or config.target.lora else config.target.weight_decay
    if train.precision == "kahan" and decay:
        raise ConfigError(
            f"target.weight_decay = {decay:g} must be 0 where train.precision = 'kahan': bfloat16 weights lose it."
        )


def _check_processes(config: SweepConfig) -> None:
    """Refuse numbers of processes and GPUs, and ways to share the model, that do not fit together."""
    train, gpus, processes = config.train, config.cluster.gpus, config.cluster.processes
    if gpus > 1 and gpus % 1:
        raise ConfigError(f"cluster.gpus = {gpus:g} must be a whole number, or a fraction below 1.")
    if (gpus > 1 or processes > 1) and gpus not in (0, processes):
        raise ConfigError(f"cluster.processes = {processes} must be {max(1, int(gpus))} where cluster.gpus = {gpus:g}.")
    if train.parallel == "fsdp" and processes == 1:
        raise ConfigError("train.parallel = 'fsdp' needs cluster.processes > 1 (it is 1); use ddp.")
    if train.parallel == "fsdp" and train.precision == "kahan":
        raise ConfigError("train.parallel = 'fsdp' must be ddp where train.precision = 'kahan'.")
    for key, lora in (("train.lora", train.lora), ("target.lora", config.target.lora)):
        if train.parallel == "fsdp" and lora is not None:
            raise ConfigError(f"train.parallel = 'fsdp' must be ddp where {key} trains adapters alone.")
