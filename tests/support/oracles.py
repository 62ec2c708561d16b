"""Slow, plain references: finite differences, Cirq's simulator, and a QRNN written as a loop over numpy and Cirq."""

import cirq
import keras
import numpy as np
import scipy.special
from random_circuits import to_complex

from tfq_qrnn.backends import native

# The backends that every test of a carried state runs on; the native one where it is built.
CARRIED = ["tensorflow"] + (["native"] if native.missing() is None else [])


def differences(function, argument, step=1e-5):
    """The gradient of a scalar function of a float64 array by central differences.

    With values of order 1 the truncation error is about step**2 = 1e-10 and the rounding error 1e-16 / step = 1e-11.
    """
    argument = np.array(argument, np.float64)
    gradient = np.zeros_like(argument)
    for index in np.ndindex(argument.shape):
        value = argument[index]
        argument[index] = value + step
        above = float(function(argument))
        argument[index] = value - step
        below = float(function(argument))
        argument[index] = value
        gradient[index] = (above - below) / (2 * step)
    return gradient


def simulate(program, states, angles):
    """The complex states after a program, `(batch, 2**n)`, one sample at a time by `cirq.Simulator`."""
    simulator = cirq.Simulator(dtype=np.complex128)
    return np.array(
        [
            simulator.simulate(
                program.resolve(angles), initial_state=state, qubit_order=program.qubits
            ).final_state_vector
            for state, angles in zip(states, np.asarray(angles, np.float64), strict=True)
        ]
    )


def expectations(program, states):
    """`(batch, n_observables)` by Cirq."""
    if program.observables == "probabilities":
        return np.abs(states) ** 2
    if program.observables == "state":
        return np.concatenate([states.real, states.imag], axis=1)
    qubit_map = {qubit: i for i, qubit in enumerate(program.qubits)}
    return np.array(
        [
            [
                sum(term.expectation_from_state_vector(state, qubit_map).real for term in observable)
                for observable in program.observables
            ]
            for state in states
        ]
    )


ACTIVATIONS = {
    "gelu": lambda x: np.asarray(keras.activations.gelu(x)),  # its sqrt(2) has the digits of float32 only
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
    "glu": lambda x: x[..., : x.shape[-1] // 2] * scipy.special.expit(x[..., x.shape[-1] // 2 :]),
}


def run_by_hand(layer, x, initial_state=None, input_mask=1.0, readout_mask=1.0):
    """The readouts of every step of a built QRNN, `(batch, time, n_observables)`, from its weights alone.

    angles = scale * (W_k a(... a(W_0 [x_t, z_{t-1}] + b_0) ...) + b_k); state = U(angles) state; z_t = <P>.
    """
    cell = layer.cell
    program, controller = cell.program, cell.controller
    act = ACTIVATIONS[controller.activation.__name__]
    kernels = [np.asarray(kernel, np.float64) for kernel in controller.kernels]
    biases = [np.asarray(bias, np.float64) for bias in controller.biases] or [0.0] * len(kernels)
    scale = np.asarray(controller.scale, np.float64)
    trained = np.zeros(0) if cell.circuit_angles is None else np.asarray(cell.circuit_angles, np.float64)
    if initial_state is None:
        readouts = np.zeros((len(x), program.n_observables))
        states = np.zeros((len(x), 2**program.n_qubits), np.complex128)
        states[:, 0] = 1
    else:
        readouts, states = np.asarray(initial_state[0]), to_complex(initial_state[1])
    outputs = []
    for t in range(x.shape[1]):
        hidden = np.concatenate([x[:, t] * input_mask, readouts * readout_mask], axis=1) @ kernels[0] + biases[0]
        for kernel, bias in zip(kernels[1:], biases[1:], strict=True):
            hidden = act(hidden) @ kernel + bias
        angles = np.concatenate([scale * hidden, np.tile(trained, (len(x), 1))], axis=1)
        states = simulate(program, states, angles)
        readouts = expectations(program, states)
        outputs.append(readouts)
    return np.stack(outputs, axis=1)
