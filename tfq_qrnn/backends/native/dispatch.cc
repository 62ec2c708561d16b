#include <cstdlib>
#include <cstring>

#include "kernels.h"

namespace tfq_qrnn {
namespace {

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
Kernels<T> ChooseKernels(int64_t batch, int64_t threads) {
  const Kernels<T>* kernels = KernelsOf(TheCpu(), T());
  const auto rounds = [&](const Kernels<T>& k) {
    const int64_t blocks = (batch + k.lanes - 1) / k.lanes;
    return (blocks + threads - 1) / threads;
  };
  return rounds(kernels[1]) <= rounds(kernels[0]) ? kernels[1] : kernels[0];
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

template Kernels<float> ChooseKernels(int64_t, int64_t);
template Kernels<double> ChooseKernels(int64_t, int64_t);
template int64_t WeightsSize(const Controller<float>&);
template int64_t WeightsSize(const Controller<double>&);

}  // namespace tfq_qrnn
