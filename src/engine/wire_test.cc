#include "src/engine/wire.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace sluice::wire {
namespace {

template <typename Body>
std::vector<std::byte> encoded(const Body& body) {
  std::vector<std::byte> buffer(kLargestFixedBody + 1024);
  ByteWriter writer(buffer);
  body.encode(writer);
  EXPECT_TRUE(writer.ok());
  buffer.resize(writer.written());
  return buffer;
}

template <typename Body>
bool decodes(std::span<const std::byte> bytes, Body& body) {
  ByteReader reader(bytes);
  return body.decode(reader);
}

// Every proper prefix and every longer text is refused: a body is exactly one body.
template <typename Body>
void expect_exact(const Body& body) {
  std::vector<std::byte> bytes = encoded(body);
  Body out;
  EXPECT_TRUE(decodes(bytes, out));
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(decodes(std::span(bytes).first(length), out)) << length;
  }
  bytes.push_back(std::byte{0});
  EXPECT_FALSE(decodes(bytes, out));
}

Manifest three_chunks() {
  Manifest manifest;
  manifest.sequence = 7;
  manifest.message_bytes = 2'500;
  manifest.chunk_bytes = 1'000;
  manifest.count = 3;
  manifest.chunks[0] = {1, 2};
  manifest.chunks[1] = {0, 0};
  manifest.chunks[2] = {1, 1};
  return manifest;
}

TEST(Wire, EveryBodyIsExact) {
  expect_exact(Hello{});
  expect_exact(Challenge{});
  expect_exact(Farewell{StatusCode::kDenied, "no"});
  expect_exact(TooLong{3, 4});
  expect_exact(Granted{3, 4});
  expect_exact(Slot{63});
  expect_exact(Denied{3, StatusCode::kDenied, "no"});
  expect_exact(ChannelsWanted{2});
  expect_exact(ChannelsLost{1, "why"});
  Missing missing;
  missing.count = 2;
  missing.sequences[1] = 1;
  expect_exact(missing);
  expect_exact(Sum{Manifest::Of::kRead, 3, 0xfeedbeef});
  expect_exact(three_chunks());
  Proof proof;
  proof.limits = {1, 4096, 16, 2, 1000, 1 << 21, 1 << 16, false, "tcp", "me"};
  expect_exact(proof);
  Credit credit;
  credit.count = 2;
  credit.capacity[1] = UINT64_MAX;
  expect_exact(credit);
  const std::vector<std::byte> handle(Net::kHandleBytes, std::byte{9});
  ChannelsOffered offered;
  offered.count = 2;
  offered.handles[0] = handle;
  offered.handles[1] = std::span(handle).first(1);
  expect_exact(offered);
}

TEST(Wire, BytesAreLittleEndianAndInOrder) {
  const auto bytes = encoded(TooLong{0x0102030405060708, 0x1112131415161718});
  ASSERT_EQ(bytes.size(), 16u);
  EXPECT_EQ(bytes[0], std::byte{0x08});
  EXPECT_EQ(bytes[7], std::byte{0x01});
  EXPECT_EQ(bytes[8], std::byte{0x18});
  EXPECT_EQ(encoded(Hello{})[0], std::byte{'S'});
  EXPECT_EQ(encoded(three_chunks()).size(), Manifest::body_bytes(3));
}

TEST(Wire, HeaderRefusesWhatIsNotZero) {
  auto bytes = encoded(Header{5, FrameType::kPing});
  ASSERT_EQ(bytes.size(), kHeaderBytes);
  Header header;
  EXPECT_TRUE(decodes(bytes, header));
  EXPECT_EQ(header.body_bytes, 5u);
  for (std::size_t i = 5; i < 8; ++i) {
    auto damaged = bytes;
    damaged[i] = std::byte{1};
    EXPECT_FALSE(decodes(damaged, header)) << i;
  }
}

TEST(Wire, CountsAreBounded) {
  Credit credit;
  EXPECT_FALSE(decodes(encoded(Credit{}), credit));
  ChannelsWanted wanted;
  EXPECT_FALSE(decodes(encoded(ChannelsWanted{0}), wanted));
  EXPECT_FALSE(decodes(encoded(ChannelsWanted{kMostChannels + 1}), wanted));
  std::vector<std::byte> many{std::byte{0xff}, std::byte{0xff}};
  many.resize(2 + 65535 * 8);
  EXPECT_FALSE(decodes(many, credit));
  Manifest manifest;
  auto bytes = encoded(three_chunks());
  bytes[24] = std::byte{65};
  EXPECT_FALSE(decodes(bytes, manifest));
}

TEST(Wire, ManifestRefusesChunksOutsideOfItsMessage) {
  Manifest manifest = three_chunks();
  manifest.chunks[2].index = 3;
  Manifest out;
  EXPECT_FALSE(decodes(encoded(manifest), out));
  manifest = three_chunks();
  manifest.chunk_bytes = 0;
  EXPECT_FALSE(decodes(encoded(manifest), out));
  manifest = three_chunks();
  manifest.message_bytes = 0;
  EXPECT_FALSE(decodes(encoded(manifest), out));
}

TEST(Wire, MissingIsAscendingAndBounded) {
  Missing missing;
  Missing out;
  missing.count = 2;
  missing.sequences = {7, 7};
  EXPECT_FALSE(decodes(encoded(missing), out));
  missing.sequences = {7, 8};
  EXPECT_TRUE(decodes(encoded(missing), out));
  std::vector<std::byte> many(18 + 8 * (kMostCredits + 1));
  ByteWriter writer(many);
  writer.u64(0);
  writer.u64(0);
  writer.u16(kMostCredits + 1);
  for (std::uint64_t i = 0; i <= kMostCredits; ++i) writer.u64(i);
  EXPECT_FALSE(decodes(many, out));
  ChannelsLost lost;
  EXPECT_FALSE(decodes(encoded(ChannelsLost{0, ""}), lost));
}

TEST(Wire, ChunkCountDoesNotOverflow) {
  EXPECT_EQ(chunk_count(0, 1), 0u);
  EXPECT_EQ(chunk_count(UINT64_MAX, UINT64_MAX), 1u);
  EXPECT_EQ(chunk_count(UINT64_MAX, 2), UINT64_MAX / 2 + 1);
}

TEST(Wire, LimitsRefuseWhatNoEngineSays) {
  const Limits good{1, 4096, 16, 2, 1000, 1 << 21, 1 << 16, false, "tcp", "me"};
  Limits out;
  const auto bytes = encoded(good);  // out's texts point into it.
  EXPECT_TRUE(decodes(bytes, out));
  EXPECT_EQ(out.name, "me");
  auto with = [&](auto change) {
    Limits limits = good;
    change(limits);
    return decodes(encoded(limits), out);
  };
  EXPECT_FALSE(with([](Limits& l) { l.chunk_bytes = 0; }));
  EXPECT_FALSE(with([](Limits& l) { l.channels = 0; }));
  EXPECT_FALSE(with([](Limits& l) { l.channels = kMostChannels + 1; }));
  EXPECT_FALSE(with([](Limits& l) { l.peer_timeout_ms = 0; }));
  const std::string long_name(kLongestName + 1, 'x');
  EXPECT_FALSE(with([&](Limits& l) { l.name = long_name; }));
}

// No random bytes make a decoder read outside of them: for the sanitizers.
TEST(Wire, RandomBytesAreDecodedInBounds) {
  std::mt19937 random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> bytes(random() % 96);
    for (auto& b : bytes) b = static_cast<std::byte>(random() % 4 == 0 ? random() : 0);
    Hello hello;
    Challenge challenge;
    Proof proof;
    Farewell farewell;
    Credit credit;
    Small small;
    Manifest manifest;
    TooLong too_long;
    ChannelsWanted wanted;
    ChannelsOffered offered;
    decodes(bytes, hello);
    decodes(bytes, challenge);
    decodes(bytes, proof);
    decodes(bytes, farewell);
    decodes(bytes, credit);
    if (decodes(bytes, manifest)) {
      for (std::uint32_t i = 0; i < manifest.count; ++i) {
        EXPECT_LT(manifest.chunks[i].index * manifest.chunk_bytes, manifest.message_bytes);
      }
    }
    decodes(bytes, too_long);
    decodes(bytes, wanted);
    if (decodes(bytes, offered)) {
      EXPECT_LE(offered.handles[offered.count - 1].size(), Net::kHandleBytes);
    }
    if (decodes(bytes, small)) {
      EXPECT_EQ(small.bytes.size() + 8, bytes.size());
    }
  }
}

Request a_write() {
  Request request;
  request.slot = 5;
  request.operation = Operation::kWrite;
  request.bytes = 100;
  request.regions = 1;
  request.list_bytes = 31;
  return request;
}

TEST(Wire, ARequestThatContradictsItselfIsRefused) {
  const std::vector<std::byte> payload(RegionRef::kBytes + 31 + 100);
  auto accepted = [&](const Request& request) {
    Request out;
    return decodes(encoded(request), out);
  };
  Request good = a_write();
  good.payload = std::span(payload).first(RegionRef::kBytes + 31);
  EXPECT_TRUE(accepted(good));
  good.payload = std::span(payload).first(7);  // The rest comes in Parts.
  EXPECT_TRUE(accepted(good));
  Request with_data = a_write();
  with_data.flags = Request::kCarriesData;
  with_data.payload = payload;
  EXPECT_TRUE(accepted(with_data));
  with_data.payload = std::span(payload).first(payload.size() - 1);
  EXPECT_FALSE(accepted(with_data));
  with_data.bytes = UINT64_MAX;
  EXPECT_FALSE(accepted(with_data));

  Request urgent = a_write();
  urgent.flags = Request::kUrgent;
  EXPECT_TRUE(accepted(urgent));

  Request lists = a_write();
  lists.list_id = kMostKeptLists - 1;
  EXPECT_FALSE(accepted(lists));
  lists.flags = Request::kKeepsList;
  EXPECT_TRUE(accepted(lists));
  lists.list_bytes = 0;
  EXPECT_FALSE(accepted(lists));
  lists.flags = Request::kNamesList;
  EXPECT_TRUE(accepted(lists));
  lists.flags = Request::kNamesList | Request::kKeepsList;
  EXPECT_FALSE(accepted(lists));

  auto refused = [&](auto&& change) {
    Request bad = a_write();
    change(bad);
    return !accepted(bad);
  };
  EXPECT_TRUE(refused([](Request& r) { r.slot = kMostSlots; }));
  EXPECT_TRUE(refused([](Request& r) { r.operation = Operation(0); }));
  EXPECT_TRUE(refused([](Request& r) { r.operation = Operation(4); }));
  EXPECT_TRUE(refused([](Request& r) { r.flags = 64; }));
  EXPECT_TRUE(refused([](Request& r) { r.flags = Request::kTakesData; }));
  EXPECT_TRUE(refused([](Request& r) { r.chunk_bytes = 1; }));
  EXPECT_TRUE(refused([](Request& r) { r.operation = Operation::kRead; }));  // No chunk_bytes.
  EXPECT_TRUE(refused([](Request& r) { r.notification_bytes = 1; }));
  EXPECT_TRUE(refused([](Request& r) { r.regions = kMostRegionsPerRequest + 1; }));
  EXPECT_TRUE(refused([](Request& r) {
    r.flags = Request::kNotifies;
    r.notification_bytes = kLongestNotification + 1;
  }));
  EXPECT_TRUE(refused([&](Request& r) { r.payload = payload; }));  // More than it announces.
  EXPECT_TRUE(refused([](Request& r) { r.operation = Operation::kNotify; }));
  EXPECT_TRUE(refused([](Request& r) {
    r.flags = Request::kKeepsList;
    r.list_id = kMostKeptLists;
  }));
  EXPECT_TRUE(refused([](Request& r) { r.flags = Request::kNamesList; }));  // It has one too.
}

}  // namespace
}  // namespace sluice::wire
