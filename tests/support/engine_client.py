"""A mock of the client of Google's engine: programs and jobs as the engine keeps them, with faults at every call.

    client = EngineClient()
    sampler = client.sampler()                 # a ProcessorSampler of an EngineProcessor of cirq_google's own
    client.faults = {3: "lost"}                # the fourth call fails so

The shots of a job depend on what is asked for and on nothing else: runs with and without faults can be compared.
`executed` counts how often each job ran: what is paid for.
"""

import collections
import datetime

import cirq
import cirq_google
import duet
import numpy as np
from cirq_google.api import v2
from cirq_google.cloud import quantum
from cirq_google.engine import engine_client, util
from google.api_core import exceptions

from tfq_qrnn import hw
from tfq_qrnn._files import digest
from tfq_qrnn.hw.density_matrix import SweepSimulator

# What a call can meet with. "kill" is the end of this process, before and after the engine has the call.
FAULTS = {
    "unavailable": exceptions.ServiceUnavailable("try later"),
    "too many": exceptions.TooManyRequests("quota"),
    "lost": exceptions.DeadlineExceeded("no answer"),
    "late": exceptions.DeadlineExceeded("no answer, but it arrived"),
    "denied": exceptions.PermissionDenied("no"),
    "kill": KeyboardInterrupt(),
    "late kill": KeyboardInterrupt(),
}
AFTERWARDS = ("late", "late kill")
PASSING = ("unavailable", "too many", "lost", "late")


class EngineClient(engine_client.EngineClient):
    """See above. `failures` are what the next jobs end with, in place of results: codes of the engine's, or None."""

    def __init__(self, device="weber"):
        super().__init__()
        self.device, self.jobs, self.results = hw.load_device(device), {}, {}
        self.calls, self.faults, self.failures, self.executed = [], {}, [], collections.Counter()
        self.change = lambda results: results

    def sampler(self, **arguments):
        context = cirq_google.engine.engine.EngineContext(client=self)
        processor = cirq_google.Engine("project", context=context).get_processor("weber")
        names = {"run_name": "current", "device_config_name": "config", **arguments}
        return cirq_google.ProcessorSampler(processor=processor, **names)

    def _call(self, name, answer):
        fault = self.faults.get(len(self.calls))
        self.calls.append(name)
        if fault in AFTERWARDS:
            answer()
        if fault is not None:
            error = FAULTS[fault]
            if isinstance(error, exceptions.GoogleAPICallError) and name != "run_job_over_stream":
                raise engine_client.EngineException(str(error)) from error
            raise error
        return answer()

    def get_processor(self, project_id, processor_id):
        spec = util.pack_any(self.device.to_proto())
        return quantum.QuantumProcessor(name=f"projects/{project_id}/processors/{processor_id}", device_spec=spec)

    def get_current_calibration(self, project_id, processor_id):
        return None

    def run_job_over_stream(self, *, project_id, program_id, job_id, code, run_context, **_):
        future = duet.AwaitableFuture()

        def answer():
            if (program_id, job_id) in self.jobs:
                raise exceptions.AlreadyExists(f"{job_id} already exists")
            self._execute(program_id, job_id, code, run_context)
            job = self.jobs[program_id, job_id]
            return self.results.get((program_id, job_id), job)

        try:
            future.set_result(self._call("run_job_over_stream", answer))
        except exceptions.GoogleAPICallError as error:
            future.set_exception(error)  # the stream breaks
        return future

    async def get_job_async(self, project_id, program_id, job_id, return_run_context=False):
        return self._call("get_job", lambda: self._found(self.jobs, program_id, job_id))

    async def get_job_results_async(self, project_id, program_id, job_id):
        return self._call("get_job_results", lambda: self._found(self.results, program_id, job_id))

    def _found(self, what, program_id, job_id):
        try:
            return what[program_id, job_id]
        except KeyError:
            raise engine_client.EngineException("not found") from exceptions.NotFound(job_id)

    def _execute(self, program_id, job_id, code, run_context):
        program = util.unpack_any(code, v2.program_pb2.Program())
        context = util.unpack_any(run_context, v2.run_context_pb2.RunContext())
        circuit = cirq_google.CIRCUIT_SERIALIZER.deserialize(program)
        self.device.validate_circuit(circuit)
        (sweep,) = context.parameter_sweeps
        status = quantum.ExecutionStatus(processor_name="projects/project/processors/weber")
        failure = self.failures.pop(0) if self.failures else None
        if failure is None:
            seed = int(digest(code.value, run_context.value)[:8], 16)
            points = v2.sweep_from_proto(sweep.sweep)
            results = SweepSimulator(seed=seed).run_sweep(circuit, points, sweep.repetitions)
            self.executed[digest(code.value, run_context.value)] += 1
            measured = v2.find_measurements(circuit)
            message = v2.results_to_proto([self.change(results)], measured)
            self.results[program_id, job_id] = quantum.QuantumResult(result=util.pack_any(message))
            status.state = quantum.ExecutionStatus.State.SUCCESS
        elif failure == "CANCELLED":
            status.state = quantum.ExecutionStatus.State.CANCELLED
        else:
            status.state = quantum.ExecutionStatus.State.FAILURE
            status.failure.error_code = quantum.ExecutionStatus.Failure.Code[failure]
            status.failure.error_message = "as asked for"
        name = f"projects/project/programs/{program_id}/jobs/{job_id}"
        now = datetime.datetime.now(datetime.timezone.utc)
        self.jobs[program_id, job_id] = quantum.QuantumJob(name=name, execution_status=status, update_time=now)


def permuted(results):
    return [results[i] for i in np.random.default_rng(0).permutation(len(results))]


class Wrapper(cirq.Sampler):
    """Keeps its sampler where cirq_google's own ValidatingSampler does."""

    def __init__(self, sampler):
        self._sampler = sampler

    def run_sweep(self, program, params, repetitions=1):
        return self._sampler.run_sweep(program, params, repetitions)
