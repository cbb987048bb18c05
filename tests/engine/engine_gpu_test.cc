// GPU memory over a Net that does not take it: engines over loopback TCP whose Gpu has host memory
// posing as its own and takes its time, so that whoever does not wait for it moves wrong bytes.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <deque>

#include "src/engine/engine_impl.h"
#include "src/gpu/host_gpu.h"
#include "src/net/tcp/tcp_control.h"
#include "src/net/tcp/tcp_net.h"
#include "tests/engine/gpu_blocks.h"
#include "tests/support/late_work.h"

namespace sluice {
namespace {

using testing::HasSubstr;

// What a LaggingGpu was told and seen to do; outlives it.
struct GpuLog {
  std::size_t unpacks = 0;
  std::size_t packs = 0;
  std::size_t pieces = 0;
  std::vector<const std::byte*> packed;  // Where pieces were.
  std::size_t sums = 0;
  bool fails = false;  // From now on.
};

// Copies only when it is asked about for the third time.
class LaggingGpu final : public Gpu {
 public:
  explicit LaggingGpu(GpuLog& log) : log_(log) {}

  [[nodiscard]] const std::string& description() const override { return host_.description(); }
  std::uint64_t unpack(std::span<const Unpack> batch) override {
    ++log_.unpacks;
    std::vector<Piece> pieces;
    for (const Unpack& chunk : batch) {
      for (const Fragment& f : chunk.fragments) {
        pieces.push_back({chunk.pool.data() + f.pool_offset,
                          chunk.destination.data() + f.destination_offset, f.length});
      }
    }
    log_.pieces += pieces.size();
    return start(late_copy(std::move(pieces)));
  }
  std::uint64_t pack(std::span<const Piece> pieces) override {
    ++log_.packs;
    log_.pieces += pieces.size();
    for (const Piece& piece : pieces) log_.packed.push_back(piece.from);
    return start(late_copy({pieces.begin(), pieces.end()}));
  }
  std::uint64_t checksum(std::span<const Checksum> batch) override {
    log_.sums += batch.size();
    return start(late_checksum(batch));
  }
  GpuAnswer test(std::uint64_t ticket) override {
    if (ticket <= done_) return GpuAnswer::kDone;
    if (log_.fails) return GpuAnswer::kFailed;
    if (++tests_ % 3 != 0) return GpuAnswer::kPending;
    work_.front()();
    work_.pop_front();
    return ticket <= ++done_ ? GpuAnswer::kDone : GpuAnswer::kPending;
  }
  [[nodiscard]] Status failure() const override {
    return log_.fails ? Status(StatusCode::kSystem, "the GPU has fallen off the bus") : Status();
  }
  Result<GpuMemory> allocate_pinned(std::size_t bytes) override {
    return host_.allocate_pinned(bytes);
  }
  Result<GpuMemory> allocate_device(std::size_t bytes) override {
    return host_.allocate_device(bytes);
  }
  [[nodiscard]] Status check_device(std::span<const std::byte> range) const override {
    return host_.check_device(range);
  }
  Status read_device(std::span<std::byte> into, const void* from) override {
    return host_.read_device(into, from);
  }

 private:
  std::uint64_t start(std::function<void()> work) {
    work_.push_back(std::move(work));
    return ++tickets_;
  }

  GpuLog& log_;
  HostGpu host_{HostGpu::Pose::kPosing};
  std::deque<std::function<void()>> work_;
  std::uint64_t tickets_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t tests_ = 0;
};

Options gpu_options() {
  Options options = loopback_options();
  options.allow_anyone = 1;
  options.name = "gpu";
  return options;
}

std::unique_ptr<Engine> make_gpu_engine(const Options& options, GpuLog& log) {
  EngineParts parts;
  parts.options = options;
  auto clock = std::make_shared<SystemClock>();
  parts.clock = clock;
  TcpNetOptions tcp;
  tcp.bind_host = options.listen_host;
  tcp.window = options.window;
  parts.net = TcpNet::create(tcp, *clock).take();
  parts.control = TcpControlNet::create().take();
  parts.gpu = std::make_unique<LaggingGpu>(log);
  parts.advertise_host = "127.0.0.1";
  parts.channels = options.channels;
  return make_engine(std::move(parts)).take();
}

class EngineGpu : public testing::Test {
 protected:
  explicit EngineGpu(const Options& options = gpu_options())
      : pair_(make_gpu_engine(options, a_log_), make_gpu_engine(options, b_log_)) {}

  // One message of `bytes` from a to b, and whether it arrived as it was.
  void move(std::size_t bytes, Memory from_kind, Memory into_kind) {
    std::vector<std::byte> from = random_bytes(bytes + 3, 11);
    std::vector<std::byte> into(bytes + 64, std::byte{0x5a});
    const RegionId from_region = pair_.a.add(from, from_kind);
    const RegionId into_region = pair_.b.add(into, into_kind);
    const auto recv = pair_.b.engine->recv(pair_.a_at_b, {into_region, 32, bytes});
    const auto send = pair_.a.engine->send(pair_.b_at_a, {from_region, 3, bytes});
    ASSERT_TRUE(recv.ok() && send.ok());
    ASSERT_TRUE(pair_.drive([&] { return pair_.a.finished(*send); }));
    std::vector<std::byte> sent(from.begin() + 3, from.end());
    std::fill(from.begin(), from.end(), std::byte{0});  // It may be reused now.
    ASSERT_TRUE(pair_.drive([&] { return pair_.b.finished(*recv); }));
    EXPECT_TRUE(pair_.a.done.at(*send).status.ok()) << pair_.a.done.at(*send).status.to_string();
    EXPECT_TRUE(pair_.b.done.at(*recv).status.ok()) << pair_.b.done.at(*recv).status.to_string();
    EXPECT_EQ(pair_.b.done.at(*recv).bytes, bytes);
    EXPECT_TRUE(same_bytes(sent, std::span(into).subspan(32, bytes))) << bytes << " bytes";
    const auto untouched = [](std::byte b) { return b == std::byte{0x5a}; };
    EXPECT_TRUE(std::all_of(into.begin(), into.begin() + 32, untouched));
    EXPECT_TRUE(std::all_of(into.end() - 32, into.end(), untouched));
    EXPECT_TRUE(pair_.a.engine->deregister(from_region).ok());
    EXPECT_TRUE(pair_.b.engine->deregister(into_region).ok());
  }

  GpuLog a_log_;
  GpuLog b_log_;
  Pair pair_;
};

TEST_F(EngineGpu, EveryKindToEveryKindAtEverySize) {
  for (const std::size_t bytes :
       {0u, 1u, 100u, 16u << 10, (16u << 10) + 1, 300'000u, (9u << 20) + 5}) {
    for (const Memory from : {Memory::kHost, Memory::kCuda}) {
      for (const Memory into : {Memory::kHost, Memory::kCuda}) move(bytes, from, into);
    }
  }
  EXPECT_GT(a_log_.packs, 0u);
  EXPECT_GT(b_log_.unpacks, 0u);
  EXPECT_EQ(a_log_.unpacks + b_log_.packs, 0u);
}

TEST_F(EngineGpu, HostMemoryNeverMeetsTheGpu) {
  move(100, Memory::kHost, Memory::kHost);
  move(5 << 20, Memory::kHost, Memory::kHost);
  EXPECT_EQ(a_log_.packs + b_log_.unpacks, 0u);
}

// Many at once, of both kinds and both ways, small and large: more than staging and batches hold.
TEST_F(EngineGpu, ManyMessagesOfBothKindsAtOnce) {
  constexpr std::size_t kMessages = 150;
  const std::size_t sizes[] = {40, 3 << 20, 5000, 700'000, 16 << 10, 64 << 10};
  std::vector<std::vector<std::byte>> froms;
  std::vector<std::vector<std::byte>> intos;
  std::vector<TransferId> sends;
  std::vector<TransferId> recvs;
  for (std::size_t i = 0; i < kMessages; ++i) {
    froms.push_back(random_bytes(sizes[i % 6], static_cast<std::uint32_t>(i)));
    intos.emplace_back(froms[i].size());
  }
  for (std::size_t i = 0; i < kMessages; ++i) {
    const Memory kind = i % 5 == 0 ? Memory::kHost : Memory::kCuda;
    Host& sender = i % 2 == 0 ? pair_.a : pair_.b;
    Host& receiver = i % 2 == 0 ? pair_.b : pair_.a;
    const PeerId to = i % 2 == 0 ? pair_.b_at_a : pair_.a_at_b;
    const PeerId from = i % 2 == 0 ? pair_.a_at_b : pair_.b_at_a;
    recvs.push_back(
        *receiver.engine->recv(from, {receiver.add(intos[i], kind), 0, intos[i].size()}));
    sends.push_back(*sender.engine->send(to, {sender.add(froms[i], kind), 0, froms[i].size()}));
  }
  ASSERT_TRUE(pair_.drive(
      [&] { return pair_.a.done.size() == kMessages && pair_.b.done.size() == kMessages; }));
  for (std::size_t i = 0; i < kMessages; ++i) EXPECT_EQ(froms[i], intos[i]) << i;
}

TEST_F(EngineGpu, ScatteredBlocksOfEveryKindToEveryKind) {
  for (const std::uint64_t bytes : {130u, 5'000u, 3'000'001u}) {
    for (const Memory at_a : {Memory::kHost, Memory::kCuda}) {
      for (const Memory at_b : {Memory::kHost, Memory::kCuda}) {
        SCOPED_TRACE(bytes);
        move_gpu_blocks(pair_, bytes, at_a, at_b);
      }
    }
  }
  EXPECT_GT(a_log_.packs, 0u);
  EXPECT_GT(a_log_.unpacks, 0u);
}

TEST_F(EngineGpu, OneListOfBothKindsIsRefusedAtEitherEnd) {
  std::vector<std::byte> memory[4];
  for (auto& one : memory) one.resize(1000);
  const RegionId host = pair_.a.add(memory[0]);
  const RegionId gpu = pair_.a.add(memory[1], Memory::kCuda);
  const auto import = [&](std::vector<std::byte>& bytes, Memory kind) {
    const auto region = pair_.b.engine->export_region(pair_.b.add(bytes, kind), Access::kWrite);
    return *pair_.a.engine->import_region(pair_.b_at_a, *region);
  };
  const RemoteRegionId far_host = import(memory[2], Memory::kHost);
  const RemoteRegionId far_gpu = import(memory[3], Memory::kCuda);
  const std::vector<Slice> mixed{{host, 0, 500}, {gpu, 0, 500}};
  const std::vector<RemoteSlice> far_mixed{{far_host, 0, 500}, {far_gpu, 0, 500}};
  const auto refused =
      pair_.a.engine->write(pair_.b_at_a, mixed, std::vector<RemoteSlice>{{far_gpu, 0, 1000}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kUnavailable);
  const auto denied =
      pair_.a.engine->write(pair_.b_at_a, std::vector<Slice>{{gpu, 0, 1000}}, far_mixed);
  ASSERT_TRUE(denied.ok());
  ASSERT_TRUE(pair_.drive([&] { return pair_.a.finished(*denied); }));
  EXPECT_EQ(pair_.a.done.at(*denied).status.code(), StatusCode::kUnavailable);
}

TEST_F(EngineGpu, BlocksOfAFewBytesAreRefused) {
  std::vector<std::byte> memory(10'000);
  const RegionId gpu = pair_.a.add(memory, Memory::kCuda);
  const auto far = pair_.b.engine->export_region(pair_.b.add(memory), Access::kWrite);
  const RemoteRegionId remote = *pair_.a.engine->import_region(pair_.b_at_a, *far);
  std::vector<Slice> slices;
  for (std::uint64_t i = 0; i < 100; ++i) slices.push_back({gpu, 100 * i, kLeastGpuBlock - 1});
  const std::uint64_t bytes = 100 * (kLeastGpuBlock - 1);
  const auto refused =
      pair_.a.engine->write(pair_.b_at_a, slices, std::vector<RemoteSlice>{{remote, 0, bytes}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kUnavailable);
}

class EngineGpuNarrow : public EngineGpu {
 protected:
  static Options narrow() {
    Options options = gpu_options();
    options.chunk_bytes = 32 << 10;
    options.gpu_staging_bytes = 64 << 10;  // Two slots.
    options.channels = 1;
    return options;
  }
  EngineGpuNarrow() : EngineGpu(narrow()) {}
};

TEST_F(EngineGpuNarrow, StagingShorterThanTheWindow) {
  move(3 << 20, Memory::kCuda, Memory::kCuda);
  EXPECT_EQ(a_log_.pieces, 96u);
  EXPECT_EQ(b_log_.pieces, 96u);
  move_gpu_blocks(pair_, 2'000'003, Memory::kCuda, Memory::kCuda);
}

// Putting them in order costs more than it brings: a GPU reads its memory as fast in any.
TEST_F(EngineGpuNarrow, BlocksOfGpuMemoryGoInTheOrderAskedFor) {
  constexpr std::uint64_t kBlocks = 40;
  constexpr std::uint64_t kBlock = 2048;
  std::vector<std::byte> from = random_bytes(kBlocks * kBlock, 3);
  std::vector<std::byte> to(from.size());
  const RegionId gpu = pair_.a.add(from, Memory::kCuda);
  const auto far = pair_.b.engine->export_region(pair_.b.add(to), Access::kWrite);
  const RemoteRegionId remote = *pair_.a.engine->import_region(pair_.b_at_a, *far);
  std::vector<Slice> slices;
  std::vector<RemoteSlice> remote_slices;
  std::vector<const std::byte*> expected;
  for (std::uint64_t i = kBlocks; i-- > 0;) {
    slices.push_back({gpu, i * kBlock, kBlock});
    remote_slices.push_back({remote, i * kBlock, kBlock});
    expected.push_back(from.data() + i * kBlock);
  }
  const auto write = pair_.a.engine->write(pair_.b_at_a, slices, remote_slices);
  ASSERT_TRUE(write.ok());
  ASSERT_TRUE(pair_.drive([&] { return pair_.a.finished(*write); }));
  EXPECT_EQ(to, from);
  EXPECT_EQ(a_log_.packed, expected);
}

TEST_F(EngineGpu, AFailedGpuFailsThePeerWithItsReasonAndLetsGo) {
  move(100, Memory::kHost, Memory::kHost);
  b_log_.fails = true;
  std::vector<std::byte> from = random_bytes(4 << 20, 1);
  std::vector<std::byte> into(from.size());
  const auto recv =
      pair_.b.engine->recv(pair_.a_at_b, {pair_.b.add(into, Memory::kCuda), 0, into.size()});
  const auto send =
      pair_.a.engine->send(pair_.b_at_a, {pair_.a.add(from, Memory::kCuda), 0, from.size()});
  ASSERT_TRUE(pair_.finish(*send, *recv));
  EXPECT_THAT(std::string(pair_.b.done.at(*recv).status.message()), HasSubstr("fallen off"));
}

TEST(EngineWithoutGpu, RefusesItsMemoryAndSaysWhatToSet) {
  Host host;
  std::vector<std::byte> memory(100);
  const auto region = host.engine->register_memory(memory.data(), memory.size(), Memory::kCuda);
  ASSERT_FALSE(region.ok());
  EXPECT_EQ(region.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(region.status().message()), HasSubstr("setting gpu"));
}

TEST(EngineWithoutGpu, AGpuThatIsNoneIsAnError) {
  Options options = loopback_options();
  options.gpu = "the first";
  const auto wrong = Engine::create(options);
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(wrong.status().message()), HasSubstr("legal are none and the number"));
  options.gpu = "999";
  EXPECT_FALSE(Engine::create(options).ok());
}

}  // namespace
}  // namespace sluice
