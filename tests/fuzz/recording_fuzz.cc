// Recordings, which come as files from other hosts. What decodes encodes to the same bytes again.
#include <algorithm>
#include <cstdlib>

#include "src/observe/recording.h"
#include "tests/fuzz/fuzz_target.h"

namespace sluice::fuzz {

void run(std::span<const std::byte> input) {
  const auto recording = decode_recording(input);
  if (!recording.ok()) return;
  const Bytes again = encode(*recording);
  if (!std::equal(again.begin(), again.end(), input.begin(), input.end())) std::abort();
}

std::vector<Bytes> seeds() {
  Recording recording;
  recording.taken_at = 100;
  recording.recorded = 3;
  recording.name = "gpu0";
  const Bytes without = encode(recording);
  recording.peers = {{0x1000001, 7, "gpu1 (10.0.0.2:20000)"}};
  recording.events = {{1, 2, 3, 4, 5, 6, EventKind::kPosted, 1},
                      {9, 0, 1, 0, 5, 0, EventKind::kFrameIn, 18},
                      {9, 100, 1, 0, 0, 0, EventKind::kSlept, 0}};
  return {without, encode(recording)};
}

}  // namespace sluice::fuzz
