"""The demo's text tasks: classifiers of mails, and language models.

A BERT-style teacher learns from all mails to detect spam; a GPT-2-style teacher
learns to continue passages of old speeches. A smaller student of the same kind
learns from a part of the texts. All of these models take raw strings.

The settings were not tuned.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_dts.experiments.task import (
    DemoTask,
    Setting,
    compile_model,
    stratified,
)
from keras_dts.utils import require


@dataclass(frozen=True)
class Size:
    """Holds the size of a transformer.

    Args:
        layers: Its layers.
        width: The width of its states, a multiple of `heads`.
        heads: Its attention heads.
    """

    layers: int
    width: int
    heads: int


@dataclass(frozen=True, kw_only=True)
class TextSetting(Setting):
    """Holds the settings of a demo on texts.

    The data are of `keras_dts.data.load`, or of `load_corpus` for a language
    model.

    Args:
        language_model: Whether to train language models, not classifiers.
        vocabulary: The tokenizer's number of tokens. It is trained on the
            training texts.
        length: The number of tokens that the models read of a text.
        teacher: The size of the teacher.
        teacher_share: The part of the training texts that the teacher sees.
        student: The size of the students.
        test_share: The part of the test texts that is used.
    """

    language_model: bool
    vocabulary: int
    length: int
    teacher: Size
    teacher_share: float
    student: Size
    test_share: float = 1.0

    def task(self) -> TextTask:
        """Loads the data, and trains the tokenizer."""
        return LanguageTask(self) if self.language_model else MailTask(self)


TEXT_SETTINGS = {
    "text": TextSetting(
        data="spam_assassin",
        language_model=False,
        vocabulary=4_000,
        length=128,
        teacher=Size(layers=2, width=64, heads=4),
        teacher_share=1.0,
        teacher_epochs=4,
        teacher_rate=0.001,
        teacher_batch=32,
        student=Size(layers=1, width=8, heads=2),
        student_share=0.1,
        student_epochs=15,
        student_rate=0.003,
        student_batch=32,
    ),
    "lm": TextSetting(
        data="state_of_the_union",
        language_model=True,
        vocabulary=1_000,
        length=64,
        teacher=Size(layers=2, width=96, heads=4),
        teacher_share=0.5,
        teacher_epochs=4,
        teacher_rate=0.002,
        teacher_batch=32,
        student=Size(layers=1, width=32, heads=2),
        student_share=0.05,
        student_epochs=8,
        student_rate=0.004,
        student_batch=16,
        test_share=0.3,
        temperature=1.0,
    ),
}


class TextTask(DemoTask):
    """Abstract: a teacher and students of texts.

    Args:
        setting: The setting.
        teacher_train: The teacher's training data: `(texts,)` or
            `(texts, labels)`.
        train: The students' training data, in the same form.
        test: The test data, in the same form.
    """

    unit = "texts"

    def __init__(
        self,
        setting: TextSetting,
        teacher_train: tuple[Any, ...],
        train: tuple[Any, ...],
        test: tuple[Any, ...],
    ) -> None:
        super().__init__(setting, train, test, len(teacher_train[0]))
        self._teacher_train = teacher_train

    @abc.abstractmethod
    def make(self, size: Size, name: str) -> keras.Model:
        """Returns a new model."""

    def teacher_data(self) -> tuple[Any, ...]:
        """Returns the teacher's training data."""
        return self._teacher_train

    def make_teacher(self) -> keras.Model:
        """Returns a new teacher."""
        return self.make(self.setting.teacher, "teacher")

    def make_student(self) -> keras.Model:
        """Returns a new student."""
        return self.make(self.setting.student, "student")

    def compile_for(self, model: keras.Model, rate: float, steps: int) -> None:
        """Compiles a model with Adam, whose rate falls to 0 along a cosine."""
        compile_model(model, rate, steps, weighted_metrics=[self._metric()])

    def _metric(self) -> keras.metrics.Metric:
        return keras.metrics.SparseCategoricalAccuracy(name=self.metric)


def _keras_hub_models() -> Any:
    """Returns `keras_hub.models`, or raises with the command to install it."""
    return require("text", "The tasks text and lm", "keras_hub.models")[0]


class MailTask(TextTask):
    """BERT-style classifiers of texts."""

    unit = "mails"

    def __init__(self, setting: TextSetting) -> None:
        from keras_dts.data import load, word_piece_vocabulary

        models = _keras_hub_models()

        splits = load(setting.data)
        train = splits.x_train, splits.y_train
        super().__init__(
            setting,
            _part(*train, setting.teacher_share),
            _part(*train, setting.student_share),
            _part(splits.x_test, splits.y_test, setting.test_share),
        )
        self._classes = splits.num_classes
        pieces = word_piece_vocabulary(splits.x_train, setting.vocabulary)
        self._tokenizer = models.BertTokenizer(pieces, lowercase=True)

    def make(self, size: Size, name: str) -> keras.Model:
        """Returns a new classifier."""
        models = _keras_hub_models()
        length = self.setting.length
        return models.BertTextClassifier(
            models.BertBackbone(
                **backbone_sizes(size, self._tokenizer, length)
            ),
            num_classes=self._classes,
            preprocessor=models.BertTextClassifierPreprocessor(
                self._tokenizer, sequence_length=length
            ),
            name=name,
        )


class LanguageTask(TextTask):
    """GPT-2-style language models."""

    unit = "passages"
    metric = "perplexity"

    def __init__(self, setting: TextSetting) -> None:
        from keras_dts.data import byte_pair_vocabulary, load_corpus

        models = _keras_hub_models()

        corpus = load_corpus(setting.data)
        rng = np.random.default_rng(0)
        train, test = (
            rng.permutation(corpus.train),
            rng.permutation(corpus.test),
        )
        super().__init__(
            setting,
            (_first(train, setting.teacher_share),),
            (_first(train, setting.student_share),),
            (_first(test, setting.test_share),),
        )
        pairs = byte_pair_vocabulary(corpus.train, setting.vocabulary)
        self._tokenizer = models.GPT2Tokenizer(*pairs)

    def make(self, size: Size, name: str) -> keras.Model:
        """Returns a new language model."""
        models = _keras_hub_models()
        length = self.setting.length
        return models.GPT2CausalLM(
            models.GPT2Backbone(
                **backbone_sizes(size, self._tokenizer, length)
            ),
            preprocessor=models.GPT2CausalLMPreprocessor(
                self._tokenizer, sequence_length=length
            ),
            name=name,
        )

    def _metric(self) -> keras.metrics.Metric:
        from keras_hub.metrics import Perplexity

        return Perplexity(from_logits=True, name=self.metric)


def _part(texts: Any, labels: Any, share: float) -> tuple[Any, Any]:
    """Returns a part of each class."""
    part = stratified(labels, share)
    return texts[part], labels[part]


def _first(texts: Any, share: float) -> Any:
    return texts[: max(1, round(share * len(texts)))]


def backbone_sizes(
    size: Size, tokenizer: Any, length: int, dropout: float = 0.1
) -> dict[str, Any]:
    """Returns the arguments of a backbone.

    Args:
        size: Its size.
        tokenizer: The tokenizer of its tokens.
        length: The tokens that it reads.
        dropout: The rate of its dropout.
    """
    return {
        "vocabulary_size": tokenizer.vocabulary_size(),
        "num_layers": size.layers,
        "num_heads": size.heads,
        "hidden_dim": size.width,
        "intermediate_dim": 4 * size.width,
        "max_sequence_length": length,
        "dropout": dropout,
    }
