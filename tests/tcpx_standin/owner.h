// The one owner object behind an exported table: a plugin's interface has no other place for what
// belongs to the process. Never destroyed: threads that cannot be cancelled may outlive main().
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_set>

#include "src/net/plugin/abi.h"
#include "tests/tcpx_standin/bounce_pool.h"
#include "tests/tcpx_standin/standin_counters.h"

namespace sluice::standin {

using nccl_abi::ResultCode;

using Counter = std::atomic<std::uint64_t>;

struct Counters {
  Counter open_send_comms;
  Counter open_recv_comms;
  Counter open_listen_comms;
  Counter open_registrations;
  Counter most_in_flight_send;
  Counter most_in_flight_receive;
  Counter sends_done;
  Counter receives_done;
  Counter receives_consumed;
  Counter tests;
  Counter tests_not_oldest;
  Counter posts_when_full;
  Counter violations;
};
void raise_to(Counter& most, std::uint64_t value);

struct Owner {
  static Owner& get();

  std::atomic<nccl_abi::DebugLogger> logger = nullptr;
  std::atomic<bool> initialised = false;
  Counters counters{};

  // The pool of all open receiving comms; of `pages` pages when there is none yet.
  std::shared_ptr<BouncePool> pool(std::uint32_t pages);
  void fill(SluiceStandinCounters& out);

  // Objects that the caller holds a pointer to. A pointer that is not known is one that a real
  // plugin would follow into freed memory.
  void remember(const void* object);
  [[nodiscard]] bool knows(const void* object);
  [[nodiscard]] bool forget(const void* object);  // False: it was not known.

  // True: nobody in this process has listened on this port before.
  [[nodiscard]] bool first_use_of_port(std::uint16_t port);

 private:
  std::mutex mutex_;
  std::unordered_set<const void*> objects_;
  std::unordered_set<std::uint16_t> ports_;
  std::weak_ptr<BouncePool> pool_;
};

// The caller did what the contract forbids: counted, and the end of the process when `strict`.
void violation(bool strict, const char* what);
// What a real plugin answers with a crash, told first.
[[noreturn]] void crash(const char* what);

// The logger's "file" is the function, as TCPX has it.
#define SLUICE_STANDIN_LOG(level, ...)                                             \
  do {                                                                             \
    if (const auto log_line = ::sluice::standin::Owner::get().logger.load()) {     \
      log_line(::sluice::nccl_abi::DebugLevel::level, ::sluice::nccl_abi::kLogNet, \
               __PRETTY_FUNCTION__, __LINE__, __VA_ARGS__);                        \
    }                                                                              \
  } while (false)

}  // namespace sluice::standin
