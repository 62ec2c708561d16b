// The state, or state and adjoint state, of a block of W samples, and room for what is computed from them.
//
// An amplitude is a vector of W lanes, one lane per sample, so that every gate is vectorised whatever its qubit, with
// an angle of its own for each sample. The state is a matrix: the high bits of the index are the row, the low bits the
// column.
#ifndef TFQ_QRNN_BACKENDS_NATIVE_CIRCUIT_STATE_H_
#define TFQ_QRNN_BACKENDS_NATIVE_CIRCUIT_STATE_H_

#include <cstdint>

#include "arena.h"
#include "isa.h"
#include "kernels.h"
#include "lanes.h"
#include "program.h"

namespace tfq_qrnn {
namespace TFQ_QRNN_ISA {

template <class T, int W>
class CircuitState {
 public:
  typedef Lanes<T, W> L;
  typedef typename L::V V;
  typedef typename L::I I;

  CircuitState(const Program<T>& program, const Parallel* parallel, Arena* arena, bool backward, bool masked)
      : p_(program),
        parallel_(program.one_tile ? nullptr : parallel),
        n_(program.n_qubits),
        rows_(int64_t{1} << program.high_bits),
        columns_(int64_t{1} << program.low_bits),
        n_arrays_(backward ? 4 : 2) {
    const int64_t size = rows_ * p_.row_stride;
    // A few amplitudes more than needed: arrays a multiple of 4096 bytes apart would stall each other.
    for (int i = 0; i < n_arrays_; i++) state_[i] = arena->Take<V>(size + 3 + 2 * i);
    if (p_.has_permutation) {
      for (int i = 0; i < n_arrays_; i++) spare_[i] = arena->Take<V>(size + 3 + 2 * i);
    }
    if (masked) {
      for (int i = 0; i < n_arrays_; i++) saved_[i] = arena->Take<V>(size + 3 + 2 * i);
    }
    half_angles_ = arena->Take<V>(p_.rotations.size);
    const int64_t n_ry = p_.rotations.size + p_.constants.size;
    sine_ = arena->Take<V>(n_ry);
    cosine_ = arena->Take<V>(n_ry);
    general_ = arena->Take<V>(8 * p_.n_general);
    tables_ = arena->Take<V>(2 * (rows_ + columns_) * p_.diagonals.size);
    int64_t dimension = 0;
    for (const Dense<T>& dense : p_.denses) dimension = dense.dimension > dimension ? dense.dimension : dimension;
    dense_ = arena->Take<V>(2 * dimension);
    // Each thread has sums of its own, in the order in which they are allocated here.
    n_values_ = 3 * n_ + p_.strings.size;
    n_products_ = n_ry + 3 * p_.n_general + (rows_ + columns_) * p_.diagonals.size;
    n_sums_ = n_values_ + rows_ + columns_ + (backward ? n_products_ : 0);
    values_ = arena->Take<V>(n_sums_ * n_parts());
    if (values_ == nullptr) return;
    z_table_ = values_ + n_values_;
    products_ = z_table_ + rows_ + columns_;
    general_products_ = products_ + n_ry;
    sums_ = general_products_ + 3 * p_.n_general;
    for (int64_t k = 0; k < p_.constants.size; k++) {
      cosine_[p_.rotations.size + k] = L::Fill(p_.constants[k].cosine);
      sine_[p_.rotations.size + k] = L::Fill(p_.constants[k].sine);
    }
  }

  // Memories `(samples, 2 * 2^n)` into the lanes; lanes without a sample get zeros.
  void LoadState(const T* memory, int64_t samples) { Load(0, memory, samples); }
  void LoadAdjoint(const T* memory, int64_t samples) { Load(2, memory, samples); }
  void StoreState(T* memory, int64_t samples) const { Store(0, memory, samples); }
  void StoreAdjoint(T* memory, int64_t samples) const { Store(2, memory, samples); }

  void Save() {
    for (int a = 0; a < n_arrays_; a++) {
      ForPositions([&](int64_t i) INLINE_LAMBDA { saved_[a][i] = state_[a][i]; });
    }
  }
  // Put back what was saved where `valid` is 0.
  void Restore(I valid) {
    for (int a = 0; a < n_arrays_; a++) {
      ForPositions([&](int64_t i) INLINE_LAMBDA { state_[a][i] = valid ? state_[a][i] : saved_[a][i]; });
    }
  }

 protected:
  int64_t n_parts() const { return parallel_ == nullptr ? 1 : parallel_->parts; }

  // f(i, sums) for all i below `count`, shared out among the threads; `sums` is the offset to a thread's own sums.
  template <class F>
  INLINE void ForParts(int64_t count, F f) const {
    const int64_t parts = n_parts(), n_sums = n_sums_;
    const auto work = [=](int64_t part) INLINE_LAMBDA {
      for (int64_t i = count * part / parts; i < count * (part + 1) / parts; i++) f(i, part * n_sums);
    };
    if (parts == 1) return work(0);
    parallel_->run(parallel_->context, RunPart<decltype(work)>, const_cast<void*>(static_cast<const void*>(&work)));
  }

  template <class F>
  static void RunPart(void* work, int64_t part) {
    (*static_cast<const F*>(work))(part);
  }

  void ZeroSums(V* first, int64_t count) {
    for (int64_t part = 0; part < n_parts(); part++) {
      for (int64_t i = 0; i < count; i++) first[part * n_sums_ + i] = V{};
    }
  }

  void AddSums(V* first, int64_t count) {
    for (int64_t part = 1; part < n_parts(); part++) {
      for (int64_t i = 0; i < count; i++) first[i] += first[part * n_sums_ + i];
    }
  }

  INLINE int64_t PositionOf(int64_t i) const { return (i >> p_.low_bits) * p_.row_stride + (i & (columns_ - 1)); }

  template <class F>
  INLINE void ForPositions(F f) const {
    for (int64_t row = 0; row < rows_; row++) {
      const int64_t start = row * p_.row_stride;
      for (int64_t i = start; i < start + columns_; i++) f(i);
    }
  }

  void Load(int first, const T* memory, int64_t samples) {
    const int64_t size = rows_ * columns_;
    for (int part = 0; part < 2; part++) {
      for (int64_t k = 0; k < size; k++) {
        V amplitude = {};
        for (int64_t s = 0; s < samples; s++) amplitude[s] = memory[(2 * s + part) * size + k];
        state_[first + part][PositionOf(k)] = amplitude;
      }
    }
  }

  void Store(int first, T* memory, int64_t samples) const {
    const int64_t size = rows_ * columns_;
    for (int part = 0; part < 2; part++) {
      for (int64_t k = 0; k < size; k++) {
        const V amplitude = state_[first + part][PositionOf(k)];
        for (int64_t s = 0; s < samples; s++) memory[(2 * s + part) * size + k] = amplitude[s];
      }
    }
  }

  const Program<T>& p_;
  const Parallel* parallel_;
  const int n_;
  const int64_t rows_, columns_;
  const int n_arrays_;
  V *state_[4] = {}, *spare_[4] = {}, *saved_[4] = {};  // real and imaginary parts of psi, then of lambda
  V *half_angles_, *sine_, *cosine_;  // of the rotations, then of the constant RY
  V* general_;  // the 2x2 matrices of gates that are more than one RY
  V* tables_;   // of each diagonal, row phases and column phases: real parts, imaginary parts
  V* dense_;    // one product with a constant matrix
  int64_t n_values_, n_products_, n_sums_;
  V* values_;            // expectation values; backward, twice their gradients
  V* z_table_;           // sums of |psi|^2 by row and column; backward, the Z readouts' gradients by row and column
  V* products_;          // Im<lambda|P|psi> of each rotation; for a constant RY, room and no meaning
  V* general_products_;  // Im<lambda|sigma|psi>, sigma = X, Y, Z, of each general gate
  V* sums_;              // of each diagonal, Im(conj(lambda) psi) by row and column
};

}  // namespace TFQ_QRNN_ISA
}  // namespace tfq_qrnn

#endif  // TFQ_QRNN_BACKENDS_NATIVE_CIRCUIT_STATE_H_
