// What the TensorFlow ops call: a sequence run forward, and its gradient, for a range of tasks.
//
// Samples are taken in blocks of a few lanes, and the blocks are split over tasks. A task owns its part of the
// workspace and its own sums of the weights' gradients, so that results do not depend on which thread runs what when.
#ifndef TFQ_QRNN_BACKENDS_NATIVE_KERNELS_H_
#define TFQ_QRNN_BACKENDS_NATIVE_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "program.h"

namespace tfq_qrnn {

enum class Activation : int32_t {
  kLinear,
  kRelu,
  kTanh,
  kSigmoid,
  kGelu,
  kGeluTanh,
  kSilu,
  kElu,
  kSelu,
  kSoftplus,
  kGlu,
};

// The dense layers between readouts and angles; without any, the inputs are the angles.
//   hidden_0 = inputs + (readouts * dropout) kernel_0
//   hidden_i = activation(hidden_{i-1}) kernel_i + bias_{i-1}
//   angles = [scale * hidden_last, trained]
template <class T>
struct Controller {
  struct Layer {
    const T* kernel;  // (rows, columns)
    const T* bias;    // (columns); null for the first layer, and where there is none
    int64_t rows, columns;
  };
  const Layer* layers;
  int64_t n_layers;
  Activation activation;
  const T* scale;
  int64_t scale_size;  // 1 or the number of angles that the controller gives
  const T* trained;
  int64_t n_trained;
  const T* dropout;  // (batch, readouts), or null
};

// Runs body(argument, part) for every part, on threads, and returns when all are done.
struct Parallel {
  int64_t parts;
  const void* context;
  void (*run)(const void* context, void (*body)(void* argument, int64_t part), void* argument);
};

template <class T>
struct Sequence {
  const Program<T>* program;
  const Parallel* parallel;  // splits each sweep over the state; null where a block runs on one thread
  Controller<T> controller;
  int64_t timesteps, batch, width;
  const T* inputs;          // (timesteps, batch, width)
  const bool* mask;         // (timesteps, batch), or null; a step that is false leaves readouts and memory as they are
  const T* first_readouts;  // (batch, observables)
};

template <class T>
struct SequenceForward {
  const T* first_memory;  // (batch, 2 * 2^n)
  T* readouts;            // (timesteps, batch, observables)
  T* last_readouts;
  T* last_memory;
};

template <class T>
struct SequenceBackward {
  const T* readouts;
  const T* last_memory;
  const T* readouts_gradient;
  const T* last_readouts_gradient;
  const T* last_memory_gradient;
  T* inputs_gradient;
  T* first_readouts_gradient;
  T* first_memory;
  T* first_memory_gradient;
  // One set per task: kernels, then biases of all layers but the first, then scale, then trained.
  T* weights_gradient;
};

// Sizes of a gradient's parts, in elements, in the order in which they lie.
template <class T>
int64_t WeightsSize(const Controller<T>& controller);

// The kernels of one processor, precision and number of lanes.
template <class T>
struct Kernels {
  int lanes;
  // Bytes of workspace of a task.
  size_t (*workspace)(const Sequence<T>&, bool backward);
  // Run blocks [begin, end). `workspace` is aligned to 64 bytes.
  void (*forward)(const Sequence<T>&, const SequenceForward<T>&, int64_t begin, int64_t end, char* workspace);
  void (*backward)(const Sequence<T>&, const SequenceBackward<T>&, int64_t task, int64_t begin, int64_t end,
                   char* workspace);
};

template <class T>
struct Choice {
  Kernels<T> kernels;
  int64_t blocks;
  bool split;  // the sweeps of each block over the threads, instead of the blocks
};

// How this machine runs a batch: with the kernels that finish it in the fewest rounds, and among those the narrowest.
template <class T>
Choice<T> ChooseKernels(int n_qubits, int64_t batch, int64_t threads);

// "avx512", "avx2" or "baseline". The environment variable TFQ_QRNN_CPU asks for a lesser one than the machine has.
const char* CpuName();

#define TFQ_QRNN_DECLARE_KERNELS(isa)             \
  namespace isa {                                 \
  extern const Kernels<float> kFloatKernels[2];   \
  extern const Kernels<double> kDoubleKernels[2]; \
  }
TFQ_QRNN_DECLARE_KERNELS(baseline)
TFQ_QRNN_DECLARE_KERNELS(avx2)
TFQ_QRNN_DECLARE_KERNELS(avx512)
#undef TFQ_QRNN_DECLARE_KERNELS

}  // namespace tfq_qrnn

#endif  // TFQ_QRNN_BACKENDS_NATIVE_KERNELS_H_
