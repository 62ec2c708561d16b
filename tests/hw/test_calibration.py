"""Calibrations: used without being asked for, and complete where noise is made of them."""

import warnings

import cirq
import cirq_google
import pytest
from hw_oracles import sequences, small_layer

from tfq_qrnn import hw
from tfq_qrnn.hw.calibration import default_calibration

pytestmark = pytest.mark.filterwarnings("ignore:This calibration has no error of the CZ")
WEBER = hw.load_calibration("weber")
QUBIT = cirq.GridQubit(4, 4)


def without(metric, *qubits):
    """Weber's calibration without a metric, or without it for some qubits."""
    metrics = {name: dict(values) for name, values in WEBER.items()}
    kept = {target: value for target, value in metrics.pop(metric).items() if qubits and not set(qubits) & set(target)}
    return cirq_google.Calibration(metrics=metrics | ({metric: kept} if kept else {}))


@pytest.mark.parametrize(
    "metric",
    [
        "single_qubit_idle_t1_micros",
        "single_qubit_rb_pauli_error_per_gate",
        "single_qubit_rb_incoherent_error_per_gate",
        "single_qubit_p00_error",
        "single_qubit_p11_error",
    ],
)
def test_noise_of_an_incomplete_calibration_is_refused(metric):
    for qubits in ((), (QUBIT,)):
        with pytest.raises(ValueError, match=f"`calibration` must have the metric {metric}") as refused:
            hw.sampler("noisy", "weber", calibration=without(metric, *qubits))
        assert not qubits or "but it has none of q(4, 4)." in str(refused.value)


def test_noise_without_an_error_of_one_pair_is_refused():
    partial = without("two_qubit_parallel_sqrt_iswap_gate_xeb_pauli_error_per_cycle", QUBIT)
    with pytest.raises(ValueError, match=r"an error of two-qubit gates .* none of q\(3, 4\)-q\(4, 4\)"):
        hw.sampler("noisy", "weber", calibration=partial)


def test_rates_of_used_qubits_are_checked():
    rates = hw.error_rates(cirq_google.Calibration(metrics=dict(WEBER)))
    rates.check([QUBIT], [(QUBIT, cirq.GridQubit(4, 5))])
    far = cirq.GridQubit(99, 99)
    with pytest.raises(ValueError, match=r"have an error of one-qubit gates .* none of q\(99, 99\)"):
        rates.check([QUBIT, far])
    with pytest.raises(ValueError, match=r"have an error of two-qubit gates .* none of q\(4, 4\)-q\(99, 99\)"):
        rates.check([QUBIT], [(QUBIT, far)])


def test_t1_is_part_of_the_rates():
    rates = hw.error_rates(WEBER)
    assert rates.t1[QUBIT] == WEBER["single_qubit_idle_t1_micros"][(QUBIT,)][0]
    # a qubit that decays for t: 1 - (1 + sqrt(1 - t/T1))^2 / 4, to first order
    assert rates.decay(QUBIT, 0.1) == pytest.approx(1 - (1 + (1 - 0.1 / rates.t1[QUBIT]) ** 0.5) ** 2 / 4, rel=0.01)
    assert hw.error_rates(without("single_qubit_idle_t1_micros")).decay(QUBIT, 1.0) == 0


def test_what_is_known_is_used_without_being_asked_for(recwarn):
    shipped = hw.error_rates(WEBER)
    recwarn.clear()
    processor = hw.sampler("virtual", "weber").processor
    for found in (
        default_calibration("weber"),
        default_calibration(hw.load_device("weber")),
        default_calibration(processor=processor),
    ):
        assert found.two_qubit == shipped.two_qubit
        assert found.readout == shipped.readout
    assert not recwarn.list  # nobody asked
    processor.get_current_calibration = lambda: without("single_qubit_idle_t1_micros")
    assert default_calibration(processor=processor).t1 == {}
    assert default_calibration(cirq.UNCONSTRAINED_DEVICE) is None
    assert default_calibration() is None


def test_a_current_calibration_that_lacks_everything_is_left_with_a_warning():
    processor = hw.sampler("virtual", "weber").processor
    processor.get_current_calibration = cirq_google.Calibration
    with pytest.warns(UserWarning, match="calibration is not used: .* must have the metric"):
        assert default_calibration(processor=processor) is None


def test_a_run_warns_once_that_errors_of_cz_are_missing_where_they_make_its_noise():
    """Not where a place is chosen by them: there every pair has the same kind of error."""
    layer, x = small_layer(4), sequences(1, 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        qubits = hw.place_ring("weber", 4, WEBER)
        plan = hw.plan(layer, "weber", 1, qubits=qubits, calibration=WEBER)
        plan.cost(repetitions=10)
        plan.run(x, hw.sampler("virtual", "weber"), repetitions=10, progress=False)
        said = [str(warning.message) for warning in caught if "no error of the CZ gate" in str(warning.message)]
        assert not said
        sampler = hw.sampler("noisy", "weber", calibration=WEBER)
        for _ in range(2):
            hw.run(layer, x, sampler, repetitions=10, progress=False)
    (warning,) = (warning for warning in caught if "no error of the CZ gate" in str(warning.message))
    assert warning.filename == __file__
