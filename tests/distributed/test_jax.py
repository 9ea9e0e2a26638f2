"""JAX: several devices and processes train as one device does."""

import json
import os
import re
from pathlib import Path

import cases
import keras
import numpy as np
import pytest
from processes import free_port, run_to_their_ends, run_together

import keras_dts

CHILD = Path(__file__).with_name("jax_child.py")
POD = Path(__file__).parents[2] / "examples" / "distributed" / "jax_pod.py"
COUNT = "--xla_force_host_platform_device_count="
TOLERANCE = 1e-5
HAS_ORBAX = hasattr(keras.callbacks, "OrbaxCheckpoint")
needs_orbax = pytest.mark.skipif(not HAS_ORBAX, reason="an older Keras")
CASES = ["reference", "after", "difficulty", "features", "chunks", "silent"]
CASES += ["cached"]


def on(devices, **environment):
    """Returns the environment of a process with a number of devices."""
    flags = re.sub(rf"{COUNT}\d+", "", os.environ["XLA_FLAGS"])
    return {"XLA_FLAGS": f"{COUNT}{devices} {flags}", **environment}


def job(processes, devices, **environment):
    """Returns the environments of processes that train together."""
    address = f"localhost:{free_port()}"
    return [
        on(
            devices,
            KERAS_DISTRIBUTION_JOB_ADDRESSES=address,
            KERAS_DISTRIBUTION_NUM_PROCESSES=str(processes),
            KERAS_DISTRIBUTION_PROCESS_ID=str(process),
            **environment,
        )
        for process in range(processes)
    ]


@pytest.fixture(scope="module")
def folder_and_runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jax")
    return folder, run_all(folder)


@pytest.fixture(scope="module")
def folder(folder_and_runs):
    return folder_and_runs[0]


@pytest.fixture(scope="module")
def runs(folder_and_runs):
    return folder_and_runs[1]


def run_all(folder):
    """Returns what processes come to.

    Two train together until one is killed: their ends come last. Then come four
    others, of which the last two train together.
    """
    ends = []
    if HAS_ORBAX:
        options = {"TASKS": "killed", "FOLDER": str(folder), "HEARTBEAT": "10"}
        two = job(2, devices=1, **options)
        ends = run_to_their_ends([CHILD], two, after=30)
    tasks = (
        "alone shared" + HAS_ORBAX * " after_killed",
        "shared models_divided compiled_step" + HAS_ORBAX * " resumed",
        "some_shared" + HAS_ORBAX * " saved",
    )
    alone, four, together = (
        {"TASKS": names, "FOLDER": str(folder)} for names in tasks
    )
    printed = run_together(
        [CHILD],
        [on(2, **alone), on(4, **four), *job(2, devices=2, **together)],
        timeout=400,
    )
    found = [json.loads(lines.splitlines()[-1]) for lines in printed]
    return [*found, ends]


@pytest.fixture(scope="module")
def alone(runs):
    return runs[0]["alone"]


def check(run, other):
    """Compares what two trainings ended with, and what they logged."""
    assert set(run) == set(other)
    for name in run:
        np.testing.assert_allclose(
            run[name], other[name], atol=TOLERANCE, rtol=0, err_msg=name
        )


@pytest.mark.parametrize("case", CASES)
def test_devices_of_a_process_train_as_one(runs, alone, case):
    for two_or_four in runs[:2]:
        check(two_or_four["shared"][case], alone[case])


@pytest.mark.parametrize("case", ["reference", "features", "chunks"])
def test_two_processes_train_as_one(runs, alone, case):
    for process in runs[2:4]:
        check(process["some_shared"][case], alone[case])


def test_cases_move_what_they_compare(alone):
    for name, run in alone.items():
        for log in ("loss", "gap"):
            assert np.ptp(run[f"log {log}"]) > 0.05, (name, log)


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_teacher_in_parts_teaches_as_a_whole_one(runs, alone, replicas):
    found = runs[1]["models_divided"][str(replicas)]
    check(found["run"], alone["reference"])
    part = 12 * replicas // 4
    assert found["before"] == found["after"]
    assert found["after"] == {
        "sequential/hidden/kernel": [[8, part]],
        "sequential/hidden/bias": [[part]],
        "sequential/dense/kernel": [[part, 5]],
    }


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_teacher_in_parts_of_one_process_is_saved_whole(
    runs, folder, replicas
):
    run = runs[1]["models_divided"][str(replicas)]["run"]
    path = folder / f"divided_{replicas}.keras"
    distiller = keras.saving.load_model(path)
    teacher = cases.make(cases.CASES["reference"]).teacher
    for one, two in zip(
        distiller.teacher.get_weights(), teacher.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    for i, value in enumerate(distiller.student.get_weights()):
        np.testing.assert_array_equal(value, np.float32(run[f"student {i}"]))


def test_no_device_holds_a_whole_matrix_in_a_step(runs):
    step = runs[1]["compiled_step"]
    assert step["parts"]
    assert not step["whole"]
    assert step["arguments"] < 0.5 * step["teacher"]


@needs_orbax
@pytest.mark.parametrize(("run", "name"), [(1, "resumed"), (0, "after_killed")])
def test_a_training_goes_on_with_other_devices_and_after_a_kill(
    runs, run, name
):
    unbroken, resumed = runs[run][name]
    for one, two in zip(unbroken, resumed, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-6, rtol=0)


@needs_orbax
def test_who_trains_with_a_killed_process_ends_with_an_error(runs):
    (code, errors), (killed, _) = runs[-1]
    assert killed == -9
    assert code not in (0, -9)
    assert "Error" in errors


@needs_orbax
def test_what_processes_save_is_loaded_by_one(runs, folder):
    saved = runs[2]["saved"]
    assert saved["loaded"] == saved["end"]
    distiller = cases.make(cases.CASES["reference"])
    for name in ("last", "run"):
        # The fingerprint of the teacher is that of a whole one.
        distiller.load_weights(folder / f"{name}.weights.h5")
        for one, two in zip(
            distiller.student.get_weights(), saved["end"], strict=True
        ):
            np.testing.assert_array_equal(one.ravel(), np.float32(two))
    data = cases.data(cases.CASES["reference"])
    for process in "01":
        cache = keras_dts.TeacherCache(folder / process, (data["x"], data["y"]))
        assert cache.verify(distiller.teacher) < TOLERANCE
    assert not [*folder.glob("*part*")]


@needs_orbax
def test_a_model_in_parts_is_not_saved_whole(runs, folder):
    message = "`save` needs all weights in each process."
    for process in runs[2:4]:
        refused = process["saved"]["refused"]
        assert refused.startswith(message)
        assert refused.endswith(
            "'sequential/hidden/kernel', divided among processes"
        )
    assert not [path for path in folder.glob("*.keras") if path.stem in "01"]


@needs_orbax
def test_the_example_begins_as_a_job_and_goes_on_after_a_stop(tmp_path):
    (first,), (second,) = (
        run_together([POD, tmp_path / "run"], environments)
        for environments in (job(1, 4, EPOCHS="1"), [on(4, EPOCHS="2")])
    )
    assert "Epoch" not in first  # Keras names none of a single one
    assert re.findall(r"Epoch (./.)", second) == ["2/2"]
    for printed in (first, second):
        assert "4/4" in printed
        assert "\n  token_embedding/reverse_embeddings 65,536" in printed
