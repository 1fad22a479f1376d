"""Measure the gradient effects of an objective at the weights of any checkpoint; no sweep is needed.

python -m sweep.g_effect CHECKPOINT --data tofu-forget05 --template phi-1.5 --objective wtnpo alpha=1.5 beta=5
"""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from eval import cli
from eval.cli import UsageError
from eval.rows.types import DataError
from sweep.errors import ConfigError
from sweep.g_effect.request import WEIGHT_KEY, EffectRequest, check_request
from sweep.records import GEffect
from sweep.signals import enable_fast_exit

# Slow imports stand in the functions that use them, so that --help and errors are answered at once.

FORMAT_VERSION = 1
"""Version of the JSON file; raise it when a reader of the old format would misread the new."""
PASS_POSITIONS = 4096
"""Padded positions of one forward pass with gradient; a larger batch is split, which changes no sum."""
EXAMPLES = """examples:
  python -m sweep.g_effect runs/.artifacts/TARGET --objective wtnpo alpha=1.5 beta=5
  python -m sweep.g_effect runs/NAME/models/best/compared --reference runs/.artifacts/TARGET --objective npo beta=0.5
  python -m sweep.g_effect ./unlearned --data tofu-forget05 --template phi-1.5 --objective wga alpha=5 --by layer

exit codes: 0 measured, 2 the arguments, the rows or a checkpoint are wrong"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    from sweep.g_effect.tables import print_effect, print_request

    try:
        typed = parse_arguments(argv)
        request = check_request(typed)
        print_request(typed, request)
        effect = measure_checkpoint(typed, request)
        if typed.out is not None:
            from eval.run import write_json

            write_json(typed.out, describe_measurement(typed, request, effect))
    except (UsageError, DataError, ConfigError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_effect(effect, typed.by)
    return 0


def parse_arguments(argv: Sequence[str] | None) -> Namespace:
    """Parse the command line.

    Raises:
        UsageError: an option is unknown or lacks its value.
    """
    parser = cli.Parser(
        prog="python -m sweep.g_effect",
        description=(__doc__ or "").partition("\n")[0],
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a Hugging Face folder or hub id, with safetensors")
    parser.add_argument(
        "words",
        metavar="KEY=VALUE",
        nargs="*",
        help=f"the objective's hyper-parameters, {WEIGHT_KEY} (1), and data.KEY of the config that --data names",
    )
    parser.add_argument("--objective", required=True, metavar="NAME", help="as in a config: wtnpo, or package.module")
    _add_measuring_options(parser)
    cli.add_row_options(parser)
    cli.add_template_options(parser)
    cli.add_dtype_option(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write everything as JSON")
    return parser.parse_intermixed_args(argv)


def _add_measuring_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--reference", metavar="CHECKPOINT", help="the model before unlearning (default: the checkpoint itself)"
    )
    parser.add_argument(
        "--retain-term", choices=("kl", "nll", "none"), default="kl", help="the loss on retain rows (%(default)s)"
    )
    parser.add_argument(
        "--rows", type=cli.parse_count, default=16, metavar="N", help="rows of each part, evenly chosen (%(default)s)"
    )
    parser.add_argument(
        "--by",
        choices=("layer", "row"),
        nargs="+",
        action="extend",
        default=[],
        help="show each layer's share too, each row's, or both: --by layer row",
    )
    parser.add_argument("--seed", type=int, default=0, help="of RMU's direction (%(default)s)")


def measure_checkpoint(typed: Namespace, request: EffectRequest) -> GEffect:
    """Measure the effects at the checkpoint's weights; the reference is in memory before the checkpoint, not beside it.

    Raises:
        UsageError, DataError: a checkpoint cannot be loaded, or its numbers are not finite.
    """
    from eval.rows.encode import encode_rows
    from eval.run import EvalRequest, load_checkpoint
    from sweep.config.schema import GEffectConfig, RetainConfig
    from sweep.config.template import Template
    from sweep.training.g_effect import GEffectProbe, is_finite
    from sweep.training.loss_terms import combine_terms
    from sweep.training.reference import encode_training_rows, read_reference, write_reference

    task = EvalRequest(dataset=request.dataset, template=request.template, has_paper_ps=False, dtype=typed.dtype)
    model, tokenizer = load_checkpoint(typed.reference or typed.checkpoint, task)
    template = Template(**asdict(request.template))
    rows = encode_training_rows(template, "tokens", request.dataset, tokenizer)
    with TemporaryDirectory() as folder:
        write_reference(Path(folder), model, rows, model.dtype)
        reference = read_reference(Path(folder), model, rows)
    if typed.reference is not None:
        del model
        model, _ = load_checkpoint(typed.checkpoint, task)
    retain = RetainConfig(term=typed.retain_term, weight=request.weight, reduction="tokens")
    terms = combine_terms(retain, PASS_POSITIONS, request.objective, typed.seed, model, rows, reference)
    probe = GEffectProbe(
        forget=terms[0],
        retain=terms[1],
        n_retain=len(rows.retain),
        holdout=encode_rows(tokenizer, template, request.dataset.holdout),
        options=GEffectConfig(every=1, rows=typed.rows, by=("layer", *(("row",) if "row" in typed.by else ()))),
    )
    effect = probe.measure(model, 0)
    if not is_finite(effect):
        raise UsageError(f"{typed.checkpoint}: the gradients are not finite")
    return {**effect, "rows": [request.numbers[row - 1] for row in effect["rows"]]}


def describe_measurement(typed: Namespace, request: EffectRequest, effect: GEffect) -> dict[str, Any]:
    """Return the content of the JSON file."""
    from eval.provenance import find_revision, list_versions
    from eval.run import describe_rows, identify_checkpoint

    return {
        "format": FORMAT_VERSION,
        **identify_checkpoint(typed.checkpoint),
        "reference": identify_checkpoint(typed.reference or typed.checkpoint),
        "objective": typed.objective,
        "setting": request.setting,
        "retain": {"term": typed.retain_term, "weight": request.weight},
        "seed": typed.seed,
        **{key: value for key, value in effect.items() if key != "step"},
        "template": asdict(request.template),
        "dtype": typed.dtype,
        "data": describe_rows(typed, request.dataset),
        "versions": list_versions(),
        "git": find_revision(),
    }


if __name__ == "__main__":
    enable_fast_exit()
    sys.exit(main())
