// The kernels for x86-64 processors with AVX512.
#include <cstddef>
#include <cstdint>

#include "kernels.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512cd,avx2,fma,bmi,bmi2"))), \
                             apply_to = function)
#else
// To the end of the file: templates take the target that holds where they are instantiated.
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx512cd,avx2,fma,bmi,bmi2")
#endif
#define TFQ_QRNN_ISA avx512
#define TFQ_QRNN_VECTOR_BYTES 64
#include "kernels_isa.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
