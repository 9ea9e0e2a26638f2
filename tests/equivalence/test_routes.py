"""One table of settings, one table of routes: each gives the same training."""

import keras
import numpy as np
import pytest
from helpers import two_replicas
from settings import EPOCHS, SETTINGS, Run, tokenized

import keras_dts


def fit(distiller, setting, *data, **kwargs):
    x, y, weights = (*data, None, None)[:3]
    options = {} if y is None else {"y": y}
    options |= {} if weights is None else {"sample_weight": weights}
    history = distiller.fit(
        x,
        epochs=EPOCHS,
        batch_size=setting.batch,
        shuffle=False,
        verbose=0,
        **options,
        **kwargs,
    )
    return Run.of(distiller, history)


def live(setting, folder, **options):
    """Trains on arrays, beside the teacher: strings are tokenized before."""
    distiller = setting.distiller(**options)
    data = setting.data()
    if "strings" in setting.routes:
        data = tokenized(distiller.student, *data)
    return fit(distiller, setting, *data)


def chunks(setting, folder):
    return live(setting, folder, chunk_size=setting.chunk)


def strings(setting, folder, **options):
    return fit(setting.distiller(**options), setting, *setting.data())


def strings_in_chunks(setting, folder):
    return strings(setting, folder, chunk_size=setting.chunk)


def cached(setting, folder, **options):
    distiller = setting.distiller(**options)
    cache = keras_dts.cache_teacher(
        distiller.teacher,
        setting.data(),
        folder,
        features=setting.features,
        verbose=False,
    )
    return fit(distiller, setting, cache)


def cached_chunks(setting, folder):
    return cached(setting, folder, chunk_size=setting.chunk)


class Stop(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


def stopped(setting, folder):
    """Stops after the first epoch, and goes on with what was saved."""
    data = setting.data()
    distiller = setting.distiller()
    fit(distiller, setting, *data, callbacks=[Stop()])
    distiller.save(folder / "run.keras")
    loaded = keras.models.load_model(folder / "run.keras")
    return fit(loaded, setting, *data, initial_epoch=1)


def replicas(setting, folder):
    strategy = two_replicas()
    assert strategy.num_replicas_in_sync == 2
    with strategy.scope():
        return live(setting, folder)


def devices(setting, folder):
    devices = keras.distribution.list_devices()
    assert len(devices) == 2
    with keras.distribution.DataParallel(devices=devices).scope():
        return live(setting, folder)


ROUTES = {
    "cached": cached,
    "cached chunks": cached_chunks,
    "cached strings": cached,
    "chunks": chunks,
    "devices": devices,
    "replicas": replicas,
    "stopped": stopped,
    "strings": strings,
    "strings in chunks": strings_in_chunks,
}
MARKS = {"devices": pytest.mark.jax, "replicas": pytest.mark.tensorflow}
# Strings become tensors before a backend sees them: on each backend one of
# their routes is enough, and PyTorch runs all of them.
MARKS |= {
    ("texts to classify", "strings"): pytest.mark.torch,
    ("texts to write", "strings"): pytest.mark.torch,
    ("texts to write", "cached strings"): pytest.mark.torch,
}
PAIRS = [
    pytest.param(
        setting,
        route,
        marks=MARKS.get(route, MARKS.get((setting, route), ())),
    )
    for setting in SETTINGS
    for route in SETTINGS[setting].routes
]


@pytest.fixture(scope="module")
def lives(tmp_path_factory):
    """The live run of each setting, which is trained when it is needed."""

    class Lives(dict):
        def __missing__(self, name):
            self[name] = live(SETTINGS[name], None)
            return self[name]

    return Lives()


@pytest.mark.parametrize(("setting", "route"), PAIRS)
def test_a_route_gives_the_live_training(setting, route, lives, tmp_path):
    expected = lives[setting]
    moved = zip(
        SETTINGS[setting].models()[1].get_weights(),
        expected.student,
        strict=True,
    )
    assert max(np.max(np.abs(a - b)) for a, b in moved) > 1e-3
    expected.check(ROUTES[route](SETTINGS[setting], tmp_path))
