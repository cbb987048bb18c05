// Runs a target without libFuzzer: files given as arguments (a crash that a fuzzer found), or else
// its seeds and a fixed number of random mutations of them.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "tests/fuzz/fuzz_target.h"

namespace {

using sluice::fuzz::Bytes;

constexpr int kMutations = 20'000;

Bytes mutate(Bytes bytes, std::mt19937& random) {
  const auto below = [&](std::size_t n) { return n == 0 ? 0 : random() % n; };
  for (std::size_t edits = 1 + below(4); edits > 0; --edits) {
    const std::size_t at = below(bytes.size());
    switch (below(5)) {
      case 0:
        if (!bytes.empty()) bytes[at] = static_cast<std::byte>(random());
        break;
      case 1:
        if (!bytes.empty()) bytes[at] ^= static_cast<std::byte>(1u << below(8));
        break;
      case 2:
        bytes.resize(at);
        break;
      case 3:
        bytes.insert(bytes.begin() + static_cast<long>(at), 1 + below(9),
                     static_cast<std::byte>(below(2) == 0 ? 0xff : random()));
        break;
      default:
        bytes.insert(bytes.end(), bytes.begin(), bytes.begin() + static_cast<long>(at));
    }
    if (bytes.size() > 8192) bytes.resize(8192);
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    sluice::fuzz::run(sluice::fuzz::bytes_of(text));
  }
  if (argc > 1) return 0;
  const auto seeds = sluice::fuzz::seeds();
  sluice::fuzz::run({});
  for (const Bytes& seed : seeds) sluice::fuzz::run(seed);
  std::mt19937 random(1);
  for (int i = 0; i < kMutations; ++i) {
    sluice::fuzz::run(mutate(seeds[random() % seeds.size()], random));
  }
  std::printf("%zu seeds and %d mutations survived\n", seeds.size(), kMutations);
  return 0;
}
