#include "src/base/bytes.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace sluice {
namespace {

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

TEST(ByteWriterTest, WritesLittleEndian) {
  std::array<std::byte, 64> buffer{};
  ByteWriter writer(buffer);
  writer.u8(0x01);
  writer.u16(0x0302);
  writer.u32(0x07060504);
  writer.u64(0x0f0e0d0c0b0a0908);
  writer.text("ab");
  ASSERT_TRUE(writer.ok());
  const auto expected =
      bytes_of({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 2, 0, 'a', 'b'});
  EXPECT_EQ(std::vector(buffer.begin(), buffer.begin() + static_cast<long>(writer.written())),
            expected);
}

TEST(ByteWriterTest, WritesNothingPastTheEnd) {
  for (std::size_t room = 0; room < 8; ++room) {
    std::array<std::byte, 8> buffer{};
    ByteWriter writer(std::span{buffer}.first(room));
    writer.u64(UINT64_MAX);
    EXPECT_FALSE(writer.ok());
    EXPECT_EQ(writer.written(), 0u);
    EXPECT_EQ(buffer, (std::array<std::byte, 8>{})) << "room " << room;
  }
}

TEST(ByteWriterTest, TextThatDoesNotFitLeavesNoLengthBehind) {
  std::array<std::byte, 4> buffer{};
  ByteWriter writer(buffer);
  writer.text("abc");
  EXPECT_FALSE(writer.ok());
  EXPECT_EQ(writer.written(), 0u);
  EXPECT_EQ(buffer, (std::array<std::byte, 4>{}));
}

TEST(ByteWriterTest, TextIsAtMostWhatItsLengthCanSay) {
  std::vector<std::byte> buffer(70'000);
  ByteWriter longest(buffer);
  longest.text(std::string(65'535, 'x'));
  EXPECT_TRUE(longest.ok());
  EXPECT_EQ(longest.written(), 65'537u);
  ByteWriter too_long(buffer);
  too_long.text(std::string(65'536, 'x'));
  EXPECT_FALSE(too_long.ok());
  EXPECT_EQ(too_long.written(), 0u);
}

TEST(ByteWriterTest, StaysNotOkWhenALaterWriteFits) {
  std::array<std::byte, 4> buffer{};
  ByteWriter writer(buffer);
  writer.u64(1);
  writer.u8(1);
  EXPECT_FALSE(writer.ok());
}

TEST(ByteReaderTest, ReadsWhatTheWriterWrote) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 1000; ++round) {
    const std::uint64_t number = random();
    const std::string text(random() % 40, 'z');
    std::array<std::byte, 80> buffer{};
    ByteWriter writer(buffer);
    writer.u64(number);
    writer.u8(static_cast<std::uint8_t>(number));
    writer.text(text);
    writer.u16(static_cast<std::uint16_t>(number >> 8));
    writer.u32(static_cast<std::uint32_t>(number >> 24));
    ASSERT_TRUE(writer.ok());

    ByteReader reader(std::span{buffer}.first(writer.written()));
    EXPECT_EQ(reader.u64(), number);
    EXPECT_EQ(reader.u8(), static_cast<std::uint8_t>(number));
    EXPECT_EQ(reader.text(40), text);
    EXPECT_EQ(reader.u16(), static_cast<std::uint16_t>(number >> 8));
    EXPECT_FALSE(reader.finished());
    EXPECT_EQ(reader.u32(), static_cast<std::uint32_t>(number >> 24));
    EXPECT_TRUE(reader.finished());
  }
}

TEST(ByteReaderTest, EveryTruncationIsNoticedAtTheEnd) {
  std::array<std::byte, 64> buffer{};
  ByteWriter writer(buffer);
  writer.u32(0xffffffff);
  writer.text("name");
  writer.u64(UINT64_MAX);
  for (std::size_t length = 0; length < writer.written(); ++length) {
    // A copy on the heap, so that the address sanitizer sees one byte too many.
    const std::vector<std::byte> part(buffer.begin(), buffer.begin() + static_cast<long>(length));
    ByteReader reader(part);
    static_cast<void>(reader.u32());
    static_cast<void>(reader.text(100));
    static_cast<void>(reader.u64());
    EXPECT_FALSE(reader.ok()) << "length " << length;
    EXPECT_FALSE(reader.finished());
  }
}

TEST(ByteReaderTest, YieldsZerosForGoodOnceARefusedReadFailed) {
  const auto bytes = bytes_of({1, 2, 3, 4, 5, 6, 7});
  ByteReader reader(bytes);
  EXPECT_EQ(reader.u64(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.u8(), 0u);  // Although seven bytes were there.
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_FALSE(reader.finished());
}

TEST(ByteReaderTest, RefusesLengthsThatNoBufferHas) {
  const auto bytes = bytes_of({1, 2, 3});
  for (const std::size_t count : {std::size_t{4}, SIZE_MAX, SIZE_MAX - 2}) {
    ByteReader reader(bytes);
    EXPECT_TRUE(reader.bytes(count).empty());
    EXPECT_FALSE(reader.ok());
  }
}

TEST(ByteReaderTest, GivesBytesInPlace) {
  const auto bytes = bytes_of({1, 2, 3});
  ByteReader reader(bytes);
  const auto all = reader.bytes(3);
  EXPECT_EQ(all.data(), bytes.data());
  EXPECT_TRUE(reader.finished());
  EXPECT_TRUE(reader.bytes(0).empty());
  EXPECT_TRUE(reader.ok());
}

TEST(ByteReaderTest, RefusesTextThatIsLongerThanAllowedOrThanThere) {
  const auto bytes = bytes_of({3, 0, 'a', 'b', 'c'});
  ByteReader exact(bytes);
  EXPECT_EQ(exact.text(3), "abc");
  EXPECT_TRUE(exact.finished());
  ByteReader too_long(bytes);
  EXPECT_EQ(too_long.text(2), "");
  EXPECT_FALSE(too_long.ok());
  const auto lying = bytes_of({0xff, 0xff, 'a', 'b', 'c'});
  ByteReader beyond(lying);
  EXPECT_EQ(beyond.text(SIZE_MAX), "");
  EXPECT_FALSE(beyond.ok());
}

TEST(ByteReaderTest, NothingIsAWholeFrameOfNoFields) {
  ByteReader reader({});
  EXPECT_TRUE(reader.finished());
  EXPECT_EQ(reader.u8(), 0u);
  EXPECT_FALSE(reader.finished());
}

}  // namespace
}  // namespace sluice
