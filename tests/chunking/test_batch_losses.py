"""Losses that compare a batch are never cut into chunks."""

import keras
import numpy as np
import pytest
from helpers import crossentropy, number, randomize
from keras import layers, ops

from keras_dts import Distiller, losses
from keras_dts.chunking import plan as plans

WORDS, SHAPE = 11, (3, 5)
RNG = np.random.default_rng(0)
X = RNG.integers(1, WORDS, SHAPE).astype("int32")
Y = RNG.integers(0, WORDS, SHAPE).astype("int32")


class Centred(losses.BatchLoss):
    """Compares each token with the mean of its batch."""

    def values(self, pair, temperatures):
        teacher, student = (
            x - ops.mean(x, axis=(0, 1), keepdims=True)
            for x in (pair.teacher, pair.student)
        )
        apart = ops.sum(ops.square(teacher - student), axis=-1)
        return temperatures.scale * apart


def writer(width, seed):
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(WORDS, width)(inputs)
    return randomize(keras.Model(inputs, layers.Dense(WORDS)(x)), seed)


def distiller(loss, **kwargs):
    distiller = Distiller(writer(12, 1), writer(6, 2), loss, **kwargs)
    distiller.compile(keras.optimizers.SGD(0.1), crossentropy())
    return distiller


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (losses.MLKD(), "MLKD"),
        (losses.MLKD("strong"), "MLKD"),
        (Centred(), "Centred"),
        ([losses.KD(), Centred()], "Centred"),
        (losses.CosineKD(), "CosineKD"),
    ],
)
def test_a_number_of_tokens_is_refused_by_the_losses_name(loss, name):
    message = f"`chunk_size` needs .*Received: chunk_size=4 and the loss {name}"
    with pytest.raises(ValueError, match=message):
        distiller(loss, chunk_size=4)


@pytest.mark.parametrize("loss", [Centred, losses.MLKD])
def test_auto_runs_them_whole(loss, monkeypatch):
    # Every batch is large enough to be cut.
    for name, value in (("FEWEST_CLASSES", 1), ("PAYS", 1), ("CHUNK", 1)):
        monkeypatch.setattr(plans, name, value)
    expected = distiller(loss(temperature=2.0), chunk_size=None)
    found = distiller(loss(temperature=2.0), chunk_size="auto")
    logs = [d.train_on_batch(X, Y, return_dict=True) for d in (expected, found)]
    assert logs[1] == pytest.approx(logs[0], rel=1e-6)
    if loss is Centred:
        outputs = [
            ops.convert_to_numpy(writer(*a)(X)) for a in ((12, 1), (6, 2))
        ]
        p, q = (x - x.mean(axis=(0, 1)) for x in outputs)
        value = 4 * np.mean(np.sum((p - q) ** 2, axis=-1))
        assert number(logs[1]["distillation_loss"]) == pytest.approx(
            value, rel=1e-4
        )


@pytest.mark.parametrize("cut", [losses.KD, losses.DKD, losses.SkewKL])
def test_auto_cuts_what_may_be_cut(cut, monkeypatch):
    for name, value in (("FEWEST_CLASSES", 1), ("PAYS", 1), ("CHUNK", 1)):
        monkeypatch.setattr(plans, name, value)
    shapes = []

    class Seen(cut):
        def compare(self, teacher, student, labels):
            shapes.append(tuple(student.log_probs.shape))
            return super().compare(teacher, student, labels)

    distiller(Seen(temperature=2.0)).train_on_batch(X, Y)
    # Half as many tokens as a hidden state of the student has values.
    assert set(shapes) == {(3, 1, WORDS)}
