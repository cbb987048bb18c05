// A Net and a ControlNet around others, which turn over one bit of what arrives when they are told
// to: what memory, a NIC or a cable that lies would do. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/net/control.h"
#include "src/net/net.h"

namespace sluice {

// Which bit; outlives what it is given to.
struct Flip {
  std::uint64_t after = UINT64_MAX;  // So many chunks, or bytes of control connections, are well.
  std::uint64_t seen = 0;
  bool done = false;
  // So many chunks have come when a channel fails: that of the next.
  std::uint64_t fail_at = UINT64_MAX;
  bool failed = false;

  void turn(std::byte& byte) {
    byte ^= std::byte{0x10};
    done = true;
  }
};

class FlippingRecvChannel final : public RecvChannel {
 public:
  FlippingRecvChannel(std::unique_ptr<RecvChannel> inner, Flip& flip)
      : inner_(std::move(inner)), flip_(flip) {}

  PostAnswer post(std::byte* into, std::uint64_t bytes, NetMemory& memory) override {
    const PostAnswer answer = inner_->post(into, bytes, memory);
    if (answer == PostAnswer::kPosted) posted_.push_back(into);
    return answer;
  }
  PostAnswer post_pieces(std::span<const ChunkPiece> pieces) override {
    const PostAnswer answer = inner_->post_pieces(pieces);
    if (answer == PostAnswer::kPosted) posted_.push_back(pieces.back().at);
    return answer;
  }
  TestAnswer test_oldest(Arrival& arrival) override {
    const TestAnswer answer = inner_->test_oldest(arrival);
    if (answer == TestAnswer::kPending) return answer;
    std::byte* const into = posted_.front();
    posted_.pop_front();
    if (answer == TestAnswer::kDone && !flip_.failed && flip_.seen == flip_.fail_at) {
      flip_.failed = failed_ = true;
      return TestAnswer::kFailed;
    }
    if (answer == TestAnswer::kDone && flip_.seen++ == flip_.after) flip_.turn(*into);
    return answer;
  }
  void consume_oldest() override { inner_->consume_oldest(); }
  void abort() override { inner_->abort(); }
  [[nodiscard]] Status failure() const override {
    return failed_ ? Status(StatusCode::kPeerLost, "made to fail") : inner_->failure();
  }

 private:
  std::unique_ptr<RecvChannel> inner_;
  Flip& flip_;
  std::deque<std::byte*> posted_;
  bool failed_ = false;
};

class FlippingListener final : public Listener {
 public:
  FlippingListener(std::unique_ptr<Listener> inner, Flip& flip)
      : inner_(std::move(inner)), flip_(flip) {}

  [[nodiscard]] std::span<const std::byte> handle() const override { return inner_->handle(); }
  MakeAnswer accept(std::unique_ptr<RecvChannel>& channel, Status& failure) override {
    const MakeAnswer answer = inner_->accept(channel, failure);
    if (answer == MakeAnswer::kMade) {
      channel = std::make_unique<FlippingRecvChannel>(std::move(channel), flip_);
    }
    return answer;
  }

 private:
  std::unique_ptr<Listener> inner_;
  Flip& flip_;
};

// For Nets that bring chunks in place.
class FlippingNet final : public Net {
 public:
  FlippingNet(std::unique_ptr<Net> inner, Flip& flip)
      : inner_(std::move(inner)), flip_(flip), devices_(inner_->devices()) {
    // It would have taken them before the bit is turned over.
    for (Device& device : devices_) device.takes_remainders = false;
  }

  [[nodiscard]] std::string_view name() const override { return inner_->name(); }
  [[nodiscard]] const std::vector<Device>& devices() const override { return devices_; }
  Result<std::unique_ptr<NetMemory>> register_memory(std::span<std::byte> range,
                                                     Memory kind) override {
    return inner_->register_memory(range, kind);
  }
  Result<std::unique_ptr<Listener>> listen(std::uint32_t device, std::string_view reach) override {
    auto listener = inner_->listen(device, reach);
    if (!listener.ok()) return listener.status();
    return std::unique_ptr<Listener>(std::make_unique<FlippingListener>(listener.take(), flip_));
  }
  Result<std::unique_ptr<Connector>> connect(std::uint32_t device,
                                             std::span<const std::byte> handle) override {
    return inner_->connect(device, handle);
  }
  void progress() override { inner_->progress(); }
  [[nodiscard]] int wake_fd() const override { return inner_->wake_fd(); }
  void arm() override { inner_->arm(); }
  void disarm() override { inner_->disarm(); }

 private:
  std::unique_ptr<Net> inner_;
  Flip& flip_;
  std::vector<Device> devices_;
};

class FlippingStream final : public ByteStream {
 public:
  FlippingStream(std::unique_ptr<ByteStream> inner, Flip& flip, std::vector<FlippingStream*>& all)
      : inner_(std::move(inner)), flip_(flip), all_(all) {
    all_.push_back(this);
  }
  ~FlippingStream() override { std::erase(all_, this); }

  IoResult read(std::span<std::byte> into) override {
    const IoResult result = inner_->read(into);
    if (result.answer != IoAnswer::kSome) return result;
    const std::uint64_t before = flip_.seen;
    flip_.seen += result.bytes;
    if (!flip_.done && flip_.after < flip_.seen) {
      flip_.turn(into[flip_.after < before ? 0 : flip_.after - before]);
    }
    return result;
  }
  IoResult write(std::span<const std::byte> from) override { return inner_->write(from); }
  void end_writes() override { inner_->end_writes(); }
  [[nodiscard]] bool delivered() const override { return inner_->delivered(); }
  [[nodiscard]] Status failure() const override { return inner_->failure(); }
  void set_reading(bool on) override { inner_->set_reading(on); }
  [[nodiscard]] std::string local_host() const override { return inner_->local_host(); }
  [[nodiscard]] std::string remote() const override { return inner_->remote(); }
  void pass_tag_on() { inner_->tag = tag; }

 private:
  std::unique_ptr<ByteStream> inner_;
  Flip& flip_;
  std::vector<FlippingStream*>& all_;
};

class FlippingControl final : public ControlNet {
 public:
  FlippingControl(std::unique_ptr<ControlNet> inner, Flip& flip)
      : inner_(std::move(inner)), flip_(flip) {}

  Status listen(std::string_view host, std::uint16_t port) override {
    return inner_->listen(host, port);
  }
  [[nodiscard]] std::uint16_t port() const override { return inner_->port(); }
  std::unique_ptr<ByteStream> accept() override {
    auto stream = inner_->accept();
    if (stream == nullptr) return stream;
    return std::make_unique<FlippingStream>(std::move(stream), flip_, streams_);
  }
  void set_accepting(bool on) override { inner_->set_accepting(on); }
  Result<std::unique_ptr<ByteStream>> connect(std::string_view host, std::uint16_t port) override {
    auto stream = inner_->connect(host, port);
    if (!stream.ok()) return stream.status();
    return std::unique_ptr<ByteStream>(
        std::make_unique<FlippingStream>(stream.take(), flip_, streams_));
  }
  std::size_t ready(std::span<std::uint64_t> tags) override {
    for (FlippingStream* stream : streams_) stream->pass_tag_on();
    return inner_->ready(tags);
  }
  Status watch(int fd) override { return inner_->watch(fd); }
  [[nodiscard]] int wake_fd() const override { return inner_->wake_fd(); }
  void sleep(std::chrono::microseconds limit) override { inner_->sleep(limit); }
  void interrupt() override { inner_->interrupt(); }

 private:
  std::vector<FlippingStream*> streams_;  // Those that live.
  std::unique_ptr<ControlNet> inner_;
  Flip& flip_;
};

}  // namespace sluice
