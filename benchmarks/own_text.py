"""Compares methods by which a language model learns from text of its own.

    KERAS_BACKEND=jax python benchmarks/own_text.py words --out results

Two tasks, of which the methods are those of `keras-dts compare --task g2p`:

- `words`: the phones of a word of CMUdict, from its spelling. The teacher has
  two layers and all words, the student one layer and 4,000 of them;
- `speeches`: the rest of a passage of an address on the state of the union,
  from its first sentence. The teacher has four layers, the student two, and a
  tenth of the passages.

The student learns to write first, on the labels of its part, and then goes on
by each method from the same weights. Methods that end in `more` get more
prompts, without responses, for as many steps. Each training of a task is a line
in `own-text-TASK.jsonl`; methods that are there are not run again.

Measured on the test: the mean cross entropy of a response's tokens and their
KL(teacher, student), in nats; the same divergence on text that the student
draws; the share of responses that the student writes without a mistake; and
ROUGE-L of them, where responses have many words.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_dts
from keras_dts import generation
from keras_dts.experiments import methods_for
from keras_dts.experiments.prompt_task import PromptSetting, PromptTask
from keras_dts.experiments.runs import load_teacher, save_teacher
from keras_dts.experiments.text_task import Size
from keras_dts.metrics import rouge_l

SETTINGS = {
    "words": PromptSetting(
        data="cmudict",
        vocabulary=300,
        length=32,
        teacher=Size(layers=2, width=96, heads=4),
        teacher_share=1.0,
        teacher_epochs=6,
        teacher_rate=0.003,
        teacher_batch=64,
        student=Size(layers=1, width=32, heads=4),
        student_share=0.0369,  # 4,003 words
        prompts_share=0.1844,  # 20,003
        first_epochs=18,
        student_epochs=18,
        student_rate=0.003,
        student_batch=64,
        test_share=0.1662,  # 1,000
        unit="words",
    ),
    "speeches": PromptSetting(
        data="state_of_the_union",
        vocabulary=1_000,
        length=128,
        prompt_length=64,
        teacher=Size(layers=4, width=192, heads=4),
        teacher_share=1.0,
        teacher_epochs=6,
        teacher_rate=0.002,
        teacher_batch=32,
        student=Size(layers=2, width=64, heads=4),
        student_share=0.1,
        prompts_share=0.5,
        first_epochs=20,
        student_epochs=6,
        student_rate=0.003,
        student_batch=32,
        test_share=0.3,
        unit="passages",
    ),
}

METHODS = (
    "alone",
    "kd-data",
    "rkl-data",
    "gkd-half",
    "gkd",
    "skd",
    "distillm",
    "adakd-data",
    "adakd-own",
    "warmup",
    "okd",
    "teacher-text",
    "gkd-more",
    "teacher-more",
)

Line = dict[str, Any]


class Measured(keras.callbacks.Callback):
    """Measures a student when its training has ended.

    Args:
        task: The task.
        teacher: The teacher.
    """

    def __init__(self, task: PromptTask, teacher: keras.Model) -> None:
        super().__init__()
        self._task = task
        self._teacher = teacher
        self.found: dict[str, float] = {}

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Measures the student."""
        student = getattr(self.model, "student", self.model)
        self.found = measures(self._task, self._teacher, student)


def measures(
    task: PromptTask, teacher: keras.Model, student: keras.Model
) -> dict[str, float]:
    """Returns the measures of a student, or of the teacher, on the test."""
    x, y, weights = task.test
    theirs, ours = log_probs(teacher, x), log_probs(student, x)
    at = weights > 0
    entropy = -np.take_along_axis(ours[at], y[at][:, None], -1).mean()
    found = {"nll": float(entropy), "kl": divergence(theirs[at], ours[at])}
    ids, of_response = written(task, teacher, student, "random")
    own = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    at = np.zeros_like(of_response)
    at[:, :-1] = of_response[:, 1:]
    found["own_kl"] = divergence(
        log_probs(teacher, own)[at], log_probs(student, own)[at]
    )
    ids, of_response = written(task, teacher, student, "greedy")
    responses = texts(task, ids, of_response)
    at = np.zeros_like(of_response)
    at[:, 1:] = weights[:, :-1] > 0
    references = texts(task, x["token_ids"], at)
    pairs = zip(responses, references, strict=True)
    found["right"] = float(np.mean([one == other for one, other in pairs]))
    found["rouge_l"] = rouge_l(responses, references)
    return found


def log_probs(model: keras.Model, x: Any) -> np.ndarray:
    """Returns log probabilities, float64, shape `(batch, length, tokens)`."""
    logits = np.asarray(model.predict(x, batch_size=256, verbose=0), "float64")
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Returns the mean KL(p, q) of log probabilities, in nats."""
    return float((np.exp(p) * (p - q)).sum(-1).mean())


def written(
    task: PromptTask, teacher: keras.Model, student: keras.Model, sampler: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what a student writes to the test's prompts.

    Returns:
        The tokens, and whether they are of a response: up to the end token,
        which is left out.
    """
    x, _, _ = task.prompted(task.test)
    text: generation.Text = generation.StudentText(1.0, sampler, 1.0)
    if student is teacher:  # a distiller needs two models
        student = task.make_student()
        text = generation.TeacherText(1.0, sampler, 1.0)
    writer = keras_dts.OnPolicyDistiller(
        teacher, student, text=text, stop_token_ids=[task.end_token_id]
    )
    writer.compile("sgd", jit_compile=keras.config.backend() != "torch")
    ids, mask = map(
        np.asarray, map(keras.ops.convert_to_numpy, writer.write(x))
    )
    of_prompt = x["prompt_mask"] > 0
    return ids, (mask > 0) & ~of_prompt


def texts(
    task: PromptTask, ids: np.ndarray, of_response: np.ndarray
) -> list[str]:
    """Returns the responses as texts, without their end tokens."""
    of_response = of_response & (ids != task.end_token_id)
    return [
        str(task.tokenizer.detokenize(row[at].tolist())) if at.any() else ""
        for row, at in zip(ids, of_response, strict=True)
    ]


def trained_teacher(task: PromptTask, kept: Path) -> keras.Model:
    """Returns the teacher, whose weights a file keeps."""
    if kept.exists():
        return load_teacher(task, kept)
    teacher, _ = task.train_teacher(verbose=True)
    save_teacher(teacher, kept)
    return teacher


def run(
    task: PromptTask, names: Sequence[str], seeds: int, out: Path
) -> list[Line]:
    """Runs the methods that `out` does not hold yet.

    Args:
        task: The task.
        names: Names of methods of `keras-dts compare`.
        seeds: The number of trainings of each method.
        out: The file of the lines.

    Returns:
        All lines of the file.
    """
    teacher = trained_teacher(task, out.with_suffix(".weights.h5"))
    lines: list[Line] = []
    if out.exists():
        lines = [json.loads(line) for line in out.read_text().splitlines()]
    done = {line["method"] for line in lines}

    def add(method: str, seed: int, seconds: float, measured: Line) -> None:
        line = {"method": method, "seed": seed, "seconds": seconds, **measured}
        lines.append(line)
        with out.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(line, flush=True)

    for name, model in (("teacher", teacher), ("at first", None)):
        if name not in done:
            student = model or task.make_student()
            add(name, 0, 0.0, measures(task, teacher, student))
    for label, method in methods_for(task, names).items():
        if label in done:
            continue
        callbacks = [Measured(task, teacher) for _ in range(seeds)]
        row = keras_dts.compare(
            teacher,
            task.make_student,
            {label: method},
            task.train,
            task.test,
            compile=task.compile,
            epochs=task.setting.student_epochs,
            batch_size=task.setting.student_batch,
            seeds=seeds,
            metric=task.metric,
            callbacks=lambda _, seed, of=callbacks: [of[seed]],
            verbose=False,
        ).rows[0]
        for seed, callback in enumerate(callbacks):
            add(label, seed, row.seconds[seed], callback.found)
    return lines


def table(lines: list[Line]) -> str:
    """Returns means and deviations over the seeds, as a table of Markdown."""
    columns = {
        "nll": ("nll", 1, 3),
        "kl": ("KL", 1, 3),
        "own_kl": ("KL on own text", 1, 3),
        "right": ("right, %", 100, 1),
        "rouge_l": ("ROUGE-L", 1, 1),
        "seconds": ("seconds", 1, 1),
    }
    titles = " | ".join(title for title, _, _ in columns.values())
    rows = [f"| method | {titles} |", "|---" * (len(columns) + 1) + "|"]
    for method in dict.fromkeys(line["method"] for line in lines):
        cells = []
        for column, (_, factor, digits) in columns.items():
            values = [
                factor * line[column]
                for line in lines
                if line["method"] == method
            ]
            cell = f"{np.mean(values):.{digits}f}"
            if len(values) > 1:
                cell += f" ± {np.std(values, ddof=1):.{digits}f}"
            cells.append(cell)
        rows.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark.

    Args:
        arguments: The arguments of the command line.
    """
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", choices=list(SETTINGS))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results"))
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    out = args.out / f"own-text-{args.task}.jsonl"
    print(table(run(SETTINGS[args.task].task(), args.methods, args.seeds, out)))


if __name__ == "__main__":
    main()
