"""A whole sequence in one loop, differentiated by undoing it.

Backpropagation through time keeps every state, 2**n numbers per step. The circuit is unitary, so the states can be had
again: the backward loop starts from the last one and undoes the circuit, step by step, with the adjoint method inside a
step. What is kept is what goes in and what comes out: the projected inputs and the readouts.

The classical controller is not invertible and need not be: its inputs at each step, the projected input and the
readouts of the step before, are both kept.
"""

import tensorflow as tf


def reversible_scan(backend, program, angles_of):
    """The function that runs a sequence.

    Args:
        backend: A `CarriedBackend`.
        program: A `GateProgram`.
        angles_of: `(inputs, readouts, weights) -> angles`, a function of its arguments alone.

    Returns:
        `scan(inputs, mask, readouts, memory, *weights) -> (all_readouts, last_readouts, last_memory)` with `inputs`
        `(time, batch, width)` and `mask` None or bool `(time, batch)`; a step that is masked leaves readouts and memory
        as they are.
    """
    # As graphs of their own: an eager tape would record every step of the forward loop.
    plain, masked = (
        tf.function(_make_scan(backend, program, angles_of, masked), reduce_retracing=True) for masked in (False, True)
    )

    def scan(inputs, mask, *arguments):
        return plain(inputs, tf.zeros((0,), tf.bool), *arguments) if mask is None else masked(inputs, mask, *arguments)

    return scan


def _make_scan(backend, program, angles_of, masked):
    # Every tensor that takes a gradient is an argument: one that is captured would silently have none.
    @tf.custom_gradient
    def scan(inputs, mask, readouts, memory, *weights):
        timesteps = tf.shape(inputs)[0] if inputs.shape[0] is None else inputs.shape[0]

        def step(t, readouts, memory, outputs):
            angles = angles_of(inputs[t], readouts, weights)
            new_memory, new_readouts = backend.forward(program, memory, angles)
            if masked:
                valid = mask[t][:, None]
                new_memory = tf.where(valid, new_memory, memory)
                new_readouts = tf.where(valid, new_readouts, readouts)
            return t + 1, new_readouts, new_memory, outputs.write(t, new_readouts)

        outputs = tf.TensorArray(readouts.dtype, timesteps, element_shape=readouts.shape)
        _, last_readouts, last_memory, outputs = tf.while_loop(
            lambda t, *_: t < timesteps, step, (0, readouts, memory, outputs), maximum_iterations=timesteps
        )
        outputs = outputs.stack()

        def gradient(outputs_gradient, readouts_gradient, memory_gradient):
            previous_readouts = tf.concat([readouts[None], outputs[:-1]], axis=0)

            def step(i, memory, readouts_gradient, memory_gradient, inputs_gradient, weights_gradient):
                t = timesteps - 1 - i
                arguments = (inputs[t], previous_readouts[t], weights)
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(arguments)
                    angles = angles_of(*arguments)
                readouts_gradient += outputs_gradient[t]
                here, through = readouts_gradient, memory_gradient
                if masked:
                    valid = mask[t][:, None]
                    here = tf.where(valid, here, tf.zeros_like(here))
                    through = tf.where(valid, through, tf.zeros_like(through))
                before, before_gradient, angles_gradient = backend.undo(program, memory, angles, through, here)
                input_gradient, previous_gradient, new = tape.gradient(
                    angles, arguments, output_gradients=angles_gradient, unconnected_gradients="zero"
                )
                if masked:
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
                tuple(tf.zeros_like(weight) for weight in weights),
            )
            _, _, readouts_gradient, memory_gradient, inputs_gradient, weights_gradient = tf.while_loop(
                lambda i, *_: i < timesteps, step, start, maximum_iterations=timesteps
            )
            return inputs_gradient.stack(), None, readouts_gradient, memory_gradient, *weights_gradient

        return (outputs, last_readouts, last_memory), gradient

    return scan
