"""The command `keras-dts`.

Keras takes its backend from the environment when it is imported, and does not
change it afterwards. This package imports Keras, so a command that asks for
another backend starts itself anew, with the backend in the environment.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_BACKENDS = ("jax", "tensorflow", "torch")

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
    argv = sys.argv[1:] if argv is None else list(argv)
    args = _parser().parse_args(argv)
    try:
        return _demo(args, argv)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    import keras_dts

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
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="distil a small model on real images",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument(
        "--data",
        choices=["digits", "fashion_mnist"],
        default="digits",
        help="the images (default: %(default)s, which takes a minute)",
    )
    demo.add_argument(
        "--backend",
        choices=_BACKENDS,
        help="the backend of Keras (default: the one Keras is set to)",
    )
    demo.add_argument(
        "--seeds",
        type=_count,
        default=3,
        metavar="N",
        help="students of each method (default: %(default)s)",
    )
    demo.add_argument(
        "--epochs",
        type=_count,
        metavar="N",
        help="epochs of each training, the teacher's too, for a quick look",
    )
    demo.add_argument(
        "--temperature",
        type=_positive,
        default=4.0,
        metavar="T",
        help="temperature of KD; DTS goes from 2 T to T (default: %(default)g)",
    )
    demo.add_argument(
        "--out",
        type=Path,
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


def _demo(args: argparse.Namespace, argv: list[str]) -> int:
    import keras

    active = keras.config.backend()
    wanted = args.backend or active
    if wanted not in _BACKENDS:
        return _fail(
            f"Keras is set to the backend {wanted!r}, which cannot train. "
            f"Give --backend one of {', '.join(_BACKENDS)}."
        )
    if importlib.util.find_spec(wanted) is None:
        return _fail(
            f"The backend {wanted!r} is not installed: "
            f'pip install "keras-dts[{wanted}]".'
        )
    if wanted != active:
        _restart(argv, wanted)

    from keras_dts import demo

    setting = dataclasses.replace(
        demo.SETTINGS[args.data], temperature=args.temperature
    )
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


def _restart(argv: list[str], backend: str) -> None:
    """Replaces this process by one in which Keras has another backend."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(
        sys.executable,
        [sys.executable, "-m", "keras_dts.cli", *argv],
        {**os.environ, "KERAS_BACKEND": backend},
    )


def _fail(message: str) -> int:
    print(f"keras-dts: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
