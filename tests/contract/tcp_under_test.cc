#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include "src/base/check.h"
#include "src/base/clock.h"
#include "src/base/fd.h"
#include "src/net/tcp/data_hello.h"
#include "src/net/tcp/tcp_net.h"
#include "tests/contract/net_under_test.h"
#include "tests/support/sanitized.h"

namespace sluice::contract {
namespace {

class TcpUnderTest final : public NetUnderTest {
 public:
  explicit TcpUnderTest(const TcpNetOptions& options)
      : sending_(make(options)), receiving_(make(options)) {}

  Net& sending() override { return *sending_; }
  Net& receiving() override { return *receiving_; }
  void drive() override {
    sched_yield();
    sending_->progress();
    receiving_->progress();
  }
  bool wait_readable(int fd) override {
    pollfd entry{fd, POLLIN, 0};
    return poll(&entry, 1, 20'000) == 1;
  }
  bool send_stranger(std::span<const std::byte> handle) override {
    const auto target = decode_handle(handle);
    SLUICE_CHECK(target.ok(), "{}", target.status().to_string());
    Fd stranger(::socket(target->address.get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    SLUICE_CHECK(::connect(stranger.get(), target->address.get(), target->address.length()) == 0,
                 "connect to {}", target->address.to_string());
    const char request[] = "GET / HTTP/1.1\r\nHost: sluice\r\nAccept: */*\r\nUser-Agent: x\r\n\r\n";
    return ::send(stranger.get(), request, sizeof(request), MSG_NOSIGNAL) > 0;
  }

 private:
  std::unique_ptr<TcpNet> make(const TcpNetOptions& options) {
    auto net = TcpNet::create(options, clock_);
    SLUICE_CHECK(net.ok(), "{}", net.status().to_string());
    return net.take();
  }

  SystemClock clock_;
  std::unique_ptr<TcpNet> sending_;
  std::unique_ptr<TcpNet> receiving_;
};

NetFactory factory(std::string name, const TcpNetOptions& options) {
  return {std::move(name), [options] { return std::make_unique<TcpUnderTest>(options); }};
}

}  // namespace

std::vector<NetFactory> tcp_nets() {
  // Small chunks are moved by the calling thread in the first, by helpers alone in the second.
  TcpNetOptions helpers_only;
  helpers_only.inline_bytes = 0;
  helpers_only.spin_us = 0;
  helpers_only.window = 3;
  TcpNetOptions by_reference;
  by_reference.send_by_reference = true;
  return {factory("Tcp", TcpNetOptions{}), factory("TcpHelpersOnly", helpers_only),
          factory("TcpByReference", by_reference)};
}

std::vector<NetFactory> every_net() {
  std::vector<NetFactory> all;
  // The simulated world has one thread: the thread sanitizer has nothing to see in it.
  if (!kThreadSanitizer) all = sim_nets();
  for (NetFactory& net : tcp_nets()) all.push_back(std::move(net));
  for (NetFactory& net : plugin_nets()) all.push_back(std::move(net));
  return all;
}

}  // namespace sluice::contract
