#include "tests/sim_net/sim_control.h"

#include <poll.h>

#include <algorithm>

#include "src/base/check.h"

namespace sluice::sim {
namespace {

constexpr Nanoseconds kLeastSleep = from_us(10);

}  // namespace

class SimControlNet::Stream final : public ByteStream {
 public:
  Stream(SimControlNet& control, std::shared_ptr<SimPipe> pipe, SimPipe::Side side)
      : control_(control), pipe_(std::move(pipe)), side_(side) {
    control_.streams_.push_back(this);
  }
  ~Stream() override {
    pipe_->close(side_);
    std::erase(control_.streams_, this);
  }

  IoResult read(std::span<std::byte> into) override { return pipe_->read(side_, into); }
  IoResult write(std::span<const std::byte> from) override { return pipe_->write(side_, from); }
  void end_writes() override { pipe_->end_writes(side_); }
  [[nodiscard]] bool delivered() const override { return pipe_->delivered(side_); }
  [[nodiscard]] Status failure() const override { return pipe_->failure(side_); }
  void set_reading(bool on) override { pipe_->set_reading(side_, on); }
  [[nodiscard]] std::string local_host() const override {
    return control_.world_.address(pipe_->host(side_));
  }
  [[nodiscard]] std::string remote() const override {
    return pipe_->name_of(SimPipe::other(side_));
  }

  [[nodiscard]] bool worth_asking() const { return pipe_->worth_asking(side_); }
  void told() { pipe_->told(side_); }

 private:
  SimControlNet& control_;
  std::shared_ptr<SimPipe> pipe_;
  SimPipe::Side side_;
};

SimControlNet::~SimControlNet() {
  SLUICE_CHECK(streams_.empty(), "{} streams outlive their ControlNet", streams_.size());
  if (backlog_ != nullptr) world_.unbind(host_, port_);
}

Status SimControlNet::listen(std::string_view host, std::uint16_t port) {
  SLUICE_CHECK(backlog_ == nullptr, "listens on port {} already", port_);
  if (!host.empty() && host != world_.address(host_)) {
    return Status(StatusCode::kNotFound, fmt::format("{} is not an address of this host", host));
  }
  backlog_ = std::make_unique<SimBacklog>(world_);
  port_ = port != 0 ? port : std::uint16_t{40000};
  while (!world_.bind(host_, port_, backlog_->id())) {
    if (port != 0) {
      backlog_.reset();
      return Status(StatusCode::kUnavailable, fmt::format("port {} is in use", port));
    }
    ++port_;
  }
  return {};
}

std::unique_ptr<ByteStream> SimControlNet::accept() {
  auto pipe = backlog_ == nullptr ? nullptr : backlog_->pop();
  if (pipe == nullptr) return nullptr;
  return std::make_unique<Stream>(*this, std::move(pipe), SimPipe::kAccepting);
}

Result<std::unique_ptr<ByteStream>> SimControlNet::connect(std::string_view host,
                                                           std::uint16_t port) {
  const Result<SimHost> found = world_.find_host(host);
  // An address of no host is a port of our own where nobody can listen: refused.
  auto pipe = std::make_shared<SimPipe>(world_, host_, next_port_++, found.ok() ? *found : host_,
                                        found.ok() ? port : std::uint16_t{0});
  return std::unique_ptr<ByteStream>(
      std::make_unique<Stream>(*this, std::move(pipe), SimPipe::kConnecting));
}

std::size_t SimControlNet::ready(std::span<std::uint64_t> tags) {
  std::size_t count = 0;
  if (someone_knocks() && !tags.empty()) tags[count++] = kAcceptTag;
  for (std::size_t looked = 0; looked < streams_.size() && count < tags.size(); ++looked) {
    next_stream_ = (next_stream_ + 1) % streams_.size();
    Stream& stream = *streams_[next_stream_];
    if (!stream.worth_asking()) continue;
    stream.told();
    tags[count++] = stream.tag;
  }
  return count;
}

Status SimControlNet::watch(int fd) {
  watched_.push_back(fd);
  return {};
}

bool SimControlNet::watched_is_readable() const {
  return std::any_of(watched_.begin(), watched_.end(), [](int fd) {
    pollfd entry{fd, POLLIN, 0};
    return poll(&entry, 1, 0) == 1;
  });
}

bool SimControlNet::anything_ready() const {
  if (someone_knocks()) return true;
  return std::any_of(streams_.begin(), streams_.end(),
                     [](const Stream* stream) { return stream->worth_asking(); });
}

void SimControlNet::sleep(std::chrono::microseconds limit) {
  const Nanoseconds start = world_.now();
  const Nanoseconds deadline =
      start + from_us(std::clamp<std::int64_t>(limit.count(), 0, 3'600'000'000));
  world_.run_background(host_);
  while (!interrupted_.load() && !anything_ready() && !watched_is_readable()) {
    if (world_.next_event() > deadline) {
      world_.run_until(deadline);
      break;
    }
    world_.run_next();
    world_.run_background(host_);
  }
  interrupted_.store(false);
  // Time passes for one who is woken at once, again and again, too.
  world_.run_until(std::max(world_.now(), start + kLeastSleep));
}

}  // namespace sluice::sim
