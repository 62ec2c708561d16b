// The circuit on a block of W samples, forward and backward.
//
// Cost. The encoder splits what acts on a qubit into Z rotations and a core, and the core of RY is real: 4 operations
// per amplitude for RY instead of 8 for a general gate, two qubits per pass through the registers. All Z rotations and
// constant phases of a layer (CZ) are one product with row_phase[row] * column_phase[column] * phase[index]. A constant
// gate costs what it does to the states, and nothing for a gradient.
//
// Gradient. The adjoint method: with the adjoint state lambda, the derivative in the angle of exp(-i a/2 P) is
// Im<lambda|P|psi>/2, taken next to the gate. For several gates on one qubit the three numbers Im<lambda|sigma|psi> are
// summed once, and turned from gate to gate as a Bloch vector. For Z rotations Im(conj(lambda) psi) is summed by row
// and by column; all qubits' numbers follow from these sums.
#ifndef TFQ_QRNN_BACKENDS_NATIVE_CIRCUIT_H_
#define TFQ_QRNN_BACKENDS_NATIVE_CIRCUIT_H_

#include <cstdint>

#include "circuit_state.h"
#include "circuit_sweeps.h"
#include "circuit_tiles.h"
#include "isa.h"
#include "lanes.h"
#include "program.h"

namespace tfq_qrnn {
namespace TFQ_QRNN_ISA {

template <class T, int W>
class Circuit : public CircuitSweeps<T, W> {
  typedef CircuitSweeps<T, W> S;
  typedef typename S::L L;
  typedef typename S::V V;
  using S::columns_, S::cosine_, S::half_angles_, S::n_, S::n_products_, S::n_values_, S::p_, S::products_, S::rows_,
      S::sine_, S::state_, S::sums_, S::values_, S::z_table_, S::AddSums, S::ZeroSums, S::ForTiles, S::ApplyTile, S::UndoTile,
      S::MultiplyFactors, S::DifferentiateFactors, S::FillPhaseTables, S::FoldZ, S::FillZTable, S::Permute,
      S::UndoPermute, S::MultiplyDense, S::RotatePauli, S::UndoPauli, S::InjectString, S::PositionOf;

 public:
  using CircuitSweeps<T, W>::CircuitSweeps;

  void SetAngles(const V* angles) {
    for (int64_t r = 0; r < p_.rotations.size; r++) {
      const Rotation<T>& rotation = p_.rotations[r];
      half_angles_[r] = (rotation.scale * angles[rotation.angle] + rotation.offset) * T(0.5);
    }
    L::SinCos(half_angles_, sine_, cosine_, p_.rotations.size);
    for (const LocalGate& gate : p_.gates) {
      if (gate.general >= 0) MultiplyFactors(gate);
    }
    for (int64_t d = 0; d < p_.diagonals.size; d++) FillPhaseTables(d);
  }

  // Apply the circuit; `readouts` gets the expectation values.
  void Forward(V* readouts) {
    ZeroSums(values_, n_values_ + rows_ + columns_);
    for (const Sweep& sweep : p_.sweeps) {
      switch (sweep.kind) {
        case SweepKind::kPermute: Permute(p_.permutations[sweep.first], 2); break;
        case SweepKind::kDense: MultiplyDense(p_.denses[sweep.first], 2, false); break;
        case SweepKind::kPauli: RotatePauli(p_.paulis[sweep.first]); break;
        default: ForTiles(sweep.kind, [&](const Tile& tile) INLINE_LAMBDA { ApplyTile(tile, sweep); });
      }
    }
    if (p_.readout_kind != ReadoutKind::kPaulis) return ReadState(readouts);
    AddSums(values_, n_values_ + rows_ + columns_);
    FoldZ(z_table_, [&](int q, V z) INLINE_LAMBDA { values_[3 * q + 2] = z; });
    for (int64_t s = 0; s < p_.strings.size; s++) values_[3 * n_ + s] = this->template Inner<false>(p_.strings[s]);
    for (int k = 0; k < p_.n_observables; k++) readouts[k] = V{};
    for (const ReadoutTerm<T>& term : p_.terms) readouts[term.observable] += term.coefficient * values_[term.value];
  }

  // Undo the circuit on the state and on the adjoint state, once the readouts' gradients are added to the latter.
  // `angles_gradient` gets the gradients in the angles that SetAngles was given.
  void Backward(const V* readouts_gradient, V* angles_gradient) {
    for (int64_t i = 0; i < n_values_; i++) values_[i] = V{};
    for (const ReadoutTerm<T>& term : p_.terms) {
      values_[term.value] += (T(2) * term.coefficient) * readouts_gradient[term.observable];
    }
    FillZTable();
    if (p_.readout_kind != ReadoutKind::kPaulis) InjectState(readouts_gradient);
    ZeroSums(products_, n_products_);
    for (int64_t s = 0; s < p_.strings.size; s++) InjectString(p_.strings[s], values_[3 * n_ + s]);
    for (int64_t s = p_.sweeps.size - 1; s >= 0; s--) {
      const Sweep& sweep = p_.sweeps[s];
      switch (sweep.kind) {
        case SweepKind::kPermute: UndoPermute(p_.permutations[sweep.first]); break;
        case SweepKind::kDense: MultiplyDense(p_.denses[sweep.first], 4, true); break;
        case SweepKind::kPauli: UndoPauli(p_.paulis[sweep.first]); break;
        default: ForTiles(sweep.kind, [&](const Tile& tile) INLINE_LAMBDA { UndoTile(tile, sweep); });
      }
    }
    AddSums(products_, n_products_);
    for (int64_t d = 0; d < p_.diagonals.size; d++) {
      if (p_.diagonals[d].local.size == 0) continue;
      FoldZ(sums_ + d * (rows_ + columns_), [&](int q, V z) INLINE_LAMBDA {
        for (const ZRotation& rotation : p_.diagonals[d].local) {
          if (rotation.qubit == q) products_[rotation.rotation] = z;
        }
      });
    }
    for (const LocalGate& gate : p_.gates) {
      if (gate.general >= 0) DifferentiateFactors(gate);
    }
    for (int k = 0; k < p_.n_angles; k++) angles_gradient[k] = V{};
    for (int64_t r = 0; r < p_.rotations.size; r++) {
      angles_gradient[p_.rotations[r].angle] += (T(0.5) * p_.rotations[r].scale) * products_[r];
    }
  }

 private:
  // Probabilities, or real parts and then imaginary parts, in the order of the memory.
  void ReadState(V* readouts) const {
    const int64_t size = rows_ * columns_;
    for (int64_t i = 0; i < size; i++) {
      const V re = state_[0][PositionOf(i)], im = state_[1][PositionOf(i)];
      if (p_.readout_kind == ReadoutKind::kProbabilities) {
        readouts[i] = re * re + im * im;
      } else {
        readouts[i] = re, readouts[size + i] = im;
      }
    }
  }

  // Adds the gradients of what ReadState read to the adjoint state.
  void InjectState(const V* gradient) {
    const int64_t size = rows_ * columns_;
    for (int64_t i = 0; i < size; i++) {
      const int64_t at = PositionOf(i);
      if (p_.readout_kind == ReadoutKind::kProbabilities) {
        state_[2][at] += T(2) * gradient[i] * state_[0][at];
        state_[3][at] += T(2) * gradient[i] * state_[1][at];
      } else {
        state_[2][at] += gradient[i];
        state_[3][at] += gradient[size + i];
      }
    }
  }
};

}  // namespace TFQ_QRNN_ISA
}  // namespace tfq_qrnn

#endif  // TFQ_QRNN_BACKENDS_NATIVE_CIRCUIT_H_
