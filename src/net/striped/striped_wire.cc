#include "src/net/striped/striped_wire.h"

#include <fmt/format.h>

#include <algorithm>

#include "src/base/bytes.h"
#include "src/base/check.h"

namespace sluice {
namespace {

constexpr std::uint32_t kHandleMagic = 0x48534c53;  // "SLSH"
constexpr std::uint32_t kChunkMagic = 0x43534c53;   // "SLSC"

}  // namespace

std::array<std::byte, kStripedHandleBytes> encode_striped_handle(const StripedHandle& handle) {
  std::array<std::byte, kStripedHandleBytes> bytes{};
  const EncodedHandle data = encode_handle(handle.data);
  ByteWriter writer(bytes);
  writer.u32(kHandleMagic);
  writer.u16(kStripedVersion);
  writer.u16(handle.sockets);
  writer.bytes(std::span(data.bytes).first(data.size));
  SLUICE_CHECK(writer.ok(), "a handle of {} bytes", data.size);
  return bytes;
}

Result<StripedHandle> decode_striped_handle(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  const std::uint32_t magic = reader.u32();
  const std::uint16_t version = reader.u16();
  StripedHandle handle;
  handle.sockets = reader.u16();
  if (!reader.ok() || magic != kHandleMagic) {
    return Status(StatusCode::kProtocol, "not a handle of a striped channel");
  }
  if (version != kStripedVersion) {
    return Status(StatusCode::kProtocol,
                  fmt::format("a handle of version {}, ours is {}", version, kStripedVersion));
  }
  if (handle.sockets < 1 || handle.sockets > kMostSockets) {
    return Status(StatusCode::kProtocol,
                  fmt::format("a handle for {} sockets: 1 to {}", handle.sockets, kMostSockets));
  }
  Result<DataHandle> data = decode_handle(reader.bytes(reader.remaining()));
  if (!data.ok()) return data.status();
  handle.data = data.take();
  return handle;
}

void encode_chunk_header(const ChunkHeader& header, std::span<std::byte, kChunkHeaderBytes> into) {
  std::fill(into.begin(), into.end(), std::byte{0});
  ByteWriter writer(into);
  writer.u32(kChunkMagic);
  writer.u32(header.length);
  writer.u64(header.message);
  writer.u64(header.offset);
  writer.u64(header.total);
}

bool decode_chunk_header(std::span<const std::byte, kChunkHeaderBytes> bytes, ChunkHeader& header) {
  ByteReader reader(bytes);
  if (reader.u32() != kChunkMagic) return false;
  header.length = reader.u32();
  header.message = reader.u64();
  header.offset = reader.u64();
  header.total = reader.u64();
  const bool within =
      header.length <= header.total && header.offset <= header.total - header.length;
  // Only a message of no bytes has a chunk of no bytes.
  return within && (header.length > 0 || header.total == 0);
}

}  // namespace sluice
