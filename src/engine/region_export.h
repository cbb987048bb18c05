// What a target hands out so that others may reach one of its regions, and how it knows its own
// hand when they do.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sluice/engine.h"
#include "src/engine/secret.h"
#include "src/engine/wire.h"

namespace sluice {

// Seals exports with a key that no other engine has, nor this one after a restart.
class RegionSeal {
 public:
  explicit RegionSeal(std::uint64_t generation) : key_(random_secret()), generation_(generation) {}

  // HMAC-SHA-256, its first 16 bytes, over generation, region, length, access and kind of memory.
  [[nodiscard]] wire::RegionRef seal(RegionId region, std::uint64_t length, Memory kind,
                                     Access access) const;
  // Whether this engine made it, for a region of that length and kind.
  [[nodiscard]] bool made(const wire::RegionRef& ref, std::uint64_t length, Memory kind) const;
  [[nodiscard]] std::uint64_t generation() const { return generation_; }

 private:
  const Secret key_;
  const std::uint64_t generation_;
};

// What export_region() hands out, as bytes: magic "SLR" and a version, then the fields.
struct RegionExport {
  std::uint64_t generation = 0;
  std::uint64_t length = 0;  // bytes
  Memory kind = Memory::kHost;
  wire::RegionRef ref;

  [[nodiscard]] std::string to_bytes() const;
  // kInvalidArgument: not an export, or of a version that this end does not know.
  static Result<RegionExport> parse(std::string_view bytes);
};

// kNotFound: of another generation than the peer's.
[[nodiscard]] Status stale_export();

// An export as import_region() keeps it.
struct RemoteRegion {
  PeerId peer{};
  RegionExport exported;
};

}  // namespace sluice
