"""How well a trained model does on readouts as a device would give them."""

import keras
import numpy as np

import tfq_qrnn


def with_backend(model, backend, seed=0):
    """A copy of a model, its weights with it, whose quantum layers run on another backend."""

    def copy(layer):
        config = layer.get_config()
        if isinstance(layer, tfq_qrnn.QRNN):
            config |= {"backend": backend, "seed": seed}
        return type(layer).from_config(config)

    copied = keras.models.clone_model(model, clone_function=copy)
    copied.set_weights(model.get_weights())
    return copied


def accuracy(model, examples, backend, batch_size=256, seed=0):
    """The accuracy on `pipelines.Examples` with the noise of a `tfq_qrnn.backends.Noisy`; one draw of it per example.

    The model must have no dropout: layers are noisy where they think they train.
    """
    noisy = with_backend(model, backend, seed)
    right = [np.argmax(noisy(x, training=True), -1) == y for x, y in examples.batches(batch_size)]
    return float(np.mean(np.concatenate(right)))
