"""The arguments of the command `keras-dts`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_dts.experiments import (
    IMAGE_SETTINGS,
    LABELS,
    METHODS,
    PROMPT_SETTINGS,
    SERIES_SETTINGS,
    TEXT_SETTINGS,
)
from keras_dts.utils import __version__

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

_INFO = (
    "Shows the versions, the backend, its devices and which optional packages "
    "are installed."
)

_INFO_EXAMPLE = """\
example:
  keras-dts info --backend torch
"""


def make_parser(backends: Sequence[str]) -> argparse.ArgumentParser:
    """Returns the parser of the command line.

    Args:
        backends: The choices of `--backend`.
    """
    parser = argparse.ArgumentParser(
        prog="keras-dts",
        description="Knowledge distillation with dynamic temperatures.",
        epilog=_DEMO_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"keras-dts {__version__}"
    )
    commands = parser.add_subparsers(dest="subcommand", required=True)
    _add_demo(commands, backends)
    _add_compare(commands, backends)
    _add_info(commands, backends)
    return parser


def _add_demo(commands: Any, backends: Sequence[str]) -> None:
    command = _add_command(
        commands,
        "demo",
        help="distil a small model on real data",
        description=_DEMO,
        epilog=_DEMO_EXAMPLE,
    )
    _add_run_options(command, Path("runs/demo"), backends)
    command.add_argument(
        "--temperature",
        type=_positive,
        metavar="T",
        help="temperature of KD; DTS goes from 2 T to T (default: 4, of "
        "language models 1)",
    )


def _add_compare(commands: Any, backends: Sequence[str]) -> None:
    command = _add_command(
        commands,
        "compare",
        help="compare methods on real data",
        description=_COMPARE,
        epilog=f"{_known_methods()}\n\n{_COMPARE_EXAMPLE}",
    )
    _add_run_options(command, Path("runs/compare"), backends)
    command.add_argument(
        "--methods",
        nargs="+",
        choices=list(LABELS),
        default=list(METHODS),
        metavar="NAME",
        help="what to compare, from the list below (default: all but those "
        "marked *, which not every task can take)",
    )


def _add_info(commands: Any, backends: Sequence[str]) -> None:
    command = _add_command(
        commands,
        "info",
        help="show versions, backend and devices",
        description=_INFO,
        epilog=_INFO_EXAMPLE,
    )
    _add_backend(command, backends)


def _add_command(
    commands: Any, name: str, **texts: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **texts,
    )
    return command


def _known_methods() -> str:
    lines = [
        f"  {name:<14}{label}{'' if name in METHODS else ' *'}"
        for name, label in LABELS.items()
    ]
    return "\n".join(["methods:", *lines])


def _add_run_options(
    command: argparse.ArgumentParser, out: Path, backends: Sequence[str]
) -> None:
    command.add_argument(
        "--task",
        choices=["images", "series", *TEXT_SETTINGS, *PROMPT_SETTINGS],
        default="images",
        help="images, time series, mails to classify (text), a language model "
        "(lm), or words and their phones (g2p) (default: %(default)s)",
    )
    command.add_argument(
        "--data",
        choices=[*IMAGE_SETTINGS, *SERIES_SETTINGS],
        help="the images (default: digits, which are small), or the series "
        "(default: osu_leaf)",
    )
    _add_backend(command, backends)
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
        help="epochs of each training, the teacher's too, for a short run",
    )
    command.add_argument(
        "--student-share",
        type=_share,
        metavar="P",
        help="part of the training data that the students see, up to 1 "
        "(default: 0.2 of the digits, 0.1 of Fashion-MNIST, all series, "
        "{text:g} of the mails, {lm:g} of the passages, {g2p:g} of the "
        "words)".format(
            **{
                name: setting.student_share
                for name, setting in (TEXT_SETTINGS | PROMPT_SETTINGS).items()
            }
        ),
    )
    command.add_argument(
        "--out",
        type=_directory,
        default=out,
        metavar="DIR",
        help="where the results go (default: %(default)s)",
    )


def _add_backend(
    command: argparse.ArgumentParser, backends: Sequence[str]
) -> None:
    command.add_argument(
        "--backend",
        choices=backends,
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
