// What works on the whole state at once, and the small tables of a step: gates' matrices, phases, readouts' sums.
#ifndef TFQ_QRNN_BACKENDS_NATIVE_CIRCUIT_SWEEPS_H_
#define TFQ_QRNN_BACKENDS_NATIVE_CIRCUIT_SWEEPS_H_

#include <cstdint>

#include "circuit_state.h"
#include "circuit_tiles.h"
#include "isa.h"
#include "lanes.h"
#include "program.h"

namespace tfq_qrnn {
namespace TFQ_QRNN_ISA {

template <class T, int W>
class CircuitSweeps : public CircuitTiles<T, W> {
 public:
  using CircuitTiles<T, W>::CircuitTiles;

 protected:
  typedef CircuitState<T, W> S;
  typedef typename S::L L;
  typedef typename S::V V;
  using S::columns_, S::cosine_, S::dense_, S::general_, S::general_products_, S::n_, S::n_arrays_, S::p_,
      S::products_, S::rows_, S::sine_, S::spare_, S::state_, S::tables_, S::values_, S::z_table_, S::PositionOf;

  // The product of a gate's factors as a 2x2 matrix.
  void MultiplyFactors(const LocalGate& gate) {
    V u[8] = {};
    u[0] = u[6] = L::Fill(1);
    for (int f = 0; f < gate.n_factors; f++) {
      const LocalFactor<T>& factor = p_.factors[gate.first_factor + f];
      V g[8] = {};
      if (factor.axis == 3) {
        for (int i = 0; i < 8; i++) g[i] = L::Fill(factor.matrix[i]);
      } else {
        const V c = cosine_[factor.rotation], s = sine_[factor.rotation];
        g[0] = g[6] = c;
        if (factor.axis == 0) g[3] = g[5] = -s;
        if (factor.axis == 1) g[2] = -s, g[4] = s;
        if (factor.axis == 2) g[1] = -s, g[7] = s;
      }
      V product[8];
      for (int row = 0; row < 2; row++) {
        for (int column = 0; column < 2; column++) {
          const V *a = g + 4 * row, *b = u + 2 * column;
          product[4 * row + 2 * column] = a[0] * b[0] - a[1] * b[1] + a[2] * b[4] - a[3] * b[5];
          product[4 * row + 2 * column + 1] = a[0] * b[1] + a[1] * b[0] + a[2] * b[5] + a[3] * b[4];
        }
      }
      for (int i = 0; i < 8; i++) u[i] = product[i];
    }
    for (int i = 0; i < 8; i++) general_[8 * gate.general + i] = u[i];
  }

  // Walk back through a gate's factors with the vector Im<lambda|sigma|psi>: each rotation reads its axis.
  void DifferentiateFactors(const LocalGate& gate) {
    V v[3];
    for (int i = 0; i < 3; i++) v[i] = general_products_[3 * gate.general + i];
    for (int f = gate.n_factors - 1; f >= 0; f--) {
      const LocalFactor<T>& factor = p_.factors[gate.first_factor + f];
      if (factor.axis == 3) {
        const T* r = factor.bloch;
        const V x = v[0], y = v[1], z = v[2];
        for (int j = 0; j < 3; j++) v[j] = r[j] * x + r[3 + j] * y + r[6 + j] * z;
      } else {
        const V c = cosine_[factor.rotation], s = sine_[factor.rotation];
        const V full_c = c * c - s * s, full_s = T(2) * c * s;
        const int b = (factor.axis + 1) % 3, d = (factor.axis + 2) % 3;
        products_[factor.rotation] = v[factor.axis];
        const V turned = full_c * v[b] + full_s * v[d];
        v[d] = full_c * v[d] - full_s * v[b];
        v[b] = turned;
      }
    }
  }

  // Phases of the one-qubit Z rotations of diagonal `d`, as a product over the row's bits and one over the column's.
  void FillPhaseTables(int64_t d) {
    const Diagonal<T>& diagonal = p_.diagonals[d];
    if (diagonal.local.size == 0) return;
    V* rr = tables_ + 2 * d * (rows_ + columns_);
    V *ri = rr + rows_, *cr = ri + rows_, *ci = cr + columns_;
    rr[0] = cr[0] = L::Fill(1);
    ri[0] = ci[0] = V{};
    for (int bit = 0; bit < n_; bit++) {
      const bool low = bit < p_.low_bits;
      V *re = low ? cr : rr, *im = low ? ci : ri;
      const int64_t half = int64_t{1} << (low ? bit : bit - p_.low_bits);
      V c = L::Fill(1), s = {};
      for (const ZRotation& rotation : diagonal.local) {
        if (rotation.qubit != n_ - 1 - bit) continue;
        const V rc = cosine_[rotation.rotation], rs = sine_[rotation.rotation];
        const V product = c * rc - s * rs;
        s = c * rs + s * rc;
        c = product;
      }
      for (int64_t i = 0; i < half; i++) {
        const V x = re[i], y = im[i];
        re[half + i] = x * c - y * s;
        im[half + i] = x * s + y * c;
        re[i] = x * c + y * s;
        im[i] = y * c - x * s;
      }
    }
  }

  // From sums by row and by column to each qubit's sum with the sign of its Z: f(qubit, sum). The sums are used up.
  template <class F>
  void FoldZ(V* sums, F f) const {
    for (int bit = n_ - 1; bit >= 0; bit--) {
      const bool low = bit < p_.low_bits;
      V* part = low ? sums + rows_ : sums;
      const int64_t half = int64_t{1} << (low ? bit : bit - p_.low_bits);
      V z = {};
      for (int64_t i = 0; i < half; i++) {
        z += part[i] - part[half + i];
        part[i] += part[half + i];
      }
      f(n_ - 1 - bit, z);
    }
  }

  // The Z readouts' gradients, summed with the signs of a row's bits and with those of a column's.
  void FillZTable() {
    V *rows = z_table_, *columns = z_table_ + rows_;
    rows[0] = columns[0] = V{};
    for (int bit = 0; bit < n_; bit++) {
      const bool low = bit < p_.low_bits;
      V* table = low ? columns : rows;
      const int64_t half = int64_t{1} << (low ? bit : bit - p_.low_bits);
      const V z = values_[3 * (n_ - 1 - bit) + 2];
      for (int64_t i = 0; i < half; i++) {
        table[half + i] = table[i] - z;
        table[i] += z;
      }
    }
  }

  void Permute(const Permutation& permutation, int n_arrays) {
    for (int a = 0; a < n_arrays; a++) {
      const V* from = state_[a];
      V* to = spare_[a];
      for (int64_t i = 0; i < rows_ * columns_; i++) to[PositionOf(i)] = from[PositionOf(permutation.index[i])];
      spare_[a] = state_[a];
      state_[a] = to;
    }
  }

  void UndoPermute(const Permutation& permutation) {
    for (int a = 0; a < n_arrays_; a++) {
      const V* from = state_[a];
      V* to = spare_[a];
      for (int64_t i = 0; i < rows_ * columns_; i++) to[PositionOf(permutation.index[i])] = from[PositionOf(i)];
      spare_[a] = state_[a];
      state_[a] = to;
    }
  }

  // Multiply by a constant matrix, or by its adjoint.
  void MultiplyDense(const Dense<T>& dense, int n_arrays, bool adjoint) {
    const int64_t dimension = dense.dimension;
    for (int a = 0; a < n_arrays; a += 2) {
      V *re = state_[a], *im = state_[a + 1];
      // Counts through the bits that the mask leaves free.
      for (int64_t free = 0; free < rows_ * columns_; free = ((free | dense.mask) + 1) & ~dense.mask) {
        const int64_t rest = PositionOf(free);
        for (int64_t row = 0; row < dimension; row++) {
          V sum_re = {}, sum_im = {};
          for (int64_t column = 0; column < dimension; column++) {
            const int64_t entry = adjoint ? column * dimension + row : row * dimension + column;
            const T mr = dense.re[entry], mi = adjoint ? -dense.im[entry] : dense.im[entry];
            const int64_t i = rest + dense.offsets[column];
            sum_re += mr * re[i] - mi * im[i];
            sum_im += mr * im[i] + mi * re[i];
          }
          dense_[2 * row] = sum_re;
          dense_[2 * row + 1] = sum_im;
        }
        for (int64_t row = 0; row < dimension; row++) {
          re[rest + dense.offsets[row]] = dense_[2 * row];
          im[rest + dense.offsets[row]] = dense_[2 * row + 1];
        }
      }
    }
  }

  // Pairs of amplitudes that a string with an X or a Y exchanges: f(i, j, phase_re, phase_im), where the string takes
  // the amplitude at j, times the phase, to i, and the one at i, times the conjugate, to j. Without X and Y, i = j.
  template <class F>
  INLINE void ForStringPairs(const PauliString& pauli, F f) const {
    const T re = pauli.n_y % 2 ? T(0) : pauli.n_y % 4 ? T(-1) : T(1);
    const T im = pauli.n_y % 2 == 0 ? T(0) : pauli.n_y % 4 == 1 ? T(-1) : T(1);
    const int64_t top = pauli.flips == 0 ? 0 : int64_t{1} << (63 - __builtin_clzll(pauli.flips));
    for (int64_t i = 0; i < rows_ * columns_; i++) {
      if (i & top) continue;
      const T sign = __builtin_parityll(i & pauli.signs) ? T(-1) : T(1);
      f(PositionOf(i), PositionOf(i ^ pauli.flips), sign * re, sign * im);
    }
  }

  // exp(-i a/2 P) on one state: x_i -> c x_i - i s phase x_j, x_j -> c x_j - i s conj(phase) x_i.
  INLINE void RotateString(const PauliString& pauli, V* re, V* im, V c, V s) {
    ForStringPairs(pauli, [=](int64_t i, int64_t j, T pr, T pi) INLINE_LAMBDA {
      const V xr = re[i], xi = im[i], yr = re[j], yi = im[j], sr = s * pr, si = s * pi;
      re[i] = c * xr + sr * yi + si * yr;
      im[i] = c * xi - sr * yr + si * yi;
      re[j] = c * yr + sr * xi - si * xr;
      im[j] = c * yi - sr * xr - si * xi;
    });
  }

  void RotatePauli(const PauliRotation& rotation) {
    RotateString(rotation.pauli, state_[0], state_[1], cosine_[rotation.rotation], sine_[rotation.rotation]);
  }

  void UndoPauli(const PauliRotation& rotation) {
    const V c = cosine_[rotation.rotation], s = -sine_[rotation.rotation];
    products_[rotation.rotation] = Inner<true>(rotation.pauli);
    RotateString(rotation.pauli, state_[0], state_[1], c, s);
    RotateString(rotation.pauli, state_[2], state_[3], c, s);
  }

  // <psi|P|psi>, or Im<lambda|P|psi>.
  template <bool kAdjoint>
  V Inner(const PauliString& pauli) const {
    const V *re = state_[0], *im = state_[1], *lr = state_[kAdjoint ? 2 : 0], *li = state_[kAdjoint ? 3 : 1];
    V sum = {};
    ForStringPairs(pauli, [&](int64_t i, int64_t j, T pr, T pi) INLINE_LAMBDA {
      const V yr = pr * re[j] - pi * im[j], yi = pr * im[j] + pi * re[j];
      const V first = kAdjoint ? lr[i] * yi - li[i] * yr : lr[i] * yr + li[i] * yi;
      sum += first;
      if (i == j) return;
      const V xr = pr * re[i] + pi * im[i], xi = pr * im[i] - pi * re[i];
      sum += kAdjoint ? lr[j] * xi - li[j] * xr : lr[j] * xr + li[j] * xi;
    });
    return sum;
  }

  // lambda += g P psi
  void InjectString(const PauliString& pauli, V g) {
    const V *re = state_[0], *im = state_[1];
    V *lr = state_[2], *li = state_[3];
    ForStringPairs(pauli, [&](int64_t i, int64_t j, T pr, T pi) INLINE_LAMBDA {
      lr[i] += g * (pr * re[j] - pi * im[j]);
      li[i] += g * (pr * im[j] + pi * re[j]);
      if (i == j) return;
      lr[j] += g * (pr * re[i] + pi * im[i]);
      li[j] += g * (pr * im[i] - pi * re[i]);
    });
  }
};

}  // namespace TFQ_QRNN_ISA
}  // namespace tfq_qrnn

#endif  // TFQ_QRNN_BACKENDS_NATIVE_CIRCUIT_SWEEPS_H_
