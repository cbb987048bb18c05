// What makes a TCP connection a data socket of ours: the handle that a Listener gives out, and the
// hello that a connecting sender begins with. Both are bytes of a peer: decoding checks all of it.
//
//   handle := { u32 magic "SLTH", u16 version, u16 abilities, 16 bytes nonce, u16 port, text host }
//   hello  := { u32 magic "SLTD", u16 version, u16 features,  16 bytes nonce }
//
// Little-endian; text is a u16 length and that many bytes. The handle says what the receiver is
// able to do, the hello what the sender makes of it on this connection.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/status.h"
#include "src/net/net.h"
#include "src/net/tcp/host_address.h"

namespace sluice {

// Names one Listener, and proves that the connecting end was given its handle.
using DataNonce = std::array<std::byte, 16>;
DataNonce random_data_nonce();
// In a time that does not tell where they differ.
bool same_data_nonce(const DataNonce& a, const DataNonce& b);

inline constexpr std::uint16_t kDataVersion = 1;

// Of a handle's abilities: chunks with the flag kAcknowledge are acknowledged.
inline constexpr std::uint16_t kAcknowledges = 1;

struct DataHandle {
  DataNonce nonce;
  SocketAddress address;
  std::uint16_t abilities = 0;
};
struct EncodedHandle {
  std::array<std::byte, Net::kHandleBytes> bytes;
  std::size_t size;
};
EncodedHandle encode_handle(const DataHandle& handle);
// kProtocol: not a handle of ours, or of another version.
Result<DataHandle> decode_handle(std::span<const std::byte> bytes);

struct DataHello {
  DataNonce nonce;
  std::uint16_t features = 0;
};
inline constexpr std::size_t kHelloBytes = 64;
std::array<std::byte, kHelloBytes> encode_hello(const DataHello& hello);
Result<DataHello> decode_hello(std::span<const std::byte, kHelloBytes> bytes);

}  // namespace sluice
