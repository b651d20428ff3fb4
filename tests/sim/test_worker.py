"""Workers: the results of all jobs, and the errors of those that fail, each with its job."""

from __future__ import annotations

from sim.worker import run_all


def test_a_job_that_fails_takes_nobody_with_it() -> None:
    found = {done.job: (done.result, done.error) for done in run_all(int, ["1", "x", "3"], workers=2)}
    assert found["1"] == (1, "")
    assert found["3"] == (3, "")
    assert found["x"][0] is None
    assert found["x"][1].startswith("ValueError: invalid literal")


def test_a_job_that_takes_too_much_of_the_processor_is_ended() -> None:
    (done,) = run_all(exec, ["while True: pass"], workers=1, cpu_seconds_max=1)
    assert done.error == "Hung: no end after 1 seconds of the processor's time"
