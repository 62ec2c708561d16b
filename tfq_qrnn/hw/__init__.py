"""Circuits for Google hardware: placement, export, samplers and the closed loop.

    device = hw.load_device("weber")
    qubits = hw.place_ring(device, 4)
    plan = hw.plan(layer, device, n_timesteps=8)
    print(plan.cost(repetitions=1000))
    result = plan.run(x, hw.sampler("virtual", "weber"), repetitions=1000, journal="run.jsonl")

`cirq_google` loads where a device, a calibration or an engine is asked for.
"""

from tfq_qrnn.hw.ancilla import AncillaLoop, weak_readout
from tfq_qrnn.hw.ancilla_run import run_with_ancillas
from tfq_qrnn.hw.compile import NativeProgram, compile_program
from tfq_qrnn.hw.cost import Cost
from tfq_qrnn.hw.devices import load_calibration, load_device, processors
from tfq_qrnn.hw.error_rates import ErrorRates, error_rates
from tfq_qrnn.hw.export import Exported, load
from tfq_qrnn.hw.mitigation import Estimator, Mitigation
from tfq_qrnn.hw.plan import Plan
from tfq_qrnn.hw.planning import plan
from tfq_qrnn.hw.readout import ReadoutPlan
from tfq_qrnn.hw.readout_errors import ReadoutErrors
from tfq_qrnn.hw.result import Result
from tfq_qrnn.hw.rings import place_ring
from tfq_qrnn.hw.samplers import sampler
from tfq_qrnn.hw.shorthands import cost, export, run

__all__ = [
    "AncillaLoop",
    "Cost",
    "ErrorRates",
    "Estimator",
    "Exported",
    "Mitigation",
    "NativeProgram",
    "Plan",
    "ReadoutErrors",
    "ReadoutPlan",
    "Result",
    "compile_program",
    "cost",
    "error_rates",
    "export",
    "load",
    "load_calibration",
    "load_device",
    "place_ring",
    "plan",
    "processors",
    "run",
    "run_with_ancillas",
    "sampler",
    "weak_readout",
]
