// A sequence on a block of W samples: controller, circuit, readouts, step after step, and all of it backward.
//
// Backward, the states are recomputed by undoing the circuit, and the controller's values from its inputs, the projected
// input and the readouts of the step before, both of which are kept.
#ifndef TFQ_QRNN_BACKENDS_NATIVE_SEQUENCE_H_
#define TFQ_QRNN_BACKENDS_NATIVE_SEQUENCE_H_

#include <cstdint>

#include "arena.h"
#include "circuit.h"
#include "controller.h"
#include "isa.h"
#include "kernels.h"
#include "lanes.h"

namespace tfq_qrnn {
namespace TFQ_QRNN_ISA {

template <class T, int W>
class SequenceBlock {
 public:
  typedef Lanes<T, W> L;
  typedef typename L::V V;
  typedef typename L::I I;

  SequenceBlock(const Sequence<T>& sequence, Arena* arena, bool backward)
      : s_(sequence),
        n_readouts_(sequence.program->n_observables),
        memory_size_(int64_t{2} << sequence.program->n_qubits),
        circuit_(*sequence.program, sequence.parallel, arena, backward, sequence.mask != nullptr),
        controller_(sequence.controller, n_readouts_, sequence.width, arena, backward) {
    inputs_ = arena->Take<V>(s_.width);
    angles_ = arena->Take<V>(s_.program->n_angles);
    readouts_ = arena->Take<V>(n_readouts_);
    new_readouts_ = arena->Take<V>(n_readouts_);
    if (backward) {
      angles_gradient_ = arena->Take<V>(s_.program->n_angles);
      readouts_gradient_ = arena->Take<V>(n_readouts_);
      inputs_gradient_ = arena->Take<V>(s_.width);
    }
  }

  void ZeroGradients() { controller_.ZeroGradients(); }
  void StoreGradients(T* gradient) const { controller_.StoreGradients(gradient); }

  void Forward(const SequenceForward<T>& f, int64_t block) {
    Start(block);
    Load(s_.first_readouts, n_readouts_, readouts_);
    circuit_.LoadState(f.first_memory + first_ * memory_size_, samples_);
    for (int64_t t = 0; t < s_.timesteps; t++) {
      const Validity validity = ValidAt(t);
      if (validity.any) {
        Load(s_.inputs + t * s_.batch * s_.width, s_.width, inputs_);
        controller_.Angles(inputs_, readouts_, angles_);
        if (!validity.all) circuit_.Save();
        circuit_.SetAngles(angles_);
        circuit_.Forward(new_readouts_);
        if (!validity.all) circuit_.Restore(validity.lanes);
        for (int64_t k = 0; k < n_readouts_; k++) readouts_[k] = validity.lanes ? new_readouts_[k] : readouts_[k];
      }
      Store(readouts_, n_readouts_, f.readouts + t * s_.batch * n_readouts_);
    }
    Store(readouts_, n_readouts_, f.last_readouts);
    circuit_.StoreState(f.last_memory + first_ * memory_size_, samples_);
  }

  void Backward(const SequenceBackward<T>& b, int64_t block) {
    Start(block);
    V* gradient = readouts_gradient_;
    Load(b.last_readouts_gradient, n_readouts_, gradient);
    circuit_.LoadState(b.last_memory + first_ * memory_size_, samples_);
    circuit_.LoadAdjoint(b.last_memory_gradient + first_ * memory_size_, samples_);
    for (int64_t t = s_.timesteps - 1; t >= 0; t--) {
      Load(b.readouts_gradient + t * s_.batch * n_readouts_, n_readouts_, new_readouts_);
      for (int64_t k = 0; k < n_readouts_; k++) gradient[k] += new_readouts_[k];
      const Validity validity = ValidAt(t);
      if (validity.any) {
        Load(s_.inputs + t * s_.batch * s_.width, s_.width, inputs_);
        Load(t == 0 ? s_.first_readouts : b.readouts + (t - 1) * s_.batch * n_readouts_, n_readouts_, readouts_);
        controller_.Angles(inputs_, readouts_, angles_);
        if (!validity.all) circuit_.Save();
        circuit_.SetAngles(angles_);
        circuit_.Backward(gradient, angles_gradient_);
        if (!validity.all) circuit_.Restore(validity.lanes);
        for (int64_t k = 0; k < s_.program->n_angles; k++) {
          angles_gradient_[k] = validity.lanes ? angles_gradient_[k] : V{};
        }
        controller_.Backward(angles_gradient_, inputs_gradient_, new_readouts_);
        for (int64_t k = 0; k < n_readouts_; k++) gradient[k] = validity.lanes ? new_readouts_[k] : gradient[k];
      } else {
        for (int64_t k = 0; k < s_.width; k++) inputs_gradient_[k] = V{};
      }
      Store(inputs_gradient_, s_.width, b.inputs_gradient + t * s_.batch * s_.width);
    }
    Store(gradient, n_readouts_, b.first_readouts_gradient);
    circuit_.StoreState(b.first_memory + first_ * memory_size_, samples_);
    circuit_.StoreAdjoint(b.first_memory_gradient + first_ * memory_size_, samples_);
  }

 private:
  struct Validity {
    bool any, all;  // of the samples
    I lanes;        // lanes without a sample count as valid: they hold zeros
  };

  void Start(int64_t block) {
    first_ = block * W;
    samples_ = s_.batch - first_ < W ? s_.batch - first_ : W;
    controller_.LoadDropout(first_, samples_);
  }

  Validity ValidAt(int64_t t) const {
    Validity validity = {true, true, ~I{}};
    if (s_.mask == nullptr) return validity;
    validity.any = false;
    for (int64_t s = 0; s < samples_; s++) {
      const bool valid = s_.mask[t * s_.batch + first_ + s];
      validity.lanes[s] = valid ? -1 : 0;
      validity.any |= valid;
      validity.all &= valid;
    }
    return validity;
  }

  void Load(const T* rows, int64_t width, V* lanes) const {
    const T* start = rows + first_ * width;
    for (int64_t k = 0; k < width; k++) {
      V value = {};
      for (int64_t s = 0; s < samples_; s++) value[s] = start[s * width + k];
      lanes[k] = value;
    }
  }

  void Store(const V* lanes, int64_t width, T* rows) const {
    T* start = rows + first_ * width;
    for (int64_t k = 0; k < width; k++) {
      const V value = lanes[k];
      for (int64_t s = 0; s < samples_; s++) start[s * width + k] = value[s];
    }
  }

  const Sequence<T>& s_;
  const int64_t n_readouts_, memory_size_;
  Circuit<T, W> circuit_;
  ControllerBlock<T, W> controller_;
  int64_t first_ = 0, samples_ = 0;
  V *inputs_, *angles_, *readouts_, *new_readouts_;
  V *angles_gradient_ = nullptr, *readouts_gradient_ = nullptr, *inputs_gradient_ = nullptr;
};

}  // namespace TFQ_QRNN_ISA
}  // namespace tfq_qrnn

#endif  // TFQ_QRNN_BACKENDS_NATIVE_SEQUENCE_H_
