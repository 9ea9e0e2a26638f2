"""Runs the command `keras-dts`, once Keras's backend is chosen.

`keras_dts_command` chooses the backend before Keras is imported, and then calls
`main`.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_dts import plots
from keras_dts.cli import demo, info
from keras_dts.cli.parser import make_parser
from keras_dts.experiments import (
    IMAGE_SETTINGS,
    PROMPT_SETTINGS,
    SERIES_SETTINGS,
    TEXT_SETTINGS,
    UNFINISHED,
    DamagedRunError,
    DemoTask,
    methods_for,
    prepare_task,
    run_task,
    save_results,
)


def main(argv: Sequence[str] | None, backends: Sequence[str]) -> int:
    """Runs the command line.

    Args:
        argv: The arguments; `None` takes the arguments of the process.
        backends: The choices of `--backend`.

    Returns:
        The exit code: 0, or 1 after a failure, or 130 after Ctrl-C. Invalid
        arguments end the process with 2.

    Example:
    >>> from keras_dts import cli
    >>> cli.main(["demo", "--data", "digits"], ["jax"])  # doctest: +SKIP
    0
    """
    args = make_parser(backends).parse_args(argv)
    try:
        _COMMANDS[args.subcommand](args)
    except (_CannotStart, DamagedRunError) as error:
        print(f"keras-dts: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nStopped.{_how_to_resume(args)}", file=sys.stderr)
        return 130
    return 0


def _how_to_resume(args: argparse.Namespace) -> str:
    """Returns how an interrupted run is resumed, or an empty text."""
    out = getattr(args, "out", None)
    if out is None or not (out / UNFINISHED).exists():
        return ""
    return (
        " The same command resumes the run after its last finished training, "
        f"from the files in {out / UNFINISHED}."
    )


class _CannotStart(Exception):
    """Holds the reason why a run cannot start."""


def _demo(args: argparse.Namespace) -> None:
    task = _prepare(args)
    comparison = demo.run(task, seeds=args.seeds, out=args.out)
    print(f"\n{comparison.table()}\n")
    for name, what in (
        (demo.STUDENT, "the first DTS student"),
        (demo.RESULTS, "all results"),
        (demo.PICTURE, "temperature, gap and losses of that student"),
    ):
        print(f"{args.out / name}: {what}")


def _compare(args: argparse.Namespace) -> None:
    task = _prepare(args)
    methods = methods_for(task, args.methods)
    comparison = run_task(task, methods, seeds=args.seeds, out=args.out)
    results, picture = args.out / "comparison.json", args.out / "comparison.png"
    save_results(results, task, comparison)
    plots.plot_comparison(comparison).figure.savefig(picture)
    print(f"\n{comparison.table()}\n")
    print(f"{results}: all results")
    print(f"{picture}: the methods side by side")


def _info(args: argparse.Namespace) -> None:
    _check_backend(args)
    print(info.text())


# The settings that `--data` chooses from, by the task.
_SETTINGS: dict[str, Mapping[Any, Any]] = {
    "images": IMAGE_SETTINGS,
    "series": SERIES_SETTINGS,
}

_COMMANDS = {"demo": _demo, "compare": _compare, "info": _info}


def _check_backend(args: argparse.Namespace) -> None:
    backend = keras.config.backend()
    if args.backend not in (None, backend):
        raise _CannotStart(
            f"Keras already runs on {backend!r} in this process. Start a new "
            "one with the command keras-dts, or with "
            f"KERAS_BACKEND={args.backend}."
        )


def _prepare(args: argparse.Namespace) -> DemoTask:
    """Returns the task, or raises before any training."""
    _check_backend(args)
    setting = _setting(args)
    try:
        return prepare_task(setting, args.out)
    except (ImportError, OSError, RuntimeError) as error:
        raise _CannotStart(str(error)) from error


def _setting(args: argparse.Namespace) -> Any:
    """Returns the setting that the arguments choose."""
    settings = _SETTINGS.get(args.task)
    if settings is None:  # a task on texts, which has one setting
        settings = {None: (TEXT_SETTINGS | PROMPT_SETTINGS)[args.task]}
    name = args.data or next(iter(settings))
    if name not in settings:
        known = " or ".join(filter(None, settings)) or "its own data"
        raise _CannotStart(f"--task {args.task} has {known}, not {name}.")
    setting = settings[name]
    changes = {
        "student_share": args.student_share,
        "teacher_epochs": args.epochs,
        "student_epochs": args.epochs,
        "temperature": getattr(args, "temperature", None),
    }
    given = {k: v for k, v in changes.items() if v is not None}
    return dataclasses.replace(setting, **given)
