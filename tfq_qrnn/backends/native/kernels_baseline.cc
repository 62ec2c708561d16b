// The kernels for any processor.
#include "kernels_isa.h"
