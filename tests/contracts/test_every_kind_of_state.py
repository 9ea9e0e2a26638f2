"""Training, saving, loading and training on, for each kind of state.

What differs between methods here is what they keep: each kind stands for all
classes of its kind, whose compiled steps the other files of this folder run.
"""

import keras
import pytest
from helpers import BACKEND, arrays, assert_same, blobs, crossentropy, mlp
from methods import POLICIES

from keras_dts import Distiller
from keras_dts.losses import KD


def policy(name):
    return {"temperature": POLICIES[name]()}


KINDS = {
    "none": lambda: policy("constant"),
    "scalar": lambda: policy("DTS"),
    "schedule": lambda: policy("scheduled"),
    "wrapped": lambda: policy("LSKD driven by DTS"),
    "trained": lambda: policy("CTKD"),
    "trained network": lambda: policy("CTKD, per instance"),
    "focus": lambda: policy("AdaKD"),
    "own temperature": lambda: {
        "distillation_losses": [KD(POLICIES["DTS"]()), KD()],
        "temperature": POLICIES["DTS, auto"](),
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_trains_compiled_and_goes_on_after_loading(kind, tmp_path):
    x, y = blobs()
    model = Distiller(mlp(16, seed=1), mlp(seed=2), **KINDS[kind]())
    # PyTorch has no XLA to compile by.
    model.compile("adam", crossentropy(), jit_compile=BACKEND != "torch")
    fit = {"batch_size": 16, "shuffle": False, "verbose": 0, "epochs": 4}
    model.fit(x, y, **{**fit, "epochs": 2})
    model.save(tmp_path / "run.keras")
    again = keras.models.load_model(tmp_path / "run.keras")
    assert_same(arrays(again.variables), arrays(model.variables))
    assert len(model.policies) == len(again.policies)
    histories = [m.fit(x, y, initial_epoch=2, **fit) for m in (model, again)]
    assert histories[0].history == histories[1].history
    assert_same(arrays(again.variables), arrays(model.variables), rtol=1e-6)
