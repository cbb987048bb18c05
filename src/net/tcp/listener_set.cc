#include "src/net/tcp/listener_set.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "src/base/check.h"
#include "src/base/log.h"

namespace sluice {
namespace {

constexpr int kBacklog = 1024;
constexpr int kAcceptsPerPass = 64;
constexpr Nanoseconds kPause = from_ms(100);

bool out_of_resources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

Status ListenerSet::open(bool any, const SocketAddress& address) {
  SLUICE_CHECK(!is_open(), "port {}", port_);
  SocketAddress bound = any ? SocketAddress::any(AF_INET6, 0) : address;
  Fd socket(::socket(bound.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid() && any) {  // A host without IPv6.
    bound = SocketAddress::any(AF_INET, 0);
    socket = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }
  if (!socket.valid()) return Status::from_errno(errno, "socket");
  const int both = 0;
  if (any && bound.family() == AF_INET6) {
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof(both));
  }
  bound.set_port(0);
  if (::bind(socket.get(), bound.get(), bound.length()) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return Status::from_errno(errno, "listening for data connections on " + bound.host());
  }
  const Result<SocketAddress> local = local_address(socket.get());
  if (!local.ok()) return local.status();
  port_ = local->port();
  socket_ = std::move(socket);
  return {};
}

void ListenerSet::add(Entry& entry) {
  waiting_.push_back(&entry);
  watch(true);
}

void ListenerSet::remove(Entry& entry) {
  std::erase(waiting_, &entry);
  if (waiting_.empty()) watch(false);
}

void ListenerSet::watch(bool on) {
  if (on == watched_ || (on && paused_until_ != 0)) return;
  watched_ = on;
  if (on) {
    wake_.add(socket_.get(), WakeSet::For::kReading);
  } else {
    wake_.remove(socket_.get());
  }
}

void ListenerSet::progress() {
  if (!is_open()) return;
  if (!waiting_.empty()) accept_some();
  const Nanoseconds now = clock_.now();
  for (auto pending = pending_.begin(); pending != pending_.end();) {
    bool finished = read_hello(*pending) == Greeting::kFinished;
    if (!finished && now >= pending->until) {
      refuse(*pending, "no hello in time");
      finished = true;
    }
    pending = finished ? pending_.erase(pending) : pending + 1;
  }
}

void ListenerSet::accept_some() {
  if (paused_until_ != 0) {
    if (clock_.now() < paused_until_) return;
    paused_until_ = 0;
    watch(true);
  }
  for (int i = 0; i < kAcceptsPerPass && !waiting_.empty(); ++i) {
    sockaddr_storage address{};
    socklen_t length = sizeof(address);
    Fd socket(::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&address), &length,
                        SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.valid()) {
      if (out_of_resources(errno)) return pause(errno);
      if (errno == EAGAIN) return;
      continue;  // The connection broke while it was queued, or a signal came.
    }
    Pending pending;
    pending.socket = std::move(socket);
    pending.remote = SocketAddress(reinterpret_cast<const sockaddr*>(&address), length);
    pending.until = clock_.now() + hello_timeout_;
    if (read_hello(pending) == Greeting::kFinished) continue;
    if (pending_.size() >= kMostStrangers + waiting_.size()) {
      refuse(pending_.front(), "too many connections without a hello");
      pending_.erase(pending_.begin());
    }
    wake_.add(pending.socket.get(), WakeSet::For::kReading);
    pending_.push_back(std::move(pending));
  }
}

void ListenerSet::pause(int error) {
  SLUICE_LOG(kError, "tcp", "accepting data connections pauses: {}",
             Status::from_errno(error, "accept").message());
  paused_until_ = clock_.now() + kPause;
  watch(false);
}

ListenerSet::Greeting ListenerSet::read_hello(Pending& pending) {
  while (pending.hello_bytes < kHelloBytes) {
    const ssize_t received =
        ::recv(pending.socket.get(), pending.hello.data() + pending.hello_bytes,
               kHelloBytes - pending.hello_bytes, MSG_DONTWAIT);
    if (received > 0) {
      pending.hello_bytes += static_cast<std::size_t>(received);
    } else if (received == 0) {
      refuse(pending, "closed before its hello");
      return Greeting::kFinished;
    } else if (errno == EAGAIN) {
      return Greeting::kNotYet;
    } else if (errno != EINTR) {
      refuse(pending, Status::from_errno(errno, "its hello").message());
      return Greeting::kFinished;
    }
  }
  match(pending);
  return Greeting::kFinished;
}

void ListenerSet::match(Pending& pending) {
  const Result<DataHello> hello = decode_hello(pending.hello);
  if (!hello.ok()) return refuse(pending, hello.status().message());
  for (Entry* entry : waiting_) {
    if (!same_data_nonce(entry->nonce, hello->nonce)) continue;
    wake_.remove(pending.socket.get());
    entry->socket = std::move(pending.socket);
    entry->hello = *hello;
    entry->remote = pending.remote;
    return remove(*entry);
  }
  refuse(pending, "nobody waits for its nonce");
}

void ListenerSet::refuse(const Pending& pending, std::string_view why) {
  SLUICE_LOG(kWarning, "tcp", "data connection from {} closed: {}", pending.remote.to_string(),
             why);
}

}  // namespace sluice
