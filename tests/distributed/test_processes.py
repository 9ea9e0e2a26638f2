"""The processes that tests start print what they should, and all end."""

import pytest
from processes import run_to_their_ends, run_together

WAIT = "import time; time.sleep(600)"
TWO = [{"RANK": "0"}, {"RANK": "1"}]


def test_each_process_has_an_environment_of_its_own():
    code = "import os; print(os.environ['RANK'], os.environ.get('HOME'))"
    added = [{"RANK": "0", "HOME": "here"}, {"RANK": "1", "HOME": None}]
    assert run_together(["-c", code], added) == ["0 here\n", "1 None\n"]


def test_all_end_when_one_fails():
    code = f"import os; os.environ['RANK'] == '0' and exit('no')\n{WAIT}"
    with pytest.raises(AssertionError, match="ended with 1: no"):
        run_together(["-c", code], TWO)


def test_codes_are_those_that_processes_end_with_by_themselves():
    code = (
        "import os, signal, time\n"
        "os.environ['RANK'] == '0' and os.kill(os.getpid(), signal.SIGKILL)\n"
        "time.sleep(0.5); exit('alone')"
    )
    assert run_to_their_ends(["-c", code], TWO) == [(-9, ""), (1, "alone\n")]


def test_who_does_not_end_after_another_is_late():
    code = f"import os; os.environ['RANK'] == '0' and exit('no')\n{WAIT}"
    with pytest.raises(AssertionError, match="more than 1 seconds later"):
        run_to_their_ends(["-c", code], TWO, after=1)


def test_all_end_when_the_time_is_over():
    code = f"import sys; print('begun', file=sys.stderr, flush=True); {WAIT}"
    with pytest.raises(AssertionError, match="more than 2 seconds: begun"):
        run_together(["-c", code], TWO, timeout=2)


def test_what_a_process_started_ends_with_it():
    code = (
        "import subprocess, sys\n"
        f"print(subprocess.Popen([sys.executable, '-c', {WAIT!r}]).pid)"
    )
    (pid,) = run_together(["-c", code], [{}])
    alive = "import os, sys; print(os.path.exists(f'/proc/{sys.argv[1]}/fd/0'))"
    assert run_together(["-c", alive, pid.strip()], [{}]) == ["False\n"]
