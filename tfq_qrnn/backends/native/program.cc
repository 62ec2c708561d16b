#include "program.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstring>
#include <deque>
#include <limits>
#include <numeric>
#include <vector>

namespace tfq_qrnn {
namespace {

constexpr int64_t kOldestFormat = 1, kFormat = 3;  // 2 has constant RY, 3 reads the state itself
// Up to here a state of 16 float lanes fits the first two levels of the cache, and tiles would only cost.
constexpr int kOneTileQubits = 8;
// Breaks the power of two between rows: a tile's amplitudes would otherwise all fall into one set of the cache.
constexpr int64_t kRowPadding = 1;

enum OpCode : int64_t { kLocalStage, kDiagonalStage, kPermutationStage, kDenseStage, kPauliStage };

struct Reader {
  const int64_t *ints = nullptr, *ints_end = nullptr;
  const double *floats = nullptr, *floats_end = nullptr;
  const char *blob = nullptr, *blob_end = nullptr;
  bool ok = true;

  int64_t Int() { return ints < ints_end ? *ints++ : (ok = false, 0); }
  // A size or an index in [0, limit).
  int64_t Index(int64_t limit) {
    const int64_t value = Int();
    return value >= 0 && value < limit ? value : (ok = false, 0);
  }
  double Float() { return floats < floats_end ? *floats++ : (ok = false, 0.0); }
  const char* Bytes(int64_t count) {
    if (count > blob_end - blob) return ok = false, nullptr;
    const char* start = blob;
    blob += count;
    return start;
  }
};

template <class T>
struct OwnedProgram : Program<T> {
  // What the views of Program point into. Deques: arrays that are made one by one and never move.
  std::vector<int64_t> words;
  std::vector<double> numbers;
  std::vector<Rotation<T>> own_rotations;
  std::vector<ConstantRy<T>> own_constants;
  std::vector<LocalFactor<T>> own_factors;
  std::vector<LocalGate> own_gates;
  std::vector<Diagonal<T>> own_diagonals;
  std::vector<PauliRotation> own_paulis;
  std::vector<Permutation> own_permutations;
  std::vector<Dense<T>> own_denses;
  std::vector<TileOp> own_tile_ops;
  std::vector<Sweep> own_sweeps;
  std::vector<PauliString> own_strings;
  std::vector<ReadoutTerm<T>> own_terms;
  std::deque<std::vector<T>> reals;
  std::deque<std::vector<int64_t>> integers;
  std::deque<std::vector<int32_t>> indices;
  std::deque<std::vector<ZRotation>> z_rotations;
};

template <class X>
View<X> ViewOf(const std::vector<X>& vector) {
  return {vector.data(), static_cast<int64_t>(vector.size())};
}

// A constant is rounded in the same way at every step, and what the norm is off by adds up: so it is rounded to what
// keeps the norm, not always to the nearest.

// A vector of length 1. The lesser number makes up for the rounding of the greater one, and for `excess`, in the norm
// squared; what is left of it comes back there.
void RoundPair(const double* exact, double* rounded, double*) {
  for (int i = 0; i < 2; i++) rounded[i] = exact[i];
}

void RoundPair(const double* exact, float* rounded, double* excess) {
  constexpr double kFarthest = 5e-7;   // a gate is turned by so much at most
  constexpr double kTurnCosts = 2e-3;  // in units of the norm: no turn that wins nothing
  const int greater = std::abs(exact[0]) < std::abs(exact[1]) ? 1 : 0, lesser = 1 - greater;
  const double before = *excess, wanted = exact[lesser];
  double least = std::numeric_limits<double>::infinity();
  const auto consider = [&](float x, float y) {
    const double off = double{x} * x + double{y} * y - 1 + before;
    const double cost = std::abs(off) + kTurnCosts * std::abs(y - wanted);
    if (!(cost < least) && least < std::numeric_limits<double>::infinity()) return;
    least = cost, *excess = off, rounded[greater] = x, rounded[lesser] = y;
  };
  const auto nearest = static_cast<float>(exact[greater]);
  consider(nearest, static_cast<float>(wanted));
  for (float x : {nearest, std::nextafter(nearest, -2.0f), std::nextafter(nearest, 2.0f)}) {
    const double length = std::sqrt(std::max(0.0, 1 - before - double{x} * x));
    const double fitting = std::min(std::max(std::copysign(length, wanted), wanted - kFarthest), wanted + kFarthest);
    const auto y = static_cast<float>(fitting);
    for (float near : {y, std::nextafter(y, -2.0f), std::nextafter(y, 2.0f)}) consider(x, near);
  }
}

// The numbers of a unitary matrix: multiplied by what makes the norm right for an average state.
template <class T>
std::vector<T> RoundMatrix(const std::vector<double>& exact) {
  constexpr int kSteps = sizeof(T) < sizeof(double) ? 50 : 0;
  std::vector<T> rounded(exact.size()), best;
  double norm = 0, least = 0;
  for (double number : exact) norm += number * number;
  for (int step = 0; step <= 2 * kSteps; step++) {
    const double scale = 1 + 2e-9 * (step % 2 == 0 ? -step / 2 : (step + 1) / 2);  // the nearest first
    double off = -norm;
    for (size_t i = 0; i < exact.size(); i++) {
      rounded[i] = static_cast<T>(scale * exact[i]);
      off += double{rounded[i]} * rounded[i];
    }
    if (best.empty() || std::abs(off) < least) best = rounded, least = std::abs(off);
  }
  return best;
}

// The rotation of Bloch vectors that a constant gate is: G sigma_j G^+ in terms of sigma_i.
template <class T>
void SetBloch(LocalFactor<T>* factor) {
  using C = std::complex<double>;
  const C i(0, 1);
  const C sigma[3][4] = {{0, 1, 1, 0}, {0, -i, i, 0}, {1, 0, 0, -1}};
  C g[4];
  for (int k = 0; k < 4; k++) g[k] = C(factor->matrix[2 * k], factor->matrix[2 * k + 1]);
  for (int j = 0; j < 3; j++) {
    C turned[4] = {};
    for (int a = 0; a < 2; a++)
      for (int b = 0; b < 2; b++)
        for (int c = 0; c < 2; c++)
          for (int d = 0; d < 2; d++) turned[2 * a + b] += g[2 * a + c] * sigma[j][2 * c + d] * std::conj(g[2 * b + d]);
    for (int k = 0; k < 3; k++) {
      C trace = 0;
      for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++) trace += sigma[k][2 * a + b] * turned[2 * b + a];
      factor->bloch[3 * k + j] = static_cast<T>(trace.real() / 2);
    }
  }
}

template <class T>
class Builder {
 public:
  explicit Builder(OwnedProgram<T>* program) : p_(*program) {}

  bool Build(Reader* reader) {
    Reader& r = *reader;
    const int64_t format = r.Int();
    if (format < kOldestFormat || format > kFormat) return false;
    p_.n_qubits = r.Index(31);
    p_.n_angles = r.Index(int64_t{1} << 31);
    p_.n_observables = r.Index(int64_t{1} << 31);
    if (!r.ok || p_.n_qubits < 1) return false;
    const int n = p_.n_qubits;
    size_ = int64_t{1} << n;
    p_.low_bits = (n + 1) / 2;
    p_.high_bits = n - p_.low_bits;
    p_.one_tile = n <= kOneTileQubits;
    p_.row_stride = (int64_t{1} << p_.low_bits) + (p_.one_tile ? 0 : kRowPadding);
    p_.n_general = 0;
    for (int64_t count = r.Int(); count > 0 && r.ok; count--) {
      switch (r.Int()) {
        case kLocalStage: ReadLocal(&r); break;
        case kDiagonalStage: ReadDiagonal(&r); break;
        case kPermutationStage: ReadPermutation(&r); break;
        case kDenseStage: ReadDense(&r); break;
        case kPauliStage: ReadPauli(&r); break;
        default: return false;
      }
    }
    if (format == kFormat) {
      ReadStateItself(&r);
    } else {
      ReadObservables(&r);
    }
    if (!r.ok) return false;
    p_.has_permutation = !p_.own_permutations.empty();
    RoundConstants();
    for (LocalFactor<T>& factor : p_.own_factors) {
      if (factor.axis == 4) factor.rotation += static_cast<int32_t>(p_.own_rotations.size());
    }
    p_.rotations = ViewOf(p_.own_rotations);
    p_.constants = ViewOf(p_.own_constants);
    p_.factors = ViewOf(p_.own_factors);
    p_.gates = ViewOf(p_.own_gates);
    p_.diagonals = ViewOf(p_.own_diagonals);
    p_.paulis = ViewOf(p_.own_paulis);
    p_.permutations = ViewOf(p_.own_permutations);
    p_.denses = ViewOf(p_.own_denses);
    p_.tile_ops = ViewOf(p_.own_tile_ops);
    p_.sweeps = ViewOf(p_.own_sweeps);
    p_.strings = ViewOf(p_.own_strings);
    p_.terms = ViewOf(p_.own_terms);
    return true;
  }

 private:
  int32_t ReadRotation(Reader* r) {
    Rotation<T> rotation;
    rotation.angle = r->Index(p_.n_angles);
    rotation.scale = static_cast<T>(r->Float());
    rotation.offset = static_cast<T>(r->Float());
    p_.own_rotations.push_back(rotation);
    return static_cast<int32_t>(p_.own_rotations.size()) - 1;
  }

  // Each RY multiplies the norm by the same for every state: one can make up for another. Those come first whose lesser
  // number is too small to make up for much, then those with the coarser numbers.
  void RoundConstants() {
    std::vector<int32_t> order(exact_constants_.size());
    std::iota(order.begin(), order.end(), 0);
    const auto rank = [&](int32_t k) {
      const double lesser = std::min(std::abs(exact_constants_[k].cosine), std::abs(exact_constants_[k].sine));
      return lesser > 0.1 ? -lesser : -2;
    };
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return rank(a) < rank(b); });
    p_.own_constants.resize(order.size());
    double excess = 0;
    for (int32_t k : order) {
      const double exact[2] = {exact_constants_[k].cosine, exact_constants_[k].sine};
      T rounded[2];
      RoundPair(exact, rounded, &excess);
      p_.own_constants[k] = {rounded[0], rounded[1]};
    }
  }

  // Add an operation to the last sweep where that one visits tiles of this kind, or else to a new one.
  void AddTileOp(SweepKind kind, TileOp op) {
    auto& sweeps = p_.own_sweeps;
    if (sweeps.empty() || sweeps.back().kind != kind) {
      sweeps.push_back({kind, static_cast<int32_t>(p_.own_tile_ops.size()), 0});
    }
    sweeps.back().count++;
    p_.own_tile_ops.push_back(op);
  }

  SweepKind LastTileKind(SweepKind otherwise) const {
    if (p_.one_tile) return SweepKind::kAll;
    if (p_.own_sweeps.empty()) return otherwise;
    const SweepKind last = p_.own_sweeps.back().kind;
    return last == SweepKind::kLow || last == SweepKind::kHigh ? last : otherwise;
  }

  // One operation per half of the register, the half that the last sweep visited first.
  template <class F>
  void AddToBothHalves(F add) {
    if (p_.one_tile) return add(SweepKind::kAll);
    const SweepKind first = LastTileKind(SweepKind::kHigh);
    add(first);
    add(first == SweepKind::kHigh ? SweepKind::kLow : SweepKind::kHigh);
  }

  void ReadLocal(Reader* r) {
    const auto begin = static_cast<int32_t>(p_.own_gates.size());
    int32_t previous = -1;
    for (int64_t count = r->Index(p_.n_qubits + 1); count > 0 && r->ok; count--) {
      LocalGate gate;
      gate.qubit = r->Index(p_.n_qubits);
      if (gate.qubit <= previous) r->ok = false;  // sweeps take neighbours as pairs of different qubits, in order
      previous = gate.qubit;
      gate.first_factor = static_cast<int32_t>(p_.own_factors.size());
      gate.n_factors = r->Index(int64_t{1} << 31);
      for (int i = 0; i < gate.n_factors && r->ok; i++) {
        LocalFactor<T> factor = {};
        factor.axis = r->Index(gate.n_factors == 1 ? 5 : 4);
        factor.rotation = -1;
        if (factor.axis < 3) {
          factor.rotation = ReadRotation(r);
        } else if (factor.axis == 4) {
          factor.rotation = static_cast<int32_t>(exact_constants_.size());
          const double cosine = r->Float();
          exact_constants_.push_back({cosine, r->Float()});
        } else {
          std::vector<double> exact(8);
          for (double& number : exact) number = r->Float();
          const std::vector<T> rounded = RoundMatrix<T>(exact);
          std::copy(rounded.begin(), rounded.end(), factor.matrix);
          SetBloch(&factor);
        }
        p_.own_factors.push_back(factor);
      }
      if (!r->ok) return;
      const int axis = gate.n_factors == 1 ? p_.own_factors.back().axis : 3;
      gate.constant = axis == 4;
      gate.general = axis == 1 || gate.constant ? -1 : p_.n_general++;
      p_.own_gates.push_back(gate);
    }
    const auto end = static_cast<int32_t>(p_.own_gates.size());
    auto middle = begin;  // the gates come qubit by qubit, those of the high bits first
    while (middle < end && p_.own_gates[middle].qubit < p_.high_bits) middle++;
    AddToBothHalves([&](SweepKind kind) {
      const auto first = kind == SweepKind::kLow ? middle : begin;
      const auto last = kind == SweepKind::kHigh ? middle : end;
      if (last > first) AddTileOp(kind, {TileOpKind::kLocal, first, last - first});
    });
  }

  View<ZRotation> ReadZRotations(Reader* r, bool local) {
    p_.z_rotations.emplace_back();
    auto& rotations = p_.z_rotations.back();
    for (int64_t count = r->Index(int64_t{1} << 31); count > 0 && r->ok; count--) {
      ZRotation rotation;
      rotation.mask = r->Index(size_);
      rotation.qubit = 0;
      if (local) {
        while (rotation.qubit < p_.n_qubits && rotation.mask != size_ >> (rotation.qubit + 1)) rotation.qubit++;
        if (rotation.qubit == p_.n_qubits) r->ok = false;
      }
      rotation.rotation = ReadRotation(r);
      rotations.push_back(rotation);
    }
    return ViewOf(rotations);
  }

  void ReadDiagonal(Reader* r) {
    Diagonal<T> diagonal;
    diagonal.local = ReadZRotations(r, true);
    diagonal.strings = ReadZRotations(r, false);
    diagonal.phase = static_cast<Phase>(r->Index(3));
    if (diagonal.phase == Phase::kSigns) {
      if (const char* signs = r->Bytes(size_)) {
        p_.reals.emplace_back(signs, signs + size_);
        diagonal.phase_re = ViewOf(p_.reals.back());
      }
    } else if (diagonal.phase == Phase::kComplex) {
      if (const char* bytes = r->Bytes(2 * size_ * sizeof(double))) {
        std::vector<double> exact(2 * size_);
        std::memcpy(exact.data(), bytes, exact.size() * sizeof(double));
        auto& re = p_.reals.emplace_back(size_);
        auto& im = p_.reals.emplace_back(size_);
        double excess = 0;  // made up for from amplitude to amplitude: states spread over them all
        for (int64_t i = 0; i < size_; i++) {
          const double values[2] = {exact[i], exact[size_ + i]};
          T rounded[2];
          RoundPair(values, rounded, &excess);
          re[i] = rounded[0], im[i] = rounded[1];
        }
        diagonal.phase_re = ViewOf(re);
        diagonal.phase_im = ViewOf(im);
      }
    }
    AddTileOp(LastTileKind(SweepKind::kLow), {TileOpKind::kDiagonal, static_cast<int32_t>(p_.own_diagonals.size()), 1});
    p_.own_diagonals.push_back(diagonal);
  }

  void ReadPermutation(Reader* r) {
    const char* bytes = r->Bytes(size_ * sizeof(int32_t));
    if (bytes == nullptr) return;
    p_.indices.emplace_back(size_);
    auto& index = p_.indices.back();
    std::memcpy(index.data(), bytes, size_ * sizeof(int32_t));
    std::vector<bool> seen(size_);
    for (int32_t i : index) {
      if (i < 0 || i >= size_ || seen[i]) {
        r->ok = false;
        return;
      }
      seen[i] = true;
    }
    p_.own_sweeps.push_back({SweepKind::kPermute, static_cast<int32_t>(p_.own_permutations.size()), 1});
    p_.own_permutations.push_back({ViewOf(index)});
  }

  void ReadDense(Reader* r) {
    const int64_t n_targets = r->Index(p_.n_qubits + 1);
    int64_t mask = 0;
    std::vector<int64_t> bits;  // of the small register, the most significant first
    for (int64_t i = 0; i < n_targets && r->ok; i++) {
      bits.push_back(size_ >> (r->Index(p_.n_qubits) + 1));
      if (mask & bits.back()) r->ok = false;
      mask |= bits.back();
    }
    // Before anything of its size is allocated: the matrix must be there.
    if (n_targets > 15 || (int64_t{2} << (2 * n_targets)) > r->floats_end - r->floats) r->ok = false;
    if (!r->ok) return;
    Dense<T> dense;
    dense.dimension = int64_t{1} << n_targets;
    p_.integers.emplace_back();
    for (int64_t row = 0; row < dense.dimension; row++) {
      int64_t offset = 0;
      for (int64_t i = 0; i < n_targets; i++) offset |= (row >> (n_targets - 1 - i)) & 1 ? bits[i] : 0;
      p_.integers.back().push_back(Position(offset));
    }
    dense.offsets = ViewOf(p_.integers.back());
    dense.mask = mask;
    std::vector<double> exact(2 * dense.dimension * dense.dimension);  // all real parts first
    for (double& number : exact) number = r->Float();
    const auto& rounded = p_.reals.emplace_back(RoundMatrix<T>(exact));
    dense.re = {rounded.data(), dense.dimension * dense.dimension};
    dense.im = {rounded.data() + dense.re.size, dense.re.size};
    p_.own_sweeps.push_back({SweepKind::kDense, static_cast<int32_t>(p_.own_denses.size()), 1});
    p_.own_denses.push_back(dense);
  }

  // Where an amplitude lies: additive over disjoint bits, so that offsets may be added.
  int64_t Position(int64_t i) const {
    return (i >> p_.low_bits) * p_.row_stride + (i & ((int64_t{1} << p_.low_bits) - 1));
  }

  PauliString ReadString(Reader* r) {
    PauliString pauli;
    pauli.flips = r->Index(size_);
    pauli.signs = r->Index(size_);
    pauli.n_y = r->Index(p_.n_qubits + 1);
    return pauli;
  }

  void ReadPauli(Reader* r) {
    const PauliString pauli = ReadString(r);
    if (pauli.flips == 0) r->ok = false;
    p_.own_sweeps.push_back({SweepKind::kPauli, static_cast<int32_t>(p_.own_paulis.size()), 1});
    p_.own_paulis.push_back({pauli, ReadRotation(r)});
  }

  void ReadStateItself(Reader* r) {
    const int64_t of_each = r->Index(3);  // numbers of an amplitude
    if (of_each < 1 || p_.n_observables != of_each * size_) r->ok = false;
    p_.readout_kind = of_each == 1 ? ReadoutKind::kProbabilities : ReadoutKind::kState;
  }

  void ReadObservables(Reader* r) {
    const int32_t n_local = 3 * p_.n_qubits;
    for (int64_t count = r->Index(int64_t{1} << 31); count > 0 && r->ok; count--)
      p_.own_strings.push_back(ReadString(r));
    bool xy = false, z = false;
    for (int64_t count = r->Index(int64_t{1} << 31); count > 0 && r->ok; count--) {
      ReadoutTerm<T> term;
      term.observable = r->Index(p_.n_observables);
      term.value = r->Index(n_local + static_cast<int64_t>(p_.own_strings.size()));
      term.coefficient = static_cast<T>(r->Float());
      if (term.value < n_local) (term.value % 3 == 2 ? z : xy) = true;
      p_.own_terms.push_back(term);
    }
    if (z) AddTileOp(LastTileKind(SweepKind::kLow), {TileOpKind::kReadZ, 0, 0});
    if (xy) AddToBothHalves([&](SweepKind kind) { AddTileOp(kind, {TileOpKind::kReadXY, 0, 0}); });
  }

  OwnedProgram<T>& p_;
  int64_t size_ = 0;
  std::vector<ConstantRy<double>> exact_constants_;
};

}  // namespace

template <class T>
std::shared_ptr<const Program<T>> ParseProgram(const std::string& bytes, std::string* error) {
  auto program = std::make_shared<OwnedProgram<T>>();
  Reader reader;
  // Through words of their own: a string's bytes need not be aligned.
  auto& words = program->words;
  words.resize(bytes.size() / sizeof(int64_t));
  if (!words.empty()) std::memcpy(words.data(), bytes.data(), words.size() * sizeof(int64_t));
  const int64_t available = static_cast<int64_t>(words.size()) - 2;
  if (available >= 0 && words[0] >= 0 && words[0] <= available && words[1] >= 0 && words[1] <= available - words[0]) {
    reader.ints = words.data() + 2;
    reader.ints_end = reader.ints + words[0];
    program->numbers.resize(words[1]);
    reader.floats = program->numbers.data();
    reader.floats_end = reader.floats + words[1];
    if (words[1] > 0) std::memcpy(program->numbers.data(), reader.ints_end, words[1] * sizeof(double));
    reader.blob = bytes.data() + (2 + words[0] + words[1]) * sizeof(int64_t);
    reader.blob_end = bytes.data() + bytes.size();
    if (Builder<T>(program.get()).Build(&reader)) return program;
  }
  *error = "Attribute `program` must be what this version of tfq_qrnn encodes, but it is not";
  if (available > 0 && (words[2] < kOldestFormat || words[2] > kFormat)) {
    *error += ": its format is " + std::to_string(words[2]) + ", and formats " + std::to_string(kOldestFormat) + " to " +
              std::to_string(kFormat) + " are read";
  }
  *error += ".";
  return nullptr;
}

template std::shared_ptr<const Program<float>> ParseProgram(const std::string&, std::string*);
template std::shared_ptr<const Program<double>> ParseProgram(const std::string&, std::string*);

}  // namespace tfq_qrnn
