// Two engines, of which `a` reads and writes memory that `b` has exported to it.
#pragma once

#include <algorithm>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/engine/engine_fixture.h"

namespace sluice {

struct OneSidedPair : Pair {
  explicit OneSidedPair(std::size_t bytes, const Options& options = loopback_options())
      : Pair(options, options), local(random_bytes(bytes, 1)), remote(random_bytes(bytes, 2)) {
    local_region = a.add(local);
    remote_region = b.add(remote);
    imported = import(Access::kReadWrite);
  }
  // The engines first: what is in flight has the memory until then.
  ~OneSidedPair() {
    a.engine.reset();
    b.engine.reset();
  }
  RemoteRegionId import(Access access) {
    const auto exported = b.engine->export_region(remote_region, access);
    EXPECT_TRUE(exported.ok());
    const auto region = a.engine->import_region(b_at_a, *exported);
    EXPECT_TRUE(region.ok()) << region.status().to_string();
    return *region;
  }
  [[nodiscard]] Slice at_a(std::uint64_t offset, std::uint64_t length) const {
    return {local_region, offset, length};
  }
  [[nodiscard]] RemoteSlice at_b(std::uint64_t offset, std::uint64_t length) const {
    return {imported, offset, length};
  }
  // Until the transfer is complete; its status.
  Status finish(const Result<TransferId>& id) {
    if (!id.ok()) return id.status();
    if (!drive([&] { return a.finished(*id); })) return {StatusCode::kTimedOut, "it hangs"};
    return a.done.at(*id).status;
  }
  Status write(const std::vector<Slice>& from, const std::vector<RemoteSlice>& to,
               const TransferOptions& options = {}) {
    return finish(a.engine->write(b_at_a, from, to, options));
  }
  Status read(const std::vector<Slice>& into, const std::vector<RemoteSlice>& from,
              const TransferOptions& options = {}) {
    return finish(a.engine->read(b_at_a, into, from, options));
  }

  std::vector<std::byte> local;
  std::vector<std::byte> remote;
  RegionId local_region{};
  RegionId remote_region{};
  RemoteRegionId imported{};
};

inline TransferOptions telling(std::string_view text) {
  TransferOptions options;
  options.notification = std::as_bytes(std::span(text.data(), text.size()));
  return options;
}

}  // namespace sluice
