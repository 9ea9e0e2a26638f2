"""While `fit` runs, PyTorch computes no gradient for the teacher's weights."""

import keras
import pytest
from helpers import blobs, crossentropy, mlp

from keras_dts import Distiller

X, Y = blobs()


class Watched(keras.callbacks.Callback):
    """Notes in each epoch which of a model's values have a gradient."""

    def __init__(self, model, fails=False):
        super().__init__()
        self.watched, self.fails, self.seen = model, fails, []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(gradients(self.watched))
        if self.fails:
            raise RuntimeError("stopped")


def gradients(model):
    return [v.value.requires_grad for v in model.variables]


def distiller(teacher, student):
    model = Distiller(teacher, student)
    model.compile("sgd", crossentropy())
    return model


@pytest.mark.torch
def test_the_teacher_has_no_gradient_while_fit_runs():
    teacher, student = mlp(seed=1), mlp(seed=2)
    teacher.get_layer("feat").trainable = False
    before = gradients(teacher)
    assert before == [False, False, True, True]
    watched, own = Watched(teacher), Watched(student)
    distiller(teacher, student).fit(
        X, Y, epochs=2, callbacks=[watched, own], verbose=0
    )
    assert watched.seen == [[False] * 4] * 2
    assert own.seen == [[True] * 4] * 2
    assert gradients(teacher) == before
    assert [v.trainable for v in teacher.variables] == before


@pytest.mark.torch
def test_the_teacher_has_its_gradients_again_after_an_error():
    teacher = mlp(seed=1)
    model = distiller(teacher, mlp(seed=2))
    watched = Watched(teacher, fails=True)
    with pytest.raises(RuntimeError, match="stopped"):
        model.fit(X, Y, callbacks=[watched], verbose=0)
    assert watched.seen == [[False] * 4]
    assert gradients(teacher) == [True] * 4


@pytest.mark.torch
def test_a_layer_of_both_models_keeps_its_gradient():
    teacher, student = mlp(seed=1), mlp(seed=2)
    inputs = keras.Input((8,))
    shared = student.get_layer("feat")
    teacher = keras.Model(
        inputs, teacher.get_layer("out")(shared(inputs)), name="teacher"
    )
    watched = Watched(teacher)
    before = shared.kernel.numpy()
    distiller(teacher, student).fit(X, Y, callbacks=[watched], verbose=0)
    assert watched.seen == [[True, True, False, False]]
    assert (shared.kernel.numpy() != before).any()


@pytest.mark.torch
def test_keras_does_not_wrap_the_models_where_there_are_processes(monkeypatch):
    import torch

    model = distiller(mlp(), mlp())
    assert model.ddp_model is None
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1)
    called = model.ddp_model
    expected = keras.ops.convert_to_numpy(model(X))
    assert not isinstance(called, torch.nn.Module)
    found = keras.ops.convert_to_numpy(called(X))
    assert (found == expected).all()
