"""The demo's task on prompts, such as words whose phones are to be written.

A GPT-2-style teacher learns the responses to many prompts. The students learn
from a part of them, and begin with a few epochs on the labels of that part, so
that they can write.

The settings were not tuned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_dts.experiments.task import (
    TEACHER_SEED,
    DemoTask,
    Setting,
    compile_model,
)
from keras_dts.experiments.text_task import Size, backbone_sizes
from keras_dts.experiments.training import timed_fit
from keras_dts.utils import require

# Seeds what the students learn first; another one than a comparison's.
FIRST_SEED = TEACHER_SEED + 1


@dataclass(frozen=True, kw_only=True)
class PromptSetting(Setting):
    """Holds the settings of a demo on prompts.

    The data are of `keras_dts.data.load_instructions`.

    Args:
        vocabulary: The tokenizer's number of tokens.
        length: The number of tokens that the models read.
        prompt_length: How many tokens of a prompt are kept, the last ones;
            `None` for as many as there is room for.
        teacher: The size of the teacher.
        teacher_share: The part of the training words that the teacher sees.
        student: The size of the students.
        prompts_share: The part of the training prompts that methods may use
            which need no responses.
        first_epochs: Epochs of the students on labels, before each method.
        test_share: The part of the test prompts that is used.
        unit: What a prompt is, in the plural.
    """

    vocabulary: int
    length: int
    teacher: Size
    teacher_share: float
    student: Size
    prompts_share: float
    first_epochs: int
    test_share: float
    prompt_length: int | None = None
    unit: str = "prompts"

    def task(self) -> PromptTask:
        """Loads the data, and trains the tokenizer."""
        return PromptTask(self)


PROMPT_SETTINGS = {
    "g2p": PromptSetting(
        data="cmudict",
        vocabulary=300,
        length=32,
        teacher=Size(layers=2, width=64, heads=4),
        teacher_share=0.2,
        teacher_epochs=4,
        teacher_rate=0.003,
        teacher_batch=64,
        student=Size(layers=1, width=32, heads=4),
        student_share=0.02,
        prompts_share=0.1,
        first_epochs=4,
        student_epochs=8,
        student_rate=0.003,
        student_batch=64,
        test_share=0.2,
        unit="words",
        temperature=1.0,
    )
}


class PromptTask(DemoTask):
    """Language models that respond to prompts.

    The data are tokens: `token_ids` and `padding_mask`, the next tokens, and
    weights that are 1 where these are of a response.

    Args:
        setting: The setting.

    Attributes:
        tokenizer: The tokenizer of all models.
        prompts: The prompts that need no responses, without them, in the form
            of the data.
    """

    metric = "perplexity"

    def __init__(self, setting: PromptSetting) -> None:
        from keras_dts.data import byte_pair_vocabulary, load_instructions
        from keras_dts.generation import PromptPacker

        models = require("text", "A task on prompts", "keras_hub.models")[0]
        loaded = load_instructions(setting.data)
        rng = np.random.default_rng(0)
        order = rng.permutation(len(loaded.train["prompts"]))
        texts = np.concatenate(list(loaded.train.values()))
        pairs = byte_pair_vocabulary(texts, setting.vocabulary)
        self.tokenizer = models.GPT2Tokenizer(*pairs)
        preprocessor = models.GPT2CausalLMPreprocessor(
            self.tokenizer, sequence_length=setting.length
        )
        self._pack = PromptPacker(preprocessor, setting.prompt_length)
        self.unit = setting.unit
        teacher = self._packed(loaded.train, order, setting.teacher_share)
        super().__init__(
            setting,
            self._packed(loaded.train, order, setting.student_share),
            self._packed(
                loaded.test,
                rng.permutation(len(loaded.test["prompts"])),
                setting.test_share,
            ),
            len(teacher[-1]),
        )
        self.prompts = self._packed(
            loaded.train, order, setting.prompts_share, responses=False
        )
        self._teacher_train = teacher
        self._first: list[Any] | None = None

    @property
    def end_token_id(self) -> int:
        """The token that ends a response."""
        return int(self.tokenizer.end_token_id)

    def prompted(self, data: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns data of this task with `prompt_mask` among the inputs."""
        x, y, weights = data
        # What comes before the first taught position, and that position.
        before = np.cumsum(weights, axis=-1) - weights == 0
        of_prompt = before * x["padding_mask"]
        return {**x, "prompt_mask": of_prompt.astype("int32")}, y, weights

    def split_train(
        self, share: float
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Returns a part of the students' training data, and the rest.

        Args:
            share: The part, in (0, 1).
        """
        end = round(share * len(self.train[-1]))
        first, rest = (
            keras.tree.map_structure(lambda a, rows=rows: a[rows], self.train)
            for rows in (slice(end), slice(end, None))
        )
        return first, rest

    def teacher_data(self) -> tuple[Any, ...]:
        """Returns the teacher's training data."""
        return self._teacher_train

    def make_teacher(self) -> keras.Model:
        """Returns a new teacher."""
        return self._make(self.setting.teacher, "teacher")

    def make_student(self) -> keras.Model:
        """Returns a new student, which has learned to write a little."""
        if self._first is None:
            self._first = self._learn_to_write()
        student = self._make(self.setting.student, "student")
        student.set_weights(self._first)
        return student

    def compile_for(self, model: keras.Model, rate: float, steps: int) -> None:
        """Compiles a model with Adam, whose rate falls to 0 along a cosine."""
        from keras_hub.metrics import Perplexity

        metric = Perplexity(from_logits=True, name=self.metric)
        compile_model(model, rate, steps, weighted_metrics=[metric])

    def _learn_to_write(self) -> list[Any]:
        """Returns the weights of a student that was trained on labels."""
        setting = self.setting
        batch, epochs = setting.student_batch, setting.first_epochs
        steps = epochs * -(-len(self.train[1]) // batch)
        keras.utils.set_random_seed(FIRST_SEED)
        student = self._make(setting.student, "student")
        self.compile_for(student, setting.student_rate, steps)
        timed_fit(
            student, self.train, epochs=epochs, batch_size=batch, callbacks=[]
        )
        weights: list[Any] = student.get_weights()
        return weights

    def _packed(
        self, part: Any, order: Any, share: float, *, responses: bool = True
    ) -> tuple[Any, ...]:
        """Returns the tokens of the first prompts, and of their responses."""
        rows = order[: max(1, round(share * len(order)))]
        names = ("prompts", "responses") if responses else ("prompts",)
        texts = (list(part[name][rows]) for name in names)
        x, y, weights = self._pack(*texts, warn=False)
        x = {name: x[name] for name in ("token_ids", "padding_mask")}
        return x, y, weights

    def _make(self, size: Size, name: str) -> keras.Model:
        # Without a preprocessor, since the data are tokens.
        models = require("text", "A task on prompts", "keras_hub.models")[0]
        sizes = backbone_sizes(size, self.tokenizer, self.setting.length, 0.0)
        return models.GPT2CausalLM(models.GPT2Backbone(**sizes), name=name)
