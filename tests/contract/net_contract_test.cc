// What every Net does while nothing goes wrong.
#include "tests/contract/net_contract.h"

#include <dirent.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <random>

namespace sluice::contract {
namespace {

INSTANTIATE_TEST_SUITE_P(EveryNet, NetContract, testing::ValuesIn(every_net()), name_of);

std::size_t entries_of(const char* directory) {
  DIR* dir = ::opendir(directory);
  std::size_t count = 0;
  while (::readdir(dir) != nullptr) ++count;
  ::closedir(dir);
  return count;
}

bool readable(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, 0) == 1;
}

TEST_P(NetContract, DevicesSayWhatTheyCan) {
  for (Net* net : {&nets->sending(), &nets->receiving()}) {
    EXPECT_FALSE(net->name().empty());
    ASSERT_FALSE(net->devices().empty());
    const Device& device = net->devices().front();
    EXPECT_FALSE(device.name.empty());
    EXPECT_TRUE(device.host_memory || device.cuda_memory);
    EXPECT_GE(device.largest_chunk, 4096u);
    EXPECT_GE(device.most_in_flight, 1u);
  }
}

TEST_P(NetContract, HandlesAreShortAndNoTwoAreEqual) {
  auto one = listen();
  auto other = listen();
  for (const auto& listener : {one.get(), other.get()}) {
    EXPECT_GT(listener->handle().size(), 0u);
    EXPECT_LE(listener->handle().size(), Net::kHandleBytes);
  }
  EXPECT_FALSE(std::ranges::equal(one->handle(), other->handle()));
}

TEST_P(NetContract, GarbageIsNoHandle) {
  auto listener = listen();
  const std::vector<std::byte> good(listener->handle().begin(), listener->handle().end());
  std::vector<std::vector<std::byte>> garbage{{}};
  for (std::size_t length = 1; length < good.size(); ++length) {
    garbage.emplace_back(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
  }
  garbage.emplace_back(Net::kHandleBytes, std::byte{0xff});
  garbage.emplace_back(100'000, std::byte{0});
  for (std::size_t i = 0; i < 4; ++i) {  // Nothing further: a wrong address leads somewhere else.
    garbage.push_back(good);
    garbage.back()[i] ^= std::byte{0x40};
  }
  for (const auto& handle : garbage) {
    const auto connector = nets->sending().connect(0, handle);
    ASSERT_FALSE(connector.ok()) << handle.size() << " bytes";
    EXPECT_EQ(connector.status().code(), StatusCode::kProtocol);
  }
  auto connector = connect(*listener);
  std::unique_ptr<SendChannel> sender;
  std::unique_ptr<RecvChannel> receiver;
  finish(*listener, *connector, sender, receiver);
}

TEST_P(NetContract, AcceptWaitsForItsSender) {
  auto listener = listen();
  std::unique_ptr<RecvChannel> receiver;
  std::unique_ptr<SendChannel> sender;
  Status failure;
  for (int i = 0; i < 100; ++i) {
    nets->drive();
    ASSERT_EQ(listener->accept(receiver, failure), MakeAnswer::kNotYet);
  }
  auto connector = connect(*listener);
  finish(*listener, *connector, sender, receiver);
}

TEST_P(NetContract, ASenderMayPostBeforeItIsAccepted) {
  auto listener = listen();
  auto connector = connect(*listener);
  auto source = nets->sending().register_memory(noise.bytes(), Memory::kHost).take();
  std::vector<std::byte> into(1000);
  auto sink = nets->receiving().register_memory(into, Memory::kHost).take();
  std::unique_ptr<SendChannel> sender;
  std::unique_ptr<RecvChannel> receiver;
  Status failure;
  // Some Nets connect only while the other end accepts.
  ASSERT_TRUE(soon([&] {
    if (receiver == nullptr) (void)listener->accept(receiver, failure);
    return connector->connect(sender, failure) == MakeAnswer::kMade;
  })) << failure.to_string();
  post(*sender, noise.chunk(3), 1000, *source);
  if (receiver == nullptr) {
    ASSERT_TRUE(soon([&] { return listener->accept(receiver, failure) == MakeAnswer::kMade; }));
  }
  post(*receiver, into.data(), 1000, *sink);
  const Both both = wait(*sender, *receiver, into.data(), 1000);
  EXPECT_EQ(both.sent, TestAnswer::kDone);
  EXPECT_EQ(both.taken.bytes, 1000u);
  EXPECT_EQ(std::memcmp(into.data(), noise.chunk(3), 1000), 0);
}

TEST_P(NetContract, AStrangerTakesNoChannel) {
  auto listener = listen();
  for (int i = 0; i < 3; ++i) {
    if (!nets->send_stranger(listener->handle())) GTEST_SKIP() << "strangers cannot come";
  }
  std::unique_ptr<RecvChannel> receiver;
  std::unique_ptr<SendChannel> sender;
  Status failure;
  for (int i = 0; i < 100; ++i) {
    nets->drive();
    ASSERT_EQ(listener->accept(receiver, failure), MakeAnswer::kNotYet);
  }
  auto connector = connect(*listener);
  finish(*listener, *connector, sender, receiver);
}

TEST_P(NetContract, ThousandsOfChunksArriveInOrder) {
  const auto size = [](std::uint64_t k) { return static_cast<std::size_t>(k * 37 % 301); };
  run_sizes(10'000, most_in_flight(), 301, size, size);
}

TEST_P(NetContract, EverySizeFromAnyToAnyAlignment) {
  static constexpr std::array<std::size_t, 12> kSizes{
      0, 1, 15, 16, 17, 4095, 4096, 4097, 128 << 10, 512 << 10, 1 << 20, 4 << 20};
  const auto size = [&](std::uint64_t k) { return std::min(kSizes[k % kSizes.size()], longest()); };
  run_sizes(3 * kSizes.size(), std::min(most_in_flight(), 4u), longest(), size, size);
}

TEST_P(NetContract, AReceiveMayBeLongerThanItsSend) {
  const auto size = [](std::uint64_t k) { return static_cast<std::size_t>(k * 997 % 5000); };
  const auto capacity = [&](std::uint64_t k) { return size(k) + 1 + k * 13 % 5000; };
  run_sizes(500, most_in_flight(), 10'000, size, capacity);
}

TEST_P(NetContract, AFullWindowIsNeverStuck) {
  // Longer than what sockets hold, so that every place of the window is really waited for.
  const std::size_t most = std::min<std::size_t>(longest(), 1 << 20);
  const auto size = [=](std::uint64_t k) { return most - k % 3; };
  Stream stream(*nets, noise, 8 * most_in_flight(), most_in_flight(), most, size, size);
  make_channel(stream.sender, stream.receiver);
  ASSERT_FALSE(HasFatalFailure());
  // The receiver does not take part until the sender gets nowhere any more.
  for (int idle = 0; idle < 2000; ++idle) {
    if (stream.step_sender() > 0) idle = 0;
    nets->drive();
  }
  run(stream);
}

TEST_P(NetContract, ManyChannelsAtOnce) {
  const std::size_t kChannels = nets->makes_channels_quickly() ? 64 : 8;
  const auto size = [](std::uint64_t k) { return static_cast<std::size_t>(k * 4099 % 20'000); };
  std::vector<std::unique_ptr<Stream>> streams;
  for (std::size_t i = 0; i < kChannels; ++i) {
    streams.push_back(std::make_unique<Stream>(*nets, noise, 60, std::min(most_in_flight(), 8u),
                                               20'000, size, size));
    make_channel(streams.back()->sender, streams.back()->receiver);
    ASSERT_FALSE(HasFatalFailure());
  }
  std::mt19937 random(3);
  ASSERT_TRUE(soon([&] {
    for (std::size_t i = 0; i < kChannels; ++i) {
      Stream& stream = *streams[random() % kChannels];
      stream.step_receiver();
      stream.step_sender();
    }
    return std::ranges::all_of(
        streams, [](const auto& s) { return s->finished() || !s->trouble().empty(); });
  }));
  for (const auto& stream : streams) EXPECT_EQ(stream->trouble(), "");
}

TEST_P(NetContract, SleepersAreWoken) {
  const int fd = nets->receiving().wake_fd();
  if (fd < 0) GTEST_SKIP() << "this Net can only be polled";
  const auto size = [](std::uint64_t k) { return static_cast<std::size_t>(k * 37 % 301); };
  Stream stream(*nets, noise, 0, 1, 301, size, size);
  make_channel(stream.sender, stream.receiver);
  ASSERT_FALSE(HasFatalFailure());
  std::mt19937 random(5);
  for (int round = 0; round < 10'000; ++round) {
    stream.more(1);
    const bool send_first = random() % 2 == 0;
    // The sender is alone with its chunk: nothing but the arrival can wake the receiver.
    const auto send = [&] {
      while (stream.step_sender() == 0) nets->drive();
    };
    if (send_first) send();
    while (stream.step_receiver() == 0) nets->drive();  // Posted; nothing was there to test.
    nets->receiving().arm();
    if (!send_first) send();
    while (stream.step_receiver() == 0) {
      ASSERT_TRUE(nets->wait_readable(fd)) << "round " << round << ": a wake-up was lost";
      nets->receiving().disarm();
      nets->receiving().arm();
    }
    nets->receiving().disarm();
    ASSERT_TRUE(soon([&] {
      stream.step_sender();
      return stream.finished();
    }));
    ASSERT_EQ(stream.trouble(), "");
  }
}

TEST_P(NetContract, ASleepingSenderIsWokenToo) {
  const int fd = nets->sending().wake_fd();
  if (fd < 0) GTEST_SKIP() << "this Net can only be polled";
  const auto size = [&](std::uint64_t) { return longest(); };
  Stream stream(*nets, noise, 0, 1, longest(), size, size);
  make_channel(stream.sender, stream.receiver);
  ASSERT_FALSE(HasFatalFailure());
  for (int round = 0; round < 30; ++round) {
    stream.more(1);
    while (stream.step_sender() == 0) nets->drive();
    nets->sending().arm();
    while (!stream.sender_finished()) {
      // The receiver's part is no reason for the sender to wake: only its own chunk is.
      if (stream.step_sender() > 0) break;
      ASSERT_TRUE(soon([&] {
        stream.step_receiver();
        return stream.finished() || readable(fd);
      })) << "round "
          << round << ": a wake-up was lost";
    }
    nets->sending().disarm();
    run(stream);
    ASSERT_FALSE(HasFatalFailure());
  }
}

TEST_P(NetContract, ChannelsLeaveNothingBehind) {
  const auto make_and_use = [&] {
    Stream stream(
        *nets, noise, 1, 1, 100, [](std::uint64_t) { return std::size_t{100}; },
        [](std::uint64_t) { return std::size_t{100}; });
    make_channel(stream.sender, stream.receiver);
    if (!HasFatalFailure()) run(stream);
  };
  const int channels = nets->makes_channels_quickly() ? 1000 : 5;
  for (int i = 0; i < std::min(channels, 10); ++i) make_and_use();
  const std::size_t fds = entries_of("/proc/self/fd");
  const std::size_t threads = entries_of("/proc/self/task");
  for (int i = 0; i < channels && !HasFatalFailure(); ++i) make_and_use();
  EXPECT_TRUE(soon([&] { return entries_of("/proc/self/fd") <= fds; }));
  EXPECT_TRUE(soon([&] { return entries_of("/proc/self/task") <= threads; }));
}

TEST_P(NetContract, NetsLeaveNothingBehind) {
  nets.reset();
  const std::size_t fds = entries_of("/proc/self/fd");
  for (int i = 0; i < 50; ++i) {
    nets = GetParam().make();
    auto listener = listen();
    auto connector = connect(*listener);
    nets->drive();
  }
  nets.reset();
  EXPECT_LE(entries_of("/proc/self/fd"), fds);
}

}  // namespace
}  // namespace sluice::contract
