// The processor that the kernels are compiled for.
//
// A file kernels_*.cc sets the target of all functions that follow and defines TFQ_QRNN_ISA, the name of their
// namespace, and TFQ_QRNN_VECTOR_BYTES. Then it includes kernels_isa.h, and with it circuit.h, controller.h, sequence.h
// and what these use. None of them includes a standard header that kernels.h, which comes before the target, does not:
// the linker could keep a copy of its functions that not every machine can run.
#ifndef TFQ_QRNN_BACKENDS_NATIVE_ISA_H_
#define TFQ_QRNN_BACKENDS_NATIVE_ISA_H_

#ifndef TFQ_QRNN_ISA  // any processor: 16-byte vectors, which every x86-64 and Arm machine has
#define TFQ_QRNN_ISA baseline
#define TFQ_QRNN_VECTOR_BYTES 16
#endif

#define INLINE inline __attribute__((always_inline))
#define INLINE_LAMBDA __attribute__((always_inline))

#endif  // TFQ_QRNN_BACKENDS_NATIVE_ISA_H_
