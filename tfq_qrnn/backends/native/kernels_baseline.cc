// The kernels for any processor: 16-byte vectors, which every x86-64 and Arm machine has.
#include <cstddef>
#include <cstdint>

#include "kernels.h"

#define TFQ_QRNN_ISA baseline
#define TFQ_QRNN_VECTOR_BYTES 16
#include "kernels.inc"
