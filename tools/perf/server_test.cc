// A server of sluice perf against clients of every kind: honest, dead, hostile. All in one process,
// the server on a thread of its own.
#include "tools/perf/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tools/perf/client.h"
#include "tools/perf/pattern.h"

namespace sluice::perf {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::chrono::milliseconds kSoon{20'000};  // Never reached unless something is wrong.

constexpr std::uint64_t kMostMemory = 200u << 20;

Options loopback() {
  Options options;
  options.listen_host = "127.0.0.1";
  options.channels = 2;
  options.log_level = "error";
  return options;
}

// A server that serves for the length of a test.
class RunningServer {
 public:
  explicit RunningServer(std::uint64_t most_memory = UINT64_MAX) {
    Options options = loopback();
    options.allow_anyone = 1;
    ServerOptions server{.engine = options};
    server.most_memory = most_memory;
    server.patience = std::chrono::milliseconds(500);
    server.interrupted = [this] { return stop_.load(); };
    server.say = [this](const std::string& line) {
      const std::lock_guard lock(mutex_);
      lines_.push_back(line);
    };
    Result<std::unique_ptr<Server>> made = Server::create(std::move(server));
    EXPECT_TRUE(made.ok()) << made.status().message();
    address_ = (*made)->address();
    thread_ = std::thread([server = made.take()] { EXPECT_TRUE(server->serve().ok()); });
  }
  ~RunningServer() {
    stop_.store(true);
    thread_.join();
  }

  [[nodiscard]] const std::string& address() const { return address_; }
  // Waits for the next line that the server says.
  std::string line() {
    for (int i = 0; i < 2000; ++i) {
      {
        const std::lock_guard lock(mutex_);
        if (read_ < lines_.size()) return lines_[read_++];
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return "the server said nothing";
  }

 private:
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<std::string> lines_;
  std::size_t read_ = 0;
  std::string address_;
  std::thread thread_;
};

Plan quick_plan() {
  Plan plan;
  plan.sizes = {0};
  plan.iterations = 20;
  plan.depth = 8;
  plan.phase_seconds = 0.005;
  plan.verify = Verify::kAll;
  return plan;
}

Result<std::unique_ptr<Client>> connect_client(const RunningServer& server) {
  return Client::connect({.engine = loopback(),
                          .address = server.address(),
                          .server = "the server",
                          .interrupted = [] { return false; },
                          .on_busy_server = [] {}});
}

// Measures as the command does; the honest client that must work whatever came before.
void expect_measures(const RunningServer& server, const Plan& plan, std::uint64_t size) {
  auto client = connect_client(server);
  ASSERT_TRUE(client.ok()) << client.status().message();
  const auto row = (*client)->measure(size, plan, [](Phase) {});
  ASSERT_TRUE(row.ok()) << row.status().message();
  EXPECT_TRUE(row->verified);
  EXPECT_EQ(row->iterations, plan.iterations);
  EXPECT_EQ(row->channels, 2u);
}

// Says whatever a test wants it to.
class Stranger {
 public:
  explicit Stranger(const RunningServer& server)
      : hub_(Hub::create(loopback(), Threading::kCaller, [] { return false; }).take()) {
    PeerId peer{};
    hub_->driver().run([&](Engine& engine) { peer = *engine.connect(server.address()); });
    link_ = std::make_unique<Link>(*hub_, peer, "the server");
    while (!link_->connected() && link_->failure().ok()) pass();
    bytes_ = hub_->allocate(1 << 20, Memory::kHost).take();
  }
  ~Stranger() {
    link_.reset();
    hub_->retire(std::move(bytes_));
  }

  void pass() { EXPECT_TRUE(hub_->pass(std::chrono::milliseconds(10)).ok()); }
  Hub& hub() { return *hub_; }
  Link& link() { return *link_; }
  Region& region() { return bytes_; }

  void send(std::size_t bytes) {
    hub_->driver().run([&](Engine& engine) {
      static_cast<void>(engine.send(link_->peer(), {bytes_.id, 0, bytes}));
    });
  }
  void send(const std::string& text) {
    EXPECT_TRUE(link_->say_text(text).ok());
    pass();
  }
  // What the server answers.
  Message hear() {
    Result<Message> answer = link_->hear(kSoon);
    EXPECT_TRUE(answer.ok()) << answer.status().message();
    return answer.ok() ? answer.take() : Message(Refusal{});
  }
  void become_the_client() {
    EXPECT_TRUE(link_->say(Start{}).ok());
    EXPECT_TRUE(std::holds_alternative<Welcome>(hear()));
  }
  // True once the server has ended the connection.
  bool is_thrown_out() {
    for (int i = 0; i < 2000 && link_->failure().ok(); ++i) pass();
    return !link_->failure().ok();
  }

 private:
  std::unique_ptr<Hub> hub_;
  std::unique_ptr<Link> link_;
  Region bytes_;
};

// Of two runs of the same bytes, that with blocks finds them where they belong too.
TEST(PerfServer, WritesAndReadsAreMeasured) {
  RunningServer server;
  for (const Op op : {Op::kWrite, Op::kRead}) {
    for (const Blocks& blocks :
         {Blocks{}, Blocks{100, 4096, BlockOrder::kContiguous}, Blocks{99, 3, BlockOrder::kStrided},
          Blocks{1000, 1031, BlockOrder::kRandom}}) {
      Plan plan = quick_plan();
      plan.op = op;
      plan.blocks = blocks;
      auto client = connect_client(server);
      ASSERT_TRUE(client.ok()) << client.status().message();
      const std::uint64_t size = blocks.bytes == 0 ? 70'001 : blocks.count * blocks.bytes;
      const auto row = (*client)->measure(size, plan, [](Phase) {});
      ASSERT_TRUE(row.ok()) << row.status().message();
      EXPECT_EQ(row->op, to_string(op));
      EXPECT_TRUE(row->verified);
      EXPECT_EQ(row->iterations, plan.iterations);
      EXPECT_EQ(row->blocks, blocks.count);
      EXPECT_EQ(row->block_bytes * row->blocks, size);
      EXPECT_EQ(row->layout, to_string(blocks.order));
      // All of them, of both phases and of the runs before.
      EXPECT_GE(row->verified_messages, 2 * plan.iterations + 2);
      EXPECT_GT(row->p50_us, 0);
      EXPECT_GT(row->post_us, 0);
      client->reset();
      EXPECT_THAT(server.line(), HasSubstr("done"));
    }
  }
}

TEST(PerfServer, WhatAPeerThatIsGoneMakesFailFailsForItsReason) {
  RunningServer server;
  Stranger stranger(server);
  const Status fine(StatusCode::kTooLong, "a reason of its own");
  EXPECT_EQ(stranger.link().cause_of(fine).code(), StatusCode::kTooLong);
  stranger.send("nonsense");
  ASSERT_TRUE(stranger.is_thrown_out());
  Status status;
  stranger.hub().driver().run([&](Engine& engine) {
    status = engine.recv(stranger.link().peer(), {stranger.region().id, 0, 1}).status();
  });
  EXPECT_EQ(status.code(), StatusCode::kNotFound);  // Nothing is known of such a peer.
  EXPECT_EQ(stranger.link().cause_of(status).message(), stranger.link().failure().message());
  EXPECT_TRUE(stranger.link().cause_of({}).ok());
}

TEST(PerfServer, WritesAndReadsFitTheEndWithLessMemory) {
  RunningServer server(kMostMemory);  // One slot, where the client has two.
  for (const Op op : {Op::kWrite, Op::kRead}) {
    Plan plan = quick_plan();
    plan.op = op;
    plan.iterations = 3;
    expect_measures(server, plan, 60u << 20);
  }
  Plan plan = quick_plan();
  plan.op = Op::kWrite;
  plan.beside = 170u << 20;
  auto client = connect_client(server);
  ASSERT_TRUE(client.ok()) << client.status().message();
  const auto row = (*client)->measure(8, plan, [](Phase) {});
  ASSERT_FALSE(row.ok());
  EXPECT_THAT(std::string(row.status().message()), HasSubstr("178257920 bytes beside them"));
}

TEST(PerfServer, MeasuresEverySizeBothWays) {
  RunningServer server;
  for (const bool both : {false, true}) {
    Plan plan = quick_plan();
    plan.both_directions = both;
    for (const std::uint64_t size : {0u, 1u, 63u, 16384u, 16385u, 1000003u}) {
      SCOPED_TRACE(size);
      expect_measures(server, plan, size);
      EXPECT_THAT(server.line(), HasSubstr("done"));
    }
  }
}

TEST(PerfServer, OneClientMeasuresManySizes) {
  RunningServer server;
  auto client = connect_client(server);
  ASSERT_TRUE(client.ok());
  Plan plan = quick_plan();
  plan.verify = Verify::kFirst;
  plan.iterations = 3;
  for (const std::uint64_t size : {8u, 40u << 20, 100u, 3u << 20}) {
    const auto row = (*client)->measure(size, plan, [](Phase) {});
    ASSERT_TRUE(row.ok()) << row.status().message();
    EXPECT_GT(row->gbytes_per_s, 0);
    EXPECT_GT(row->p50_us, 0);
  }
}

TEST(PerfServer, WrongFirstMessagesAreRefused) {
  RunningServer server;
  for (const std::string& text :
       {std::string("garbage"), std::string(4096, '['), std::string("{\"message\":\"start\"}"),
        encode(perf::Run{}), std::string("\xff\xff\xff\xff")}) {
    Stranger stranger(server);
    stranger.send(text);
    EXPECT_TRUE(std::holds_alternative<Refusal>(stranger.hear()));
    EXPECT_TRUE(stranger.is_thrown_out());
    EXPECT_THAT(server.line(), HasSubstr("client "));
  }
  expect_measures(server, quick_plan(), 64);
}

TEST(PerfServer, TooLongAndSilentStrangersAreThrownOut) {
  RunningServer server;
  Stranger long_winded(server);
  long_winded.send(std::string(kMessageBytes + 1, ' '));
  EXPECT_TRUE(long_winded.is_thrown_out());
  EXPECT_THAT(server.line(), HasSubstr("too long"));
  Stranger silent(server);
  EXPECT_THAT(server.line(), HasSubstr("asked for nothing within 500 ms"));
  EXPECT_TRUE(silent.is_thrown_out());
  expect_measures(server, quick_plan(), 64);
}

TEST(PerfServer, WrongRunsEndTheSession) {
  RunningServer server;
  const std::string run = encode(perf::Run{.size = 64, .count = 4});
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = run;
    return changed.replace(changed.find(from), from.size(), to);
  };
  for (const std::string& text :
       {std::string("{}"), encode(Start{}), with("\"size\":64", "\"size\":99999999999"),
        with("\"count\":4", "\"count\":0"), with("\"op\":\"send\"", "\"op\":\"format\"")}) {
    Stranger stranger(server);
    stranger.become_the_client();
    stranger.send(text);
    EXPECT_TRUE(stranger.is_thrown_out()) << text;
    EXPECT_THAT(server.line(), Not(HasSubstr("done")));
  }
  expect_measures(server, quick_plan(), 64);
}

TEST(PerfServer, MessagesThatAreNotOfTheRunAreNoticed) {
  RunningServer server;
  Stranger stranger(server);
  stranger.become_the_client();
  const perf::Run run{.size = 64, .count = 2, .checked = 2, .depth = 2, .seed = 7};
  ASSERT_TRUE(stranger.link().say(run).ok());
  ASSERT_TRUE(std::holds_alternative<Ready>(stranger.hear()));
  const std::span<std::byte> message = stranger.region().buffer.bytes().first(64);
  fill_pattern(message, message_seed(7, 0, 0), 0);
  stranger.send(64);
  stranger.pass();
  fill_pattern(message, message_seed(7, 0, 1), 0);
  message[17] ^= std::byte{1};
  stranger.send(64);
  Message answer = stranger.hear();
  ASSERT_TRUE(std::holds_alternative<Done>(answer));
  EXPECT_EQ(std::get<Done>(answer).checked, 2u);
  EXPECT_EQ(std::get<Done>(answer).difference, "message 1 of 64 bytes differs from byte 17 on");

  // A message that is shorter than the run says.
  ASSERT_TRUE(stranger.link().say(perf::Run{.size = 64, .count = 1}).ok());
  ASSERT_TRUE(std::holds_alternative<Ready>(stranger.hear()));
  stranger.send(63);
  answer = stranger.hear();
  ASSERT_TRUE(std::holds_alternative<Done>(answer));
  EXPECT_EQ(std::get<Done>(answer).difference, "message 0 has 63 bytes, not the 64 of this run");

  // One that is longer.
  ASSERT_TRUE(stranger.link().say(perf::Run{.size = 64, .count = 1}).ok());
  ASSERT_TRUE(std::holds_alternative<Ready>(stranger.hear()));
  stranger.send(65);
  EXPECT_TRUE(stranger.is_thrown_out());
  expect_measures(server, quick_plan(), 64);
}

TEST(PerfServer, ClientsThatLeaveInTheMiddleMakeRoomForTheNext) {
  RunningServer server;
  for (const Phase phase : {Phase::kBandwidth, Phase::kLatency}) {
    {
      Stranger stranger(server);
      stranger.become_the_client();
      const perf::Run run{.phase = phase, .size = 1 << 20, .count = 1000, .depth = 16};
      ASSERT_TRUE(stranger.link().say(run).ok());
      ASSERT_TRUE(std::holds_alternative<Ready>(stranger.hear()));
      stranger.send(1 << 20);
      stranger.pass();
    }
    EXPECT_THAT(server.line(), Not(HasSubstr("done")));
    expect_measures(server, quick_plan(), 64);
    EXPECT_THAT(server.line(), HasSubstr("done"));
  }
}

TEST(PerfServer, ClientsTakeTurns) {
  RunningServer server;
  auto first = connect_client(server);
  ASSERT_TRUE(first.ok());
  Stranger second(server);
  ASSERT_TRUE(second.link().say(Start{}).ok());
  const auto row = (*first)->measure(8, quick_plan(), [](Phase) {});
  ASSERT_TRUE(row.ok()) << row.status().message();
  EXPECT_FALSE(second.link().heard());
  first->reset();
  EXPECT_TRUE(std::holds_alternative<Welcome>(second.hear()));
}

TEST(PerfServer, MoreMemoryThanThereIsIsRefused) {
  RunningServer server(kMostMemory);
  Stranger stranger(server);
  stranger.become_the_client();
  ASSERT_TRUE(stranger.link().say(perf::Run{.size = kMostMemory}).ok());
  const Message answer = stranger.hear();
  ASSERT_TRUE(std::holds_alternative<Refusal>(answer));
  EXPECT_THAT(std::get<Refusal>(answer).why, HasSubstr("bytes of memory"));
  EXPECT_TRUE(stranger.is_thrown_out());
  expect_measures(server, quick_plan(), 64);
}

TEST(PerfClient, InterruptedIsNotTheServersFault) {
  RunningServer server;
  std::atomic<bool> stop{false};
  auto client = Client::connect({.engine = loopback(),
                                 .address = server.address(),
                                 .server = "the server",
                                 .interrupted = [&] { return stop.load(); },
                                 .on_busy_server = [] {}});
  ASSERT_TRUE(client.ok());
  const auto row = (*client)->measure(8, quick_plan(), [&](Phase) { stop.store(true); });
  ASSERT_FALSE(row.ok());
  EXPECT_EQ(row.status().message(), "interrupted");
}

}  // namespace
}  // namespace sluice::perf
