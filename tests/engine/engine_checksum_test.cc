// What is moved is checked end to end: one bit that is not what was sent is an error at both ends.
#include <gmock/gmock.h>

#include <optional>

#include "src/engine/engine_impl.h"
#include "src/gpu/host_gpu.h"
#include "src/net/tcp/tcp_control.h"
#include "src/net/tcp/tcp_net.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support/flipping.h"
#include "tests/support/sanitized.h"

namespace sluice {
namespace {

using testing::HasSubstr;

constexpr std::size_t kBytes = 5 << 20;

Options checked(std::uint32_t checksum = 1) {
  Options options = loopback_options();
  options.net = "tcp";
  options.allow_anyone = 1;
  options.checksum = checksum;
  return options;
}

std::unique_ptr<Engine> make_flipping_engine(const Options& options, Flip& chunks, Flip& frames) {
  EngineParts parts;
  parts.options = options;
  auto clock = std::make_shared<SystemClock>();
  parts.clock = clock;
  TcpNetOptions tcp;
  tcp.bind_host = options.listen_host;
  tcp.window = options.window;
  parts.net = std::make_unique<FlippingNet>(TcpNet::create(tcp, *clock).take(), chunks);
  parts.control = std::make_unique<FlippingControl>(TcpControlNet::create().take(), frames);
  parts.gpu = std::make_unique<HostGpu>(HostGpu::Pose::kPosing);
  parts.advertise_host = "127.0.0.1";
  parts.channels = options.channels;
  return make_engine(std::move(parts)).take();
}

// Nothing is turned over until a test says so.
struct Checked {
  explicit Checked(const Options& a, const Options& b, Memory kind = Memory::kHost)
      : at_a(random_bytes(kBytes, 1)),
        at_b(random_bytes(kBytes, 2)),
        pair(make_flipping_engine(a, a_chunks, a_frames),
             make_flipping_engine(b, b_chunks, b_frames)),
        a_region(pair.a.add(at_a, kind)),
        b_region(pair.b.add(at_b, kind)) {
    const auto exported = pair.b.engine->export_region(b_region, Access::kReadWrite);
    imported = pair.a.engine->import_region(pair.b_at_a, *exported).take();
  }
  explicit Checked(Memory kind = Memory::kHost) : Checked(checked(), checked(), kind) {}

  // Slices of every other KiB, `bytes` of them in all; none of them lies where the others do.
  static std::vector<std::uint64_t> scattered(std::size_t bytes) {
    std::vector<std::uint64_t> offsets;
    for (std::size_t i = 0; i < bytes / 1024; ++i) offsets.push_back((i * 7 % 2048) * 2048 + 3);
    return offsets;
  }
  TransferId one_sided(bool writes, std::size_t bytes, bool spread,
                       const TransferOptions& options = {}) {
    std::vector<Slice> local{{a_region, 1, bytes}};
    std::vector<RemoteSlice> remote{{imported, 7, bytes}};
    if (spread) {
      local.clear(), remote.clear();
      for (const std::uint64_t offset : scattered(bytes)) {
        local.push_back({a_region, offset, 1024});
        remote.push_back({imported, kBytes - 2048 - offset, 1024});
      }
    }
    const auto id = writes ? pair.a.engine->write(pair.b_at_a, local, remote, options)
                           : pair.a.engine->read(pair.b_at_a, local, remote, options);
    EXPECT_TRUE(id.ok()) << id.status().to_string();
    return *id;
  }
  Status finish(TransferId at_a_end) {
    EXPECT_TRUE(pair.drive([&] { return pair.a.finished(at_a_end); }));
    return pair.a.done.at(at_a_end).status;
  }
  // Both ends have lost each other, for this reason.
  void expect_corrupted() {
    ASSERT_TRUE(pair.drive([&] {
      return pair.a.event(PeerEventKind::kLost) != nullptr &&
             pair.b.event(PeerEventKind::kLost) != nullptr;
    }));
    for (const Host* host : {&pair.a, &pair.b}) {
      const Status& cause = host->event(PeerEventKind::kLost)->status;
      EXPECT_EQ(cause.code(), StatusCode::kCorrupted) << cause.to_string();
    }
  }

  Flip a_chunks, a_frames, b_chunks, b_frames;
  std::vector<std::byte> at_a, at_b;
  Pair pair;
  RegionId a_region, b_region;
  RemoteRegionId imported{};
};

struct Shape {
  bool writes;
  bool spread;
  Memory kind;
};

class EngineChecksum : public testing::TestWithParam<Shape> {};

TEST_P(EngineChecksum, WholeDataPasses) {
  Checked all(GetParam().kind);
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1024}, std::size_t{64 << 10},
                                  std::size_t{1 << 20}, std::size_t{2 << 20}}) {
    EXPECT_EQ(all.finish(all.one_sided(GetParam().writes, bytes, GetParam().spread)).code(),
              StatusCode::kOk);
    const std::vector<std::byte> b = all.at_b;
    const auto offsets = Checked::scattered(bytes);
    for (std::size_t i = 0; GetParam().spread && i < offsets.size(); ++i) {
      ASSERT_EQ(std::memcmp(&all.at_a[offsets[i]], &b[kBytes - 2048 - offsets[i]], 1024), 0) << i;
    }
    if (!GetParam().spread) {
      EXPECT_EQ(std::memcmp(&all.at_a[1], &b[7], bytes), 0);
    }
  }
}

// And no other suffers for it: the target is told nothing of this one, and of the next.
TEST_P(EngineChecksum, OneBitIsTheEndOfTheTransfer) {
  const std::string told = "told";
  const TransferOptions tell{.notification = std::as_bytes(std::span(told))};
  const auto [writes, spread, kind] = GetParam();
  for (const std::uint64_t chunk : {0u, 1u, 3u}) {
    Checked all(kind);
    ASSERT_TRUE(all.finish(all.one_sided(writes, 1 << 20, spread)).ok());
    Flip& flip = writes ? all.b_chunks : all.a_chunks;
    flip.after = flip.seen + chunk;
    const Status status = all.finish(all.one_sided(writes, 2 << 20, spread, tell));
    EXPECT_TRUE(flip.done);
    EXPECT_EQ(status.code(), StatusCode::kCorrupted) << status.to_string();
    EXPECT_THAT(status.message(), HasSubstr("2097152 bytes were sent with checksum"));
    EXPECT_TRUE(all.finish(all.one_sided(writes, 2 << 20, spread)).ok());
    Notification heard;
    EXPECT_EQ(all.pair.b.engine->poll_notifications({&heard, 1}), 0u);
    EXPECT_TRUE(all.finish(all.one_sided(writes, 2 << 20, spread, tell)).ok());
    EXPECT_TRUE(all.pair.drive([&] {
      return all.pair.b.engine->poll_notifications({&heard, 1}) == 1;
    }));
    EXPECT_EQ(all.pair.a.event(PeerEventKind::kLost), nullptr);
    EXPECT_EQ(all.pair.b.event(PeerEventKind::kLost), nullptr);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, EngineChecksum,
    testing::Values(Shape{true, false, Memory::kHost}, Shape{false, false, Memory::kHost},
                    Shape{true, true, Memory::kHost}, Shape{false, true, Memory::kHost},
                    Shape{true, false, Memory::kCuda}, Shape{false, false, Memory::kCuda},
                    Shape{true, true, Memory::kCuda}, Shape{false, true, Memory::kCuda}));

TEST(EngineChecksumMessage, OneBitIsAnErrorAtBothEnds) {
  for (const Memory kind : {Memory::kHost, Memory::kCuda}) {
    Checked all(kind);
    all.b_chunks.after = 2;
    const auto recv = all.pair.b.engine->recv(all.pair.a_at_b, {all.b_region, 0, kBytes});
    const auto send = all.pair.a.engine->send(all.pair.b_at_a, {all.a_region, 0, kBytes});
    ASSERT_TRUE(recv.ok() && send.ok());
    ASSERT_TRUE(all.pair.finish(*send, *recv));
    EXPECT_TRUE(all.b_chunks.done);
    EXPECT_EQ(all.pair.b.done.at(*recv).status.code(), StatusCode::kCorrupted);
    all.expect_corrupted();
  }
}

// What is wrong with the bytes is what both ends hear, also when a channel has just failed.
TEST(EngineChecksumMessage, OneBitBesideAChannelThatFails) {
  Options options = checked();
  options.channel_rebuilds = 0;
  Checked all(options, options);
  ASSERT_TRUE(all.finish(all.one_sided(true, 1 << 20, false)).ok());
  all.b_chunks.fail_at = all.b_chunks.seen;
  all.one_sided(true, 256 << 10, false);
  ASSERT_TRUE(all.pair.drive([&] { return all.b_chunks.failed; }));
  all.b_chunks.after = all.b_chunks.seen;
  ASSERT_TRUE(all.pair.b.engine->recv(all.pair.a_at_b, {all.b_region, 0, 256 << 10}).ok());
  ASSERT_TRUE(all.pair.a.engine->send(all.pair.b_at_a, {all.a_region, 0, 256 << 10}).ok());
  all.expect_corrupted();
  EXPECT_TRUE(all.b_chunks.done);
}

// Each place twice, and the target's memory changed by its user: not what was sent, but no reason
// to lose a peer.
TEST(EngineChecksumOneSided, WhatOthersChangeEndsTheTransferAlone) {
  Checked all;
  std::vector<Slice> from;
  std::vector<RemoteSlice> to;
  for (std::uint64_t i = 0; i < 64; ++i) {
    from.push_back({all.a_region, i * 4096, 4096});
    to.push_back({all.imported, i / 2 * 4096, 4096});
  }
  const auto write = all.pair.a.engine->write(all.pair.b_at_a, from, to);
  ASSERT_TRUE(write.ok());
  EXPECT_EQ(all.finish(*write).code(), StatusCode::kCorrupted);
  for (int i = 0; i < 5 && !kThreadSanitizer; ++i) {  // Which calls it what it is.
    const TransferId read = all.one_sided(false, 4 << 20, false);
    ASSERT_TRUE(all.pair.drive([&] {
      for (std::size_t at = 0; at < kBytes; at += 4096) all.at_b[at] ^= std::byte{1};
      return all.pair.a.finished(read);
    }));
  }
  EXPECT_TRUE(all.finish(all.one_sided(true, 4 << 20, true)).ok());
  EXPECT_TRUE(all.finish(all.one_sided(false, 4 << 20, false)).ok());
}

// Shows that the others see what they mean to see.
TEST(EngineChecksumMessage, WithoutItNobodyNotices) {
  Checked all(checked(0), checked(0));
  all.b_chunks.after = 2;
  EXPECT_TRUE(all.finish(all.one_sided(true, 2 << 20, false)).ok());
  EXPECT_TRUE(all.b_chunks.done);
  EXPECT_NE(std::memcmp(&all.at_a[1], &all.at_b[7], 2 << 20), 0);
}

TEST(EngineChecksumMessage, EitherEndMayAskForIt) {
  for (const std::uint32_t first : {0u, 1u}) {
    Checked all(checked(first), checked(1 - first));
    EXPECT_TRUE(all.finish(all.one_sided(true, 2 << 20, false)).ok());
    all.b_chunks.after = all.b_chunks.seen;
    EXPECT_EQ(all.finish(all.one_sided(true, 2 << 20, false)).code(), StatusCode::kCorrupted);
  }
}

// Small messages, requests with data, answers and all that is said of the others.
TEST(EngineChecksumFrames, OneBitIsAnErrorAtBothEnds) {
  for (std::uint64_t byte = 0; byte < 660; byte += byte < 12 ? 1 : 17) {
    Checked all;
    ASSERT_TRUE(all.finish(all.one_sided(true, 500, false)).ok());
    all.b_frames.after = all.b_frames.seen + byte;
    const TransferId write = all.one_sided(true, 500, false);
    const TransferId read = all.one_sided(false, 500, false);  // Of what was written.
    ASSERT_TRUE(all.pair.drive([&] { return all.b_frames.done; }));
    all.expect_corrupted();
    const Status& written = all.pair.a.done.at(write).status;
    const Status& got = all.pair.a.done.at(read).status;
    if (written.ok() || got.ok()) {
      EXPECT_EQ(std::memcmp(&all.at_a[1], &all.at_b[7], 500), 0);
    }
  }
}

}  // namespace
}  // namespace sluice
