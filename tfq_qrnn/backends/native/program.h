// A gate program as the kernels read it.
//
// `ParseProgram` reads the bytes that tfq_qrnn/backends/native_encoding.py writes and plans the sweeps over the state:
// which operations run together while a tile of the state is in the cache. Nothing here depends on TensorFlow.
#ifndef TFQ_QRNN_BACKENDS_NATIVE_PROGRAM_H_
#define TFQ_QRNN_BACKENDS_NATIVE_PROGRAM_H_

#include <cstdint>
#include <memory>
#include <string>

namespace tfq_qrnn {

// The kernels are compiled for several processors. They see arrays through this view and never through std::vector,
// whose inline members the linker would merge across those compilations.
template <class X>
struct View {
  const X* data = nullptr;
  int64_t size = 0;
  const X& operator[](int64_t i) const { return data[i]; }
  const X* begin() const { return data; }
  const X* end() const { return data + size; }
};

// exp(-i (scale * angles[angle] + offset)/2 P); what P is, is said where the rotation is used.
template <class T>
struct Rotation {
  int64_t angle;
  T scale, offset;
};

// One factor of a one-qubit gate: a rotation about X, Y or Z (axis 0, 1, 2), a constant (axis 3), or a constant RY
// (axis 4), the gate's only one. `rotation` counts the rotations, then the constant RY.
template <class T>
struct LocalFactor {
  int32_t axis;
  int32_t rotation;
  T matrix[8];  // row by row, real and imaginary parts
  T bloch[9];   // G sigma_j G^+ = sum_i bloch[3 i + j] sigma_i
};

struct LocalGate {
  int32_t qubit;
  int32_t first_factor, n_factors;
  int32_t general;  // counts the gates that are more than one RY; -1 for an RY
  bool constant;    // a constant RY
};

template <class T>
struct ConstantRy {
  T cosine, sine;  // of half its angle
};

// A rotation about a Z string; `mask` has the string's bits of the amplitude's index.
struct ZRotation {
  int64_t mask;
  int32_t qubit;  // of a string of length 1
  int32_t rotation;
};

enum class Phase : int32_t { kNone, kSigns, kComplex };

template <class T>
struct Diagonal {
  View<ZRotation> local, strings;
  Phase phase = Phase::kNone;
  View<T> phase_re, phase_im;
};

// (P psi)[i] = (-i)^n_y (-1)^parity(i & signs) psi[i ^ flips]
struct PauliString {
  int64_t flips, signs;
  int32_t n_y;
};

struct PauliRotation {
  PauliString pauli;
  int32_t rotation;
};

// new[i] = old[index[i]]
struct Permutation {
  View<int32_t> index;
};

// A constant matrix on some qubits: element r of the small register sits at offsets[r] from an index that has none of
// the bits of `mask`.
template <class T>
struct Dense {
  int64_t dimension, mask;
  View<int64_t> offsets;
  View<T> re, im;
};

enum class TileOpKind : int32_t { kLocal, kDiagonal, kReadXY, kReadZ };

struct TileOp {
  TileOpKind kind;
  int32_t first, count;  // gates of a kLocal; `first` is the number of a kDiagonal
};

// kAll: the state is one tile. kLow: a tile is a row, all its qubits are low bits of the index. kHigh: a tile is a few
// columns. The others sweep over the whole state and hold one operation.
enum class SweepKind : int32_t { kAll, kLow, kHigh, kPermute, kDense, kPauli };

struct Sweep {
  SweepKind kind;
  int32_t first, count;  // tile operations; otherwise `first` is the number of the operation
};

// observables[observable] += coefficient * values[value]. Values are X, Y, Z of each qubit, then the strings.
template <class T>
struct ReadoutTerm {
  int32_t observable, value;
  T coefficient;
};

// What is read out: sums of Pauli strings, |amplitude|^2 of every basis state, or all amplitudes, real parts first.
enum class ReadoutKind : int32_t { kPaulis, kProbabilities, kState };

template <class T>
struct Program {
  int32_t n_qubits, n_angles, n_observables;
  int32_t low_bits, high_bits;  // the state is a matrix of 2^high_bits rows and 2^low_bits columns
  int64_t row_stride;           // in amplitudes
  bool one_tile;
  int32_t n_general;  // gates that are more than one RY
  bool has_permutation;
  View<Rotation<T>> rotations;
  View<ConstantRy<T>> constants;
  View<LocalFactor<T>> factors;
  View<LocalGate> gates;
  View<Diagonal<T>> diagonals;
  View<PauliRotation> paulis;
  View<Permutation> permutations;
  View<Dense<T>> denses;
  View<TileOp> tile_ops;
  View<Sweep> sweeps;
  ReadoutKind readout_kind = ReadoutKind::kPaulis;
  View<PauliString> strings;  // read out beside the one-qubit Paulis
  View<ReadoutTerm<T>> terms;
};

// The program that `bytes` encodes, or null and a message. The arrays live as long as the result.
template <class T>
std::shared_ptr<const Program<T>> ParseProgram(const std::string& bytes, std::string* error);

}  // namespace tfq_qrnn

#endif  // TFQ_QRNN_BACKENDS_NATIVE_PROGRAM_H_
