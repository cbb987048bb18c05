#include "tests/fuzz/fuzz_target.h"

// The seeds go through the target once; libFuzzer keeps what it finds on top of its own corpus.
extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  for (const auto& seed : sluice::fuzz::seeds()) sluice::fuzz::run(seed);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sluice::fuzz::run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
