"""The report of how weights lie on devices."""

import keras
import pytest
from helpers import mlp

import keras_dts


@pytest.mark.jax
def test_what_a_layout_map_does_not_match_is_named():
    devices = keras.distribution.list_devices()[:2]
    mesh = keras.distribution.DeviceMesh((1, 2), ("batch", "model"), devices)
    layout_map = keras.distribution.LayoutMap(mesh)
    layout_map["feat/kernel"] = (None, "model")
    layout_map["out/kernels"] = ("model", None)  # matches nothing
    layout = keras.distribution.ModelParallel(layout_map=layout_map)
    with layout.scope():
        teacher, student = mlp(16), mlp(6)
    report = keras_dts.layout_report(keras_dts.Distiller(teacher, student))
    # 8 x 16 halved, 16, 16 x 3 and 3 floats.
    assert report.teacher == dict.fromkeys(devices, 4 * (64 + 16 + 48 + 3))
    assert report.student == dict.fromkeys(devices, 4 * (24 + 6 + 18 + 3))
    assert report.teacher_whole == {"out/kernel": 4 * 48}
    assert str(report).splitlines() == [
        "device                teacher             student  bytes",
        "cpu:0                     524                 204",
        "cpu:1                     524                 204",
        "whole on each device, teacher:",
        "  out/kernel 192",
        "whole on each device, student:",
        "  out/kernel 72",
    ]


def test_one_device_has_everything():
    report = keras_dts.layout_report(keras_dts.Distiller(mlp(16), mlp(6)))
    (device,) = report.teacher
    assert device.startswith("cpu")
    assert report.teacher == {device: 4 * (128 + 16 + 48 + 3)}
    assert report.teacher_whole == {}


@pytest.mark.torch
def test_models_must_be_built():
    student = keras.Sequential([keras.layers.Dense(3)], name="small")
    distiller = keras_dts.Distiller(mlp(6), student)
    with pytest.raises(ValueError, match="the student 'small', which is not"):
        keras_dts.layout_report(distiller)
