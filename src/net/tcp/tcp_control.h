// ControlNet over Linux TCP and epoll. One thread, but for interrupt().
#pragma once

#include <memory>
#include <string_view>

#include "src/base/clock.h"
#include "src/base/fd.h"
#include "src/net/control.h"

namespace sluice {

class TcpControlNet final : public ControlNet {
 public:
  static Result<std::unique_ptr<TcpControlNet>> create();

  // `host` is an address, an interface or a name; "" is every address, IPv6 and IPv4.
  Status listen(std::string_view host, std::uint16_t port) override;
  [[nodiscard]] std::uint16_t port() const override { return port_; }
  std::unique_ptr<ByteStream> accept() override;
  void set_accepting(bool on) override;
  // kInvalidArgument: not a numeric address; kSystem: out of descriptors.
  Result<std::unique_ptr<ByteStream>> connect(std::string_view host, std::uint16_t port) override;
  std::size_t ready(std::span<std::uint64_t> tags) override;
  Status watch(int fd) override;
  [[nodiscard]] int wake_fd() const override { return epoll_.get(); }
  void sleep(std::chrono::microseconds limit) override;
  void interrupt() override { interrupt_.ring(); }

 private:
  TcpControlNet(Fd epoll, EventFd interrupt)
      : epoll_(std::move(epoll)), interrupt_(std::move(interrupt)) {}
  Status add(int fd, void* mark) const;
  void pause_accepting(int error);
  // Ends the pause when it is over.
  void resume_accepting();
  void watch_listening();

  Fd epoll_;
  EventFd interrupt_;
  Fd listening_;
  std::uint16_t port_ = 0;
  SystemClock clock_;
  bool accepting_ = true;  // The engine wants connections.
  bool listening_watched_ = false;
  Nanoseconds paused_until_ = 0;  // Of accepting, after running out of descriptors; 0: not paused.
  bool exhausted_ = false;        // That was logged, and no accept() has worked since.
};

}  // namespace sluice
