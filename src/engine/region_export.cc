#include "src/engine/region_export.h"

#include <fmt/format.h>
#include <sodium.h>

#include <array>
#include <utility>

namespace sluice {
namespace {

constexpr std::uint32_t kMagic = 0x01524c53;  // "SLR", version 1
constexpr std::size_t kBytes = 4 + 8 + 8 + 1 + wire::RegionRef::kBytes;

}  // namespace

wire::RegionRef RegionExports::make(RegionId region, Access access) {
  Proof& proof = proofs_.at(static_cast<std::size_t>(access) - 1);
  if (!std::exchange(proof.made, true)) {
    randombytes_buf(proof.bytes.data(), proof.bytes.size());
  }
  return {static_cast<std::uint64_t>(region), static_cast<std::uint8_t>(access), proof.bytes};
}

bool RegionExports::made(const wire::RegionRef& ref) const {
  if (ref.access < 1 || ref.access > proofs_.size()) return false;
  const Proof& proof = proofs_[ref.access - 1u];
  return proof.made && sodium_memcmp(proof.bytes.data(), ref.proof.data(), proof.bytes.size()) == 0;
}

std::string RegionExport::to_bytes() const {
  std::array<std::byte, kBytes> bytes;
  ByteWriter writer(bytes);
  writer.u32(kMagic);
  writer.u64(generation);
  writer.u64(length);
  writer.u8(static_cast<std::uint8_t>(kind));
  ref.encode(writer);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<RegionExport> RegionExport::parse(std::string_view bytes) {
  ByteReader in(std::as_bytes(std::span(bytes.data(), bytes.size())));
  RegionExport out;
  const std::uint32_t magic = in.u32();
  out.generation = in.u64();
  out.length = in.u64();
  const std::uint8_t kind = in.u8();
  out.ref.decode(in);
  if (!in.finished() || magic != kMagic || kind > 1 || out.ref.access < 1 || out.ref.access > 3) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("{} bytes that export_region() of this version has not made", bytes.size()));
  }
  out.kind = static_cast<Memory>(kind);
  return out;
}

Status stale_export() {
  return {StatusCode::kNotFound,
          "a stale export: this peer has been started anew since, or is another"};
}

}  // namespace sluice
