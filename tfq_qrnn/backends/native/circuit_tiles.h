// What works on one tile of the state: gates, phases, readouts, and all of it backward.
//
// A sweep visits the state tile by tile, rows or groups of columns, and runs on each tile, while it is in the first
// level of the cache, all gates on the bits that lie inside the tile. A layer of gates on all qubits is two half
// sweeps, shared with its neighbours, for any number of qubits.
#ifndef TFQ_QRNN_BACKENDS_NATIVE_CIRCUIT_TILES_H_
#define TFQ_QRNN_BACKENDS_NATIVE_CIRCUIT_TILES_H_

#include <cstddef>
#include <cstdint>

#include "circuit_state.h"
#include "isa.h"
#include "lanes.h"
#include "program.h"

namespace tfq_qrnn {
namespace TFQ_QRNN_ISA {

// Bytes of a row in a tile of columns: two cache lines, which processors fetch together. Measured: one line is 5 %
// slower at 14 qubits, four are no faster.
constexpr size_t kHighTileBytes = 128;

struct Tile {
  int64_t offset, stride;  // of the 2^bits amplitudes on which gates act
  int bits, columns;       // `columns` of these lie side by side
  int first_bit;           // of the index
  int64_t sums;            // offset to the sums of the thread that has this tile
  int64_t row_begin, row_end, column_begin, column_end;
};

template <class F>
static INLINE void ForPairs(const Tile& tile, int bit, F f) {
  const int64_t half = int64_t{1} << bit, rows = int64_t{1} << tile.bits, distance = tile.stride << bit;
  for (int64_t block = 0; block < rows; block += 2 * half) {
    for (int64_t row = block; row < block + half; row++) {
      const int64_t i = tile.offset + row * tile.stride;
      for (int c = 0; c < tile.columns; c++) f(i + c, i + c + distance);
    }
  }
}

// Indices of the four amplitudes that differ in two bits, `high` > `low`: 00, 01, 10, 11.
template <class F>
static INLINE void ForQuads(const Tile& tile, int high, int low, F f) {
  const int64_t rows = int64_t{1} << tile.bits, h = int64_t{1} << high, l = int64_t{1} << low;
  const int64_t to_high = tile.stride << high, to_low = tile.stride << low;
  for (int64_t outer = 0; outer < rows; outer += 2 * h) {
    for (int64_t block = outer; block < outer + h; block += 2 * l) {
      for (int64_t row = block; row < block + l; row++) {
        const int64_t start = tile.offset + row * tile.stride;
        for (int c = 0; c < tile.columns; c++) {
          const int64_t i = start + c;
          f(i, i + to_low, i + to_high, i + to_high + to_low);
        }
      }
    }
  }
}

template <class T, int W>
class CircuitTiles : public CircuitState<T, W> {
 public:
  using CircuitState<T, W>::CircuitState;

 protected:
  typedef CircuitState<T, W> S;
  typedef typename S::L L;
  typedef typename S::V V;
  using S::columns_, S::cosine_, S::general_, S::general_products_, S::n_, S::p_, S::products_, S::rows_, S::sine_,
      S::state_, S::sums_, S::tables_, S::values_, S::z_table_, S::ForParts;

  template <class F>
  INLINE void ForTiles(SweepKind kind, F f) const {
    constexpr int kWidth = kHighTileBytes > sizeof(V) ? kHighTileBytes / sizeof(V) : 1;
    if (kind == SweepKind::kAll) {
      f(Tile{0, 1, n_, 1, 0, 0, 0, rows_, 0, columns_});
    } else if (kind == SweepKind::kLow) {
      ForParts(rows_, [&](int64_t row, int64_t sums) INLINE_LAMBDA {
        f(Tile{row * p_.row_stride, 1, p_.low_bits, 1, 0, sums, row, row + 1, 0, columns_});
      });
    } else {
      ForParts(columns_ / kWidth, [&](int64_t group, int64_t sums) INLINE_LAMBDA {
        const int64_t column = group * kWidth;
        f(Tile{column, p_.row_stride, p_.high_bits, kWidth, p_.low_bits, sums, 0, rows_, column, column + kWidth});
      });
    }
  }

  // All amplitudes of a tile: f(position, row, column).
  template <class F>
  INLINE void ForAmplitudes(const Tile& tile, F f) const {
    for (int64_t row = tile.row_begin; row < tile.row_end; row++) {
      const int64_t start = row * p_.row_stride;
      for (int64_t column = tile.column_begin; column < tile.column_end; column++) f(start + column, row, column);
    }
  }

  void ApplyTile(const Tile& tile, const Sweep& sweep) {
    for (int k = 0; k < sweep.count; k++) {
      const TileOp& op = p_.tile_ops[sweep.first + k];
      switch (op.kind) {
        case TileOpKind::kLocal: ApplyLocal(tile, op); break;
        case TileOpKind::kDiagonal: ApplyDiagonal(tile, op.first); break;
        case TileOpKind::kReadXY: ReadXY(tile); break;
        case TileOpKind::kReadZ: ReadZ(tile); break;
      }
    }
  }

  void UndoTile(const Tile& tile, const Sweep& sweep) {
    for (int k = sweep.count - 1; k >= 0; k--) {
      const TileOp& op = p_.tile_ops[sweep.first + k];
      switch (op.kind) {
        case TileOpKind::kLocal: UndoLocal(tile, op); break;
        case TileOpKind::kDiagonal: UndoDiagonal(tile, op.first); break;
        case TileOpKind::kReadXY: InjectXY(tile); break;
        case TileOpKind::kReadZ: InjectZ(tile); break;
      }
    }
  }

  INLINE int BitOf(const Tile& tile, int qubit) const { return n_ - 1 - qubit - tile.first_bit; }

  static INLINE void Rotate(V* x, V* y, V c, V s) {
    const V turned = c * *x - s * *y;
    *y = s * *x + c * *y;
    *x = turned;
  }

  void ApplyLocal(const Tile& tile, const TileOp& op) {
    const LocalGate* gates = p_.gates.data + op.first;
    for (int k = 0; k < op.count; k++) {
      if (gates[k].general >= 0) {
        ApplyGeneral(tile, gates[k]);
      } else if (k + 1 < op.count && gates[k + 1].general < 0) {
        ApplyRyPair<2>(tile, gates[k], gates[k + 1], 1);
        k++;
      } else {
        ApplyRy<2>(tile, gates[k], 1);
      }
    }
  }

  INLINE int RotationOf(const LocalGate& gate) const { return p_.factors[gate.first_factor].rotation; }

  // On the state; backward, on both states, where `sign` is -1.
  template <int kArrays>
  void ApplyRy(const Tile& tile, const LocalGate& gate, T sign) {
    const V c = cosine_[RotationOf(gate)], s = sign * sine_[RotationOf(gate)];
    V* const parts[4] = {state_[0], state_[1], state_[2], state_[3]};
    ForPairs(tile, BitOf(tile, gate.qubit), [=](int64_t i, int64_t j) INLINE_LAMBDA {
      for (int a = 0; a < kArrays; a++) Rotate(&parts[a][i], &parts[a][j], c, s);
    });
  }

  template <int kArrays>
  void ApplyRyPair(const Tile& tile, const LocalGate& high, const LocalGate& low, T sign) {
    const V c1 = cosine_[RotationOf(high)], s1 = sign * sine_[RotationOf(high)];
    const V c2 = cosine_[RotationOf(low)], s2 = sign * sine_[RotationOf(low)];
    V* const parts[4] = {state_[0], state_[1], state_[2], state_[3]};
    ForQuads(tile, BitOf(tile, high.qubit), BitOf(tile, low.qubit),
             [=](int64_t i, int64_t j, int64_t k, int64_t l) INLINE_LAMBDA {
               for (int p = 0; p < kArrays; p++) {
                 V* part = parts[p];
                 V a = part[i], b = part[j], c = part[k], d = part[l];
                 Rotate(&a, &b, c2, s2);
                 Rotate(&c, &d, c2, s2);
                 Rotate(&a, &c, c1, s1);
                 Rotate(&b, &d, c1, s1);
                 part[i] = a, part[j] = b, part[k] = c, part[l] = d;
               }
             });
  }

  void ApplyGeneral(const Tile& tile, const LocalGate& gate) {
    V *re = state_[0], *im = state_[1];
    const V* u = general_ + 8 * gate.general;
    const V ar = u[0], ai = u[1], br = u[2], bi = u[3], cr = u[4], ci = u[5], dr = u[6], di = u[7];
    ForPairs(tile, BitOf(tile, gate.qubit), [=](int64_t i, int64_t j) INLINE_LAMBDA {
      const V xr = re[i], xi = im[i], yr = re[j], yi = im[j];
      re[i] = ar * xr - ai * xi + br * yr - bi * yi;
      im[i] = ar * xi + ai * xr + br * yi + bi * yr;
      re[j] = cr * xr - ci * xi + dr * yr - di * yi;
      im[j] = cr * xi + ci * xr + dr * yi + di * yr;
    });
  }

  void UndoLocal(const Tile& tile, const TileOp& op) {
    const LocalGate* gates = p_.gates.data + op.first;
    for (int k = 0; k < op.count; k++) {
      if (gates[k].general >= 0) {
        UndoGeneral(tile, gates[k]);
      } else if (k + 1 < op.count && gates[k + 1].general < 0) {
        if (gates[k].constant && gates[k + 1].constant) {  // without a gradient
          ApplyRyPair<4>(tile, gates[k], gates[k + 1], -1);
        } else {
          UndoRyPair(tile, gates[k], gates[k + 1]);
        }
        k++;
      } else if (gates[k].constant) {
        ApplyRy<4>(tile, gates[k], -1);
      } else {
        UndoRy(tile, gates[k]);
      }
    }
  }

  void UndoRy(const Tile& tile, const LocalGate& gate) {
    V *re = state_[0], *im = state_[1], *lr = state_[2], *li = state_[3];
    const V c = cosine_[RotationOf(gate)], s = -sine_[RotationOf(gate)];
    V plus = {}, minus = {};
    ForPairs(tile, BitOf(tile, gate.qubit), [&](int64_t i, int64_t j) INLINE_LAMBDA {
      V xr = re[i], xi = im[i], yr = re[j], yi = im[j], ur = lr[i], ui = li[i], wr = lr[j], wi = li[j];
      plus += wr * xr + wi * xi;
      minus += ur * yr + ui * yi;
      Rotate(&xr, &yr, c, s);
      Rotate(&xi, &yi, c, s);
      Rotate(&ur, &wr, c, s);
      Rotate(&ui, &wi, c, s);
      re[i] = xr, im[i] = xi, re[j] = yr, im[j] = yi, lr[i] = ur, li[i] = ui, lr[j] = wr, li[j] = wi;
    });
    products_[tile.sums + RotationOf(gate)] += plus - minus;
  }

  void UndoRyPair(const Tile& tile, const LocalGate& high, const LocalGate& low) {
    const V c1 = cosine_[RotationOf(high)], s1 = -sine_[RotationOf(high)];
    const V c2 = cosine_[RotationOf(low)], s2 = -sine_[RotationOf(low)];
    V plus1 = {}, minus1 = {}, plus2 = {}, minus2 = {};
    // Real and imaginary parts never meet, in RY nor in Re<lambda|psi>.
    V *re = state_[0], *im = state_[1], *lr = state_[2], *li = state_[3];
    const auto part = [&](V* x, V* y, int64_t i, int64_t j, int64_t k, int64_t l) INLINE_LAMBDA {
      V a = x[i], b = x[j], c = x[k], d = x[l], e = y[i], f = y[j], g = y[k], h = y[l];
      plus2 += f * a + h * c;
      minus2 += e * b + g * d;
      Rotate(&a, &b, c2, s2);
      Rotate(&c, &d, c2, s2);
      Rotate(&e, &f, c2, s2);
      Rotate(&g, &h, c2, s2);
      plus1 += g * a + h * b;
      minus1 += e * c + f * d;
      Rotate(&a, &c, c1, s1);
      Rotate(&b, &d, c1, s1);
      Rotate(&e, &g, c1, s1);
      Rotate(&f, &h, c1, s1);
      x[i] = a, x[j] = b, x[k] = c, x[l] = d, y[i] = e, y[j] = f, y[k] = g, y[l] = h;
    };
    ForQuads(tile, BitOf(tile, high.qubit), BitOf(tile, low.qubit),
             [&](int64_t i, int64_t j, int64_t k, int64_t l) INLINE_LAMBDA {
               part(re, lr, i, j, k, l);
               part(im, li, i, j, k, l);
             });
    products_[tile.sums + RotationOf(high)] += plus1 - minus1;
    products_[tile.sums + RotationOf(low)] += plus2 - minus2;
  }

  void UndoGeneral(const Tile& tile, const LocalGate& gate) {
    V *re = state_[0], *im = state_[1], *lr = state_[2], *li = state_[3];
    const V* u = general_ + 8 * gate.general;
    const V ar = u[0], ai = -u[1], br = u[4], bi = -u[5], cr = u[2], ci = -u[3], dr = u[6], di = -u[7];
    V x_sum = {}, y_sum = {}, z_sum = {};
    ForPairs(tile, BitOf(tile, gate.qubit), [&](int64_t i, int64_t j) INLINE_LAMBDA {
      const V xr = re[i], xi = im[i], yr = re[j], yi = im[j], ur = lr[i], ui = li[i], wr = lr[j], wi = li[j];
      x_sum += ur * yi - ui * yr + wr * xi - wi * xr;
      y_sum += wr * xr + wi * xi - ur * yr - ui * yi;
      z_sum += ur * xi - ui * xr - wr * yi + wi * yr;
      re[i] = ar * xr - ai * xi + br * yr - bi * yi;
      im[i] = ar * xi + ai * xr + br * yi + bi * yr;
      re[j] = cr * xr - ci * xi + dr * yr - di * yi;
      im[j] = cr * xi + ci * xr + dr * yi + di * yr;
      lr[i] = ar * ur - ai * ui + br * wr - bi * wi;
      li[i] = ar * ui + ai * ur + br * wi + bi * wr;
      lr[j] = cr * ur - ci * ui + dr * wr - di * wi;
      li[j] = cr * ui + ci * ur + dr * wi + di * wr;
    });
    V* product = general_products_ + tile.sums + 3 * gate.general;
    product[0] += x_sum;
    product[1] += y_sum;
    product[2] += z_sum;
  }

  // Multiply amplitudes by their phases, or by the conjugates: f(position, row, column, phase_re, phase_im).
  template <bool kLocal, Phase kPhase, class F>
  INLINE void ForPhases(const Tile& tile, int64_t d, F f) const {
    const Diagonal<T>& diagonal = p_.diagonals[d];
    const V* rr = tables_ + 2 * d * (rows_ + columns_);
    const V *ri = rr + rows_, *cr = ri + rows_, *ci = cr + columns_;
    for (int64_t row = tile.row_begin; row < tile.row_end; row++) {
      V row_re = L::Fill(1), row_im = {};
      if (kLocal) row_re = rr[row], row_im = ri[row];
      const int64_t start = row * p_.row_stride;
      const T* phase_re = kPhase == Phase::kNone ? nullptr : diagonal.phase_re.data + row * columns_;
      const T* phase_im = kPhase == Phase::kComplex ? diagonal.phase_im.data + row * columns_ : nullptr;
      for (int64_t column = tile.column_begin; column < tile.column_end; column++) {
        V re = row_re, im = row_im;
        if (kLocal) {
          re = row_re * cr[column] - row_im * ci[column];
          im = row_re * ci[column] + row_im * cr[column];
        }
        if (kPhase == Phase::kSigns) {
          re *= phase_re[column];
          im *= phase_re[column];
        } else if (kPhase == Phase::kComplex) {
          const V product = re * phase_re[column] - im * phase_im[column];
          im = re * phase_im[column] + im * phase_re[column];
          re = product;
        }
        f(start + column, row, column, re, im);
      }
    }
  }

  template <class F>
  INLINE void SwitchPhase(const Tile& tile, int64_t d, F f) const {
    const Diagonal<T>& diagonal = p_.diagonals[d];
    if (diagonal.local.size > 0) {
      switch (diagonal.phase) {
        case Phase::kNone: return ForPhases<true, Phase::kNone>(tile, d, f);
        case Phase::kSigns: return ForPhases<true, Phase::kSigns>(tile, d, f);
        case Phase::kComplex: return ForPhases<true, Phase::kComplex>(tile, d, f);
      }
    } else {
      switch (diagonal.phase) {
        case Phase::kNone: return;
        case Phase::kSigns: return ForPhases<false, Phase::kSigns>(tile, d, f);
        case Phase::kComplex: return ForPhases<false, Phase::kComplex>(tile, d, f);
      }
    }
  }

  void ApplyDiagonal(const Tile& tile, int64_t d) {
    V *re = state_[0], *im = state_[1];
    SwitchPhase(tile, d, [=](int64_t i, int64_t, int64_t, V pr, V pi) INLINE_LAMBDA {
      const V x = re[i];
      re[i] = x * pr - im[i] * pi;
      im[i] = x * pi + im[i] * pr;
    });
    for (const ZRotation& rotation : p_.diagonals[d].strings) {
      const V c = cosine_[rotation.rotation], s = sine_[rotation.rotation];
      ForAmplitudes(tile, [&](int64_t i, int64_t row, int64_t column) INLINE_LAMBDA {
        const V pi = SignOf(rotation.mask, row, column) * -s, x = re[i];
        re[i] = x * c - im[i] * pi;
        im[i] = x * pi + im[i] * c;
      });
    }
  }

  // The sign of a Z string: +1 or -1.
  INLINE T SignOf(int64_t mask, int64_t row, int64_t column) const {
    return __builtin_parityll(mask & (row << p_.low_bits | column)) ? T(-1) : T(1);
  }

  void UndoDiagonal(const Tile& tile, int64_t d) {
    V *re = state_[0], *im = state_[1], *lr = state_[2], *li = state_[3];
    for (const ZRotation& rotation : p_.diagonals[d].strings) {
      const V c = cosine_[rotation.rotation], s = sine_[rotation.rotation];
      V sum = {};
      ForAmplitudes(tile, [&](int64_t i, int64_t row, int64_t column) INLINE_LAMBDA {
        const T sign = SignOf(rotation.mask, row, column);
        const V pi = sign * s, x = re[i], y = im[i], u = lr[i], w = li[i];
        sum += sign * (u * y - w * x);
        re[i] = x * c - y * pi;
        im[i] = x * pi + y * c;
        lr[i] = u * c - w * pi;
        li[i] = u * pi + w * c;
      });
      products_[tile.sums + rotation.rotation] += sum;
    }
    V *row_sums = sums_ + tile.sums + d * (rows_ + columns_), *column_sums = row_sums + rows_;
    const bool local = p_.diagonals[d].local.size > 0;
    SwitchPhase(tile, d, [=](int64_t i, int64_t row, int64_t column, V pr, V pi) INLINE_LAMBDA {
      const V x = re[i], y = im[i], u = lr[i], w = li[i];
      if (local) {  // constants have no gradient
        const V product = u * y - w * x;
        row_sums[row] += product;
        column_sums[column] += product;
      }
      re[i] = x * pr + y * pi;
      im[i] = y * pr - x * pi;
      lr[i] = u * pr + w * pi;
      li[i] = w * pr - u * pi;
    });
  }

  // Qubits of a tile, two by two while there are two.
  template <class One, class Two>
  INLINE void ForQubits(const Tile& tile, One one, Two two) const {
    const int last = n_ - 1 - tile.first_bit;  // the tile's bit 0
    int qubit = last - tile.bits + 1;
    for (; qubit + 1 <= last; qubit += 2) two(qubit, qubit + 1);
    if (qubit <= last) one(qubit);
  }

  void ReadXY(const Tile& tile) {
    V* values = values_ + tile.sums;
    const V *re = state_[0], *im = state_[1];
    ForQubits(
        tile,
        [&](int q) INLINE_LAMBDA {
          V x = {}, y = {};
          ForPairs(tile, BitOf(tile, q), [&](int64_t i, int64_t j) INLINE_LAMBDA {
            x += re[i] * re[j] + im[i] * im[j];
            y += re[i] * im[j] - im[i] * re[j];
          });
          values[3 * q] += x + x;
          values[3 * q + 1] += y + y;
        },
        [&](int high, int low) INLINE_LAMBDA {
          // Two sums for each number, so that additions need not wait for each other.
          V x1 = {}, y1 = {}, x2 = {}, y2 = {}, x3 = {}, y3 = {}, x4 = {}, y4 = {};
          ForQuads(tile, BitOf(tile, high), BitOf(tile, low),
                   [&](int64_t i, int64_t j, int64_t k, int64_t l) INLINE_LAMBDA {
                     const V ar = re[i], ai = im[i], br = re[j], bi = im[j];
                     const V cr = re[k], ci = im[k], dr = re[l], di = im[l];
                     x1 += ar * cr + ai * ci;
                     y1 += ar * ci - ai * cr;
                     x2 += br * dr + bi * di;
                     y2 += br * di - bi * dr;
                     x3 += ar * br + ai * bi;
                     y3 += ar * bi - ai * br;
                     x4 += cr * dr + ci * di;
                     y4 += cr * di - ci * dr;
                   });
          values[3 * high] += T(2) * (x1 + x2);
          values[3 * high + 1] += T(2) * (y1 + y2);
          values[3 * low] += T(2) * (x3 + x4);
          values[3 * low + 1] += T(2) * (y3 + y4);
        });
  }

  void ReadZ(const Tile& tile) {
    const V *re = state_[0], *im = state_[1];
    V *row_sums = z_table_ + tile.sums, *column_sums = row_sums + rows_;
    ForAmplitudes(tile, [=](int64_t i, int64_t row, int64_t column) INLINE_LAMBDA {
      const V probability = re[i] * re[i] + im[i] * im[i];
      row_sums[row] += probability;
      column_sums[column] += probability;
    });
  }

  // lambda += 2 (g_x X + g_y Y) psi for the qubits of a tile; values_ holds 2 g.
  void InjectXY(const Tile& tile) {
    const V *re = state_[0], *im = state_[1];
    V *lr = state_[2], *li = state_[3];
    ForQubits(
        tile,
        [&](int q) INLINE_LAMBDA {
          const V x = values_[3 * q], y = values_[3 * q + 1];
          ForPairs(tile, BitOf(tile, q), [=](int64_t i, int64_t j) INLINE_LAMBDA {
            lr[i] += x * re[j] + y * im[j];
            li[i] += x * im[j] - y * re[j];
            lr[j] += x * re[i] - y * im[i];
            li[j] += x * im[i] + y * re[i];
          });
        },
        [&](int high, int low) INLINE_LAMBDA {
          const V x1 = values_[3 * high], y1 = values_[3 * high + 1], x2 = values_[3 * low], y2 = values_[3 * low + 1];
          ForQuads(tile, BitOf(tile, high), BitOf(tile, low),
                   [=](int64_t i, int64_t j, int64_t k, int64_t l) INLINE_LAMBDA {
                     const V ar = re[i], ai = im[i], br = re[j], bi = im[j];
                     const V cr = re[k], ci = im[k], dr = re[l], di = im[l];
                     lr[i] += x1 * cr + y1 * ci + x2 * br + y2 * bi;
                     li[i] += x1 * ci - y1 * cr + x2 * bi - y2 * br;
                     lr[j] += x1 * dr + y1 * di + x2 * ar - y2 * ai;
                     li[j] += x1 * di - y1 * dr + x2 * ai + y2 * ar;
                     lr[k] += x1 * ar - y1 * ai + x2 * dr + y2 * di;
                     li[k] += x1 * ai + y1 * ar + x2 * di - y2 * dr;
                     lr[l] += x1 * br - y1 * bi + x2 * cr - y2 * ci;
                     li[l] += x1 * bi + y1 * br + x2 * ci + y2 * cr;
                   });
        });
  }

  void InjectZ(const Tile& tile) {
    const V *re = state_[0], *im = state_[1], *rows = z_table_, *columns = z_table_ + rows_;
    V *lr = state_[2], *li = state_[3];
    ForAmplitudes(tile, [=](int64_t i, int64_t row, int64_t column) INLINE_LAMBDA {
      const V z = rows[row] + columns[column];
      lr[i] += z * re[i];
      li[i] += z * im[i];
    });
  }
};

}  // namespace TFQ_QRNN_ISA
}  // namespace tfq_qrnn

#endif  // TFQ_QRNN_BACKENDS_NATIVE_CIRCUIT_TILES_H_
