#include "src/net/tcp/data_hello.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace sluice {
namespace {

DataHandle handle_for(const char* host, std::uint16_t port) {
  return {
      .nonce = random_data_nonce(), .address = *SocketAddress::numeric(host, port), .abilities = 3};
}

std::span<const std::byte> bytes_of(const EncodedHandle& encoded) {
  return {encoded.bytes.data(), encoded.size};
}

TEST(Nonce, IsRandomAndCompares) {
  const DataNonce a = random_data_nonce();
  DataNonce b = a;
  EXPECT_TRUE(same_data_nonce(a, b));
  b.back() ^= std::byte{1};
  EXPECT_FALSE(same_data_nonce(a, b));
  EXPECT_FALSE(same_data_nonce(random_data_nonce(), random_data_nonce()));
}

TEST(DataHandle, ComesBackAsItWas) {
  for (const char* host : {"127.0.0.1", "255.255.255.255", "::1", "fe80::1%lo",
                           "2001:db8:1111:2222:3333:4444:5555:6666"}) {
    const DataHandle handle = handle_for(host, 54321);
    const EncodedHandle encoded = encode_handle(handle);
    ASSERT_LE(encoded.size, Net::kHandleBytes);
    const auto decoded = decode_handle(bytes_of(encoded));
    ASSERT_TRUE(decoded.ok()) << decoded.status().to_string();
    EXPECT_EQ(decoded->address.to_string(), handle.address.to_string());
    EXPECT_TRUE(same_data_nonce(decoded->nonce, handle.nonce));
    EXPECT_EQ(decoded->abilities, 3);
    // Padded, as NCCL carries handles.
    EXPECT_TRUE(decode_handle(encoded.bytes).ok());
  }
}

TEST(DataHandle, EveryTruncationIsRefused) {
  const EncodedHandle encoded = encode_handle(handle_for("127.0.0.1", 1));
  for (std::size_t size = 0; size < encoded.size; ++size) {
    const auto decoded = decode_handle({encoded.bytes.data(), size});
    ASSERT_FALSE(decoded.ok()) << size;
    EXPECT_EQ(decoded.status().code(), StatusCode::kProtocol);
  }
}

TEST(DataHandle, WrongBytesAreRefused) {
  const EncodedHandle good = encode_handle(handle_for("127.0.0.1", 1));
  const auto refused = [&](std::size_t at, std::byte value) {
    EncodedHandle bad = good;
    bad.bytes[at] = value;
    const auto decoded = decode_handle(bytes_of(bad));
    return !decoded.ok() && decoded.status().code() == StatusCode::kProtocol;
  };
  EXPECT_TRUE(refused(0, std::byte{'X'}));   // magic
  EXPECT_TRUE(refused(4, std::byte{99}));    // version
  EXPECT_TRUE(refused(24, std::byte{0}));    // port 1 becomes 0
  EXPECT_TRUE(refused(26, std::byte{200}));  // a host longer than the handle
  EXPECT_TRUE(refused(28, std::byte{'x'}));  // not numeric
  EXPECT_TRUE(refused(29, std::byte{0xff}));
}

TEST(DataHandle, RandomBytesNeverPass) {
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::byte> bytes(random() % 200);
    for (std::byte& b : bytes) b = static_cast<std::byte>(random());
    EXPECT_FALSE(decode_handle(bytes).ok());
  }
}

TEST(DataHello, ComesBackAsItWas) {
  const DataHello hello{
      .nonce = random_data_nonce(), .features = 0x1234, .sender = 0x123456789abcdef0};
  const auto decoded = decode_hello(encode_hello(hello));
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(same_data_nonce(decoded->nonce, hello.nonce));
  EXPECT_EQ(decoded->features, 0x1234);
  EXPECT_EQ(decoded->sender, 0x123456789abcdef0);
}

TEST(DataHello, WrongMagicAndVersionAreRefused) {
  const auto good = encode_hello({.nonce = random_data_nonce(), .features = 0, .sender = 0});
  for (std::size_t at = 0; at < 6; ++at) {
    auto bad = good;
    bad[at] ^= std::byte{0x40};
    const auto decoded = decode_hello(bad);
    ASSERT_FALSE(decoded.ok()) << at;
    EXPECT_EQ(decoded.status().code(), StatusCode::kProtocol);
  }
}

}  // namespace
}  // namespace sluice
