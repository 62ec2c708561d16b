// Takes arrays from a workspace, one after the other.
#ifndef TFQ_QRNN_BACKENDS_NATIVE_ARENA_H_
#define TFQ_QRNN_BACKENDS_NATIVE_ARENA_H_

#include <cstddef>
#include <cstdint>

#include "isa.h"

namespace tfq_qrnn {
namespace TFQ_QRNN_ISA {

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

}  // namespace TFQ_QRNN_ISA
}  // namespace tfq_qrnn

#endif  // TFQ_QRNN_BACKENDS_NATIVE_ARENA_H_
