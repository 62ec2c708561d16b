"""A whole sequence in one loop, differentiated by undoing it.

Backpropagation through time keeps every state, 2**n numbers per step. The circuit is unitary, so the states can be had
again: the backward loop starts from the last one and undoes the circuit, step by step, with the adjoint method inside a
step. What is kept is what goes in and what comes out: the projected inputs and the readouts.

The classical controller is not invertible and need not be: its inputs at each step, the projected input and the
readouts of the step before, are both kept.
"""

import functools
import os

import tensorflow as tf

_has_lost_its_threads = False


def _note_fork():
    global _has_lost_its_threads
    threads = tf.config.threading.get_inter_op_parallelism_threads()
    try:  # TensorFlow refuses it once its threads run, and a forked process has none of them
        tf.config.threading.set_inter_op_parallelism_threads(threads + 1)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        _has_lost_its_threads = True


os.register_at_fork(after_in_child=_note_fork)


def at_step(values, t):
    """The part of step `t` of something that may not be there."""
    return None if values is None else values[t]


def reversible_scan(backend, program, angles_of):
    """The function that runs a sequence.

    Args:
        backend: A `CarriedBackend`.
        program: A `GateProgram`.
        angles_of: `(inputs, readouts, weights, seeds) -> angles`, a function of its arguments alone.

    Returns:
        `scan(inputs, mask, noise, seeds, readouts, memory, *weights) -> (all_readouts, last_readouts, last_memory)`.
        `inputs` is `(time, batch, width)`. Each of the next three may be None: `mask`, bool `(time, batch)`, where a
        masked step leaves readouts and memory as they are; `noise` `(time, batch, n)`, which the backend drew; `seeds`
        `(time, n, 2)` of the controller.
    """

    @functools.cache
    def make(*present):
        # As a graph of its own: an eager tape would record every step of the forward loop.
        return tf.function(_make_scan(backend, program, angles_of, present), reduce_retracing=True)

    def scan(inputs, mask, noise, seeds, *arguments):
        given = (mask, noise, seeds)
        there, present = [value for value in given if value is not None], [value is not None for value in given]
        if _has_lost_its_threads:
            raise RuntimeError(
                "A process that is forked from one that has run TensorFlow has none of its threads, and this layer "
                'would wait for them without end. Start it by multiprocessing.get_context("spawn"), or fork before '
                "anything runs."
            )
        return make(*present)(inputs, *there, *arguments)

    return scan


def _make_scan(backend, program, angles_of, present):
    # Every tensor that takes a gradient is an argument: one that is captured would silently have none.
    @tf.custom_gradient
    def scan(inputs, *arguments):
        there, (readouts, memory, *weights) = list(arguments[: sum(present)]), arguments[sum(present) :]
        mask, noise, seeds = (there.pop(0) if is_there else None for is_there in present)
        timesteps = tf.shape(inputs)[0] if inputs.shape[0] is None else inputs.shape[0]

        def step(t, readouts, memory, outputs):
            angles = angles_of(inputs[t], readouts, weights, at_step(seeds, t))
            new_memory, new_readouts = backend.forward(program, memory, angles, at_step(noise, t))
            if mask is not None:
                valid = mask[t][:, None]
                new_memory = tf.where(valid, new_memory, memory)
                new_readouts = tf.where(valid, new_readouts, readouts)
            return t + 1, new_readouts, new_memory, outputs.write(t, new_readouts)

        outputs = tf.TensorArray(readouts.dtype, timesteps, element_shape=readouts.shape)
        _, last_readouts, last_memory, outputs = tf.while_loop(
            lambda t, *_: t < timesteps, step, (0, readouts, memory, outputs), maximum_iterations=timesteps
        )
        outputs = outputs.stack()
        # A network may have weights that are integers, and have no gradient.
        trained = [i for i, weight in enumerate(weights) if weight.dtype.is_floating]

        def gradient(outputs_gradient, readouts_gradient, memory_gradient):
            previous_readouts = tf.concat([readouts[None], outputs[:-1]], axis=0)

            def step(i, memory, readouts_gradient, memory_gradient, inputs_gradient, weights_gradient):
                t = timesteps - 1 - i
                sources = (inputs[t], previous_readouts[t], [weights[i] for i in trained])
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(sources)
                    angles = angles_of(*sources[:2], weights, at_step(seeds, t))
                readouts_gradient += outputs_gradient[t]
                here, through = readouts_gradient, memory_gradient
                if mask is not None:
                    valid = mask[t][:, None]
                    here = tf.where(valid, here, tf.zeros_like(here))
                    through = tf.where(valid, through, tf.zeros_like(through))
                before, before_gradient, angles_gradient = backend.undo(
                    program, memory, angles, through, here, at_step(noise, t)
                )
                input_gradient, previous_gradient, new = tape.gradient(
                    angles, sources, output_gradients=angles_gradient, unconnected_gradients="zero"
                )
                if mask is not None:
                    before = tf.where(valid, before, memory)
                    before_gradient = tf.where(valid, before_gradient, memory_gradient)
                    previous_gradient += tf.where(valid, tf.zeros_like(here), readouts_gradient)
                return (
                    i + 1,
                    before,
                    previous_gradient,
                    before_gradient,
                    inputs_gradient.write(t, input_gradient),
                    tuple(old + added for old, added in zip(weights_gradient, new, strict=True)),
                )

            start = (
                0,
                last_memory,
                readouts_gradient,
                memory_gradient,
                tf.TensorArray(inputs.dtype, timesteps, element_shape=inputs.shape[1:]),
                tuple(tf.zeros_like(weights[i]) for i in trained),
            )
            _, _, readouts_gradient, memory_gradient, inputs_gradient, weights_gradient = tf.while_loop(
                lambda i, *_: i < timesteps, step, start, maximum_iterations=timesteps
            )
            of_weights = dict(zip(trained, weights_gradient, strict=True))
            return (
                inputs_gradient.stack(),
                *(None for is_there in present if is_there),
                readouts_gradient,
                memory_gradient,
                *(of_weights.get(i) for i in range(len(weights))),
            )

        return (outputs, last_readouts, last_memory), gradient

    return scan
