"""Encoder and decoder of recurrent layers, with attention between them, and what translates with them."""

from experiments.data.vocabulary import END, PADDING, START
from experiments.late import late

keras, tf, tfq_qrnn, decoding = late("keras", "tensorflow", "tfq_qrnn", "experiments.models.decoding")

ATTENTION = ("additive", "dot", "overlap", "none")


def encoder_decoder(recurrent, source_size, target_size, width, attention="additive", dropout=0.0):
    """A model of `[source (batch, S), target (batch, T)]`, token numbers, to logits `(batch, T, target_size)`.

    The decoder starts at the state in which the encoder ends; at each step its outputs are the query, and the encoder's
    the keys and values. Logits at step t are for the token after target[t].

    Args:
        recurrent: Function of a name that makes a recurrent layer with `return_sequences` and `return_state`.
        source_size, target_size: Sizes of the vocabularies; token 0 is padding.
        width: Width of the embeddings.
        attention: A score of `QuantumAttention`, or "none".
        dropout: Fraction of what the last layer reads that is dropped in training.
    """
    source = keras.Input((None,), dtype="int32", name="source")
    target = keras.Input((None,), dtype="int32", name="target")
    embedded = keras.layers.Embedding(source_size, width, mask_zero=True, name="source_embedding")(source)
    keys, *state = recurrent("encoder")(embedded)
    embedded = keras.layers.Embedding(target_size, width, mask_zero=True, name="target_embedding")(target)
    outputs, *_ = recurrent("decoder")(embedded, initial_state=state)
    if attention != "none":
        # The scores go out, too, so that they are there to be drawn.
        context, _ = tfq_qrnn.QuantumAttention(attention, name="attention")(
            [outputs, keys], return_attention_scores=True
        )
        outputs = keras.layers.Concatenate(name="with_context")([outputs, context])
    outputs = keras.layers.Dropout(dropout, name="dropout")(outputs)
    return keras.Model([source, target], keras.layers.Dense(target_size, name="logits")(outputs))


def attention_weights(model, source, target):
    """How much each step of the decoder reads of each source token, `(batch, T, S)`."""
    scores = model.get_layer("attention").output[1]
    return keras.Model(model.inputs, scores).predict_on_batch([source, target])


class Translator:
    """Decodes with the layers of an `encoder_decoder`, one step at a time: the decoder's state is carried along.

    Args:
        model: An `encoder_decoder`, also one that was loaded.
        steps: How many tokens a translation may have, with its end.
        width: Width of the beam; 1 is greedy.
        length_penalty: See `beam_search`.
    """

    def __init__(self, model, steps, width=1, length_penalty=0.0):
        self.layers = {layer.name: layer for layer in model.layers}
        self.steps, self.width, self.length_penalty = steps, width, length_penalty
        self._search = tf.function(self._search, input_signature=[tf.TensorSpec((None, None), tf.int32)])

    def __call__(self, source):
        """Source numbers `(batch, S)` to target numbers `(batch, steps)` and their log-probabilities `(batch,)`."""
        return tuple(part.numpy() for part in self._search(source))

    def _search(self, source):
        layers = self.layers
        mask = layers["source_embedding"].compute_mask(source)
        keys, *state = layers["encoder"](layers["source_embedding"](source), mask=mask)
        # The beams of a sentence stand next to each other; none leaves it, so that its keys need not move.
        keys, mask = tf.repeat(keys, self.width, axis=0), tf.repeat(mask, self.width, axis=0)

        def step(tokens, state):
            embedded = layers["target_embedding"](tokens[:, None])
            outputs, *state = layers["decoder"](embedded, initial_state=list(state))
            if "attention" in layers:
                context = layers["attention"]([outputs, keys], mask=[None, mask])
                outputs = tf.concat([outputs, context], axis=-1)
            logits = layers["logits"](outputs)[:, 0]
            # tokens that no text holds; the first would be taken for padding at the next step
            never = tf.reduce_any(tf.range(logits.shape[-1])[:, None] == [PADDING, START], axis=1)
            return tf.nn.log_softmax(tf.where(never, logits.dtype.min / 2, logits)), state

        return decoding.beam_search(step, state, START, END, self.steps, self.width, self.length_penalty)
