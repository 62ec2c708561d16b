// The circuit on a block of W samples, forward and backward.
//
// Included once per processor, inside the namespace and under the target of that compilation; see kernels.inc.
//
// Layout. An amplitude is a vector of W lanes, one lane per sample, so that every gate is vectorised whatever its
// qubit, with an angle of its own for each sample. The state is a matrix: the high bits of the index are the row, the
// low bits the column. A sweep visits it tile by tile, rows or groups of columns, and runs on each tile, while it is in
// the first level of the cache, all gates on the bits that lie inside the tile. A layer of gates on all qubits is two
// half sweeps, shared with its neighbours, for any number of qubits.
//
// Cost. The encoder splits what acts on a qubit into Z rotations and a core, and the core of RY is real: 4 operations
// per amplitude for RY instead of 8 for a general gate, two qubits per pass through the registers. All Z rotations and
// constant phases of a layer (CZ) are one product with row_phase[row] * column_phase[column] * phase[index].
//
// Gradient. The adjoint method: with the adjoint state lambda, the derivative in the angle of exp(-i a/2 P) is
// Im<lambda|P|psi>/2, taken next to the gate. For several gates on one qubit the three numbers Im<lambda|sigma|psi> are
// summed once, and turned from gate to gate as a Bloch vector. For Z rotations Im(conj(lambda) psi) is summed by row
// and by column; all qubits' numbers follow from these sums.

struct Arena {
  char* base;  // null: only measures
  size_t used = 0;

  template <class X>
  X* Take(int64_t count) {
    used = (used + 63) / 64 * 64;
    X* start = base == nullptr ? nullptr : reinterpret_cast<X*>(base + used);
    used += count * sizeof(X);
    return start;
  }
};

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
class Circuit {
 public:
  typedef Lanes<T, W> L;
  typedef typename L::V V;
  typedef typename L::I I;

  Circuit(const Program<T>& program, const Parallel* parallel, Arena* arena, bool backward, bool masked)
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
    sine_ = arena->Take<V>(p_.rotations.size);
    cosine_ = arena->Take<V>(p_.rotations.size);
    general_ = arena->Take<V>(8 * p_.n_general);
    tables_ = arena->Take<V>(2 * (rows_ + columns_) * p_.diagonals.size);
    int64_t dimension = 0;
    for (const Dense<T>& dense : p_.denses) dimension = dense.dimension > dimension ? dense.dimension : dimension;
    dense_ = arena->Take<V>(2 * dimension);
    // Each thread has sums of its own, in the order in which they are allocated here.
    n_values_ = 3 * n_ + p_.strings.size;
    n_products_ = p_.rotations.size + 3 * p_.n_general + (rows_ + columns_) * p_.diagonals.size;
    n_sums_ = n_values_ + rows_ + columns_ + (backward ? n_products_ : 0);
    values_ = arena->Take<V>(n_sums_ * n_parts());
    if (values_ == nullptr) return;
    z_table_ = values_ + n_values_;
    products_ = z_table_ + rows_ + columns_;
    general_products_ = products_ + p_.rotations.size;
    sums_ = general_products_ + 3 * p_.n_general;
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
    AddSums(values_, n_values_ + rows_ + columns_);
    FoldZ(z_table_, [&](int q, V z) INLINE_LAMBDA { values_[3 * q + 2] = z; });
    for (int64_t s = 0; s < p_.strings.size; s++) values_[3 * n_ + s] = Inner<false>(p_.strings[s]);
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
#include "circuit_tiles.h"
#include "circuit_sweeps.h"

  int64_t n_parts() const { return parallel_ == nullptr ? 1 : parallel_->parts; }

  const Program<T>& p_;
  const Parallel* parallel_;
  const int n_;
  const int64_t rows_, columns_;
  const int n_arrays_;
  V *state_[4] = {}, *spare_[4] = {}, *saved_[4] = {};  // real and imaginary parts of psi, then of lambda
  V *half_angles_, *sine_, *cosine_;
  V* general_;  // the 2x2 matrices of gates that are more than one RY
  V* tables_;   // of each diagonal, row phases and column phases: real parts, imaginary parts
  V* dense_;    // one product with a constant matrix
  int64_t n_values_, n_products_, n_sums_;
  V* values_;            // expectation values; backward, twice their gradients
  V* z_table_;           // sums of |psi|^2 by row and column; backward, the Z readouts' gradients by row and column
  V* products_;          // Im<lambda|P|psi> of each rotation
  V* general_products_;  // Im<lambda|sigma|psi>, sigma = X, Y, Z, of each general gate
  V* sums_;              // of each diagonal, Im(conj(lambda) psi) by row and column
};
