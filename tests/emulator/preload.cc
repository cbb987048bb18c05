// The LD_PRELOAD library: puts itself before the few calls that TCPX needs a special kernel or a
// GPU's NIC for. Whatever is not about device memory goes on to libc untouched.
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "tests/emulator/device_socket.h"
#include "tests/emulator/rxdm_client.h"

#define SLUICE_INTERPOSED extern "C" __attribute__((visibility("default")))

namespace sluice::emulator {
namespace {

// The private ioctl on a dma-buf that makes its pages sendable: _IOW('b', 2, CreatePages).
struct CreatePages {
  std::uint64_t nic[3];
  std::int32_t dma_buf_fd;
  std::int32_t create_page_pool;
};
constexpr unsigned long kCreatePages = _IOW('b', 2, CreatePages);
static_assert(kCreatePages == 0x40206202);

// The functions under ours.
struct Next {
  KernelCalls kernel;
  int (*setsockopt)(int, int, int, const void*, socklen_t);
  int (*ioctl)(int, unsigned long, ...);
  int (*close)(int);
  char* (*realpath)(const char*, char*);
};

template <typename Function>
void find_next(Function& function, const char* name) {
  function = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

const Next& next() {
  static const Next found = [] {
    Next calls{};
    find_next(calls.kernel.sendmsg, "sendmsg");
    find_next(calls.kernel.recvmsg, "recvmsg");
    find_next(calls.setsockopt, "setsockopt");
    find_next(calls.ioctl, "ioctl");
    find_next(calls.close, "close");
    find_next(calls.realpath, "realpath");
    return calls;
  }();
  return found;
}

// NULL, and a line on stderr, when the process is not under a launcher that still lives.
DeviceWorld* make_world() {
  auto world = std::make_unique<DeviceWorld>();
  const std::string folder = environment_of(kFolderVariable);
  const std::string gpu = environment_of(kGpuVariable);
  const bool cuda = environment_of(kDeviceVariable) == "cuda";
  std::string wrong = read_environment(world->settings);
  int pages = -1;
  int pool = -1;
  if (wrong.empty()) pages = ask_for_fd(folder + "/emulator_pages", gpu, &wrong);
  if (wrong.empty()) pool = ask_for_fd(folder + "/get_gpu_fd_" + gpu, gpu, &wrong);
  if (wrong.empty()) {
    const std::size_t bytes = world->settings.pool_pages * kPageBytes;
    world->kernel = next().kernel;
    world->pages = PageTable::open(pages);
    world->memory =
        cuda ? make_cuda_memory(pool, bytes, gpu, &wrong) : make_host_memory(pool, bytes, &wrong);
    if (cuda) world->settings.staged = 1;
    if (!world->pages.valid()) wrong = "no page table";
  }
  if (wrong.empty()) return world.release();
  ::fprintf(stderr, "sluice-tcpx-emulator: %s\n", wrong.c_str());
  return nullptr;
}

// Lives as long as the process: sockets may be used while it exits.
DeviceWorld* world() {
  static DeviceWorld* const made = make_world();
  return made;
}

// The data sockets, by descriptor. Without a lock, since close() may be called where another thread
// of the parent held it: in a child, between fork and exec. Who closes a socket that another thread
// still uses has the same race with the kernel.
class Sockets {
 public:
  // The state of a data socket; made by the first call that needs it. NULL with errno if it cannot.
  DeviceSocket* get(int fd) {
    if (fd < 0 || static_cast<std::size_t>(fd) >= sockets_.size()) {
      errno = fd < 0 ? EBADF : EMFILE;
      return nullptr;
    }
    std::atomic<DeviceSocket*>& slot = sockets_[static_cast<std::size_t>(fd)];
    if (DeviceSocket* known = slot) return known;
    if (world() == nullptr) {
      errno = ENODEV;
      return nullptr;
    }
    auto made = std::make_unique<DeviceSocket>(*world(), fd);
    DeviceSocket* known = nullptr;
    return slot.compare_exchange_strong(known, made.get()) ? made.release() : known;
  }
  // NULL if it is no data socket.
  DeviceSocket* find(int fd) {
    if (fd < 0 || static_cast<std::size_t>(fd) >= sockets_.size()) return nullptr;
    return sockets_[static_cast<std::size_t>(fd)];
  }
  void forget(int fd) {
    if (find(fd) == nullptr) return;
    DeviceSocket* socket = sockets_[static_cast<std::size_t>(fd)].exchange(nullptr);
    if (socket != nullptr && socket->is_ours())
      delete socket;  // A child's copy of the heap may be locked.
  }

 private:
  std::array<std::atomic<DeviceSocket*>, 65536> sockets_ = {};
};

constinit Sockets sockets;

// The device cmsg of a message to send, if it has one.
bool find_device_cmsg(const msghdr* message, DeviceCmsgOut* found) {
  if (message == nullptr || message->msg_control == nullptr) return false;
  auto* mutable_message = const_cast<msghdr*>(message);  // The macros want it so; nothing changes.
  for (cmsghdr* header = CMSG_FIRSTHDR(mutable_message); header != nullptr;
       header = CMSG_NXTHDR(mutable_message, header)) {
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == kDeviceCmsg &&
        header->cmsg_len == CMSG_LEN(sizeof(*found))) {
      ::memcpy(found, CMSG_DATA(header), sizeof(*found));
      return true;
    }
  }
  return false;
}

// "/sys/class/net/X/device" -> a PCI device of its own for each X: TCPX reads the address off it,
// and has a NULL pointer where a NIC is none. "" for every other path.
std::string pci_device_of(const char* path) {
  constexpr std::string_view kPrefix = "/sys/class/net/";
  constexpr std::string_view kSuffix = "/device";
  const std::string_view whole = path == nullptr ? "" : path;
  if (!whole.starts_with(kPrefix) || !whole.ends_with(kSuffix)) return "";
  if (whole.size() <= kPrefix.size() + kSuffix.size()) return "";
  const std::string nic(
      whole.substr(kPrefix.size(), whole.size() - kPrefix.size() - kSuffix.size()));
  const unsigned index = ::if_nametoindex(nic.c_str());
  if (index == 0) return "";
  std::array<char, 64> text{};
  ::snprintf(text.data(), text.size(), "/sys/devices/pci0000:00/0000:%02x:00.0",
             0x10 + index % 0xe0);
  return text.data();
}

char* emulated_realpath(const char* path, char* resolved) {
  const std::string device = pci_device_of(path);
  if (device.empty()) return next().realpath(path, resolved);
  if (resolved == nullptr) return ::strdup(device.c_str());
  ::memcpy(resolved, device.c_str(), device.size() + 1);
  return resolved;
}

}  // namespace
}  // namespace sluice::emulator

using namespace sluice::emulator;  // NOLINT: the functions below are libc's and have no namespace.

SLUICE_INTERPOSED ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  DeviceCmsgOut from{};
  if (!find_device_cmsg(message, &from)) return next().kernel.sendmsg(fd, message, flags);
  DeviceSocket* socket = sockets.get(fd);
  return socket == nullptr ? -1 : socket->send(*message, from, flags);
}

SLUICE_INTERPOSED ssize_t recvmsg(int fd, msghdr* message, int flags) {
  if ((flags & kReceiveToDevice) != 0) {
    DeviceSocket* socket = sockets.get(fd);
    return socket == nullptr ? -1 : socket->receive(*message);
  }
  if ((flags & MSG_ERRQUEUE) != 0) {
    if (DeviceSocket* socket = sockets.find(fd)) return socket->read_completions(*message);
  }
  return next().kernel.recvmsg(fd, message, flags);
}

SLUICE_INTERPOSED int setsockopt(int fd, int level, int name, const void* value,
                                 socklen_t bytes) noexcept {
  if (level == SOL_SOCKET && (name == kDontNeed || name == kDontNeedUpstream)) {
    if (DeviceSocket* socket = sockets.find(fd)) return socket->dont_need(value, bytes);
  }
  return next().setsockopt(fd, level, name, value, bytes);
}

SLUICE_INTERPOSED int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  if (request != kCreatePages) return next().ioctl(fd, request, argument);
  const std::optional<MemoryRange> range = range_of(fd);
  if (range) return make_range_fd(*range);
  errno = EINVAL;
  return -1;
}

SLUICE_INTERPOSED int close(int fd) {
  sockets.forget(fd);
  return next().close(fd);
}

SLUICE_INTERPOSED char* realpath(const char* path, char* resolved) noexcept {
  return emulated_realpath(path, resolved);
}

// What realpath is where the program was compiled with _FORTIFY_SOURCE.
SLUICE_INTERPOSED char* __realpath_chk(const char* path, char* resolved, size_t) noexcept {
  return emulated_realpath(path, resolved);
}

// The driver exports the range, which shows that it can be done; what the plugin gets is our own
// descriptor of it, since nothing here could read a real dma-buf.
SLUICE_INTERPOSED int cuMemGetHandleForAddressRange(void* handle, std::uint64_t address,
                                                    std::size_t bytes, int type,
                                                    unsigned long long flags) {
  constexpr int kNotSupported = 801;  // CUDA_ERROR_NOT_SUPPORTED
  using Export = int (*)(void*, std::uint64_t, std::size_t, int, unsigned long long);
  static const auto driver = [] {
    void* library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    return reinterpret_cast<Export>(
        library == nullptr ? nullptr : ::dlsym(library, "cuMemGetHandleForAddressRange"));
  }();
  if (driver == nullptr) return kNotSupported;
  int fd = -1;
  if (const int result = driver(&fd, address, bytes, type, flags); result != 0) return result;
  if (fd >= 0) ::close(fd);
  fd = make_range_fd({address, bytes});
  ::memcpy(handle, &fd, sizeof(fd));
  return fd < 0 ? kNotSupported : 0;
}
