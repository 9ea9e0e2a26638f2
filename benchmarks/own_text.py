"""Compares methods by which a language model learns from text of its own.

    KERAS_BACKEND=jax python benchmarks/own_text.py --seeds 3

The task is CMUdict: the phones of a word, from its spelling. A teacher of two
layers learns from all training words; a student of one layer learns from some
of them, and then goes on by each method, from the same weights. Methods that
need no responses also get many more prompts. Each training is a line in
`--out`; those that are there are not run again.

Measured on test words: the mean cross entropy of a phone's tokens in nats, the
share of words that the student writes without a mistake, and KL(teacher,
student) on text that the student draws.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras_hub import models

import keras_dts
from keras_dts import generation, losses
from keras_dts.data import byte_pair_vocabulary, load_instructions
from keras_dts.generation.packing import PromptPacker
from keras_dts.temperatures import TokenDifficultyTemperature, TokenFocus


@dataclass(frozen=True)
class Setting:
    """Holds the sizes of the comparison.

    Args:
        window: The tokens of a row.
        teacher: Layers and width of the teacher.
        student: Layers and width of the student.
        words: How many words the student learns from.
        prompts: How many prompts methods get that need no responses.
        tested: The number of test words.
        teacher_epochs: The teacher's epochs.
        first_epochs: The student's epochs before the methods.
        epochs: The epochs of each method.
        batch: The batch size.
    """

    window: int = 32
    teacher: tuple[int, int] = (2, 96)
    student: tuple[int, int] = (1, 32)
    words: int = 4_000
    prompts: int = 20_000
    tested: int = 1_000
    teacher_epochs: int = 6
    first_epochs: int = 6
    epochs: int = 18
    batch: int = 64


TINY = Setting(
    teacher=(1, 8),
    student=(1, 4),
    words=8,
    prompts=16,
    tested=4,
    teacher_epochs=1,
    first_epochs=1,
    epochs=1,
    batch=4,
)


class Task:
    """The words, the models, and what is measured.

    Args:
        setting: The sizes.
        data: Prompts and responses by part, `train`, `validation`, `test`.
    """

    def __init__(self, setting: Setting, data: Any) -> None:
        self.setting = setting
        order = np.random.default_rng(0).permutation(len(data.train["prompts"]))
        self.all = _rows(data.train, order)
        self.few = _rows(data.train, order[: setting.words])
        self.many = _rows(data.train, order[: setting.prompts])
        del self.many["responses"]
        some = slice(setting.tested)
        self.validation = _rows(data.validation, some)
        self.test = _rows(data.test, some)
        texts = [*self.all["prompts"], *self.all["responses"]]
        pairs = byte_pair_vocabulary(texts, 300)
        self.tokenizer = models.GPT2Tokenizer(*pairs)

    def model(self, layers: int, width: int) -> keras.Model:
        """Returns a new language model, without dropout."""
        return models.GPT2CausalLM(
            models.GPT2Backbone(
                vocabulary_size=self.tokenizer.vocabulary_size(),
                num_layers=layers,
                num_heads=4,
                hidden_dim=width,
                intermediate_dim=4 * width,
                max_sequence_length=self.setting.window,
                dropout=0.0,
            ),
            preprocessor=models.GPT2CausalLMPreprocessor(
                self.tokenizer, sequence_length=self.setting.window
            ),
        )

    def compile(self, model: keras.Model, rows: int, epochs: int) -> None:
        """Compiles with Adam, whose rate falls to 0 along a cosine."""
        steps = epochs * -(-rows // self.setting.batch)
        rate = keras.optimizers.schedules.CosineDecay(0.003, steps)
        model.compile(
            keras.optimizers.Adam(rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=keras.config.backend() != "torch",
        )

    def learn(self, model: keras.Model, data: Any, epochs: int) -> None:
        """Trains a language model on responses alone."""
        x, y, weights = PromptPacker(model)(data["prompts"], data["responses"])
        x.pop("prompt_mask")
        model = _on_tokens(model)
        self.compile(model, len(y), epochs)
        model.fit(
            x,
            y,
            sample_weight=weights,
            batch_size=self.setting.batch,
            epochs=epochs,
            verbose=0,
        )

    def measure(
        self, teacher: keras.Model, student: keras.Model
    ) -> dict[str, float]:
        """Returns the measures of a student on test words."""
        x, y, weights = PromptPacker(student)(
            self.test["prompts"], self.test["responses"]
        )
        x.pop("prompt_mask")
        theirs, ours = _log_probs(teacher, x), _log_probs(student, x)
        at = weights > 0
        entropy = -np.take_along_axis(ours[at], y[at][:, None], -1).mean()
        kl = _kl(theirs[at], ours[at])
        words = self._written(teacher, student, "greedy")
        own = self._written(teacher, student, "random")
        right = np.mean(
            [
                text == wanted
                for text, wanted in zip(
                    self._responses(*words), self.test["responses"], strict=True
                )
            ]
        )
        ids, mask, of_prompt = own
        x = {"token_ids": ids, "padding_mask": mask}
        at = np.zeros_like(mask)
        at[:, :-1] = (mask & ~of_prompt)[:, 1:]
        own_kl = _kl(_log_probs(teacher, x)[at], _log_probs(student, x)[at])
        return {
            "nll": float(entropy),
            "kl": kl,
            "own_kl": own_kl,
            "right": float(right),
        }

    def _written(
        self, teacher: keras.Model, student: keras.Model, sampler: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns what a student writes: tokens, their mask, the prompts'."""
        if student is teacher:  # a distiller needs two
            teacher = self.model(*self.setting.student)
        writer = keras_dts.OnPolicyDistiller(
            teacher, student, text=generation.StudentText(1.0, sampler, 1.0)
        )
        writer.compile("sgd", jit_compile=keras.config.backend() != "torch")
        prompts = {"prompts": self.test["prompts"]}
        ids, mask = writer.write(prompts)
        of_prompt = PromptPacker(student)(**prompts).x["prompt_mask"] > 0
        return np.array(ids), np.array(mask, bool), of_prompt

    def _responses(
        self, ids: np.ndarray, mask: np.ndarray, of_prompt: np.ndarray
    ) -> list[str]:
        end = self.tokenizer.end_token_id
        taken = mask & ~of_prompt & (ids != end)
        return [
            str(self.tokenizer.detokenize(row[own].tolist()))
            if any(own)
            else ""
            for row, own in zip(ids, taken, strict=True)
        ]


def _rows(part: Any, rows: Any) -> dict[str, list[str]]:
    return {name: list(values[rows]) for name, values in part.items()}


def _on_tokens(model: keras.Model) -> keras.Model:
    """Returns the model without its preprocessor; the weights are the same."""
    return keras.Model(model.input, model.output)


def _log_probs(model: keras.Model, x: Any) -> np.ndarray:
    found = _on_tokens(model).predict(x, batch_size=256, verbose=0)
    logits = np.asarray(found, "float64")
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def _kl(p: np.ndarray, q: np.ndarray) -> float:
    return float((np.exp(p) * (p - q)).sum(-1).mean())


# From the task, the teacher and the student to what is fitted on which data.
Method = Callable[[Task, keras.Model, keras.Model], tuple[keras.Model, Any]]


def on_policy(
    loss: Callable[[], Any],
    text: Callable[[], Any] = lambda: generation.StudentText(0.0),
    *,
    labels: float = 0.0,
    many: bool = False,
) -> Method:
    """Returns a method that learns from a text, by a loss."""

    def method(
        task: Task, teacher: keras.Model, student: keras.Model
    ) -> tuple[keras.Model, Any]:
        distiller = keras_dts.OnPolicyDistiller(
            teacher,
            student,
            loss(),
            student_loss_weight=labels,
            text=text(),
        )
        return distiller, task.many if many else task.few

    return method


def online(
    task: Task, teacher: keras.Model, student: keras.Model
) -> tuple[keras.Model, Any]:
    """Returns a distiller whose teacher learns too."""
    online_teacher = keras_dts.OnlineTeacher(teacher, rank=8)
    loss = losses.ReverseKL(1.0)
    return (
        keras_dts.Distiller(online_teacher, student, loss, None, 0.0),
        task.few,
    )


def warmed_up(
    task: Task, teacher: keras.Model, student: keras.Model
) -> tuple[keras.Model, Any]:
    """Returns a distiller of a student that learned its mended text first."""
    generation.warmup(
        student,
        teacher,
        task.few["prompts"],
        batch_size=task.setting.batch,
    )
    return on_policy(lambda: losses.KD(1.0))(task, teacher, student)


def ada_kd() -> Any:
    """Returns AdaKD's loss: temperatures by difficulty, on hard tokens."""
    policy = TokenDifficultyTemperature(focus=TokenFocus())
    return losses.ReverseKL(policy)


METHODS: dict[str, Method] = {
    "SFT": on_policy(lambda: losses.KD(1.0), labels=1.0),
    "KD": on_policy(lambda: losses.KD(1.0)),
    "reverse KL": on_policy(lambda: losses.ReverseKL(1.0)),
    "GKD, half": on_policy(
        lambda: losses.KD(1.0), lambda: generation.StudentText(0.5)
    ),
    "GKD": on_policy(
        lambda: losses.KD(1.0), lambda: generation.StudentText(1.0)
    ),
    "SKD, K=3": on_policy(
        lambda: losses.KD(1.0), lambda: generation.MendedText(top_k=3)
    ),
    "DistiLLM": on_policy(
        lambda: losses.SkewKL(0.1, 1.0), generation.AdaptiveText
    ),
    "AdaKD": on_policy(ada_kd),
    "AdaKD, half own text": on_policy(
        ada_kd, lambda: generation.StudentText(0.5)
    ),
    "warm-up, KD": warmed_up,
    "OKD": online,
    "teacher's text": on_policy(
        lambda: losses.KD(1.0), lambda: generation.TeacherText(1.0)
    ),
    "GKD, more prompts": on_policy(
        lambda: losses.KD(1.0),
        lambda: generation.StudentText(1.0),
        many=True,
    ),
    "teacher's text, more prompts": on_policy(
        lambda: losses.KD(1.0),
        lambda: generation.TeacherText(1.0),
        many=True,
    ),
}


def train(
    task: Task, method: Method, teacher: keras.Model, student: keras.Model
) -> float:
    """Trains a student by a method, and returns the seconds it took."""
    setting = task.setting
    began = time.perf_counter()
    model, data = method(task, teacher, student)
    rows = len(data["prompts"])
    # As many steps with more prompts.
    epochs = max(1, round(setting.epochs * setting.words / rows))
    task.compile(model, rows, epochs)
    options: dict[str, Any] = {"epochs": epochs, "verbose": 0}
    if isinstance(model, keras_dts.OnPolicyDistiller):
        options["x"] = data
        if model.text.needs_validation:
            options["validation_data"] = (task.validation,)
    else:
        x, y, weights = PromptPacker(student)(**data)
        x.pop("prompt_mask")
        options |= {"x": x, "y": y, "sample_weight": weights}
    model.fit(batch_size=setting.batch, **options)
    return time.perf_counter() - began


def run(
    task: Task, names: list[str], seeds: int, out: Path
) -> list[dict[str, Any]]:
    """Runs what is not in `out` yet, and returns all of its lines."""
    setting = task.setting
    keras.utils.set_random_seed(1000)
    teacher = task.model(*setting.teacher)
    student = task.model(*setting.student)
    for name, model, data, epochs in (
        ("teacher", teacher, task.all, setting.teacher_epochs),
        ("student", student, task.few, setting.first_epochs),
    ):
        kept = out.with_name(f"{out.stem}-{name}.weights.h5")
        if kept.exists():
            model.load_weights(kept)
        else:
            task.learn(model, data, epochs)
            model.save_weights(kept)
    first = student.get_weights()
    lines = []
    if out.exists():
        lines = [json.loads(line) for line in out.read_text().splitlines()]
    done = {(line["method"], line["seed"]) for line in lines}

    def add(line: dict[str, Any]) -> None:
        lines.append(line)
        with out.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(line, flush=True)

    for name, model in (("teacher", teacher), ("at first", student)):
        if (name, 0) not in done:
            found = task.measure(teacher, model)
            add({"method": name, "seed": 0, "seconds": 0.0, **found})
    for seed in range(seeds):
        for name in names:
            if (name, seed) in done:
                continue
            keras.utils.set_random_seed(seed)
            student = task.model(*setting.student)
            student.set_weights(first)
            seconds = train(task, METHODS[name], teacher, student)
            found = task.measure(teacher, student)
            add({"method": name, "seed": seed, "seconds": seconds, **found})
    return lines


def table(lines: list[dict[str, Any]]) -> str:
    """Returns means and deviations over the seeds, as a table of Markdown."""
    columns = {"nll": 1, "kl": 1, "own_kl": 1, "right": 100, "seconds": 1}
    rows = [f"| method | {' | '.join(columns)} |", "|---" * 6 + "|"]
    for name in dict.fromkeys(line["method"] for line in lines):
        cells = []
        for column, factor in columns.items():
            values = [
                factor * line[column]
                for line in lines
                if line["method"] == name
            ]
            digits = 3 if factor == 1 and column != "seconds" else 1
            cell = f"{np.mean(values):.{digits}f}"
            if len(values) > 1:
                cell += f" ± {np.std(values, ddof=1):.{digits}f}"
            cells.append(cell)
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int)
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/own-text.jsonl")
    )
    args = parser.parse_args(arguments)
    setting = Setting()
    if args.epochs:
        setting = replace(setting, epochs=args.epochs)
    task = Task(setting, load_instructions("cmudict"))
    print(table(run(task, args.methods, args.seeds, args.out)))


if __name__ == "__main__":
    main()
