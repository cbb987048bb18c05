#include "tests/emulator/rxdm_wire.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice::emulator {
namespace {

using namespace std::string_literals;  // NOLINT: bytes with zeros among them.

std::span<const std::byte> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

std::span<const std::byte> message_of(const std::string& frame) {
  return bytes_of(frame).subspan(kLengthBytes);
}

const FlowRule kRule{FlowRule::kTcp4, {"127.0.0.1", 40000}, {"127.0.0.2", 300}, "0000:04:00.0"};

TEST(RxdmWireTest, WhatIsWrittenIsRead) {
  EXPECT_EQ(decode(message_of(frame_of_rule(kRule)))->rule, kRule);
  EXPECT_EQ(decode(message_of(frame_of_raw("Ok.")))->raw, "Ok.");
  EXPECT_EQ(decode(message_of(frame_of_register(true)))->registers, true);
  const std::string frame = frame_of_raw(std::string(300, 'x'));
  EXPECT_EQ(announced_length(bytes_of(frame).first<kLengthBytes>()), frame.size() - kLengthBytes);
}

// As protobuf's own library writes them.
TEST(RxdmWireTest, BytesAreProtobufs) {
  EXPECT_EQ(frame_of_raw("Ok."), "\x00\x05\x0a\x03Ok."s);
  const std::string rule =
      "\x12\x2c\x0a\x1c\x08\x01\x12\x0b\x0a\x05"
      "1.2.3\x10\x80\x80\x02\x1a\x0b\x0a\x05"
      "4.5.6\x10"
      "\xff\xff\x03\x1a\x0c"
      "0000:04:00.0"s;
  const auto message = decode(bytes_of(rule));
  ASSERT_TRUE(message && message->rule);
  EXPECT_EQ(message->rule->source, (FlowEnd{"1.2.3", 32768}));
  EXPECT_EQ(message->rule->destination, (FlowEnd{"4.5.6", 65535}));
  EXPECT_EQ(message->rule->gpu, "0000:04:00.0");
}

TEST(RxdmWireTest, NoPrefixOfAMessageReadsBeyondItsEnd) {
  const std::string frame = frame_of_rule(kRule);
  const auto whole = message_of(frame);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const std::vector<std::byte> part(whole.begin(), whole.begin() + static_cast<long>(i));
    const auto message = decode(part);  // The sanitizer watches.
    EXPECT_TRUE(!message || message->rule != kRule) << i;
  }
}

TEST(RxdmWireTest, LyingBytesAreNoMessage) {
  for (const std::string& text : {
           "\x0a\x05xx"s,                                         // Too short.
           "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x"s,      // 2^64-1 bytes.
           "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x"s,  // No varint ends.
           "\x00\x00"s,                                           // Field 0.
           "\x0b"s,                                               // A group.
           "\x0d\x01\x02"s,                                       // Half a fixed32.
           "\x12\x02\x0a\x05"s,                                   // An inner length past the outer.
       }) {
    EXPECT_FALSE(decode(bytes_of(text)));
  }
}

TEST(RxdmWireTest, UnknownFieldsAreSkipped) {
  const std::string text =
      "\x38\x07\x41"
      "12345678\x4d"
      "1234\x52\x01z"s +
      frame_of_raw("Ok.").substr(kLengthBytes);
  EXPECT_EQ(decode(bytes_of(text))->raw, "Ok.");
}

TEST(RxdmWireTest, RandomBytesDoNoHarm) {
  std::minstd_rand random(1);
  const std::string frame = frame_of_rule(kRule);
  const auto whole = message_of(frame);
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::byte> bytes(whole.begin(), whole.end());
    for (int k = 0; k < 3; ++k) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    bytes.resize(random() % (bytes.size() + 1));
    const auto message = decode(bytes);
    if (message && message->rule) {
      EXPECT_LE(message->rule->gpu.size(), bytes.size());
    }
  }
}

}  // namespace
}  // namespace sluice::emulator
