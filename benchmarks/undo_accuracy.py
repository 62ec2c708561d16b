"""How exact is it to go backward by undoing? One pass forward and back in float32, against float64.

    python benchmarks/undo_accuracy.py

For each number of time steps T, three figures, each the worst over a batch of 8:
  state      distance of the state that was found again by undoing T steps from the one at the start, |0...0>
  fixed      error of the gradient in the angles, relative to its norm, where the angles are given (no feedback)
  feedback   error of the gradient in the controller's weights, relative to its norm, with the readouts fed back, at the
             angle scale that a layer has by default; this holds what the recurrence itself makes of float32 rounding

Prints a table, and writes DIR/undo_accuracy.json.
"""

import argparse
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import tfq_qrnn

BATCH, FEATURES = 8, 4


def given_angles(n, timesteps, backend, dtype):
    """The state after going there and back, and the gradient in the angles of the readouts' mean square."""
    program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(n))
    angles = np.random.default_rng(0).normal(size=(timesteps, BATCH, program.n_angles)).astype(dtype)
    backend = tfq_qrnn.backends.get(backend)

    @tf.function
    def there_and_back(angles):
        memory = backend.initial_memory(program, BATCH, angles.dtype)
        readouts = tf.TensorArray(angles.dtype, timesteps)
        for t in tf.range(timesteps):
            memory, read = backend.forward(program, memory, angles[t])
            readouts = readouts.write(t, read)
        readouts = readouts.stack()
        memory_gradient = tf.zeros_like(memory)
        gradients = tf.TensorArray(angles.dtype, timesteps)
        for i in tf.range(timesteps):
            t = timesteps - 1 - i
            step = backend.undo(program, memory, angles[t], memory_gradient, 2 * readouts[t] / timesteps)
            memory, memory_gradient, angles_gradient = step
            gradients = gradients.write(t, angles_gradient)
        return memory, gradients.stack()

    memory, gradients = there_and_back(tf.constant(angles))
    ground = backend.initial_memory(program, BATCH, gradients.dtype)
    return np.linalg.norm(memory - ground, axis=1).max(), gradients.numpy()


def fed_back(n, timesteps, backend, dtype):
    """The gradient in the weights of a layer, of the mean square of all its readouts."""
    keras.utils.set_random_seed(0)
    layer = tfq_qrnn.QRNN(n, controller=(), return_sequences=True, backend=backend, dtype=dtype)
    x = np.random.default_rng(1).normal(size=(BATCH, timesteps, FEATURES)).astype(dtype)
    layer.build(x.shape)
    rng = np.random.default_rng(2)
    weights = [rng.normal(size=w.shape) / np.sqrt(FEATURES + 3 * n) for w in layer.trainable_weights]
    layer.set_weights([*weights, layer.cell.controller.scale.numpy()])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(layer(x) ** 2)
    return np.concatenate([np.ravel(g) for g in tape.gradient(loss, [w.value for w in layer.trainable_weights])])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qubits", type=int, nargs="+", default=[6, 10])
    parser.add_argument("--timesteps", type=int, nargs="+", default=[28, 200, 784, 2000])
    parser.add_argument("--backends", nargs="+", default=["native", "tensorflow"])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/undo_accuracy"))
    options = parser.parse_args()
    rows = []
    print(f"{'backend':12}{'qubits':>7}{'T':>6}{'state':>10}{'fixed':>10}{'feedback':>10}")
    for backend in options.backends:
        for n in options.qubits:
            for timesteps in options.timesteps:
                distance, gradient = given_angles(n, timesteps, backend, "float32")
                exact = given_angles(n, timesteps, backend, "float64")[1]
                layer32, layer64 = (fed_back(n, timesteps, backend, dtype) for dtype in ("float32", "float64"))
                row = {
                    "backend": backend,
                    "qubits": n,
                    "timesteps": timesteps,
                    "state": float(distance),
                    "fixed": float(np.linalg.norm(gradient - exact) / np.linalg.norm(exact)),
                    "feedback": float(np.linalg.norm(layer32 - layer64) / np.linalg.norm(layer64)),
                }
                rows.append(row)
                figures = "".join(f"{row[name]:10.1e}" for name in ("state", "fixed", "feedback"))
                print(f"{backend:12}{n:7}{timesteps:6}{figures}", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "undo_accuracy.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
