// Every decoder of src/engine/wire.h. What decodes must encode to the same bytes again: a decoder
// that skips or invents something does not.
#include <algorithm>
#include <cstdlib>

#include "src/engine/wire.h"
#include "tests/fuzz/fuzz_target.h"

namespace sluice::fuzz {
namespace {

template <typename Body>
Bytes encoded(const Body& body) {
  Bytes buffer(70'000);
  ByteWriter writer(buffer);
  body.encode(writer);
  if (!writer.ok()) std::abort();
  buffer.resize(writer.written());
  return buffer;
}

template <typename Body>
void check(std::span<const std::byte> input) {
  ByteReader reader(input);
  Body body;
  if (!body.decode(reader)) return;
  const Bytes again = encoded(body);
  if (!std::equal(again.begin(), again.end(), input.begin(), input.end())) std::abort();
}

template <typename Body>
Bytes seed(std::uint8_t which, const Body& body) {
  Bytes bytes = encoded(body);
  bytes.insert(bytes.begin(), std::byte{which});
  return bytes;
}

}  // namespace

// The first byte chooses the decoder.
void run(std::span<const std::byte> input) {
  if (input.empty()) return;
  const auto body = input.subspan(1);
  switch (static_cast<int>(input[0]) % 10) {
    case 0:
      return check<wire::Hello>(body);
    case 1:
      return check<wire::Challenge>(body);
    case 2:
      return check<wire::Proof>(body);
    case 3:
      return check<wire::Farewell>(body);
    case 4:
      return check<wire::Credit>(body);
    case 5:
      return check<wire::Small>(body);
    case 6:
      return check<wire::Manifest>(body);
    case 7:
      return check<wire::TooLong>(body);
    case 8:
      return check<wire::ChannelsWanted>(body);
    default:
      return check<wire::ChannelsOffered>(body);
  }
}

std::vector<Bytes> seeds() {
  wire::Proof proof;
  proof.limits = {1, 524288, 16384, 2, 10000, "tcp", "a name"};
  wire::Credit credit;
  credit.count = 3;
  wire::Manifest manifest;
  manifest.message_bytes = 1 << 20;
  manifest.chunk_bytes = 1 << 19;
  manifest.count = 2;
  manifest.chunks[1] = {1, 1};
  const Bytes handle(128, std::byte{7});
  wire::ChannelsOffered offered;
  offered.count = 2;
  offered.handles[0] = offered.handles[1] = handle;
  return {seed(0, wire::Hello{}),
          seed(1, wire::Challenge{}),
          seed(2, proof),
          seed(3, wire::Farewell{StatusCode::kClosed, "done"}),
          seed(4, credit),
          seed(5, wire::Small{3, handle}),
          seed(6, manifest),
          seed(7, wire::TooLong{1, 2}),
          seed(8, wire::ChannelsWanted{2}),
          seed(9, offered)};
}

}  // namespace sluice::fuzz
