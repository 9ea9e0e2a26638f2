"""What the engines of several devices cannot do is said before they fail."""

import keras
import pytest
from helpers import blobs, crossentropy, mlp, two_replicas

from keras_dts import Distiller, backend
from keras_dts.backend import engines

X, Y = blobs()


def distiller(**options):
    model = Distiller(mlp(), mlp())
    model.compile(options.pop("optimizer", "sgd"), crossentropy(), **options)
    return model


@pytest.mark.torch
def test_a_distribution_of_keras_is_refused_on_pytorch(monkeypatch):
    monkeypatch.setattr(keras.distribution, "distribution", lambda: object())
    with pytest.raises(ValueError, match=r"by `torchrun`.* Received: object"):
        distiller().fit(X, Y, verbose=0)


class Trains(keras.distribution.DataParallel):
    """A distribution of a Keras that trains by it."""

    num_data_shards = 1


def mesh(count):
    devices = [f"cpu:{i}" for i in range(count)]
    return keras.distribution.DeviceMesh((count,), ["batch"], devices)


@pytest.mark.torch
def test_other_devices_than_processes_are_refused(monkeypatch):
    found = Trains(mesh(2))
    monkeypatch.setattr(keras.distribution, "distribution", lambda: found)
    message = r"Received: Trains on devices of shape \(2,\), and 1 processes"
    with pytest.raises(ValueError, match=message):
        distiller().fit(X, Y, verbose=0)


@pytest.mark.torch
def test_layouts_are_refused_on_pytorch(monkeypatch):
    layout = keras.distribution.LayoutMap(mesh(1))
    found = keras.distribution.ModelParallel(layout_map=layout)
    monkeypatch.setattr(type(found), "num_data_shards", 1, raising=False)
    monkeypatch.setattr(keras.distribution, "distribution", lambda: found)
    with pytest.raises(ValueError, match=r"Received: ModelParallel on devices"):
        distiller().fit(X, Y, verbose=0)


@pytest.mark.torch
def test_a_device_for_each_process_trains(monkeypatch):
    found = Trains(mesh(1))
    monkeypatch.setattr(keras.distribution, "distribution", lambda: found)
    assert distiller().fit(X, Y, verbose=0).history["loss"]


@pytest.mark.torch
def test_parameters_that_are_no_variables_are_refused(monkeypatch):
    import torch

    monkeypatch.setattr(backend.data_parallel, "process_count", lambda: 2)
    model = mlp()
    name, _ = next(model.named_parameters())
    params, key = model.torch_params, name.split(".", 1)[1]
    params[key] = torch.nn.Parameter(torch.ones(2))  # as `fully_shard` does
    parallel = backend.DataParallel(lambda: [model])
    with pytest.raises(ValueError, match=r"Received: Parameter for "):
        parallel(lambda: None)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "options",
    [
        {"steps_per_execution": 2},
        {"optimizer": keras.optimizers.SGD(gradient_accumulation_steps=2)},
    ],
)
def test_what_keras_refuses_under_a_strategy_is_named(options):
    (name,) = {*options} - {"optimizer"} or {"gradient_accumulation_steps"}
    with two_replicas().scope():
        model = distiller(**options)
    with pytest.raises(ValueError, match=f"`{name}` must be 1 .*{name}=2"):
        model.fit(X, Y, verbose=0)


@pytest.mark.tensorflow
def test_workers_are_told_of_their_loop(monkeypatch):
    import tensorflow as tf

    strategy = two_replicas()
    with strategy.scope():
        model = distiller()
    monkeypatch.setattr(
        tf.distribute, "MultiWorkerMirroredStrategy", type(strategy)
    )
    with pytest.raises(ValueError, match=r"strategy\.run\(distiller\."):
        engines.check_engine(model)


@pytest.mark.tensorflow
def test_a_first_batch_that_replicas_do_not_divide_is_named():
    with two_replicas().scope():
        model = distiller()
    with pytest.raises(ValueError, match=r"batch of 5 examples for 2"):
        model.fit(X, Y, batch_size=5, verbose=0)
