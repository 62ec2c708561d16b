"""One training step of the same network in other simulators: a linear controller, RY and RZ on every qubit, a CZ ring,
depth 2, readouts X, Y, Z of every qubit fed back; gradients of all weights of the mean square of the last readouts.

Each function gives `step()`, which runs one training step to its end, already compiled where the simulator compiles.
"""

import numpy as np

DEPTH = 2


def weights_and_input(n, timesteps, batch, features=4):
    """Weights `(features + 3n, 4n)` and `(4n,)`, input `(batch, timesteps, features)`; float32, seeded."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(features + 3 * n, 2 * n * DEPTH)) / np.sqrt(features + 3 * n)
    x = rng.normal(size=(batch, timesteps, features))
    return kernel.astype("float32"), np.zeros(2 * n * DEPTH, "float32"), x.astype("float32")


def ring(n):
    return [(i, (i + 1) % n) for i in range(n if n > 2 else n - 1)]


def jax_step(n, timesteps, batch):
    """JAX: gates applied one by one to the state as a tensor of n axes, vmapped, lax.scan over time, jitted."""
    import jax.numpy as jnp

    def apply(state, gate, qubit):
        return jnp.moveaxis(jnp.tensordot(gate, state, (1, qubit)), 0, qubit)

    def ry(angle):
        c, s = jnp.cos(angle / 2), jnp.sin(angle / 2)
        return jnp.array([[c, -s], [s, c]], jnp.complex64)

    def rz(angle):
        phase = jnp.exp(-0.5j * angle)
        return jnp.array([[phase, 0], [0, phase.conj()]], jnp.complex64)

    def cz(state, a, b):
        index = [slice(None)] * n
        index[a] = index[b] = 1
        return state.at[tuple(index)].multiply(-1)

    def readouts(state):
        values = []
        for q in range(n):
            zero, one = jnp.moveaxis(state, q, 0).reshape(2, -1)
            coherence = jnp.vdot(zero, one)
            z = jnp.vdot(zero, zero).real - jnp.vdot(one, one).real
            values += [2 * coherence.real, 2 * coherence.imag, z]
        return jnp.stack(values)

    def evolve(state, angles):
        state, angles = state.reshape((2,) * n), angles.reshape(DEPTH, 2, n)
        for layer in range(DEPTH):
            for q in range(n):
                state = apply(state, ry(angles[layer, 0, q]), q)
            for q in range(n):
                state = apply(state, rz(angles[layer, 1, q]), q)
            for a, b in ring(n):
                state = cz(state, a, b)
        return state.reshape(-1), readouts(state)

    return _jax_scan(evolve, n, timesteps, batch)


def pennylane_step(n, timesteps, batch):
    """PennyLane's default.qubit in JAX: a QNode per time step that takes a state and returns it with its readouts."""
    import pennylane as qml

    @qml.qnode(qml.device("default.qubit", wires=n), interface="jax", diff_method="backprop")
    def evolve(state, angles):
        qml.StatePrep(state, wires=range(n))
        for layer in range(DEPTH):
            for q in range(n):
                qml.RY(angles[layer, 0, q], wires=q)
            for q in range(n):
                qml.RZ(angles[layer, 1, q], wires=q)
            for a, b in ring(n):
                qml.CZ(wires=[a, b])
        paulis = [pauli(q) for q in range(n) for pauli in (qml.PauliX, qml.PauliY, qml.PauliZ)]
        return [qml.expval(pauli) for pauli in paulis] + [qml.state()]

    return _jax_scan(lambda state, angles: _split(evolve(state, angles.reshape(DEPTH, 2, n))), n, timesteps, batch)


def _split(results):
    import jax.numpy as jnp

    *values, state = results
    return state, jnp.stack(values).astype(jnp.float32)


def tensorcircuit_step(n, timesteps, batch):
    """TensorCircuit on its JAX backend: a Circuit per time step that starts from the state before."""
    import jax.numpy as jnp
    import tensorcircuit as tc

    tc.set_backend("jax")

    def evolve(state, angles):
        angles = angles.reshape(DEPTH, 2, n)
        circuit = tc.Circuit(n, inputs=state)
        for layer in range(DEPTH):
            for q in range(n):
                circuit.ry(q, theta=angles[layer, 0, q])
            for q in range(n):
                circuit.rz(q, theta=angles[layer, 1, q])
            for a, b in ring(n):
                circuit.cz(a, b)
        state = circuit.state()
        fresh = tc.Circuit(n, inputs=state)  # readouts from the state, not from the circuit once more
        values = [fresh.expectation_ps(**{axis: [q]}).real for q in range(n) for axis in "xyz"]
        return state, jnp.stack(values).astype(jnp.float32)

    return _jax_scan(evolve, n, timesteps, batch)


def _jax_scan(evolve, n, timesteps, batch):
    """`evolve(state, angles) -> (state, readouts)` scanned over time, vmapped, differentiated and jitted."""
    import jax
    import jax.numpy as jnp

    def loss(parameters, x):
        def sequence(x):
            def step(carry, x_t):
                state, z = carry
                state, z = evolve(state, jnp.concatenate([x_t, z]) @ parameters[0] + parameters[1])
                return (state.astype(jnp.complex64), z), None

            ground = jnp.zeros(2**n, jnp.complex64).at[0].set(1)
            (_, z), _ = jax.lax.scan(step, (ground, jnp.zeros(3 * n)), x)
            return z

        return jnp.mean(jax.vmap(sequence)(x) ** 2)

    kernel, bias, x = weights_and_input(n, timesteps, batch)
    gradient = jax.jit(jax.value_and_grad(loss))
    return lambda: jax.block_until_ready(gradient((kernel, bias), x))


def torchquantum_step(n, timesteps, batch):
    """TorchQuantum, the paper's simulator: a QuantumDevice whose state lives through the sequence, autograd."""
    import torch
    import torchquantum as tq
    from torchquantum.measurement import expval_joint_analytical

    kernel, bias, x = (torch.tensor(value) for value in weights_and_input(n, timesteps, batch))
    kernel.requires_grad_()
    bias.requires_grad_()
    paulis = ["I" * q + letter + "I" * (n - 1 - q) for q in range(n) for letter in "XYZ"]

    def step():
        kernel.grad = bias.grad = None
        device = tq.QuantumDevice(n_wires=n, bsz=batch)
        z = torch.zeros(batch, 3 * n)
        for t in range(timesteps):
            angles = (torch.cat([x[:, t], z], 1) @ kernel + bias).reshape(batch, DEPTH, 2, n)
            for layer in range(DEPTH):
                for q in range(n):
                    device.ry(wires=q, params=angles[:, layer, 0, q])
                for q in range(n):
                    device.rz(wires=q, params=angles[:, layer, 1, q])
                for a, b in ring(n):
                    device.cz(wires=[a, b])
            z = torch.stack([expval_joint_analytical(device, pauli) for pauli in paulis], 1)
        (z**2).mean().backward()

    return step


RIVALS = {
    "jax": jax_step,
    "pennylane": pennylane_step,
    "tensorcircuit": tensorcircuit_step,
    "torchquantum": torchquantum_step,
}
