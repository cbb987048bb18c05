// Every decoder of src/engine/wire.h. What decodes must encode to the same bytes again: a decoder
// that skips or invents something does not.
#include <algorithm>
#include <cstdlib>

#include "src/engine/block_list.h"
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

// Pieces of a list that was found good lie in their regions, and are as many bytes as it has.
void check_list(std::span<const std::byte> list) {
  constexpr std::uint64_t kRegions[] = {400, 600};
  BlockTotals totals;
  Block block;
  if (check_blocks(list, kRegions, totals, block) != BlockAnswer::kGood) return;
  BlockWalk walk(list);
  std::uint64_t left = std::min<std::uint64_t>(totals.bytes, 100'000);
  while (left > 0) {
    if (!walk.next(left, block) || block.region > 1 || block.length == 0) std::abort();
    if (block.offset + block.length > kRegions[block.region]) std::abort();
    left -= block.length;
  }
  if (totals.bytes <= 100'000 && walk.next(1, block)) std::abort();
  BlockWalk(list).skip(totals.bytes);
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
  switch (static_cast<int>(input[0]) % 19) {
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
    case 9:
      return check<wire::ChannelsOffered>(body);
    case 10:
      return check<wire::Request>(body);
    case 11:
      return check<wire::SlotBytes>(body);
    case 12:
      return check<wire::Granted>(body);
    case 13:
      return check<wire::Denied>(body);
    case 14:
      return check<wire::Slot>(body);
    case 16:
      return check<wire::ChannelsLost>(body);
    case 17:
      return check<wire::Missing>(body);
    case 18:
      return check<wire::Sum>(body);
    default:
      return check_list(body);
  }
}

std::vector<Bytes> seeds() {
  wire::Proof proof;
  proof.limits = {1, 524288, 16384, 2, 10000, 1 << 21, 1 << 16, false, "tcp", "a name"};
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
  wire::Request request;
  request.operation = wire::Operation::kRead;
  request.bytes = 4096;
  request.chunk_bytes = 4096;
  request.list_bytes = 128;
  request.payload = handle;
  wire::Missing missing;
  missing.writes = 5;
  missing.count = 2;
  missing.sequences[1] = 7;
  Bytes list{std::byte{15}};
  BlockPacker packer;
  packer.begin(list);
  for (std::uint64_t i = 0; i < 9; ++i) packer.add({0, i * 40, 8});
  for (std::uint64_t i = 0; i < 9; ++i) packer.add({1, i * i * 8, 8});
  for (std::uint64_t i = 1; i < 5; ++i) packer.add({0, i * 3, i});
  packer.finish();
  return {seed(0, wire::Hello{}),
          seed(1, wire::Challenge{}),
          seed(2, proof),
          seed(3, wire::Farewell{StatusCode::kClosed, "done"}),
          seed(4, credit),
          seed(5, wire::Small{3, handle}),
          seed(6, manifest),
          seed(7, wire::TooLong{1, 2}),
          seed(8, wire::ChannelsWanted{2, "a cause"}),
          seed(9, offered),
          seed(10, request),
          seed(11, wire::SlotBytes{1, handle}),
          seed(12, wire::Granted{1, 4096}),
          seed(13, wire::Denied{1, StatusCode::kDenied, "no"}),
          seed(14, wire::Slot{1}),
          seed(16, wire::ChannelsLost{1, "a cause"}),
          seed(17, missing),
          seed(18, wire::Sum{wire::Manifest::Of::kWrite, 3, 0xfeedbeef}),
          list};
}

}  // namespace sluice::fuzz
