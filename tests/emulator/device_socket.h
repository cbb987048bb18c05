// What a kernel with device memory sockets does for one data socket: sends from device memory,
// receives into pages of the bounce pool, takes pages back. The calls are those of the unmodified
// TCPX plugin (Google's kernel, not upstream's); the numbers are that kernel's.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "tests/emulator/device_memory.h"
#include "tests/emulator/memory_range.h"
#include "tests/emulator/page_table.h"
#include "tests/emulator/settings.h"

namespace sluice::emulator {

inline constexpr int kReceiveToDevice = 0x2000000;  // MSG_SOCK_DEVMEM
inline constexpr int kDeviceCmsg = 99;              // SCM_DEVMEM_OFFSET, of SOL_SOCKET, both ways
inline constexpr int kDontNeed = 97;                // SO_DEVMEM_DONTNEED
// The same where the plugin was built with the headers of Linux 6.12 or later.
inline constexpr int kDontNeedUpstream = 80;

struct DeviceCmsgOut {  // What sendmsg is told.
  std::int32_t pages_fd;
  std::int32_t offset;  // From the start of what was registered.
};
struct DeviceCmsgIn {    // What recvmsg tells of one fragment.
  std::uint32_t offset;  // From the start of the bounce pool.
  std::uint32_t bytes;
  std::uint32_t token;  // The page.
};
struct TokenRange {  // What DONTNEED takes an array of.
  std::uint32_t first;
  std::uint32_t count;
};

// The kernel's calls under the emulated ones: libc's. A table, since the preloaded library has to
// go around its own functions.
struct KernelCalls {
  ssize_t (*sendmsg)(int, const msghdr*, int);
  ssize_t (*recvmsg)(int, msghdr*, int);
};

// What all data sockets of a process share.
struct DeviceWorld {
  Settings settings;
  PageTable pages;
  std::unique_ptr<DeviceMemory> memory;
  KernelCalls kernel;
};

// One data socket, which stays the caller's. Thread-safe. The calls return what the kernel's would,
// with errno, and never block: a call without MSG_DONTWAIT is treated as if it had it.
class DeviceSocket {
 public:
  DeviceSocket(DeviceWorld& world, int fd);
  DeviceSocket(const DeviceSocket&) = delete;
  DeviceSocket& operator=(const DeviceSocket&) = delete;
  ~DeviceSocket();  // Frees the pages that were not returned.

  // False in a child of the process that made it: the socket is the parent's.
  [[nodiscard]] bool is_ours() const;

  ssize_t send(const msghdr& message, const DeviceCmsgOut& from, int flags);
  ssize_t receive(msghdr& message);
  int dont_need(const void* ranges, std::size_t bytes);
  // recvmsg with MSG_ERRQUEUE.
  ssize_t read_completions(msghdr& message);

 private:
  struct Fragment {
    std::uint32_t page;
    std::uint32_t start;  // In the page.
    std::uint32_t bytes;
  };

  ssize_t send_direct(const msghdr& message, std::uint64_t address, std::size_t bytes, int flags);
  ssize_t send_staged(std::uint64_t address, std::size_t bytes, int flags);
  bool ready_to_receive();
  // Lays out `bytes` over as many free pages as there are. Empty if there is none.
  std::vector<Fragment> plan(std::size_t bytes, std::size_t most);
  ssize_t fill(const std::vector<Fragment>& fragments);
  bool copy_to_pool(const std::vector<Fragment>& fragments, std::size_t bytes);
  // Ends the last fragments early where fewer bytes came than planned.
  void shorten(std::vector<Fragment>& fragments, std::size_t bytes);
  void reset_if_due();
  bool make_staging();
  [[nodiscard]] std::size_t acknowledged_sends();

  DeviceWorld& world_;
  const int fd_;
  const PageOwner owner_;
  std::mutex mutex_;
  std::unique_ptr<Staging> staging_;
  std::minstd_rand random_;
  std::uint64_t received_ = 0;
  std::uint64_t arrival_us_ = 0;  // When the bytes that wait may be seen; 0: none are known.
  std::uint64_t completions_us_ = 0;
  bool reset_ = false;
  // Of staged sends, which the kernel knows nothing of.
  std::uint64_t sent_ = 0;
  std::uint32_t next_id_ = 0;       // Of the oldest send that is not completed.
  std::deque<std::uint64_t> ends_;  // sent_ after each send that is not completed.
};

}  // namespace sluice::emulator
