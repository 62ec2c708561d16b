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
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels.h"
#include "program.h"

namespace tfq_qrnn {
namespace {

template <class T>
struct Numbers {
  std::mt19937 engine{0};
  std::normal_distribution<double> normal;

  std::vector<T> operator()(int64_t size) {
    std::vector<T> values(size);
    for (T& value : values) value = static_cast<T>(normal(engine));
    return values;
  }
};

// One aligned workspace per task, of the exact size: any access beyond it is an error.
struct Workspace {
  explicit Workspace(size_t bytes) : start(static_cast<char*>(std::aligned_alloc(64, bytes))) {}
  ~Workspace() { std::free(start); }
  Workspace(const Workspace&) = delete;
  char* start;
};

template <class F>
void InThreads(int64_t tasks, int64_t blocks, size_t bytes, F work) {
  std::vector<std::thread> threads;
  for (int64_t task = 0; task < tasks; task++) {
    threads.emplace_back([=] {
      Workspace workspace(bytes);
      work(task, blocks * task / tasks, blocks * (task + 1) / tasks, workspace.start);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Shares out sweeps, a thread for every part.
void RunParts(const void*, void (*body)(void* argument, int64_t part), void* argument) {
  std::vector<std::thread> threads;
  for (int64_t part = 0; part < 3; part++) threads.emplace_back(body, argument, part);
  for (std::thread& thread : threads) thread.join();
}
constexpr Parallel kParallel = {3, nullptr, RunParts};

template <class T>
void Run(const Program<T>& program, const Kernels<T>& kernels, int64_t batch, Activation activation, int n_layers,
         bool masked, T poison) {
  Numbers<T> numbers;
  const int64_t timesteps = 3, n_readouts = program.n_observables, memory = int64_t{2} << program.n_qubits;
  const int64_t n_trained = n_layers > 0 && program.n_angles > 1 ? 1 : 0, hidden = 6;
  const int64_t n_controlled = program.n_angles - n_trained;
  const int64_t halved = activation == Activation::kGlu ? hidden / 2 : hidden;
  std::vector<std::vector<T>> kernel_values;
  std::vector<typename Controller<T>::Layer> layers;
  const std::vector<T> bias = numbers(hidden + n_controlled);
  for (int l = 0; l < n_layers; l++) {
    const int64_t rows = l == 0 ? n_readouts : halved, columns = l + 1 < n_layers ? hidden : n_controlled;
    kernel_values.push_back(numbers(rows * columns));
    layers.push_back({nullptr, l == 0 ? nullptr : bias.data(), rows, columns});
  }
  for (int l = 0; l < n_layers; l++) layers[l].kernel = kernel_values[l].data();
  const std::vector<T> scale = numbers(n_controlled), trained = numbers(n_trained);
  const std::vector<T> dropout = numbers(batch * n_readouts);
  const int64_t width = n_layers == 0 ? program.n_angles : layers[0].columns;
  std::vector<T> inputs = numbers(timesteps * batch * width);
  if (!inputs.empty()) inputs[0] = poison;
  std::unique_ptr<bool[]> mask(new bool[timesteps * batch + 1]);
  for (int64_t i = 0; i < timesteps * batch; i++) mask[i] = i % 3 != 1;
  const std::vector<T> first_readouts = numbers(batch * n_readouts), first_memory = numbers(batch * memory);
  Sequence<T> s;
  s.program = &program;
  s.parallel = batch == 1 ? &kParallel : nullptr;
  s.controller = {layers.data(),
                  n_layers,
                  activation,
                  scale.data(),
                  n_controlled == 1 ? 1 : n_controlled,
                  trained.data(),
                  n_trained,
                  masked ? dropout.data() : nullptr};
  s.timesteps = timesteps;
  s.batch = batch;
  s.width = width;
  s.inputs = inputs.data();
  s.mask = masked ? mask.get() : nullptr;
  s.first_readouts = first_readouts.data();
  const int64_t blocks = (batch + kernels.lanes - 1) / kernels.lanes, tasks = blocks < 3 ? blocks : 3;
  std::vector<T> readouts(timesteps * batch * n_readouts), last(batch * n_readouts), last_memory(batch * memory);
  const SequenceForward<T> forward = {first_memory.data(), readouts.data(), last.data(), last_memory.data()};
  InThreads(tasks, blocks, kernels.workspace(s, false), [&](int64_t, int64_t begin, int64_t end, char* workspace) {
    kernels.forward(s, forward, begin, end, workspace);
  });
  const std::vector<T> d_readouts = numbers(readouts.size()), d_last = numbers(last.size());
  const std::vector<T> d_memory = numbers(last_memory.size());
  std::vector<T> d_inputs(inputs.size()), d_first(last.size()), undone(last_memory.size()),
      d_first_memory(undone.size());
  std::vector<T> d_weights(tasks * WeightsSize(s.controller));
  const SequenceBackward<T> backward = {readouts.data(),       last_memory.data(), d_readouts.data(), d_last.data(),
                                        d_memory.data(),       d_inputs.data(),    d_first.data(),    undone.data(),
                                        d_first_memory.data(), d_weights.data()};
  InThreads(tasks, blocks, kernels.workspace(s, true), [&](int64_t task, int64_t begin, int64_t end, char* workspace) {
    kernels.backward(s, backward, task, begin, end, workspace);
  });
  // The last sample is not poisoned: the circuit must be undone on it.
  const double tolerance = sizeof(T) == 4 ? 1e-2 : 1e-10;
  for (int64_t i = (batch - 1) * memory; batch > 1 && i < batch * memory; i++) {
    const double difference = static_cast<double>(undone[i]) - first_memory[i];
    if (!(difference < tolerance && difference > -tolerance)) {
      std::fprintf(stderr, "amplitude %ld is off by %g\n", static_cast<long>(i), difference);
      std::exit(1);
    }
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
    for (int64_t batch : {1, 3, 37}) Run<T>(*program, kernels[width], batch, Activation::kLinear, 0, batch == 3, kNan);
    for (int activation = 0; activation <= static_cast<int>(Activation::kGlu); activation++) {
      Run<T>(*program, kernels[width], 5, static_cast<Activation>(activation), 1 + activation % 3, activation % 2,
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
