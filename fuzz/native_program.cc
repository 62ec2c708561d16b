// libFuzzer on the native op's entry: any bytes as a program, run forward and back where they are one.
//
// An input is eight bytes of settings, then what the op's attribute `program` holds. With -DTFQ_QRNN_REPLAY this is a
// program of its own that runs the files it is given, for compilers without libFuzzer.
#include <cstring>
#include <limits>
#include <string>

#include "native_run.h"

#ifdef TFQ_QRNN_REPLAY
#include <cstdio>
#include <fstream>
#include <iterator>
#endif

namespace tfq_qrnn {
namespace {

constexpr size_t kSettings = 8;
// What a run may cost, so that the fuzzer gets on; parsing is not limited.
constexpr int kMostQubits = 10;
constexpr int64_t kMostNumbers = 1 << 18;

int ran = 0;  // programs, of all that were given

void RunParts(const void*, void (*body)(void* argument, int64_t part), void* argument) {
  for (int64_t part = 0; part < 3; part++) body(argument, part);
}
constexpr Parallel kParallel = {3, nullptr, RunParts};

template <class T>
const Kernels<T>* KernelsFor(int isa, const Kernels<T>* baseline, const Kernels<T>* avx2, const Kernels<T>* avx512) {
  const std::string cpu = CpuName();
  if (isa == 2 && cpu == "avx512") return avx512;
  if (isa >= 1 && cpu != "baseline") return avx2;
  return baseline;
}

template <class T>
void TestOne(const uint8_t* settings, const std::string& bytes, const Kernels<T>* kernels) {
  std::string error;
  const auto program = ParseProgram<T>(bytes, &error);
  if (program == nullptr || program->n_qubits > kMostQubits) return;
  if (program->n_angles > kMostNumbers || program->n_observables > kMostNumbers) return;
  constexpr T kPoison[] = {0, std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity(), T(1e30)};
  const Case<T> c = {settings[0] % 4,
                     1 + settings[1] % 20,
                     static_cast<Activation>(settings[2] % 11),
                     settings[3] % 4,
                     settings[4] % 2 == 1,
                     kPoison[settings[5] % 4],
                     settings[6] % 2 ? &kParallel : nullptr};
  const int64_t numbers = program->n_angles + program->n_observables + program->tile_ops.size + program->sweeps.size;
  if (numbers * c.batch > kMostNumbers || numbers << program->n_qubits > 8 * kMostNumbers) return;
  Run<T>(*program, kernels[settings[7] % 2], c);
  ran++;
}

}  // namespace
}  // namespace tfq_qrnn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace q = tfq_qrnn;
  if (size < q::kSettings) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + q::kSettings, size - q::kSettings);
  const int isa = data[7] / 2 % 3;
  if (data[6] / 2 % 2) {
    q::TestOne<double>(
        data, bytes,
        q::KernelsFor<double>(isa, q::baseline::kDoubleKernels, q::avx2::kDoubleKernels, q::avx512::kDoubleKernels));
  } else {
    q::TestOne<float>(
        data, bytes,
        q::KernelsFor<float>(isa, q::baseline::kFloatKernels, q::avx2::kFloatKernels, q::avx512::kFloatKernels));
  }
  return 0;
}

#ifdef TFQ_QRNN_REPLAY

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::fprintf(stderr, "%s\n", argv[i]);  // the last one named is the one that failed
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  }
  std::fprintf(stderr, "ran %d of %d programs\n", tfq_qrnn::ran, argc - 1);
}

#else

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// Half of the time one of the program's integers becomes another: bytes alone would hardly ever make a valid one.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  std::minstd_rand random(seed);
  const size_t words = size < 16 ? 0 : (size - 8) / 8;
  if (words < 2 || random() % 2) return LLVMFuzzerMutate(data, size, max_size);
  const int64_t values[] = {static_cast<int64_t>(random() % 8), static_cast<int64_t>(random() % 64), -1,
                            int64_t{1} << random() % 63, (int64_t{1} << random() % 63) - 1};
  for (unsigned changes = 1 + random() % 3; changes > 0; changes--) {
    const size_t word = random() % (random() % 4 ? std::min<size_t>(words, 64) : words);
    std::memcpy(data + 8 + 8 * word, &values[random() % 5], 8);
  }
  return size;
}

#endif
