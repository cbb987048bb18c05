// Threads that do the same work for different engines.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "sluice/status.h"

namespace sluice::perf {

class Crew {
 public:
  // Starts `count` threads; the k-th runs work(k).
  Crew(std::uint32_t count, std::function<Status(std::uint32_t)> work);
  ~Crew() { join(); }  // Waits for the work to end.
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  [[nodiscard]] bool ended() const { return running_.load() == 0; }
  // Waits for all; the failure of the first that has one, but that it was closed only if no other
  // says more.
  Status outcome();

 private:
  void join();

  std::function<Status(std::uint32_t)> work_;
  std::vector<Status> outcomes_;
  std::atomic<std::uint32_t> running_;
  std::vector<std::thread> threads_;
};

}  // namespace sluice::perf
