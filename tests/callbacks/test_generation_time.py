"""How long it takes to write a batch of text."""

import keras
import pytest
from helpers import blobs, crossentropy, mlp
from texts import gpt2

import keras_dts
from keras_dts import generation
from keras_dts.callbacks import GenerationTime

PROMPTS = {"prompts": [[7, 8], [9], [3, 4]]}


class Counted(generation.StudentText):
    """Notes how many rows were written each time."""

    def write(self, prompts, *others):
        self.seen = [*getattr(self, "seen", []), len(prompts)]
        return super().write(prompts, *others)


@pytest.mark.torch
@pytest.mark.parametrize("as_dataset", [True, False])
def test_each_epoch_logs_both_times_of_its_first_batch(as_dataset):
    import tensorflow as tf

    text = Counted(share=1.0)
    distiller = keras_dts.OnPolicyDistiller(
        gpt2(seed=1, length=12), gpt2(length=12), text=text
    )
    distiller.compile("sgd", crossentropy())
    x, options = PROMPTS, {"batch_size": 2}
    if as_dataset:
        strings = {"prompts": ["bad", "dog", "a"]}
        x = tf.data.Dataset.from_tensor_slices(strings).batch(2)
        options = {}
    run = distiller.fit(
        x,
        epochs=2,
        verbose=0,
        shuffle=False,
        callbacks=[GenerationTime()],
        **options,
    )
    assert text.seen == [2, *[2, 1, 2] * 2]  # once to compile, after each epoch
    for name in ("generation_ms", "step_ms"):
        assert len(run.history[name]) == 2
        assert min(run.history[name]) > 0


@pytest.mark.torch
def test_a_distiller_that_writes_nothing_is_refused():
    distiller = keras_dts.Distiller(mlp(16, seed=1), mlp(seed=2))
    distiller.compile(keras.optimizers.SGD(), crossentropy())
    x, y = blobs()
    with pytest.raises(ValueError, match=r"text of a `keras_dts.OnPolicyD"):
        distiller.fit(x, y, callbacks=[GenerationTime()], verbose=0)
