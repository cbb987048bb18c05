#include "tools/perf/crew.h"

#include <utility>

namespace sluice::perf {

Crew::Crew(std::uint32_t count, std::function<Status(std::uint32_t)> work)
    : work_(std::move(work)), outcomes_(count), running_(count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    threads_.emplace_back([this, i] {
      outcomes_[i] = work_(i);
      --running_;
    });
  }
}

void Crew::join() {
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

Status Crew::outcome() {
  join();
  Status closed;
  for (const Status& status : outcomes_) {
    if (status.ok()) continue;
    if (status.code() != StatusCode::kClosed) return status;
    if (closed.ok()) closed = status;
  }
  return closed;
}

}  // namespace sluice::perf
