// Clients that measure at the same time, whether they are threads of one process or processes that
// one command has started: each starts every measured run when all have come to it, and leaves its
// rows where the command finds them. Its memory is shared, so that both designs are measured by
// the same code.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>

#include "sluice/status.h"
#include "src/base/fd.h"
#include "tools/perf/result.h"

namespace sluice::perf {

class Ensemble {
 public:
  static constexpr std::uint32_t kMostMembers = 64;
  static constexpr std::uint32_t kMostRows = 128;  // Of one member.

  // `members`: 1 to kMostMembers.
  static Result<std::unique_ptr<Ensemble>> create(std::uint32_t members);
  // In a process that was started with fd() under the number `fd`. kInvalidArgument: it is none.
  static Result<std::unique_ptr<Ensemble>> join(int fd);
  ~Ensemble();
  Ensemble(const Ensemble&) = delete;
  Ensemble& operator=(const Ensemble&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] std::uint32_t members() const;

  // Each member passes the same gates, one after the other: arrives, and looks until all are here.
  void arrive(std::uint32_t member, std::uint64_t value);
  [[nodiscard]] bool all_here(std::uint32_t member) const;
  // Once all are here, and before this member arrives anew: the mean of their values.
  [[nodiscard]] std::uint64_t mean(std::uint32_t member) const;

  // A member that fails tells the others, which would wait for it.
  void give_up();
  [[nodiscard]] bool given_up() const;

  // A member's rows, in their order. `engine` and `net` do not travel.
  void add_row(std::uint32_t member, const ResultRow& row);
  [[nodiscard]] std::optional<ResultRow> row(std::uint32_t member, std::uint32_t index) const;

 private:
  struct Shared;
  Ensemble(Fd fd, Shared* shared) : fd_(std::move(fd)), shared_(shared) {}
  static Result<std::unique_ptr<Ensemble>> map(Fd fd);

  Fd fd_;
  Shared* shared_;  // Mapped here.
};

}  // namespace sluice::perf
