"""Attention over the readouts of a quantum memory."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfq_qrnn._checks import check_choice, check_int, check_rate, check_seed
from tfq_qrnn._errors import argument_error
from tfq_qrnn.layers.versioned import Versioned

_SCORES = ("additive", "dot", "overlap")
# (1 + r.s)/2 is 0 for opposite pure states, whose logarithm would be -inf; rounding may take it below 0.
_LEAST_OVERLAP = 1e-6


@keras.saving.register_keras_serializable(package="tfq_qrnn")
class QuantumAttention(Versioned, keras.layers.Attention):
    """Soft attention whose queries, keys and values are sequences of readouts.

    The interface is that of `keras.layers.Attention`; what is new is the score of a query and a key:

    - "additive": `v . tanh(W query + U key + b)`, Bahdanau's, with trained weights of width `units`.
    - "dot": `query . key`, or `(W query) . (U key)` where `units` is given.
    - "overlap": the logarithm of `prod_q Tr(rho_q sigma_q) = prod_q (1 + r_q . s_q)/2`, the overlap of the one-qubit
      reduced states with Bloch vectors r_q (query) and s_q (key). No weights; needs "XYZ" readouts. Overlaps below
      1e-6 on a qubit count as 1e-6.

    Args:
        score: "additive", "dot" or "overlap".
        units: Width of the trained projections; for "additive" by default the width of the keys.
        dropout: Fraction of the attention weights to drop in training.
        seed: Seed of the dropout.
        **kwargs: Arguments of a Keras layer.

    Call arguments:
        inputs: `[query (batch, Tq, dim), value (batch, Tv, dim_v)]`, or these and `key (batch, Tv, dim_k)`; by default
            the values are the keys. "dot" without `units` and "overlap" need keys as wide as the queries.
        mask: `[query_mask (batch, Tq), value_mask (batch, Tv)]`.
        return_attention_scores: Whether to return the attention weights, `(batch, Tq, Tv)`, too.
        use_causal_mask: Whether position i attends to positions up to i only.

    Returns:
        `(batch, Tq, dim_v)`.

    Raises:
        ValueError, TypeError: An argument is out of its range, or the widths do not fit the score.

    >>> readouts = tf.constant([[[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]])  # |0>, |1>
    >>> _, weights = QuantumAttention("overlap")([readouts, readouts], return_attention_scores=True)
    >>> print(np.round(weights, 3))
    [[[1. 0.]
      [0. 1.]]]
    """

    def __init__(
        self,
        score: str = "additive",
        units: int | None = None,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        check_choice("score", score, _SCORES)
        if units is not None:
            units = check_int("units", units, 1)
            if score == "overlap":
                raise argument_error("units", 'be None for score "overlap", which has no weights', f"it is {units}")
        super().__init__(dropout=check_rate("dropout", dropout), seed=check_seed(seed), **kwargs)
        self.score = score
        self.units = units

    def build(self, input_shape: Sequence[tuple]) -> None:
        self._validate_inputs(input_shape)
        if any(len(shape) != 3 for shape in input_shape):
            shapes = ", ".join(str(tuple(shape)) for shape in input_shape)
            raise argument_error(
                "inputs", "be sequences of shape (batch, time, features)", f"their shapes are {shapes}"
            )
        query, key = input_shape[0][-1], input_shape[-1][-1]
        if self.score == "overlap" and (query != key or query % 3):
            raise argument_error(
                "inputs", 'be "XYZ" readouts of the same qubits for score "overlap"', f"they are {query} and {key} wide"
            )
        if self.score == "dot" and self.units is None and query != key:
            raise argument_error(
                "inputs",
                'have queries as wide as the keys for score "dot"; `units` would project them',
                f"they are {query} and {key} wide",
            )
        if self.score == "additive" or self.units is not None:
            units = self.units or key
            self.query_kernel = self.add_weight(name="query_kernel", shape=(query, units))
            self.key_kernel = self.add_weight(name="key_kernel", shape=(key, units))
        if self.score == "additive":
            self.bias = self.add_weight(name="bias", shape=(units,), initializer="zeros")
            self.score_kernel = self.add_weight(name="score_kernel", shape=(units, 1))
        self.built = True

    def _calculate_scores(self, query, key):
        if self.score == "overlap":
            return self._log_overlaps(query, key)
        if self.score == "additive" or self.units is not None:
            query = ops.matmul(query, self.query_kernel)
            key = ops.matmul(key, self.key_kernel)
        if self.score == "dot":
            return ops.matmul(query, ops.swapaxes(key, -2, -1))
        hidden = ops.tanh(ops.expand_dims(query, -2) + ops.expand_dims(key, -3) + self.bias)
        return ops.squeeze(ops.matmul(hidden, self.score_kernel), -1)

    def _log_overlaps(self, query, key):
        dtype = "float64" if self.compute_dtype == "float64" else "float32"  # half precision has no room for 1e-6
        r, s = (ops.reshape(ops.cast(x, dtype), (-1, ops.shape(x)[1], x.shape[-1] // 3, 3)) for x in (query, key))
        overlaps = (1 + ops.einsum("iqnc,iknc->iqkn", r, s)) / 2
        scores = ops.sum(ops.log(ops.maximum(overlaps, _LEAST_OVERLAP)), axis=-1)
        return ops.cast(scores, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("use_scale", "score_mode"):
            del config[name]
        return {**config, "score": self.score, "units": self.units}
