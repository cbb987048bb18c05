// The GPU that the stub libraries show.
#pragma once

namespace sluice::emulator {

inline constexpr char kStubGpu[] = "0000:04:00.0";  // PCI address, as CUDA writes it.

}  // namespace sluice::emulator
