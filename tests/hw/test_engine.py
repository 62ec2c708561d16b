"""Paid shots: a run on a processor, through a mock of the engine's client with faults at every call."""

import functools
import json
import threading

import cirq
import cirq_google
import duet
import numpy as np
import pytest
from engine_client import FAULTS, PASSING, EngineClient, Wrapper, permuted
from google.api_core.exceptions import PermissionDenied
from hw_oracles import Stub, sequences, small_layer

from tfq_qrnn import hw
from tfq_qrnn.hw import engine_sender, retries, sender
from tfq_qrnn.hw import journal as journals

STEPS, SHOTS = 2, 20
JOBS = 2 * STEPS  # two at each step


@pytest.fixture(scope="module")
def layer():
    return small_layer(2)


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """Without waiting; what the run tells."""
    said = []
    for module in (engine_sender, sender):
        monkeypatch.setattr(module, "WAITS", (0, 0, 0))
    monkeypatch.setattr(retries.tqdm, "write", lambda text, **_: said.append(text))
    return said


@functools.cache  # a plan takes as long as a run
def planned(layer):
    return hw.plan(layer, "weber", STEPS, points_per_job=4)


def run(layer, sampler, journal, **arguments):
    arguments = {"journal": journal, "confirm": True, "progress": False, **arguments}
    return planned(layer).run(sequences(2, STEPS), sampler, SHOTS, **arguments)


def records(journal, kind):
    lines = journal.read_text().splitlines()[1:]
    return [record for record in (json.loads(line)["record"] for line in lines) if kind in record]


@pytest.fixture(scope="module")
def unbroken(layer, tmp_path_factory):
    """The readouts of a run without faults, and its calls of the client."""
    client = EngineClient()
    journal = tmp_path_factory.mktemp("unbroken") / "journal"
    return run(layer, client.sampler(), journal).readouts, client.calls


def test_a_run_sends_each_job_once_under_ids_of_ours(layer, unbroken, tmp_path):
    client, journal = EngineClient(), tmp_path / "journal"
    result = run(layer, client.sampler(), journal)
    assert client.calls.count("run_job_over_stream") == result.cost.jobs == JOBS
    ids = [job for _, job in client.jobs]
    assert [record["id"] for record in records(journal, "sent")] == ids
    assert {record["id"] for record in records(journal, "job")} == {*ids}
    header = json.loads(journal.read_text().splitlines()[0])["record"]
    assert header["sampler"] == {
        "type": "ProcessorSampler",
        "processor_id": "weber",
        "project_id": "project",
        "run_name": "current",
        "snapshot_id": "",
        "device_config_name": "config",
    }
    assert header["started"].startswith("20")
    np.testing.assert_array_equal(result.readouts, unbroken[0])


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_at_every_call(layer, unbroken, tmp_path, fault):
    """No job runs twice, no shot is lost, and the result is that of a run without the fault."""
    for call in range(len(unbroken[1])):  # each job is sent and, by Cirq 1.5, asked when it ended
        client, journal = EngineClient(), tmp_path / str(call)
        client.faults = {call: fault}
        if fault in PASSING:
            result = run(layer, client.sampler(), journal)
        else:
            with pytest.raises((KeyboardInterrupt, PermissionDenied, cirq_google.engine.EngineException)):
                run(layer, client.sampler(), journal)
            result = run(layer, client.sampler(), journal)
        assert sorted(client.executed.values()) == [1] * JOBS, call
        np.testing.assert_array_equal(result.readouts, unbroken[0])
    calls = len(client.calls)
    np.testing.assert_array_equal(run(layer, client.sampler(), journal).readouts, unbroken[0])
    assert len(client.calls) == calls


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_while_a_job_is_fetched(layer, unbroken, tmp_path, fault):
    """The first job arrives, and the process ends; then the calls that fetch it fail, one after the other."""
    for call in (1, 2):
        client, journal = EngineClient(), tmp_path / str(call)
        client.faults = {0: "late kill", call: fault}
        for _ in range(3):
            try:
                result = run(layer, client.sampler(), journal)
                break
            except (KeyboardInterrupt, cirq_google.engine.EngineException):
                pass
        assert sorted(client.executed.values()) == [1] * JOBS
        np.testing.assert_array_equal(result.readouts, unbroken[0])


def test_what_is_transient_is_told_and_tried_a_few_times(layer, tmp_path, told):
    client = EngineClient()
    client.faults = {0: "unavailable", 1: "too many"}
    run(layer, client.sampler(), tmp_path / "journal")
    assert [line.split(":")[0] for line in told] == ["ServiceUnavailable", "TooManyRequests"]
    client = EngineClient()
    client.faults = dict.fromkeys(range(100), "unavailable")
    with pytest.raises(cirq_google.engine.EngineException, match="try later"):
        run(layer, client.sampler(), tmp_path / "other", max_concurrent_jobs=1)
    assert len(client.calls) == 4
    assert not client.executed


@pytest.mark.parametrize("failure", ["SYSTEM_ERROR", "SCHEDULING_EXPIRED"])
def test_a_job_that_the_system_fails_is_sent_again_under_another_id(layer, unbroken, tmp_path, failure):
    client, journal = EngineClient(), tmp_path / "journal"
    client.failures = [None, failure, failure]
    result = run(layer, client.sampler(), journal)
    np.testing.assert_array_equal(result.readouts, unbroken[0])
    assert len(client.jobs) == JOBS + 2
    assert [record["reason"][: len(failure)] for record in records(journal, "failed")] == [failure] * 2


@pytest.mark.parametrize("failure", ["INVALID_PROGRAM", "CANCELLED"])
def test_a_job_that_fails_otherwise_stops_the_run(layer, unbroken, tmp_path, failure):
    client, journal = EngineClient(), tmp_path / "journal"
    client.failures = [None, failure]
    with pytest.raises(RuntimeError, match=failure):
        run(layer, client.sampler(), journal)
    assert len(client.jobs) == 2
    np.testing.assert_array_equal(run(layer, client.sampler(), journal).readouts, unbroken[0])


def test_max_jobs_and_max_shots_bound_a_run_and_its_tries(layer, tmp_path):
    client = EngineClient()
    for limit, needed in (("max_jobs", JOBS), ("max_shots", 2 * 3 * STEPS * SHOTS)):
        with pytest.raises(ValueError, match=rf"`{limit}` must allow what the run takes, {needed}"):
            run(layer, client.sampler(), tmp_path / "journal", **{limit: needed - 1})
    assert not client.calls
    client.failures = ["SYSTEM_ERROR", None]
    with pytest.raises(ValueError, match="`max_jobs` must allow the tries of this run"):
        run(layer, client.sampler(), tmp_path / "journal", max_jobs=JOBS)
    assert len(client.jobs) == JOBS
    run(layer, client.sampler(), tmp_path / "journal", max_jobs=JOBS)


def test_a_paid_run_needs_a_journal_and_a_confirmation_on_every_path(layer, tmp_path, capsys):
    client, x = EngineClient(), sequences(2, STEPS)
    own = cirq_google.ValidatingSampler(device=hw.load_device("weber"), sampler=client.sampler())
    paths = {
        "run": lambda **options: hw.run(layer, x, client.sampler(), SHOTS, progress=False, **options),
        "wrapped": lambda **options: hw.run(layer, x, Wrapper(own), SHOTS, progress=False, **options),
        "said": lambda **options: hw.run(layer, x, Stub(), SHOTS, progress=False, paid=True, **options),
        "plan": lambda **options: hw.plan(layer, "weber", STEPS).run(x, client.sampler(), SHOTS, **options),
        "ancillas": lambda **options: hw.run_with_ancillas(layer, x, 0.9, SHOTS, sampler=client.sampler(), **options),
    }
    for name, path in paths.items():
        with pytest.raises(ValueError, match="`journal` must be a file where shots cost"):
            path(confirm=True)
        with pytest.raises(ValueError, match="`confirm` must be True where shots cost, at what is printed above"):
            path(journal=tmp_path / name)
        assert f"{STEPS} jobs" in capsys.readouterr().out
        assert not client.calls
    for name in ("wrapped", "ancillas"):
        result = paths[name](confirm=True, journal=tmp_path / name)
        assert client.executed.total() == result.cost.jobs == STEPS
        paths[name](confirm=True, journal=tmp_path / name)
        assert client.executed.total() == STEPS
        client.executed.clear()


def test_a_wrapper_keeps_the_device(layer):
    client = EngineClient()
    assert hw.sampler_info.device_of(Wrapper(Wrapper(client.sampler()))) == client.device
    validating = cirq_google.ValidatingSampler(device=client.device, sampler=cirq.Simulator())
    assert hw.sampler_info.device_of(Wrapper(validating)) == client.device


def test_what_may_have_arrived_is_not_sent_again_through_a_wrapper(layer, tmp_path):
    """There it has no id of ours."""
    client = EngineClient()
    client.faults = {0: "late"}
    with pytest.raises(type(FAULTS["late"])):
        run(layer, Wrapper(client.sampler()), tmp_path / "journal")
    client = EngineClient()
    client.faults = {0: "too many"}
    run(layer, Wrapper(client.sampler()), tmp_path / "other")
    assert sorted(client.executed.values()) == [1] * JOBS


def test_another_sampler_is_refused(layer, tmp_path):
    """A rehearsal on the virtual engine is no run of the processor; nor is another project or device config."""
    client, journal = EngineClient(), tmp_path / "journal"
    run(layer, hw.sampler("virtual", "weber", seed=0), journal)
    with pytest.raises(ValueError, match=r"`journal` must be of the same sampler, but .* differs in sampler"):
        run(layer, client.sampler(), journal)
    assert not client.calls
    run(layer, client.sampler(), tmp_path / "other")
    with pytest.raises(ValueError, match="`journal` must be of the same sampler"):
        run(layer, client.sampler(device_config_name="another"), tmp_path / "other")
    with pytest.raises(ValueError, match="`journal` must be of the same sampler"):
        run(layer, hw.sampler("noisy", "weber", seed=0), journal)


def test_results_are_matched_by_their_params(layer, unbroken, tmp_path):
    client = EngineClient()
    client.change = permuted
    np.testing.assert_array_equal(run(layer, client.sampler(), tmp_path / "journal").readouts, unbroken[0])
    client = EngineClient()
    client.change = lambda results: [results[0]] * len(results)
    with pytest.raises(ValueError, match="result 1 has params of no point, or of one that came twice"):
        run(layer, client.sampler(), tmp_path / "other")


def test_a_full_disk_waits_for_room_and_loses_nothing(layer, unbroken, tmp_path, monkeypatch, told):
    """What came back stays in memory meanwhile; and the engine has it, by the id in the journal."""
    client, journal, full = EngineClient(), tmp_path / "journal", []
    sync = journals._files.sync

    def limited(path):
        if full and full.pop():
            raise OSError(28, "No space left on device")
        return sync(path)

    def wait(seconds):
        assert journal.read_bytes()[-1:] in (b"", b"\n")  # no part of a line is left there

    monkeypatch.setattr(journals._files, "sync", limited)
    monkeypatch.setattr(journals.time, "sleep", wait)
    full += [True, False, False, False, True, False]
    result = run(layer, client.sampler(), journal)
    assert not full
    assert len(told) == 2
    assert "Make room. The next try is in 1 s." in told[0]
    np.testing.assert_array_equal(result.readouts, unbroken[0])
    assert sorted(client.executed.values()) == [1] * JOBS
    # without end: an error of ours, that has what came back
    client, journal = EngineClient(), tmp_path / "other"
    sent = []
    run_job = client.run_job_over_stream
    client.run_job_over_stream = lambda **job: (sent.append(1), full.extend([True] * 99), run_job(**job))[-1]
    with pytest.raises(ValueError, match="`journal` must be a file that can be written") as error:
        run(layer, client.sampler(), journal, max_concurrent_jobs=1)
    assert error.value.record["bits"]
    full.clear()
    client.run_job_over_stream = run_job
    np.testing.assert_array_equal(run(layer, client.sampler(), journal).readouts, unbroken[0])
    assert sorted(client.executed.values()) == [1] * JOBS


def test_circuits_are_checked_before_the_first_job(layer, tmp_path):
    """A device with other qubits than the plan's."""
    client = EngineClient()
    plan = hw.plan(layer, hw.load_device("rainbow"), STEPS)
    free = [q for q in hw.load_device("weber").metadata.qubit_set if q not in plan.device.metadata.qubit_set]
    pair = next((a, b) for a in sorted(free) for b in free if a.is_adjacent(b))
    other = hw.plan(layer, "weber", STEPS, qubits=pair)
    client.device = plan.device
    with pytest.raises(ValueError, match=r"`device` must run the circuits of the layer, but it refuses one"):
        other.run(sequences(1, STEPS), client.sampler(), 10, journal=tmp_path / "journal", confirm=True)
    with pytest.raises(ValueError, match="`repetitions` must be at most 5,000,000 in the 6 circuits of a job together"):
        hw.run(layer, sequences(2, 1), hw.sampler("virtual", "weber"), 1_000_000)
    assert not client.calls


@pytest.mark.parametrize("most", [1, 2])
def test_jobs_of_a_step_run_at_the_same_time(layer, unbroken, tmp_path, most):
    client, waiting, at_once, done = EngineClient(), [], [], threading.Event()
    answer = client.run_job_over_stream

    def slow(**job):
        waiting.append((duet.AwaitableFuture(), answer(**job)))
        at_once.append(len(waiting))
        return waiting[-1][0]

    def serve():
        while not done.wait(0.02):
            if len(waiting) >= most:  # no answer before all that may be there at once are
                for future, answered in [waiting.pop() for _ in range(len(waiting))]:
                    future.set_result(answered.result())

    client.run_job_over_stream = slow
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        result = run(layer, client.sampler(), tmp_path / "journal", max_concurrent_jobs=most)
    finally:
        done.set()
        thread.join()
    assert max(at_once) == most
    np.testing.assert_array_equal(result.readouts, unbroken[0])
