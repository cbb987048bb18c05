#include "src/net/striped/striped_wire.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace sluice {
namespace {

StripedHandle handle_for(const char* host) {
  return {.sockets = 4,
          .data = {.nonce = random_data_nonce(),
                   .address = *SocketAddress::numeric(host, 54321),
                   .abilities = 0}};
}

TEST(StripedHandle, ComesBackAsItWas) {
  for (const char* host : {"127.0.0.1", "::1", "fe80::1%lo"}) {
    const StripedHandle handle = handle_for(host);
    const auto decoded = decode_striped_handle(encode_striped_handle(handle));
    ASSERT_TRUE(decoded.ok()) << decoded.status().to_string();
    EXPECT_EQ(decoded->sockets, 4);
    EXPECT_EQ(decoded->data.address.to_string(), handle.data.address.to_string());
    EXPECT_TRUE(same_data_nonce(decoded->data.nonce, handle.data.nonce));
  }
}

TEST(StripedHandle, WrongBytesAreRefused) {
  const auto good = encode_striped_handle(handle_for("127.0.0.1"));
  const auto refused = [&](std::size_t at, std::byte value) {
    auto bad = good;
    bad[at] = value;
    const auto decoded = decode_striped_handle(bad);
    return !decoded.ok() && decoded.status().code() == StatusCode::kProtocol;
  };
  EXPECT_TRUE(refused(0, std::byte{'X'}));                 // magic
  EXPECT_TRUE(refused(4, std::byte{2}));                   // version
  EXPECT_TRUE(refused(6, std::byte{0}));                   // no sockets
  EXPECT_TRUE(refused(6, std::byte{17}));                  // too many
  EXPECT_TRUE(refused(8, std::byte{'X'}));                 // the tcp Net's magic
  EXPECT_FALSE(refused(127, std::byte{0xff}));             // padding
  EXPECT_FALSE(decode_striped_handle({}).ok());            // nothing
  const auto tcp = encode_handle(handle_for("::1").data);  // a handle of the tcp Net
  EXPECT_FALSE(decode_striped_handle(tcp.bytes).ok());
  EXPECT_FALSE(decode_handle(good).ok());  // and the other way round
}

TEST(StripedHandle, RandomBytesNeverPass) {
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::byte> bytes(random() % 200);
    for (std::byte& b : bytes) b = static_cast<std::byte>(random());
    EXPECT_FALSE(decode_striped_handle(bytes).ok());
  }
}

bool passes(const ChunkHeader& header, ChunkHeader& back) {
  std::array<std::byte, kChunkHeaderBytes> bytes;
  encode_chunk_header(header, bytes);
  return decode_chunk_header(bytes, back);
}

TEST(ChunkHeader, ComesBackAsItWas) {
  ChunkHeader back;
  ASSERT_TRUE(passes({.length = 7, .message = 1ull << 40, .offset = 3, .total = 10}, back));
  EXPECT_EQ(back.length, 7u);
  EXPECT_EQ(back.message, 1ull << 40);
  EXPECT_EQ(back.offset, 3u);
  EXPECT_EQ(back.total, 10u);
  EXPECT_TRUE(passes({.length = 0, .message = 1, .offset = 0, .total = 0}, back));
}

TEST(ChunkHeader, AChunkOutsideItsMessageIsRefused) {
  ChunkHeader back;
  EXPECT_FALSE(passes({.length = 8, .message = 0, .offset = 3, .total = 10}, back));
  EXPECT_FALSE(passes({.length = 11, .message = 0, .offset = 0, .total = 10}, back));
  EXPECT_FALSE(passes({.length = 1, .message = 0, .offset = ~0ull, .total = 10}, back));
  EXPECT_FALSE(passes({.length = 1, .message = 0, .offset = ~0ull, .total = ~0ull}, back));
  EXPECT_FALSE(passes({.length = 0, .message = 0, .offset = 1, .total = 10}, back));
  EXPECT_FALSE(passes({.length = 0, .message = 0, .offset = 1, .total = 0}, back));
}

TEST(ChunkHeader, OtherBytesAreRefused) {
  std::array<std::byte, kChunkHeaderBytes> bytes{};
  ChunkHeader back;
  EXPECT_FALSE(decode_chunk_header(bytes, back));
}

}  // namespace
}  // namespace sluice
