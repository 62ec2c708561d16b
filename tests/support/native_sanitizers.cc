// Drives the native kernels without TensorFlow, for AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer.
//
//   native_sanitizers PROGRAM
//
// PROGRAM is a file with an encoded program. Every width of every processor's kernels that this machine can run goes
// forward and backward over a few steps, in both precisions, with batches that do not fill the lanes, masks, dropout,
// every activation, NaN and infinity, each task on a thread of its own.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "native_run.h"

namespace tfq_qrnn {
namespace {

// Shares out sweeps, a thread for every part.
void RunParts(const void*, void (*body)(void* argument, int64_t part), void* argument) {
  std::vector<std::thread> threads;
  for (int64_t part = 0; part < 3; part++) threads.emplace_back(body, argument, part);
  for (std::thread& thread : threads) thread.join();
}
constexpr Parallel kParallel = {3, nullptr, RunParts};

template <class T>
void RunAndCheck(const Program<T>& program, const Kernels<T>& kernels, int64_t batch, Activation activation,
                 int64_t n_layers, bool masked, T poison) {
  const double off = Run<T>(program, kernels,
                            {3, batch, activation, n_layers, masked, poison, batch == 1 ? &kParallel : nullptr});
  // The last of several samples is not poisoned: the circuit must be undone on it.
  if (batch > 1 && !(off < (sizeof(T) == 4 ? 1e-2 : 1e-10))) {
    std::fprintf(stderr, "an amplitude is off by %g\n", off);
    std::exit(1);
  }
}

template <class T>
void RunAll(const std::string& bytes, const Kernels<T>* kernels) {
  std::string error;
  const auto program = ParseProgram<T>(bytes, &error);
  if (program == nullptr) {
    std::fprintf(stderr, "%s\n", error.c_str());
    std::exit(1);
  }
  constexpr T kInf = std::numeric_limits<T>::infinity(), kNan = std::numeric_limits<T>::quiet_NaN();
  for (int width = 0; width < 2; width++) {
    for (int64_t batch : {1, 3, 37})
      RunAndCheck<T>(*program, kernels[width], batch, Activation::kLinear, 0, batch == 3, kNan);
    for (int activation = 0; activation <= static_cast<int>(Activation::kGlu); activation++) {
      RunAndCheck<T>(*program, kernels[width], 5, static_cast<Activation>(activation), 1 + activation % 3, activation % 2,
             activation % 2 ? kInf : -kInf);
    }
  }
  for (size_t cut = 0; cut < bytes.size(); cut += 1 + bytes.size() / 50) {
    ParseProgram<T>(bytes.substr(0, cut), &error);
    std::string changed = bytes;
    changed[cut] = static_cast<char>(changed[cut] + 1);
    ParseProgram<T>(changed, &error);
  }
}

}  // namespace
}  // namespace tfq_qrnn

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  std::ifstream file(argv[1], std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  namespace q = tfq_qrnn;
  q::RunAll<float>(bytes, q::baseline::kFloatKernels);
  q::RunAll<double>(bytes, q::baseline::kDoubleKernels);
#if defined(__x86_64__)
  __builtin_cpu_init();
  const std::string cpu = q::CpuName();
  if (cpu != "baseline") {
    q::RunAll<float>(bytes, q::avx2::kFloatKernels);
    q::RunAll<double>(bytes, q::avx2::kDoubleKernels);
  }
  if (cpu == "avx512") {
    q::RunAll<float>(bytes, q::avx512::kFloatKernels);
    q::RunAll<double>(bytes, q::avx512::kDoubleKernels);
  }
#endif
}
