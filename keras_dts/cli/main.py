"""What the command `keras-dts` does, once Keras's backend is chosen.

The command itself is `keras_dts_command`, which chooses the backend before
Keras is imported.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_dts import plots
from keras_dts.cli import demo, info
from keras_dts.experiments import METHODS, TEXT_SETTINGS, task as tasks
from keras_dts.utils import __version__
from keras_dts_command import BACKENDS

_DEMO = """\
Trains a teacher, and then a small student three times over: alone, with a
constant temperature (KD), and with a dynamic one (DTS). Prints their test
accuracies, or perplexities, and writes student.keras, results.json and
run.png.
"""

_DEMO_EXAMPLE = """\
examples:
  keras-dts demo --data digits --backend jax --seeds 3 --out runs/demo
  keras-dts demo --task text
  keras-dts demo --task lm --temperature 2
"""

_COMPARE = """\
Trains a teacher, and then a small student once for each method and seed, from
the same first weights and in the same order. Prints their test accuracies and
writes comparison.json and comparison.png.
"""

_COMPARE_EXAMPLE = """\
example:
  keras-dts compare --data digits --methods alone kd-4 dts --seeds 5
"""

_INFO_EXAMPLE = """\
example:
  keras-dts info --backend torch
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: The arguments; `None` takes those of the process.

    Returns:
        The exit code: 0, 1 after a failure, 130 after Ctrl-C. Arguments that
        make no sense end the process with 2.

    Example:
    >>> from keras_dts import cli
    >>> cli.main(["demo", "--data", "digits"])  # doctest: +SKIP
    0
    """
    args = _parser().parse_args(argv)
    try:
        args.function(args)
    except _CannotStart as error:
        print(f"keras-dts: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nStopped.{_what_is_left(args)}", file=sys.stderr)
        return 130
    return 0


def _what_is_left(args: argparse.Namespace) -> str:
    """Says how a run that was stopped goes on."""
    out = getattr(args, "out", None)
    if out is None or not (out / tasks.UNFINISHED).exists():
        return ""
    return (
        " The same command goes on after the last training that ended; "
        f"what it needs is in {out / tasks.UNFINISHED}."
    )


class _CannotStart(Exception):
    """Says why a run cannot start."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keras-dts",
        description="Knowledge distillation with dynamic temperatures.",
        epilog=_DEMO_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"keras-dts {__version__}",
    )
    commands = parser.add_subparsers(dest="subcommand", required=True)
    command = commands.add_parser(
        "demo",
        help="distil a small model on real data",
        description=_DEMO,
        epilog=_DEMO_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(function=_demo)
    _add_run_options(command, Path("runs/demo"))
    command.add_argument(
        "--temperature",
        type=_positive,
        metavar="T",
        help="temperature of KD; DTS goes from 2 T to T (default: 4, of "
        "language models 1)",
    )
    command = commands.add_parser(
        "compare",
        help="compare methods on real data",
        description=_COMPARE,
        epilog=f"{_known_methods()}\n\n{_COMPARE_EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(function=_compare)
    _add_run_options(command, Path("runs/compare"))
    command.add_argument(
        "--methods",
        nargs="+",
        choices=list(METHODS),
        default=list(METHODS),
        metavar="NAME",
        help="what to compare, from the list below (default: all)",
    )
    command = commands.add_parser(
        "info",
        help="show versions, backend and devices",
        description="Shows the versions, the backend, its devices and which "
        "optional packages are installed.",
        epilog=_INFO_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(function=_info)
    _add_backend(command)
    return parser


def _known_methods() -> str:
    lines = [f"  {name:<14}{label}" for name, (label, _) in METHODS.items()]
    return "\n".join(["methods:", *lines])


def _add_run_options(command: argparse.ArgumentParser, out: Path) -> None:
    command.add_argument(
        "--task",
        choices=["images", *TEXT_SETTINGS],
        default="images",
        help="images, mails to classify (text), or a language model (lm) "
        "(default: %(default)s)",
    )
    command.add_argument(
        "--data",
        choices=list(tasks.SETTINGS),
        help="the images (default: digits, which are small)",
    )
    _add_backend(command)
    command.add_argument(
        "--seeds",
        type=_count,
        default=3,
        metavar="N",
        help="students of each method (default: %(default)s)",
    )
    command.add_argument(
        "--epochs",
        type=_count,
        metavar="N",
        help="epochs of each training, the teacher's too, for a quick look",
    )
    command.add_argument(
        "--student-share",
        type=_share,
        metavar="P",
        help="part of the training data that the students see, up to 1 "
        "(default: 0.2 of the digits, 0.1 of Fashion-MNIST, {text:g} of the "
        "mails, {lm:g} of the passages)".format(
            **{k: v.student_share for k, v in TEXT_SETTINGS.items()}
        ),
    )
    command.add_argument(
        "--out",
        type=_directory,
        default=out,
        metavar="DIR",
        help="where the results go (default: %(default)s)",
    )


def _add_backend(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--backend",
        choices=BACKENDS,
        help="the backend of Keras (default: the one Keras is set to)",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"must be a whole number of at least 1, not {text!r}"
        )
    return int(text)


def _share(text: str) -> float:
    value = _positive(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"must be at most 1, not {text!r}")
    return value


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(
            f"must be a positive number, not {text!r}"
        )
    return value


def _directory(text: str) -> Path:
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"must be a directory, not {text!r}")
    return path


def _demo(args: argparse.Namespace) -> None:
    task = _prepare(args)
    comparison = demo.run(task, seeds=args.seeds, out=args.out)
    print(f"\n{comparison.table()}\n")
    for name, what in (
        (demo.STUDENT, "the first DTS student"),
        (demo.RESULTS, "all figures"),
        (demo.PICTURE, "temperature, gap and losses of that student"),
    ):
        print(f"{args.out / name}: {what}")


def _compare(args: argparse.Namespace) -> None:
    task = _prepare(args)
    methods = dict(METHODS[name] for name in args.methods)
    comparison = tasks.run(task, methods, seeds=args.seeds, out=args.out)
    figures, picture = args.out / "comparison.json", args.out / "comparison.png"
    tasks.save(figures, task, comparison)
    plots.plot_comparison(comparison).figure.savefig(picture)
    print(f"\n{comparison.table()}\n")
    print(f"{figures}: all figures")
    print(f"{picture}: the methods side by side")


def _info(args: argparse.Namespace) -> None:
    _check_backend(args)
    print(info.text())


def _check_backend(args: argparse.Namespace) -> None:
    backend = keras.config.backend()
    if args.backend not in (None, backend):
        raise _CannotStart(
            f"Keras runs on {backend!r} in this process already. Start anew "
            f"by the command keras-dts, or with KERAS_BACKEND={args.backend}."
        )


def _setting(args: argparse.Namespace) -> Any:
    """Returns the setting that the options ask for."""
    setting: Any = tasks.SETTINGS[args.data or "digits"]
    if args.task != "images":
        if args.data is not None:
            raise _CannotStart(
                f"--data chooses images; --task {args.task} has its own data."
            )
        setting = TEXT_SETTINGS[args.task]
    changes = {
        "student_share": args.student_share,
        "teacher_epochs": args.epochs,
        "student_epochs": args.epochs,
        "temperature": getattr(args, "temperature", None),
    }
    given = {k: v for k, v in changes.items() if v is not None}
    return dataclasses.replace(setting, **given)


def _prepare(args: argparse.Namespace) -> Any:
    """Returns the task, or raises before anything is trained."""
    _check_backend(args)
    setting = _setting(args)
    try:
        return tasks.prepare(setting, args.out)
    except (ImportError, OSError, RuntimeError) as error:
        raise _CannotStart(str(error)) from error
