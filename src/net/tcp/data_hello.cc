#include "src/net/tcp/data_hello.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>

#include "src/base/bytes.h"
#include "src/base/check.h"

namespace sluice {
namespace {

constexpr std::uint32_t kHandleMagic = 0x48544c53;  // "SLTH"
constexpr std::uint32_t kHelloMagic = 0x44544c53;   // "SLTD"
constexpr std::size_t kLongestHost = 80;            // IPv6 with an interface name has 62.

DataNonce read_nonce(ByteReader& reader) {
  DataNonce nonce{};
  const auto bytes = reader.bytes(nonce.size());
  std::copy(bytes.begin(), bytes.end(), nonce.begin());
  return nonce;
}

Status check_prefix(ByteReader& reader, std::uint32_t magic, const char* what) {
  const std::uint32_t found = reader.u32();
  const std::uint16_t version = reader.u16();
  if (!reader.ok() || found != magic) {
    return {StatusCode::kProtocol, fmt::format("not a {} of the tcp Net", what)};
  }
  if (version != kDataVersion) {
    return {StatusCode::kProtocol,
            fmt::format("a {} of version {}, ours is {}", what, version, kDataVersion)};
  }
  return {};
}

}  // namespace

DataNonce random_data_nonce() {
  SLUICE_CHECK(::sodium_init() >= 0, "no source of random bytes");
  DataNonce nonce;
  ::randombytes_buf(nonce.data(), nonce.size());
  return nonce;
}

bool same_data_nonce(const DataNonce& a, const DataNonce& b) {
  return ::sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

EncodedHandle encode_handle(const DataHandle& handle) {
  EncodedHandle encoded{};
  ByteWriter writer(encoded.bytes);
  writer.u32(kHandleMagic);
  writer.u16(kDataVersion);
  writer.u16(handle.abilities);
  writer.bytes(handle.nonce);
  writer.u16(handle.address.port());
  writer.text(handle.address.host());
  SLUICE_CHECK(writer.ok(), "a handle for {}", handle.address.to_string());
  encoded.size = writer.written();
  return encoded;
}

// What follows the host is left alone: whoever carries handles may pad them to a fixed size.
Result<DataHandle> decode_handle(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  if (Status status = check_prefix(reader, kHandleMagic, "handle"); !status.ok()) return status;
  DataHandle handle;
  handle.abilities = reader.u16();
  handle.nonce = read_nonce(reader);
  const std::uint16_t port = reader.u16();
  const std::string_view host = reader.text(kLongestHost);
  if (!reader.ok()) {
    return Status(StatusCode::kProtocol,
                  fmt::format("a handle of the tcp Net that ends after {} bytes", bytes.size()));
  }
  Result<SocketAddress> address = SocketAddress::numeric(host, port);
  if (!address.ok() || port == 0) {
    return Status(StatusCode::kProtocol, "a handle of the tcp Net without an address");
  }
  handle.address = *address;
  return handle;
}

std::array<std::byte, kHelloBytes> encode_hello(const DataHello& hello) {
  std::array<std::byte, kHelloBytes> bytes{};
  ByteWriter writer(bytes);
  writer.u32(kHelloMagic);
  writer.u16(kDataVersion);
  writer.u16(hello.features);
  writer.bytes(hello.nonce);
  writer.u64(hello.sender);
  SLUICE_CHECK(writer.ok(), "{} bytes", writer.written());
  return bytes;
}

Result<DataHello> decode_hello(std::span<const std::byte, kHelloBytes> bytes) {
  ByteReader reader(bytes);
  if (Status status = check_prefix(reader, kHelloMagic, "hello"); !status.ok()) return status;
  DataHello hello;
  hello.features = reader.u16();
  hello.nonce = read_nonce(reader);
  hello.sender = reader.u64();
  return hello;
}

}  // namespace sluice
