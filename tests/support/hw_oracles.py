"""What the tests of tfq_qrnn.hw share."""

import cirq
import numpy as np

import tfq_qrnn
from tfq_qrnn import hw
from tfq_qrnn.hw.density_matrix import SweepSimulator
from tfq_qrnn.hw.factors import InFactors


def overlap(native, timesteps, seed):
    """|<trained|native>| after some time steps with random angles, both by cirq.Simulator."""
    rng = np.random.default_rng(seed)
    program = native.program
    angles = rng.uniform(-np.pi, np.pi, (timesteps, program.n_angles))
    simulator = cirq.Simulator(dtype=np.complex128)
    trained = sum((program.resolve(row) for row in angles), cirq.Circuit())
    want = simulator.simulate(trained, qubit_order=program.qubits).final_state_vector
    want = np.kron(want, np.eye(2 ** len(native.relays))[0])  # relays end in |0>
    got = simulator.simulate(
        native.prefix(timesteps), native.half_turns(angles), qubit_order=native.all_qubits
    ).final_state_vector
    return abs(np.vdot(want, got))


def gate_counts(circuit):
    """(depth, one-qubit gates, two-qubit gates)."""
    sizes = [len(operation.qubits) for operation in circuit.all_operations()]
    return len(circuit), sizes.count(1), sizes.count(2)


def fed_back(hidden_units=(32,), **arguments):
    start = {"angle_scale": 1.0, "feedback_gain": 1.0, "initial_rotation": 0.0}
    return tfq_qrnn.Controller(hidden_units, **start, **arguments)


def small_layer(n_qubits=2, features=3, seed=0, **arguments):
    """A built QRNN with angles of order 1, and the whole feedback: a loop that feeds nothing back must be far off."""
    import keras

    keras.utils.set_random_seed(seed)
    layer = tfq_qrnn.QRNN(n_qubits, **{"return_sequences": True, "controller": fed_back(), **arguments})
    layer.build((None, None, features))
    return layer


def sequences(batch, timesteps, features=3, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, timesteps, features)).astype(np.float32)


def run(*arguments, **keywords):
    return hw.run(*arguments, progress=False, **keywords)


class Stub(cirq.Sampler):
    """A simulator that counts its calls, and can change what it returns."""

    def __init__(self, change=lambda results: results, seed=0):
        simulator = SweepSimulator(seed=seed)
        self.simulator, self.change, self.calls = InFactors(lambda _: simulator), change, 0

    def run_sweep(self, program, params, repetitions=1):
        self.calls += 1
        return self.change(self.simulator.run_sweep(program, params, repetitions))
