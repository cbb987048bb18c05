#include "tests/emulator/device_socket.h"

#include <linux/errqueue.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace sluice::emulator {
namespace {

constexpr std::size_t kStagingBytes = 512 << 10;
constexpr std::size_t kMostFragments = 1024;  // IOV_MAX

int fail(int error) {
  errno = error;
  return -1;
}

std::uint64_t now_us() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

std::size_t total_bytes(const msghdr& message) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < message.msg_iovlen; ++i) bytes += message.msg_iov[i].iov_len;
  return bytes;
}

template <typename T>
void put_cmsg(std::byte* at, int level, int type, const T& value) {
  cmsghdr header{};
  header.cmsg_level = level;
  header.cmsg_type = type;
  header.cmsg_len = CMSG_LEN(sizeof(T));
  std::memset(at, 0, CMSG_SPACE(sizeof(T)));
  std::memcpy(at, &header, sizeof(header));
  std::memcpy(at + CMSG_LEN(0), &value, sizeof(T));
}

// The connection is gone: nothing will be acknowledged any more, and the kernel lets go of all.
bool is_closed(int fd) {
  tcp_info info{};
  socklen_t length = sizeof(info);
  return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 ||
         info.tcpi_state == TCP_CLOSE;
}

}  // namespace

DeviceSocket::DeviceSocket(DeviceWorld& world, int fd)
    : world_(world),
      fd_(fd),
      owner_{::getpid(), fd},
      random_(static_cast<std::minstd_rand::result_type>(world.settings.seed)) {}

DeviceSocket::~DeviceSocket() { world_.pages.release(owner_); }

bool DeviceSocket::is_ours() const { return owner_.pid == ::getpid(); }

bool DeviceSocket::make_staging() {
  if (staging_ == nullptr) staging_ = world_.memory->make_staging(kStagingBytes);
  return staging_ != nullptr;
}

ssize_t DeviceSocket::send(const msghdr& message, const DeviceCmsgOut& from, int flags) {
  const std::lock_guard lock(mutex_);
  if (reset_) return fail(ECONNRESET);
  const std::optional<MemoryRange> range = range_of(from.pages_fd);
  if (!range) return fail(EBADF);
  const std::size_t bytes = total_bytes(message);
  if (from.offset < 0 || static_cast<std::uint64_t>(from.offset) > range->bytes ||
      bytes > range->bytes - static_cast<std::uint64_t>(from.offset)) {
    return fail(EFAULT);
  }
  const std::uint64_t address = range->address + static_cast<std::uint64_t>(from.offset);
  const ssize_t sent = world_.settings.staged != 0 ? send_staged(address, bytes, flags)
                                                   : send_direct(message, address, bytes, flags);
  if (sent > 0) completions_us_ = now_us() + world_.settings.completion_delay_us;
  return sent;
}

// The kernel's own MSG_ZEROCOPY, which tells of its completions itself.
ssize_t DeviceSocket::send_direct(const msghdr& message, std::uint64_t address, std::size_t bytes,
                                  int flags) {
  iovec data{reinterpret_cast<void*>(address), bytes};
  msghdr plain = message;
  plain.msg_iov = &data;
  plain.msg_iovlen = 1;
  plain.msg_control = nullptr;
  plain.msg_controllen = 0;
  return world_.kernel.sendmsg(fd_, &plain, flags | MSG_DONTWAIT);
}

ssize_t DeviceSocket::send_staged(std::uint64_t address, std::size_t bytes, int flags) {
  if (!make_staging()) return fail(ENOMEM);
  const std::span<std::byte> buffer = staging_->buffer();
  const std::size_t piece = std::min(bytes, buffer.size());
  if (!staging_->copy_from_device(buffer.data(), address, piece)) return fail(EFAULT);
  iovec data{buffer.data(), piece};
  msghdr plain{};
  plain.msg_iov = &data;
  plain.msg_iovlen = 1;
  const ssize_t sent = world_.kernel.sendmsg(fd_, &plain, (flags & ~MSG_ZEROCOPY) | MSG_DONTWAIT);
  if (sent > 0 && (flags & MSG_ZEROCOPY) != 0) {
    sent_ += static_cast<std::uint64_t>(sent);
    ends_.push_back(sent_);
  }
  return sent;
}

ssize_t DeviceSocket::receive(msghdr& message) {
  const std::lock_guard lock(mutex_);
  if (reset_) return fail(ECONNRESET);
  int waiting = 0;
  if (::ioctl(fd_, FIONREAD, &waiting) != 0) return -1;
  if (waiting == 0) {  // Nothing yet, the end, or an error: the kernel tells which.
    std::byte byte{};
    iovec data{&byte, 1};
    msghdr probe{};
    probe.msg_iov = &data;
    probe.msg_iovlen = 1;
    const ssize_t result = world_.kernel.recvmsg(fd_, &probe, MSG_PEEK | MSG_DONTWAIT);
    message.msg_controllen = 0;
    return result > 0 ? fail(EAGAIN) : result;  // It came just now: the next call has it.
  }
  if (!ready_to_receive()) return fail(EAGAIN);
  const std::size_t room = message.msg_controllen / CMSG_SPACE(sizeof(DeviceCmsgIn));
  if (room == 0) return fail(EMSGSIZE);
  const std::size_t wanted =
      std::min({static_cast<std::size_t>(waiting), total_bytes(message), kStagingBytes});
  std::vector<Fragment> fragments = plan(wanted, std::min(room, kMostFragments));
  if (fragments.empty()) return fail(EAGAIN);
  const ssize_t received = fill(fragments);
  shorten(fragments, received > 0 ? static_cast<std::size_t>(received) : 0);
  if (received <= 0) return received;
  auto* control = static_cast<std::byte*>(message.msg_control);
  for (const Fragment& fragment : fragments) {
    const auto offset = static_cast<std::uint32_t>(fragment.page * kPageBytes + fragment.start);
    put_cmsg(control, SOL_SOCKET, kDeviceCmsg, DeviceCmsgIn{offset, fragment.bytes, fragment.page});
    control += CMSG_SPACE(sizeof(DeviceCmsgIn));
  }
  message.msg_controllen = fragments.size() * CMSG_SPACE(sizeof(DeviceCmsgIn));
  message.msg_flags = 0;
  arrival_us_ = 0;
  received_ += static_cast<std::uint64_t>(received);
  reset_if_due();
  return received;
}

bool DeviceSocket::ready_to_receive() {
  if (world_.settings.arrival_delay_us == 0) return true;
  const std::uint64_t now = now_us();
  if (arrival_us_ == 0) arrival_us_ = now + world_.settings.arrival_delay_us;
  return now >= arrival_us_;
}

std::vector<DeviceSocket::Fragment> DeviceSocket::plan(std::size_t bytes, std::size_t most) {
  const auto longest = static_cast<std::uint32_t>(world_.settings.fragment_bytes);
  std::vector<Fragment> fragments;
  while (bytes > 0 && fragments.size() < most) {
    Fragment fragment{0, 0, longest};
    if (world_.settings.random_fragments != 0) {
      fragment.bytes = std::uniform_int_distribution<std::uint32_t>(1, longest)(random_);
    }
    fragment.bytes =
        std::min(fragment.bytes, static_cast<std::uint32_t>(std::min(bytes, kPageBytes)));
    if (world_.settings.random_fragments != 0) {
      const auto last = static_cast<std::uint32_t>(kPageBytes) - fragment.bytes;
      fragment.start = std::uniform_int_distribution<std::uint32_t>(0, last)(random_);
    }
    bytes -= fragment.bytes;
    fragments.push_back(fragment);
  }
  std::vector<std::uint32_t> pages(fragments.size());
  fragments.resize(world_.pages.take(owner_, pages));
  for (std::size_t i = 0; i < fragments.size(); ++i) fragments[i].page = pages[i];
  return fragments;
}

// Receives straight into the pool where the host can, else by way of the staging buffer.
ssize_t DeviceSocket::fill(const std::vector<Fragment>& fragments) {
  std::byte* pool = world_.settings.staged == 0 ? world_.memory->host_pool() : nullptr;
  if (pool == nullptr && !make_staging()) return fail(ENOMEM);
  std::vector<iovec> places;
  std::size_t bytes = 0;
  for (const Fragment& fragment : fragments) {
    std::byte* place = pool == nullptr ? staging_->buffer().data() + bytes
                                       : pool + fragment.page * kPageBytes + fragment.start;
    places.push_back({place, fragment.bytes});
    bytes += fragment.bytes;
  }
  msghdr plain{};
  plain.msg_iov = places.data();
  plain.msg_iovlen = places.size();
  const ssize_t received = world_.kernel.recvmsg(fd_, &plain, MSG_DONTWAIT);
  if (received > 0 && pool == nullptr &&
      !copy_to_pool(fragments, static_cast<std::size_t>(received))) {
    return fail(EFAULT);
  }
  return received;
}

bool DeviceSocket::copy_to_pool(const std::vector<Fragment>& fragments, std::size_t bytes) {
  const std::byte* from = staging_->buffer().data();
  for (const Fragment& fragment : fragments) {
    const std::size_t part = std::min<std::size_t>(fragment.bytes, bytes);
    if (part == 0) break;
    if (!staging_->copy_to_pool(fragment.page * kPageBytes + fragment.start, from, part)) {
      return false;
    }
    from += part;
    bytes -= part;
  }
  return true;
}

void DeviceSocket::shorten(std::vector<Fragment>& fragments, std::size_t bytes) {
  std::size_t used = 0;
  for (Fragment& fragment : fragments) {
    if (bytes == 0) break;
    fragment.bytes = static_cast<std::uint32_t>(std::min<std::size_t>(fragment.bytes, bytes));
    bytes -= fragment.bytes;
    ++used;
  }
  for (std::size_t i = used; i < fragments.size(); ++i) {
    world_.pages.untake(owner_, fragments[i].page);
  }
  fragments.resize(used);
}

void DeviceSocket::reset_if_due() {
  const std::uint64_t limit = world_.settings.reset_after_bytes;
  if (limit == 0 || received_ < limit) return;
  reset_ = true;
  sockaddr nobody{};  // AF_UNSPEC: the kernel sends a reset and leaves the socket unconnected.
  ::connect(fd_, &nobody, sizeof(nobody));
}

int DeviceSocket::dont_need(const void* ranges, std::size_t bytes) {
  // Counted for the process, as a test that wants the N-th failure sees it.
  static std::atomic<std::uint64_t> calls = 0;
  const std::uint64_t every = world_.settings.dontneed_error_every;
  if (every != 0 && ++calls % every == 0) return fail(ENOMEM);
  if (bytes % sizeof(TokenRange) != 0) return fail(EINVAL);
  for (std::size_t at = 0; at < bytes; at += sizeof(TokenRange)) {
    TokenRange range{};
    std::memcpy(&range, static_cast<const std::byte*>(ranges) + at, sizeof(range));
    world_.pages.give_back(owner_, range.first, range.count);
  }
  return 0;
}

std::size_t DeviceSocket::acknowledged_sends() {
  int unacknowledged = 0;
  if (::ioctl(fd_, SIOCOUTQ, &unacknowledged) != 0 || is_closed(fd_)) return ends_.size();
  const auto behind = static_cast<std::uint64_t>(std::max(unacknowledged, 0));
  const std::uint64_t acknowledged = sent_ > behind ? sent_ - behind : 0;
  return static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), acknowledged) -
                                  ends_.begin());
}

ssize_t DeviceSocket::read_completions(msghdr& message) {
  const std::lock_guard lock(mutex_);
  if (now_us() < completions_us_) return fail(EAGAIN);
  if (ends_.empty()) return world_.kernel.recvmsg(fd_, &message, MSG_ERRQUEUE);
  const auto count = static_cast<std::uint32_t>(acknowledged_sends());
  if (count == 0) return fail(EAGAIN);
  sock_extended_err completion{};
  completion.ee_origin = SO_EE_ORIGIN_ZEROCOPY;
  completion.ee_code = SO_EE_CODE_ZEROCOPY_COPIED;
  completion.ee_info = next_id_;
  completion.ee_data = next_id_ + count - 1;
  if (message.msg_controllen < CMSG_SPACE(sizeof(completion))) return fail(EMSGSIZE);
  next_id_ += count;
  ends_.erase(ends_.begin(), ends_.begin() + count);
  put_cmsg(static_cast<std::byte*>(message.msg_control), SOL_IP, IP_RECVERR, completion);
  message.msg_controllen = CMSG_SPACE(sizeof(completion));
  message.msg_flags = MSG_ERRQUEUE;
  return 0;
}

}  // namespace sluice::emulator
