// Kernels, compiled for the GPUs that sluice knows and embedded as bytes; what cuModuleLoadData
// takes.
#pragma once

extern "C" {
// copy_pieces.cu, checksum_pieces.cu
extern const unsigned char kCopyPiecesFatbin[] __attribute__((visibility("hidden")));
extern const unsigned char kChecksumPiecesFatbin[] __attribute__((visibility("hidden")));
}
