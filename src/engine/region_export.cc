#include "src/engine/region_export.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <array>

namespace sluice {
namespace {

constexpr std::uint32_t kMagic = 0x01524c53;  // "SLR", version 1
constexpr std::size_t kBytes = 4 + 8 + 8 + 1 + wire::RegionRef::kBytes;

}  // namespace

wire::RegionRef RegionSeal::seal(RegionId region, std::uint64_t length, Memory kind,
                                 Access access) const {
  wire::RegionRef ref;
  ref.region = static_cast<std::uint64_t>(region);
  ref.access = static_cast<std::uint8_t>(access);
  std::array<std::byte, 8 + 8 + 8 + 1 + 1> text;
  ByteWriter writer(text);
  writer.u64(generation_);
  writer.u64(ref.region);
  writer.u64(length);
  writer.u8(ref.access);
  writer.u8(static_cast<std::uint8_t>(kind));
  std::array<unsigned char, crypto_auth_hmacsha256_BYTES> proof;
  crypto_auth_hmacsha256(proof.data(), reinterpret_cast<const unsigned char*>(text.data()),
                         writer.written(), reinterpret_cast<const unsigned char*>(key_.data()));
  std::transform(proof.begin(), proof.begin() + ref.proof.size(), ref.proof.begin(),
                 [](unsigned char c) { return static_cast<std::byte>(c); });
  return ref;
}

bool RegionSeal::made(const wire::RegionRef& ref, std::uint64_t length, Memory kind) const {
  const wire::RegionRef due =
      seal(RegionId(ref.region), length, kind, static_cast<Access>(ref.access));
  return sodium_memcmp(due.proof.data(), ref.proof.data(), due.proof.size()) == 0;
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
