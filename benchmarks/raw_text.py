"""Measures what raw strings cost over tokens that were prepared before.

    KERAS_BACKEND=jax python benchmarks/raw_text.py --out results

distils a BERT-style classifier of 4 layers into one of 2 on 2,000 mails of
the SpamAssassin corpus, 128 tokens each, and fits the same distiller in turns
on the tokens and on the raw strings, one epoch each. All that `fit` does is
in the times. Prints the median of the times and of the ratios of each pair.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import keras
import numpy as np
import timing
from keras_hub import models

import keras_dts
from keras_dts import data

MAILS = 2_000
BATCH = 40
LENGTH = 128


def classifier(tokenizer, layers: int, width: int) -> keras.Model:
    backbone = models.BertBackbone(
        vocabulary_size=tokenizer.vocabulary_size(),
        num_layers=layers,
        num_heads=4,
        hidden_dim=width,
        intermediate_dim=4 * width,
        max_sequence_length=LENGTH,
    )
    preprocessor = models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=LENGTH
    )
    return models.BertTextClassifier(
        backbone, num_classes=2, preprocessor=preprocessor
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    splits = data.load("spam_assassin")
    strings, labels = splits.x_train[:MAILS], splits.y_train[:MAILS]
    pieces = data.word_piece_vocabulary(splits.x_train, 4_000)
    tokenizer = models.BertTokenizer(pieces, lowercase=True)
    teacher = classifier(tokenizer, 4, 128)
    distiller = keras_dts.Distiller(teacher, classifier(tokenizer, 2, 64))
    distiller.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    tokens = keras.tree.map_structure(
        lambda x: np.array(keras.ops.convert_to_numpy(x)),
        teacher.preprocessor(strings.tolist()),
    )

    def seconds(x) -> float:
        start = time.perf_counter()
        distiller.fit(x, labels, batch_size=BATCH, verbose=0)
        return time.perf_counter() - start

    for x in (tokens, strings):
        seconds(x)  # compiles
    pairs = []
    for number in range(args.rounds):
        # The other one first each time, as machines become slower or faster.
        both = {}
        for kind in ("tokens", "strings")[:: (-1) ** number]:
            both[kind] = seconds(tokens if kind == "tokens" else strings)
        ready, raw = both["tokens"], both["strings"]
        pairs.append((ready, raw))
        print(f"{ready:.2f} s on tokens, {raw:.2f} s on strings", flush=True)
    ratios = [raw / ready for ready, raw in pairs]
    ready, raw = (statistics.median(x) for x in zip(*pairs, strict=True))
    print(
        f"{timing.versions()}: {ready:.2f} s, {raw:.2f} s, ratio "
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to "
        f"{max(ratios):.3f})"
    )
    timing.write(
        args.out,
        "raw_text",
        ["tokens (s)", "strings (s)", "ratio"],
        [[f"{x:.3f}" for x in (a, b, b / a)] for a, b in pairs],
    )


if __name__ == "__main__":
    main()
