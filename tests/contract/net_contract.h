// The fixture of the contract suite: channels between the two Nets of a NetUnderTest, and streams
// of chunks over them whose bytes are checked.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "src/gpu/host_gpu.h"
#include "src/net/net.h"
#include "tests/contract/net_under_test.h"
#include "tests/support/bytes.h"

namespace sluice::contract {

// Random bytes to send from, at any offset.
class Noise {
 public:
  static constexpr std::size_t kBytes = 6 << 20;
  static constexpr std::size_t kLongest = 4 << 20;  // Of one chunk.
  [[nodiscard]] std::span<std::byte> bytes() { return bytes_; }
  // What chunk `k` consists of.
  [[nodiscard]] const std::byte* chunk(std::uint64_t k) const {
    return bytes_.data() + k * 7919 % (kBytes - kLongest);
  }

 private:
  std::vector<std::byte> bytes_ = random_bytes(kBytes, 11);
};

// Calls `turn` until `done` says true. False after 100 s: a test fails instead of hanging.
template <typename Turn, typename Done>
bool eventually(Turn&& turn, Done&& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(100);
  for (std::uint64_t turns = 1; !done(); ++turns) {
    turn();
    if (turns % 1024 == 0 && std::chrono::steady_clock::now() > end) return false;
  }
  return true;
}

// Memory for receives: a slot per chunk in flight, with guard bytes around each.
class Sink {
 public:
  static constexpr std::size_t kGuard = 64;
  static constexpr std::byte kUntouched{0xc3};

  Sink(std::size_t slots, std::size_t slot_bytes)
      : slot_bytes_(slot_bytes), bytes_(slots * (slot_bytes + 2 * kGuard), kUntouched) {}
  [[nodiscard]] std::span<std::byte> bytes() { return bytes_; }
  // Where chunk `k` goes: not aligned, differently for each.
  [[nodiscard]] std::byte* slot(std::uint64_t k) {
    const std::size_t stride = slot_bytes_ + 2 * kGuard;
    return bytes_.data() + k % (bytes_.size() / stride) * stride + kGuard + k % 31;
  }
  // "" if the slot of chunk `k` holds the first `bytes` of it and nothing else was written.
  [[nodiscard]] std::string check(std::uint64_t k, const std::byte* expected, std::size_t bytes,
                                  std::size_t capacity);
  // Before chunk `k` is posted with room for `capacity`: forgets what was there.
  void clear(std::uint64_t k, std::size_t capacity) {
    std::memset(slot(k) - 31, static_cast<int>(kUntouched), capacity + 62 - k % 31);
  }

 private:
  std::size_t slot_bytes_;  // Longest chunk, without the 31 bytes for alignment.
  std::vector<std::byte> bytes_;
};

// Waits for the oldest receive and unpacks it.
struct Taken {
  TestAnswer answer;
  std::uint64_t bytes;
  std::uint32_t remainder = 0;  // As the Net told it.
};
Taken test_and_unpack(RecvChannel& channel, std::byte* destination, std::uint64_t capacity,
                      bool consume = true);

// A stream of chunks over one channel, in as many steps as the Net likes.
class Stream {
 public:
  using SizeOf = std::function<std::size_t(std::uint64_t)>;
  // Chunk k has sizes(k) bytes and meets room for capacities(k).
  Stream(NetUnderTest& nets, Noise& noise, std::uint64_t chunks, std::uint32_t window,
         std::size_t longest, SizeOf sizes, SizeOf capacities);

  // Posts what can be posted and tests what can be tested; returns steps taken.
  std::size_t step_sender();
  std::size_t step_receiver();
  [[nodiscard]] bool finished() const { return sent_ == chunks_ && received_ == chunks_; }
  [[nodiscard]] bool sender_finished() const { return sent_ == chunks_; }
  [[nodiscard]] bool receiver_finished() const { return received_ == chunks_; }
  // What went wrong; "" so far.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  void more(std::uint64_t chunks) { chunks_ += chunks; }

  std::unique_ptr<SendChannel> sender;
  std::unique_ptr<RecvChannel> receiver;

 private:
  Noise& noise_;
  Sink sink_;
  std::uint64_t chunks_;
  std::uint32_t window_;
  SizeOf sizes_;
  SizeOf capacities_;
  std::unique_ptr<NetMemory> source_memory_;
  std::unique_ptr<NetMemory> sink_memory_;
  std::uint64_t send_posted_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t recv_posted_ = 0;
  std::uint64_t received_ = 0;
  std::string trouble_;
};

class NetContract : public testing::TestWithParam<NetFactory> {
 protected:
  void SetUp() override { nets = GetParam().make(); }

  [[nodiscard]] std::uint32_t most_in_flight() const {
    return nets->sending().devices().front().most_in_flight;
  }
  // The longest chunk that the suite sends.
  [[nodiscard]] std::size_t longest() const {
    return std::min<std::size_t>(nets->sending().devices().front().largest_chunk, Noise::kLongest);
  }
  template <typename Done>
  [[nodiscard]] bool soon(Done&& done) {
    return eventually([this] { nets->drive(); }, done);
  }
  std::unique_ptr<Listener> listen();
  std::unique_ptr<Connector> connect(const Listener& listener);
  // Fails the test unless both are Made.
  void finish(Listener& listener, Connector& connector, std::unique_ptr<SendChannel>& sender,
              std::unique_ptr<RecvChannel>& receiver);
  void make_channel(std::unique_ptr<SendChannel>& sender, std::unique_ptr<RecvChannel>& receiver);
  // Posts, however often the answer is Busy at first.
  void post(SendChannel& channel, const std::byte* from, std::size_t bytes, NetMemory& memory);
  void post(RecvChannel& channel, std::byte* into, std::size_t bytes, NetMemory& memory);
  TestAnswer wait(SendChannel& channel);
  Taken wait(RecvChannel& channel, std::byte* destination, std::size_t capacity);
  // For a chunk posted at both ends: some Nets move it only while both are tested.
  struct Both {
    TestAnswer sent;
    Taken taken;
  };
  Both wait(SendChannel& sender, RecvChannel& receiver, std::byte* destination,
            std::size_t capacity);
  void run(Stream& stream);
  void run_sizes(std::uint64_t chunks, std::uint32_t window, std::size_t longest,
                 const Stream::SizeOf& sizes, const Stream::SizeOf& capacities);

  Noise noise;
  std::unique_ptr<NetUnderTest> nets;
};

inline std::string name_of(const testing::TestParamInfo<NetFactory>& info) {
  return info.param.name;
}

}  // namespace sluice::contract
