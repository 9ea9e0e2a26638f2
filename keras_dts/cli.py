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

import keras

import keras_dts
from keras_dts import demo
from keras_dts_command import BACKENDS

_DESCRIPTION = """\
Trains a teacher, and then a small student three times over: alone, with a
constant temperature (KD), and with a dynamic one (DTS). Prints their test
accuracies and writes student.keras, results.json and run.png.
"""

_EXAMPLE = """\
example:
  keras-dts demo --data digits --backend jax --seeds 3 --out runs/demo
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
        return _demo(args)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keras-dts",
        description="Knowledge distillation with dynamic temperatures.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"keras-dts {keras_dts.__version__}",
    )
    commands = parser.add_subparsers(dest="subcommand", required=True)
    command = commands.add_parser(
        "demo",
        help="distil a small model on real images",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--data",
        choices=list(demo.SETTINGS),
        default="digits",
        help="the images (default: %(default)s, which takes a minute)",
    )
    command.add_argument(
        "--backend",
        choices=BACKENDS,
        help="the backend of Keras (default: the one Keras is set to)",
    )
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
        help="part of the training images that the students see, up to 1 "
        "(default: 0.2 of the digits, 0.1 of Fashion-MNIST)",
    )
    command.add_argument(
        "--temperature",
        type=_positive,
        default=4.0,
        metavar="T",
        help="temperature of KD; DTS goes from 2 T to T (default: %(default)g)",
    )
    command.add_argument(
        "--out",
        type=_directory,
        default=Path("runs/demo"),
        metavar="DIR",
        help="where the results go (default: %(default)s)",
    )
    return parser


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


def _demo(args: argparse.Namespace) -> int:
    backend = keras.config.backend()
    if args.backend not in (None, backend):
        return _fail(
            f"Keras runs on {backend!r} in this process already. Start anew "
            f"by the command keras-dts, or with KERAS_BACKEND={args.backend}."
        )
    setting = dataclasses.replace(
        demo.SETTINGS[args.data], temperature=args.temperature
    )
    if args.student_share is not None:
        setting = dataclasses.replace(setting, student_share=args.student_share)
    if args.epochs is not None:
        setting = dataclasses.replace(
            setting, teacher_epochs=args.epochs, student_epochs=args.epochs
        )
    try:
        splits = demo.prepare(setting, args.out)
    except (ImportError, OSError, RuntimeError) as error:
        return _fail(str(error))
    results = demo.run(setting, splits, seeds=args.seeds, out=args.out)
    print(f"\n{results.table()}\n")
    for name, what in (
        (demo.STUDENT, "the first DTS student"),
        (demo.RESULTS, "all figures"),
        (demo.PICTURE, "temperature, gap and losses of that student"),
    ):
        print(f"{args.out / name}: {what}")
    return 0


def _fail(message: str) -> int:
    print(f"keras-dts: {message}", file=sys.stderr)
    return 1
