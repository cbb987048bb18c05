// What a target hands out so that others may reach one of its regions, and how it knows its own
// hand when they do.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "sluice/engine.h"
#include "src/engine/wire.h"

namespace sluice {

// Of one region: what was exported of it, proven by 16 random bytes for each access, which nobody
// can guess and which end with the region.
class RegionExports {
 public:
  // The same every time.
  wire::RegionRef make(RegionId region, Access access);
  // Whether it was made here, and nothing of it is altered.
  [[nodiscard]] bool made(const wire::RegionRef& ref) const;

 private:
  struct Proof {
    bool made = false;
    std::array<std::byte, wire::RegionRef::kProofBytes> bytes{};
  };
  std::array<Proof, 3> proofs_;  // Of Access 1, 2, 3.
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
