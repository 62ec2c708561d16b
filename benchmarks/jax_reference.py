"""The same layer written by hand in JAX, gate by gate: `lax.scan` over time, reverse mode through every gate."""

import jax
import jax.numpy as jnp
import numpy as np


def training_step(n_qubits, depth, inputs):
    """A jitted function of no arguments: loss and gradients of a linear-controller QRNN on `inputs`."""
    batch, _, features = inputs.shape
    n_angles, size = 2 * depth * n_qubits, 2**n_qubits
    rng = np.random.default_rng(0)
    kernel = jnp.asarray(rng.normal(size=(features + 3 * n_qubits, n_angles)) * 0.1, jnp.float32)
    bias = jnp.zeros((n_angles,), jnp.float32)
    basis = np.arange(size)
    bits = [(basis >> (n_qubits - 1 - q)) & 1 for q in range(n_qubits)]
    couplings = [(q, (q + 1) % n_qubits) for q in range(n_qubits)] if n_qubits > 2 else [(0, 1)][: n_qubits - 1]
    signs = jnp.asarray(np.prod([1 - 2 * bits[a] * bits[b] for a, b in couplings] or [np.ones(size)], axis=0))

    def rotate(state, y, z, qubit):
        pairs = state.reshape(batch, 2**qubit, 2, -1)
        c, s = jnp.cos(y / 2)[:, None, None], jnp.sin(y / 2)[:, None, None]
        phase = jnp.exp(-0.5j * z)[:, None, None]
        zero, one = pairs[:, :, 0], pairs[:, :, 1]
        turned = jnp.stack([phase * (c * zero - s * one), phase.conj() * (s * zero + c * one)], axis=2)
        return turned.reshape(batch, size)

    def readouts(state):
        values = []
        for q in range(n_qubits):
            pairs = state.reshape(batch, 2**q, 2, -1)
            zero, one = pairs[:, :, 0], pairs[:, :, 1]
            xy = 2 * jnp.sum(zero.conj() * one, axis=(1, 2))
            z = jnp.sum(jnp.abs(zero) ** 2 - jnp.abs(one) ** 2, axis=(1, 2))
            values += [xy.real, xy.imag, z]
        return jnp.stack(values, axis=1)

    def loss(kernel, bias, sequence):
        def step(carry, x):
            state, last = carry
            angles = 0.1 * (jnp.concatenate([x, last], axis=1) @ kernel + bias)
            for layer in range(depth):
                here = angles[:, 2 * n_qubits * layer :]
                for q in range(n_qubits):
                    state = rotate(state, here[:, q], here[:, n_qubits + q], q)
                state = state * signs
            return (state, readouts(state)), None

        ground = jnp.zeros((batch, size), jnp.complex64).at[:, 0].set(1)
        (_, last), _ = jax.lax.scan(step, (ground, jnp.zeros((batch, 3 * n_qubits), jnp.float32)), sequence)
        return jnp.sum(last**2)

    gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    sequence = jnp.asarray(np.swapaxes(inputs, 0, 1))
    return lambda: jax.block_until_ready(gradient(kernel, bias, sequence))
