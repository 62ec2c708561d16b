#include <cstdlib>
#include <cstring>

#include "kernels.h"

namespace tfq_qrnn {
namespace {

// From here on it pays to share out a sweep, which costs some 50 microseconds. Measured with 2 threads on one block: 18
// ms become 25 at 12 qubits, 93 become 78 at 14, 232 become 150 at 20.
constexpr int kSplitQubits = 14;

enum Cpu { kBaseline, kAvx2, kAvx512 };
constexpr const char* kCpuNames[] = {"baseline", "avx2", "avx512"};

Cpu DetectCpu() {
  int cpu = kBaseline;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) {
    cpu = kAvx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd")) {
      cpu = kAvx512;
    }
  }
#endif
  if (const char* asked = std::getenv("TFQ_QRNN_CPU")) {
    for (int lesser = 0; lesser < cpu; lesser++) {
      if (std::strcmp(asked, kCpuNames[lesser]) == 0) cpu = lesser;
    }
  }
  return static_cast<Cpu>(cpu);
}

Cpu TheCpu() {
  static const Cpu cpu = DetectCpu();
  return cpu;
}

const Kernels<float>* KernelsOf(Cpu cpu, float) {
#if defined(__x86_64__)
  if (cpu == kAvx512) return avx512::kFloatKernels;
  if (cpu == kAvx2) return avx2::kFloatKernels;
#endif
  return baseline::kFloatKernels;
}

const Kernels<double>* KernelsOf(Cpu cpu, double) {
#if defined(__x86_64__)
  if (cpu == kAvx512) return avx512::kDoubleKernels;
  if (cpu == kAvx2) return avx2::kDoubleKernels;
#endif
  return baseline::kDoubleKernels;
}

}  // namespace

const char* CpuName() { return kCpuNames[TheCpu()]; }

template <class T>
Choice<T> ChooseKernels(int n_qubits, int64_t batch, int64_t threads) {
  Choice<T> best = {};
  int64_t best_rounds = 0;
  for (int width = 0; width < 2; width++) {
    const Kernels<T>& kernels = KernelsOf(TheCpu(), T())[width];
    const int64_t blocks = (batch + kernels.lanes - 1) / kernels.lanes;
    const bool split = n_qubits >= kSplitQubits && threads > 1 && blocks < threads;
    // In rounds of all threads, counted in parts of a block.
    const int64_t rounds = split ? blocks : (blocks + threads - 1) / threads * threads;
    if (width == 0 || rounds <= best_rounds) {
      best = {kernels, blocks, split};
      best_rounds = rounds;
    }
  }
  return best;
}

template <class T>
int64_t WeightsSize(const Controller<T>& controller) {
  int64_t size = 0;
  for (int64_t l = 0; l < controller.n_layers; l++) {
    const auto& layer = controller.layers[l];
    size += layer.rows * layer.columns + (layer.bias == nullptr ? 0 : layer.columns);
  }
  return controller.n_layers == 0 ? 0 : size + controller.scale_size + controller.n_trained;
}

template Choice<float> ChooseKernels(int, int64_t, int64_t);
template Choice<double> ChooseKernels(int, int64_t, int64_t);
template int64_t WeightsSize(const Controller<float>&);
template int64_t WeightsSize(const Controller<double>&);

}  // namespace tfq_qrnn
