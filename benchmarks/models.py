"""Models of the benchmarks: networks for images, texts and tokens.

They return logits, and are functional models of public Keras layers, so that
`keras.distillation.Distiller` takes them too. Teacher and student of a kind
have features of the same shapes, since it has no projector.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

# 4 times those of He et al. (2016), as in "resnet32x4" and "resnet8x4" of
# Tian, Krishnan and Isola, Contrastive Representation Distillation, 2020.
WIDTHS = (32, 64, 128, 256)
TOKENS = 30_522  # BERT's vocabulary


def resnet(
    depth: int,
    *,
    classes: int = 100,
    widths: Sequence[int] = WIDTHS,
    size: int = 32,
) -> keras.Model:
    """Returns a residual network for small images, of CIFAR's kind.

    Args:
        depth: The number of layers, `6 n + 2` for `n` blocks in each of the
            three stages.
        classes: The number of classes.
        widths: The channels of the stem and of the stages `stage_1`,
            `stage_2` and `stage_3`.
        size: Height and width of the images.
    """
    inputs = keras.Input((size, size, 3))
    x = layers.ReLU()(_convolution(inputs, widths[0], 3))
    for stage, width in enumerate(widths[1:], start=1):
        blocks = (depth - 2) // 6
        for block in range(blocks):
            strides = 2 if stage > 1 and block == 0 else 1
            name = f"stage_{stage}" if block == blocks - 1 else None
            x = layers.ReLU(name=name)(_residual(x, width, strides))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes)(x))


def _residual(x, width: int, strides: int):
    y = layers.ReLU()(_convolution(x, width, 3, strides))
    y = _convolution(y, width, 3)
    if strides != 1 or x.shape[-1] != width:
        x = _convolution(x, width, 1, strides)
    return layers.Add()([x, y])


def _convolution(x, width: int, size: int, strides: int = 1):
    x = layers.Conv2D(width, size, strides, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)


def text_classifier(
    depth: int,
    *,
    width: int = 256,
    heads: int = 4,
    tokens: int = TOKENS,
    length: int = 128,
    classes: int = 2,
) -> keras.Model:
    """Returns a BERT-style classifier of token ids and a padding mask.

    Args:
        depth: The number of transformer layers, named `layer_1` and so on.
        width: The size of the hidden states.
        heads: The number of attention heads.
        tokens: The size of the vocabulary.
        length: The number of tokens of a text.
        classes: The number of classes.
    """
    ids = keras.Input((length,), dtype="int32", name="token_ids")
    padding = keras.Input((length,), dtype="int32", name="padding_mask")
    x = _Positions()(layers.Embedding(tokens, width)(ids))
    x = layers.Dropout(0.1)(layers.LayerNormalization(epsilon=1e-12)(x))
    mask = layers.Reshape((1, length))(padding)  # (batch, 1, length)
    for index in range(1, depth + 1):
        x = _transformer_layer(x, mask, heads, f"layer_{index}")
    pooled = layers.Dense(width, activation="tanh")(x[:, 0])
    pooled = layers.Dropout(0.1)(pooled)
    inputs = {"token_ids": ids, "padding_mask": padding}
    return keras.Model(inputs, layers.Dense(classes)(pooled))


class _Positions(layers.Layer):
    """Adds a trained vector for each position."""

    def build(self, shape) -> None:
        self.table = self.add_weight(name="table", shape=shape[1:])

    def call(self, x):
        return x + self.table


def _transformer_layer(x, mask, heads: int, name: str):
    width = x.shape[-1]
    y = layers.MultiHeadAttention(heads, width // heads, dropout=0.1)(
        x, x, attention_mask=mask
    )
    x = layers.LayerNormalization(epsilon=1e-12)(x + layers.Dropout(0.1)(y))
    y = layers.Dense(4 * width, activation="gelu")(x)
    y = layers.Dropout(0.1)(layers.Dense(width)(y))
    return layers.LayerNormalization(epsilon=1e-12, name=name)(x + y)


def token_model(tokens: int, *, width: int = 32) -> keras.Model:
    """Returns a model that does little but give logits over a vocabulary.

    Args:
        tokens: The size of the vocabulary.
        width: The size of the hidden states.
    """
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(1_000, width)(ids)
    return keras.Model(ids, layers.Dense(tokens)(x))


def dense_model(classes: int, *, width: int = 64) -> keras.Model:
    """Returns a small perceptron, to see the cost of what follows it.

    Args:
        classes: The number of classes.
        width: The size of the hidden layer and of the inputs.
    """
    inputs = keras.Input((width,))
    x = layers.Dense(width, activation="relu", name="hidden")(inputs)
    return keras.Model(inputs, layers.Dense(classes)(x))
