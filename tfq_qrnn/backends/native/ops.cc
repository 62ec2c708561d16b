// The TensorFlow ops: a sequence forward, and its gradient. One step is a sequence of one whose inputs are the angles.
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels.h"
#include "program.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/util/work_sharder.h"

namespace tfq_qrnn {
namespace {

using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
namespace shapes = tensorflow::shape_inference;

// Attributes of both ops. `weights` are the scale, the layers' kernels, the biases of all layers but the first, and
// the trained angles where there are any; a `layers` of 0 means that the inputs are the angles. `mask` and `dropout`
// are empty where there is none.
#define TFQ_QRNN_ATTRIBUTES                                                                                            \
  Attr("T: {float, double}")                                                                                           \
      .Attr("n_weights: int >= 0")                                                                                     \
      .Attr("program: string")                                                                                         \
      .Attr("layers: int >= 0")                                                                                        \
      .Attr(                                                                                                           \
          "activation: {'linear', 'relu', 'tanh', 'sigmoid', 'gelu', 'gelu_tanh', 'silu', 'elu', 'selu', 'softplus', " \
          "'glu'}")                                                                                                    \
      .Attr("use_bias: bool")                                                                                          \
      .Attr("trained: bool")

REGISTER_OP("TfqQrnnScan")
    .Input("inputs: T")
    .Input("mask: bool")
    .Input("readouts: T")
    .Input("memory: T")
    .Input("dropout: T")
    .Input("weights: n_weights * T")
    .Output("all_readouts: T")
    .Output("last_readouts: T")
    .Output("last_memory: T")
    .TFQ_QRNN_ATTRIBUTES
    .SetShapeFn([](shapes::InferenceContext* c) {
      shapes::ShapeHandle inputs, readouts, memory, outputs;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 3, &inputs));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(2), 2, &readouts));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(3), 2, &memory));
      c->set_output(0, c->MakeShape({c->Dim(inputs, 0), c->Dim(readouts, 0), c->Dim(readouts, 1)}));
      c->set_output(1, readouts);
      c->set_output(2, memory);
      return absl::OkStatus();
    })
    .Doc("Run a gate program over a sequence, with the controller between the steps.");

REGISTER_OP("TfqQrnnScanGrad")
    .Input("inputs: T")
    .Input("mask: bool")
    .Input("readouts: T")
    .Input("dropout: T")
    .Input("all_readouts: T")
    .Input("last_memory: T")
    .Input("all_readouts_gradient: T")
    .Input("last_readouts_gradient: T")
    .Input("last_memory_gradient: T")
    .Input("weights: n_weights * T")
    .Output("inputs_gradient: T")
    .Output("readouts_gradient: T")
    .Output("memory: T")
    .Output("memory_gradient: T")
    .Output("weights_gradient: n_weights * T")
    .TFQ_QRNN_ATTRIBUTES
    .SetShapeFn([](shapes::InferenceContext* c) {
      c->set_output(0, c->input(0));
      c->set_output(1, c->input(2));
      c->set_output(2, c->input(5));
      c->set_output(3, c->input(5));
      for (int i = 9; i < c->num_inputs(); i++) c->set_output(i - 5, c->input(i));
      return absl::OkStatus();
    })
    .Doc("The gradient of TfqQrnnScan, which walks back by undoing the program, and the memory it arrives at.");

#undef TFQ_QRNN_ATTRIBUTES

constexpr const char* kActivations[] = {"linear", "relu", "tanh", "sigmoid",  "gelu", "gelu_tanh",
                                        "silu",   "elu",  "selu", "softplus", "glu"};

// A cost that makes Shard give every part a thread.
constexpr int64_t kLongCost = int64_t{1} << 30;

// A forked process has none of its parent's threads, and would wait for them without end.
const pid_t kLoadedIn = getpid();
bool HasThreads() { return getpid() == kLoadedIn; }

void RunParts(const void* context, void (*body)(void* argument, int64_t part), void* argument) {
  auto* workers = static_cast<const OpKernelContext*>(context)->device()->tensorflow_cpu_worker_threads();
  const auto run = [=](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; part++) body(argument, part);
  };
  if (!HasThreads()) return run(0, workers->num_threads);
  tensorflow::Shard(workers->num_threads, workers->workers, workers->num_threads, kLongCost, run);
}

// A sequence whose tensors have been checked, with what its pointers need.
template <class T>
struct Checked {
  Sequence<T> sequence;
  std::vector<typename Controller<T>::Layer> layers;
  Choice<T> choice;
  Parallel parallel;
  int64_t tasks;
};

template <class T>
class ScanOpBase : public OpKernel {
 public:
  explicit ScanOpBase(OpKernelConstruction* c) : OpKernel(c) {
    std::string bytes, activation, error;
    OP_REQUIRES_OK(c, c->GetAttr("program", &bytes));
    OP_REQUIRES_OK(c, c->GetAttr("layers", &n_layers_));
    OP_REQUIRES_OK(c, c->GetAttr("activation", &activation));
    OP_REQUIRES_OK(c, c->GetAttr("use_bias", &use_bias_));
    OP_REQUIRES_OK(c, c->GetAttr("trained", &trained_));
    program_ = ParseProgram<T>(bytes, &error);
    OP_REQUIRES(c, program_ != nullptr, absl::InvalidArgumentError(error));
    const auto found = std::find(std::begin(kActivations), std::end(kActivations), activation);
    activation_ = static_cast<Activation>(found - std::begin(kActivations));
  }

 protected:
  absl::Status Check(OpKernelContext* c, const Tensor& dropout, const Tensor& readouts, Checked<T>* checked) const {
    Sequence<T>& s = checked->sequence;
    const Tensor &inputs = c->input(0), &mask = c->input(1);
    if (inputs.dims() != 3)
      return absl::InvalidArgumentError("Argument `inputs` must have shape (time, batch, width).");
    s.program = program_.get();
    s.timesteps = inputs.dim_size(0);
    s.batch = inputs.dim_size(1);
    s.width = inputs.dim_size(2);
    s.inputs = inputs.flat<T>().data();
    s.mask = nullptr;
    if (mask.dims() == 2) {
      TF_RETURN_IF_ERROR(Require("mask", mask, {s.timesteps, s.batch}));
      s.mask = mask.flat<bool>().data();
    } else {
      TF_RETURN_IF_ERROR(Require("mask", mask, {0}));
    }
    TF_RETURN_IF_ERROR(Require("readouts", readouts, {s.batch, program_->n_observables}));
    s.first_readouts = readouts.flat<T>().data();
    TF_RETURN_IF_ERROR(CheckController(c, dropout, checked));
    const int64_t threads = c->device()->tensorflow_cpu_worker_threads()->num_threads;
    checked->choice = ChooseKernels<T>(program_->n_qubits, s.batch, threads);
    const int64_t blocks = checked->choice.blocks;
    checked->tasks = checked->choice.split ? std::min<int64_t>(blocks, 1) : std::min(threads, blocks);
    checked->parallel = {threads, c, RunParts};
    s.parallel = checked->choice.split ? &checked->parallel : nullptr;
    return absl::OkStatus();
  }

  static absl::Status Require(const char* name, const Tensor& tensor, TensorShape shape) {
    if (tensor.shape() == shape) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("Argument `", name, "` must have shape ", shape.DebugString(),
                                                   ", but its shape is ", tensor.shape().DebugString(), "."));
  }

  TensorShape MemoryShape(int64_t batch) const { return {batch, int64_t{2} << program_->n_qubits}; }

  // work(task, first block, end, workspace)
  template <class F>
  absl::Status Run(OpKernelContext* c, const Checked<T>& checked, bool backward, F work) const {
    const Sequence<T>& s = checked.sequence;
    if (checked.tasks == 0) return absl::OkStatus();
    const int64_t bytes = checked.choice.kernels.workspace(s, backward);
    const int64_t memory = int64_t{sysconf(_SC_PAGE_SIZE)} * sysconf(_SC_PHYS_PAGES);
    if (bytes > memory / checked.tasks) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "Argument `inputs` must leave room for the states, but ", checked.tasks * bytes >> 20, " MiB for ",
          program_->n_qubits, " qubits are more than this machine has, ", memory >> 20, " MiB."));
    }
    Tensor workspace;
    TF_RETURN_IF_ERROR(c->allocate_temp(tensorflow::DT_INT8, {checked.tasks * bytes}, &workspace));
    char* start = reinterpret_cast<char*>(workspace.flat<int8_t>().data());
    // Here and not on a worker: the sweeps wait for workers, and a worker must not.
    if (checked.choice.split) {
      work(0, 0, checked.choice.blocks, start);
      return absl::OkStatus();
    }
    const int64_t per_amplitude = 8 + 4 * (program_->rotations.size + 3 * program_->n_qubits) / 2;
    const int64_t blocks_per_task = (checked.choice.blocks + checked.tasks - 1) / checked.tasks;
    const int64_t cycles = (s.timesteps + 1) * blocks_per_task * (per_amplitude << program_->n_qubits);
    auto* workers = c->device()->tensorflow_cpu_worker_threads();
    const auto run = [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; task++) {
        work(task, checked.choice.blocks * task / checked.tasks, checked.choice.blocks * (task + 1) / checked.tasks,
             start + task * bytes);
      }
    };
    if (!HasThreads()) return run(0, checked.tasks), absl::OkStatus();
    tensorflow::Shard(workers->num_threads, workers->workers, checked.tasks, cycles, run);
    return absl::OkStatus();
  }

  int n_layers_ = 0;
  bool use_bias_ = false, trained_ = false;

 private:
  absl::Status CheckController(OpKernelContext* c, const Tensor& dropout, Checked<T>* checked) const {
    OpInputList weights;
    TF_RETURN_IF_ERROR(c->input_list("weights", &weights));
    Sequence<T>& s = checked->sequence;
    Controller<T>& controller = s.controller;
    controller = {};
    controller.n_layers = n_layers_;
    controller.activation = activation_;
    const int64_t n_biases = use_bias_ && n_layers_ > 0 ? n_layers_ - 1 : 0;
    const int64_t expected = n_layers_ == 0 ? 0 : 1 + int64_t{n_layers_} + n_biases + trained_;
    if (weights.size() != expected) {
      return absl::InvalidArgumentError(
          absl::StrCat("Argument `weights` must hold ", expected, " tensors, but it holds ", weights.size(), "."));
    }
    if (n_layers_ == 0) {
      if (s.width == program_->n_angles) return absl::OkStatus();
      return absl::InvalidArgumentError(
          absl::StrCat("Argument `inputs` must hold ", program_->n_angles, " angles, but it holds ", s.width, "."));
    }
    int64_t rows = program_->n_observables;
    for (int l = 0; l < n_layers_; l++) {
      const Tensor& kernel = weights[1 + l];
      if (kernel.dims() != 2) return absl::InvalidArgumentError("Argument `weights` must hold kernels of rank 2.");
      const int64_t columns = kernel.dim_size(1);
      TF_RETURN_IF_ERROR(Require("weights", kernel, {rows, columns}));
      const T* bias = nullptr;
      if (l > 0 && use_bias_) {
        const Tensor& tensor = weights[n_layers_ + l];
        TF_RETURN_IF_ERROR(Require("weights", tensor, {columns}));
        bias = tensor.flat<T>().data();
      }
      checked->layers.push_back({kernel.flat<T>().data(), bias, rows, columns});
      rows = activation_ == Activation::kGlu ? columns / 2 : columns;
      if (l + 1 < n_layers_ && activation_ == Activation::kGlu && columns % 2) {
        return absl::InvalidArgumentError(
            "Argument `weights` must hold kernels with an even number of columns for glu.");
      }
    }
    if (s.width != checked->layers[0].columns) {
      return absl::InvalidArgumentError(absl::StrCat("Argument `inputs` must have the first kernel's width, ",
                                                     checked->layers[0].columns, ", but it has ", s.width, "."));
    }
    controller.layers = checked->layers.data();
    const int64_t controlled = checked->layers.back().columns;
    controller.n_trained = trained_ ? weights[weights.size() - 1].NumElements() : 0;
    controller.trained = trained_ ? weights[weights.size() - 1].flat<T>().data() : nullptr;
    if (controlled + controller.n_trained != program_->n_angles) {
      return absl::InvalidArgumentError(absl::StrCat("Argument `weights` must give ", program_->n_angles,
                                                     " angles, but they give ", controlled + controller.n_trained,
                                                     "."));
    }
    controller.scale = weights[0].flat<T>().data();
    controller.scale_size = weights[0].NumElements();
    if (controller.scale_size != 1) TF_RETURN_IF_ERROR(Require("weights", weights[0], {controlled}));
    if (dropout.dims() == 2) {
      TF_RETURN_IF_ERROR(Require("dropout", dropout, {s.batch, program_->n_observables}));
      controller.dropout = dropout.flat<T>().data();
    } else {
      TF_RETURN_IF_ERROR(Require("dropout", dropout, {0}));
    }
    return absl::OkStatus();
  }

  std::shared_ptr<const Program<T>> program_;
  Activation activation_ = Activation::kLinear;
};

template <class T>
class ScanOp : public ScanOpBase<T> {
 public:
  using ScanOpBase<T>::ScanOpBase;

  void Compute(OpKernelContext* c) override {
    Checked<T> checked;
    const Tensor &readouts = c->input(2), &memory = c->input(3);
    OP_REQUIRES_OK(c, this->Check(c, c->input(4), readouts, &checked));
    const Sequence<T>& s = checked.sequence;
    OP_REQUIRES_OK(c, this->Require("memory", memory, this->MemoryShape(s.batch)));
    Tensor *all, *last, *last_memory;
    OP_REQUIRES_OK(c, c->allocate_output(0, {s.timesteps, s.batch, readouts.dim_size(1)}, &all));
    OP_REQUIRES_OK(c, c->allocate_output(1, readouts.shape(), &last));
    OP_REQUIRES_OK(c, c->allocate_output(2, memory.shape(), &last_memory));
    const SequenceForward<T> forward = {memory.flat<T>().data(), all->flat<T>().data(), last->flat<T>().data(),
                                        last_memory->flat<T>().data()};
    OP_REQUIRES_OK(c, this->Run(c, checked, false, [&](int64_t, int64_t begin, int64_t end, char* workspace) {
      checked.choice.kernels.forward(s, forward, begin, end, workspace);
    }));
  }
};

template <class T>
class ScanGradOp : public ScanOpBase<T> {
 public:
  using ScanOpBase<T>::ScanOpBase;

  void Compute(OpKernelContext* c) override {
    Checked<T> checked;
    const Tensor &readouts = c->input(2), &all = c->input(4), &memory = c->input(5);
    OP_REQUIRES_OK(c, this->Check(c, c->input(3), readouts, &checked));
    const Sequence<T>& s = checked.sequence;
    const TensorShape all_shape = {s.timesteps, s.batch, readouts.dim_size(1)};
    OP_REQUIRES_OK(c, this->Require("all_readouts", all, all_shape));
    OP_REQUIRES_OK(c, this->Require("last_memory", memory, this->MemoryShape(s.batch)));
    OP_REQUIRES_OK(c, this->Require("all_readouts_gradient", c->input(6), all_shape));
    OP_REQUIRES_OK(c, this->Require("last_readouts_gradient", c->input(7), readouts.shape()));
    OP_REQUIRES_OK(c, this->Require("last_memory_gradient", c->input(8), memory.shape()));
    Tensor *inputs_gradient, *readouts_gradient, *first_memory, *memory_gradient;
    OP_REQUIRES_OK(c, c->allocate_output(0, c->input(0).shape(), &inputs_gradient));
    OP_REQUIRES_OK(c, c->allocate_output(1, readouts.shape(), &readouts_gradient));
    OP_REQUIRES_OK(c, c->allocate_output(2, memory.shape(), &first_memory));
    OP_REQUIRES_OK(c, c->allocate_output(3, memory.shape(), &memory_gradient));
    const int64_t n_weights = WeightsSize(s.controller);
    Tensor parts;
    OP_REQUIRES_OK(c, c->allocate_temp(tensorflow::DataTypeToEnum<T>::value, {checked.tasks, n_weights}, &parts));
    const SequenceBackward<T> backward = {
        all.flat<T>().data(),
        memory.flat<T>().data(),
        c->input(6).flat<T>().data(),
        c->input(7).flat<T>().data(),
        c->input(8).flat<T>().data(),
        inputs_gradient->flat<T>().data(),
        readouts_gradient->flat<T>().data(),
        first_memory->flat<T>().data(),
        memory_gradient->flat<T>().data(),
        parts.flat<T>().data(),
    };
    OP_REQUIRES_OK(c, this->Run(c, checked, true, [&](int64_t task, int64_t begin, int64_t end, char* workspace) {
      checked.choice.kernels.backward(s, backward, task, begin, end, workspace);
    }));
    if (this->n_layers_ > 0) OP_REQUIRES_OK(c, AddParts(c, checked, parts.flat<T>().data()));
  }

 private:
  // The tasks' sums, added up in the order of the tasks.
  absl::Status AddParts(OpKernelContext* c, const Checked<T>& checked, const T* parts) const {
    OpInputList weights;
    TF_RETURN_IF_ERROR(c->input_list("weights", &weights));
    const int64_t n_weights = WeightsSize(checked.sequence.controller);
    // The kernels put the scale behind the layers.
    const int n_layer_weights = weights.size() - 1 - this->trained_;
    int64_t offset = 0;
    for (int i = 0; i < weights.size(); i++) {
      const int weight = i < n_layer_weights ? i + 1 : i == n_layer_weights ? 0 : i;
      Tensor* gradient;
      TF_RETURN_IF_ERROR(c->allocate_output(4 + weight, weights[weight].shape(), &gradient));
      auto sum = gradient->flat<T>();
      for (int64_t k = 0; k < sum.size(); k++) {
        sum(k) = T(0);
        for (int64_t task = 0; task < checked.tasks; task++) sum(k) += parts[task * n_weights + offset + k];
      }
      offset += sum.size();
    }
    return absl::OkStatus();
  }
};

#define TFQ_QRNN_REGISTER(T)                                                                                     \
  REGISTER_KERNEL_BUILDER(Name("TfqQrnnScan").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), ScanOp<T>); \
  REGISTER_KERNEL_BUILDER(Name("TfqQrnnScanGrad").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), ScanGradOp<T>)

TFQ_QRNN_REGISTER(float);
TFQ_QRNN_REGISTER(double);
#undef TFQ_QRNN_REGISTER

}  // namespace
}  // namespace tfq_qrnn

// The processor that the kernels run on; for Python, through ctypes.
extern "C" __attribute__((visibility("default"))) const char* tfq_qrnn_cpu_name() { return tfq_qrnn::CpuName(); }
