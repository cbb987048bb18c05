// The bytes of a striped channel: the handle that its listener gives out, and the header before
// each chunk. Both are bytes of a peer: decoding checks all of it. The hello of each socket is the
// tcp Net's (src/net/tcp/data_hello.h), with `features` = the number of the socket from 1, so that
// a listener of the tcp Net refuses it, and `sender` the same on all sockets of a connection.
//
//   handle := { u32 magic "SLSH", u16 version, u16 sockets, handle of the tcp Net }
//   chunk  := { u32 magic "SLSC", u32 length, u64 message, u64 offset, u64 total }, zeros up to 64
//             bytes, then `length` bytes
//
// Little-endian. Messages of a channel are numbered from 0; a chunk is the `length` bytes at
// `offset` of a message of `total` bytes, and says so itself: any socket may carry any chunk.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/status.h"
#include "src/net/net.h"
#include "src/net/tcp/data_hello.h"

namespace sluice {

inline constexpr std::uint16_t kStripedVersion = 1;
inline constexpr std::uint16_t kMostSockets = 16;  // Of a channel.

inline constexpr std::size_t kStripedHandleBytes = 128;  // NCCL_NET_HANDLE_MAXSIZE

struct StripedHandle {
  std::uint16_t sockets = 0;  // How many the sender has to connect: 1 to kMostSockets.
  DataHandle data;
};

// Padded with zeros.
std::array<std::byte, kStripedHandleBytes> encode_striped_handle(const StripedHandle& handle);
// kProtocol: not a handle of a striped channel, or of another version.
Result<StripedHandle> decode_striped_handle(std::span<const std::byte> bytes);

// As long as that, although 32 bytes would do, because it keeps the copies on both sides aligned.
inline constexpr std::size_t kChunkHeaderBytes = 64;

struct ChunkHeader {
  std::uint32_t length = 0;
  std::uint64_t message = 0;
  std::uint64_t offset = 0;
  std::uint64_t total = 0;
};

void encode_chunk_header(const ChunkHeader& header, std::span<std::byte, kChunkHeaderBytes> into);
// False: not a header, or a chunk that does not lie within its message.
bool decode_chunk_header(std::span<const std::byte, kChunkHeaderBytes> bytes, ChunkHeader& header);

}  // namespace sluice
