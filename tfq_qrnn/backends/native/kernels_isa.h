// Defines the kernels of one processor; each kernels_*.cc includes it, once. See isa.h.
#ifndef TFQ_QRNN_BACKENDS_NATIVE_KERNELS_ISA_H_
#define TFQ_QRNN_BACKENDS_NATIVE_KERNELS_ISA_H_

#include <cstddef>
#include <cstdint>

#include "arena.h"
#include "isa.h"
#include "kernels.h"
#include "sequence.h"

namespace tfq_qrnn {
namespace TFQ_QRNN_ISA {

template <class T, int W>
size_t Workspace(const Sequence<T>& sequence, bool backward) {
  Arena arena{nullptr};
  SequenceBlock<T, W> block(sequence, &arena, backward);
  return (arena.used + 63) / 64 * 64;
}

template <class T, int W>
void RunForward(const Sequence<T>& sequence, const SequenceForward<T>& forward, int64_t begin, int64_t end,
                char* workspace) {
  Arena arena{workspace};
  SequenceBlock<T, W> block(sequence, &arena, false);
  for (int64_t b = begin; b < end; b++) block.Forward(forward, b);
}

template <class T, int W>
void RunBackward(const Sequence<T>& sequence, const SequenceBackward<T>& backward, int64_t task, int64_t begin,
                 int64_t end, char* workspace) {
  Arena arena{workspace};
  SequenceBlock<T, W> block(sequence, &arena, true);
  block.ZeroGradients();
  for (int64_t b = begin; b < end; b++) block.Backward(backward, b);
  block.StoreGradients(backward.weights_gradient + task * WeightsSize(sequence.controller));
}

template <class T, int W>
constexpr Kernels<T> MakeKernels() {
  return {W, Workspace<T, W>, RunForward<T, W>, RunBackward<T, W>};
}

// Wide vectors, and narrow ones for small batches.
extern const Kernels<float> kFloatKernels[2] = {MakeKernels<float, TFQ_QRNN_VECTOR_BYTES / 4>(),
                                                MakeKernels<float, 4>()};
extern const Kernels<double> kDoubleKernels[2] = {MakeKernels<double, TFQ_QRNN_VECTOR_BYTES / 8>(),
                                                  MakeKernels<double, 2>()};

}  // namespace TFQ_QRNN_ISA
}  // namespace tfq_qrnn

#endif  // TFQ_QRNN_BACKENDS_NATIVE_KERNELS_ISA_H_
