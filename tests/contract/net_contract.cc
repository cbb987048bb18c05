#include "tests/contract/net_contract.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::contract {

std::string Sink::check(std::uint64_t k, const std::byte* expected, std::size_t bytes,
                        std::size_t capacity) {
  std::byte* at = slot(k);
  if (bytes > 0 && std::memcmp(at, expected, bytes) != 0) {
    return fmt::format("chunk {} of {} bytes arrived with other bytes", k, bytes);
  }
  const auto untouched = [](std::byte b) { return b == kUntouched; };
  if (!std::all_of(at + bytes, at + capacity + 31 - k % 31, untouched) ||
      !std::all_of(at - 31, at, untouched)) {
    return fmt::format("chunk {} of {} bytes was written outside of its bytes", k, bytes);
  }
  return "";
}

Taken test_and_unpack(RecvChannel& channel, std::byte* destination, std::uint64_t capacity,
                      bool consume) {
  Arrival arrival;
  const TestAnswer answer = channel.test_oldest(arrival);
  if (answer != TestAnswer::kDone) return {answer, 0, 0};
  if (!arrival.fragments.empty()) {
    EXPECT_TRUE(fragments_fit(arrival.fragments, arrival.pool.size(), capacity, arrival.bytes));
    HostGpu gpu;
    const Unpack unpack{arrival.fragments, arrival.pool, {destination, capacity}};
    gpu.unpack({&unpack, 1});
  }
  if (consume) channel.consume_oldest();
  return {answer, arrival.bytes, arrival.remainder};
}

Stream::Stream(NetUnderTest& nets, Noise& noise, std::uint64_t chunks, std::uint32_t window,
               std::size_t longest, SizeOf sizes, SizeOf capacities)
    : noise_(noise),
      sink_(window, longest),
      chunks_(chunks),
      window_(window),
      sizes_(std::move(sizes)),
      capacities_(std::move(capacities)),
      source_memory_(nets.sending().register_memory(noise.bytes(), Memory::kHost).take()),
      sink_memory_(nets.receiving().register_memory(sink_.bytes(), Memory::kHost).take()) {}

std::size_t Stream::step_sender() {
  std::size_t steps = 0;
  while (sent_ < send_posted_) {
    const TestAnswer answer = sender->test_oldest();
    if (answer == TestAnswer::kPending) break;
    if (answer == TestAnswer::kFailed) trouble_ = sender->failure().to_string();
    ++sent_;
    ++steps;
  }
  while (send_posted_ < chunks_ && send_posted_ - sent_ < window_) {
    const PostAnswer answer =
        sender->post(noise_.chunk(send_posted_), sizes_(send_posted_), *source_memory_);
    if (answer == PostAnswer::kFailed) trouble_ = sender->failure().to_string();
    if (answer != PostAnswer::kPosted) break;
    ++send_posted_;
    ++steps;
  }
  return steps;
}

std::size_t Stream::step_receiver() {
  std::size_t steps = 0;
  while (received_ < recv_posted_) {
    const std::size_t capacity = capacities_(received_);
    const Taken taken = test_and_unpack(*receiver, sink_.slot(received_), capacity);
    if (taken.answer == TestAnswer::kPending) break;
    if (taken.answer == TestAnswer::kFailed) {
      trouble_ = receiver->failure().to_string();
      break;
    }
    const std::size_t expected = sizes_(received_);
    if (taken.bytes != expected) {
      trouble_ = fmt::format("chunk {} has {} bytes, not {}", received_, taken.bytes, expected);
    }
    const std::string wrong = sink_.check(received_, noise_.chunk(received_), expected, capacity);
    if (!wrong.empty()) trouble_ = wrong;
    ++received_;
    ++steps;
  }
  while (recv_posted_ < chunks_ && recv_posted_ - received_ < window_) {
    const std::size_t capacity = capacities_(recv_posted_);
    sink_.clear(recv_posted_, capacity);
    const PostAnswer answer = receiver->post(sink_.slot(recv_posted_), capacity, *sink_memory_);
    if (answer == PostAnswer::kFailed) trouble_ = receiver->failure().to_string();
    if (answer != PostAnswer::kPosted) break;
    ++recv_posted_;
    ++steps;
  }
  return steps;
}

std::unique_ptr<Listener> NetContract::listen() {
  auto listener = nets->receiving().listen(0, "127.0.0.1");
  EXPECT_TRUE(listener.ok()) << listener.status().to_string();
  return listener.take();
}

std::unique_ptr<Connector> NetContract::connect(const Listener& listener) {
  auto connector = nets->sending().connect(0, listener.handle());
  EXPECT_TRUE(connector.ok()) << connector.status().to_string();
  return connector.take();
}

void NetContract::finish(Listener& listener, Connector& connector,
                         std::unique_ptr<SendChannel>& sender,
                         std::unique_ptr<RecvChannel>& receiver) {
  Status failure;
  ASSERT_TRUE(soon([&] {
    if (sender == nullptr) {
      EXPECT_NE(connector.connect(sender, failure), MakeAnswer::kFailed) << failure.to_string();
    }
    if (receiver == nullptr) {
      EXPECT_NE(listener.accept(receiver, failure), MakeAnswer::kFailed) << failure.to_string();
    }
    return HasFailure() || (sender != nullptr && receiver != nullptr);
  }));
}

void NetContract::make_channel(std::unique_ptr<SendChannel>& sender,
                               std::unique_ptr<RecvChannel>& receiver) {
  auto listener = listen();
  auto connector = connect(*listener);
  finish(*listener, *connector, sender, receiver);
}

void NetContract::post(SendChannel& channel, const std::byte* from, std::size_t bytes,
                       NetMemory& memory) {
  PostAnswer answer = PostAnswer::kBusy;
  ASSERT_TRUE(soon([&] {
    return (answer = channel.post(from, bytes, memory)) != PostAnswer::kBusy;
  })) << "Busy for ever";
  ASSERT_EQ(answer, PostAnswer::kPosted) << channel.failure().to_string();
}

void NetContract::post(RecvChannel& channel, std::byte* into, std::size_t bytes,
                       NetMemory& memory) {
  PostAnswer answer = PostAnswer::kBusy;
  ASSERT_TRUE(soon([&] {
    return (answer = channel.post(into, bytes, memory)) != PostAnswer::kBusy;
  })) << "Busy for ever";
  ASSERT_EQ(answer, PostAnswer::kPosted) << channel.failure().to_string();
}

TestAnswer NetContract::wait(SendChannel& channel) {
  TestAnswer answer = TestAnswer::kPending;
  EXPECT_TRUE(soon([&] { return (answer = channel.test_oldest()) != TestAnswer::kPending; }));
  return answer;
}

Taken NetContract::wait(RecvChannel& channel, std::byte* destination, std::size_t capacity) {
  Taken taken{TestAnswer::kPending, 0, 0};
  EXPECT_TRUE(soon([&] {
    taken = test_and_unpack(channel, destination, capacity);
    return taken.answer != TestAnswer::kPending;
  }));
  return taken;
}

NetContract::Both NetContract::wait(SendChannel& sender, RecvChannel& receiver,
                                    std::byte* destination, std::size_t capacity) {
  Both both{TestAnswer::kPending, {TestAnswer::kPending, 0, 0}};
  EXPECT_TRUE(soon([&] {
    if (both.sent == TestAnswer::kPending) both.sent = sender.test_oldest();
    if (both.taken.answer == TestAnswer::kPending) {
      both.taken = test_and_unpack(receiver, destination, capacity);
    }
    return both.sent != TestAnswer::kPending && both.taken.answer != TestAnswer::kPending;
  }));
  return both;
}

void NetContract::run(Stream& stream) {
  ASSERT_TRUE(soon([&] {
    stream.step_receiver();
    stream.step_sender();
    return stream.finished() || !stream.trouble().empty();
  })) << "stuck";
  ASSERT_EQ(stream.trouble(), "");
}

void NetContract::run_sizes(std::uint64_t chunks, std::uint32_t window, std::size_t longest,
                            const Stream::SizeOf& sizes, const Stream::SizeOf& capacities) {
  Stream stream(*nets, noise, chunks, window, longest, sizes, capacities);
  make_channel(stream.sender, stream.receiver);
  ASSERT_FALSE(HasFatalFailure());
  run(stream);
}

}  // namespace sluice::contract
