// Reads and writes between two engines whose channels break: no more often than they are rebuilt,
// so every transfer that nobody cancels succeeds, whichever chunks were lost, and no peer is.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <string>

#include "src/engine/engine_impl.h"
#include "tests/sim_net/sim_control.h"
#include "tests/sim_net/sim_gpu.h"
#include "tests/sim_net/sim_net.h"
#include "tests/sim_net/sim_world.h"

namespace sluice::sim {
namespace {

constexpr std::size_t kTransfers = 12;
constexpr std::size_t kMostBytes = 64 << 10;
constexpr std::uint64_t kMostTurns = 1'000'000;

struct Side {
  SimHost host{};
  std::unique_ptr<Engine> engine;
  std::vector<std::byte> memory;
  RegionId region{};
  RemoteRegionId others{};  // The other's region, as imported here.
  PeerId peer{};
  std::string lost;
};

// One transfer of side 0 or 1: area `area` of both memories, its blocks in an order of its own.
struct Ask {
  std::size_t side = 0;
  bool writes = false;
  bool disturbed = false;  // May end early.
  std::size_t area = 0;
  std::size_t bytes = 0;
  std::vector<std::size_t> order;  // Block i of the source goes to block order[i].
  std::size_t block = 0;
  TransferId id{};
  bool complete = false;
  Status status;
  std::vector<std::byte> into;  // What lay there when it was complete.
};

class RebuildSim {
 public:
  explicit RebuildSim(std::uint64_t seed) : random_(seed), world_(options()) {
    for (Side& side : sides_) {
      side.host = world_.add_host();
      side.memory.resize(2 * kTransfers * kMostBytes);
      for (std::size_t at = 0; at < side.memory.size(); at += 8) {
        const std::uint64_t word = random_();
        std::memcpy(side.memory.data() + at, &word, 8);
      }
      EngineParts parts;
      parts.options.chunk_bytes = (4 << 10) + draw(12 << 10);
      parts.options.window = 1 + static_cast<std::uint32_t>(draw(16));
      parts.options.small_bytes = draw(4 << 10);
      parts.options.spin_us = 0;
      parts.options.checksum = draw(2) == 0 ? 1 : 0;
      parts.clock = {std::shared_ptr<const Clock>(), &world_.clock()};
      parts.net = std::make_unique<SimNet>(world_, side.host);
      parts.control = std::make_unique<SimControlNet>(world_, side.host);
      parts.gpu = std::make_unique<SimGpu>(world_, side.host);
      parts.advertise_host = world_.address(side.host);
      parts.channels = 1 + static_cast<std::uint32_t>(draw(3));
      side.engine = make_engine(std::move(parts)).take();
      side.region = *side.engine->register_memory(side.memory.data(), side.memory.size(),
                                                  draw(3) > 0 ? Memory::kHost : Memory::kCuda);
    }
    sides_[0].peer = *sides_[0].engine->connect(sides_[1].engine->address());
  }

  // "" is good.
  std::string run() {
    drive([&] { return sides_[0].peer != PeerId{} && sides_[1].peer != PeerId{}; });
    for (std::size_t i = 0; i < 2; ++i) {
      const auto exported =
          sides_[1 - i].engine->export_region(sides_[1 - i].region, Access::kReadWrite);
      sides_[i].others = *sides_[i].engine->import_region(sides_[i].peer, *exported);
    }
    drive([&] {
      if (asks_.size() < 2 * kTransfers && draw(8) == 0) ask();
      return asks_.size() == 2 * kTransfers && complete_ == asks_.size();
    });
    for (Ask& one : asks_) check(one);
    for (Side& side : sides_) {
      if (!side.lost.empty()) wrong("a peer was lost: " + side.lost);
      rebuilt_ = rebuilt_ || side.engine->report().find("rebuilt") != std::string::npos;
    }
    for (Side& side : sides_) side.engine.reset();
    return wrong_;
  }
  [[nodiscard]] bool rebuilt() const { return rebuilt_; }

 private:
  std::uint64_t draw(std::uint64_t below) { return random_() % below; }
  void wrong(const std::string& what) { wrong_ += what + "\n"; }

  SimOptions options() {
    SimOptions options = draw_options(random_());
    options.fail_percent = static_cast<std::uint32_t>(20 + draw(81));
    options.fail_to = draw(20);
    options.most_failures = 1 + static_cast<std::uint32_t>(draw(3));
    return options;
  }

  // The memory that the data of an ask comes from, and the one that it goes to.
  std::span<std::byte> area_of(const Ask& one, bool source) {
    Side& side = sides_[source == one.writes ? one.side : 1 - one.side];
    return std::span(side.memory).subspan(one.area * kMostBytes, one.bytes);
  }

  void ask() {
    Ask one;
    one.side = draw(2);
    one.writes = draw(2) == 0;
    one.disturbed = draw(4) == 0;
    one.area = asks_.size();
    const std::size_t blocks = draw(2) == 0 ? 1 : 1 + draw(30);
    one.block = std::max<std::size_t>(64, (1 + draw(kMostBytes)) / blocks);
    one.bytes = blocks * one.block;
    if (one.bytes > kMostBytes) return;
    one.order.resize(blocks);
    for (std::size_t i = 0; i < blocks; ++i) one.order[i] = i;
    std::shuffle(one.order.begin(), one.order.end(), random_);
    Side& side = sides_[one.side];
    std::vector<Slice> here;
    std::vector<RemoteSlice> there;
    const std::size_t base = one.area * kMostBytes;
    for (std::size_t i = 0; i < blocks; ++i) {
      const std::size_t source = base + i * one.block;
      const std::size_t target = base + one.order[i] * one.block;
      here.push_back({side.region, one.writes ? source : target, one.block});
      there.push_back({side.others, one.writes ? target : source, one.block});
    }
    TransferOptions options;
    if (draw(3) == 0) options.priority = Priority::kUrgent;
    if (one.disturbed && draw(2) == 0) {
      options.deadline = std::chrono::microseconds(1 + draw(400'000));
    }
    const auto id = one.writes ? side.engine->write(side.peer, here, there, options)
                               : side.engine->read(side.peer, here, there, options);
    if (!id.ok()) return wrong("refused: " + id.status().to_string());
    one.id = *id;
    asks_.push_back(one);
  }

  void poll(std::size_t index) {
    Side& side = sides_[index];
    std::array<PeerEvent, 2> events;
    for (std::size_t n = side.engine->poll_peers(events); n > 0; --n) {
      const PeerEvent& event = events[n - 1];
      if (event.kind == PeerEventKind::kConnected) side.peer = event.peer;
      if (event.kind == PeerEventKind::kLost) side.lost = event.status.to_string();
    }
    std::array<Completion, 4> done;
    for (std::size_t n; (n = side.engine->poll(done)) > 0;) {
      for (std::size_t i = 0; i < n; ++i) {
        const auto found = std::ranges::find_if(asks_, [&](const Ask& one) {
          return one.side == index && one.id == done[i].id && !one.complete;
        });
        if (found == asks_.end()) return wrong("completed twice");
        found->complete = true;
        found->status = done[i].status;
        const auto into = area_of(*found, false);
        found->into.assign(into.begin(), into.end());
        ++complete_;
      }
    }
  }

  void drive(const std::function<bool()>& over) {
    for (std::uint64_t turn = 0; !over() && wrong_.empty(); ++turn) {
      if (turn == kMostTurns) return wrong("it hangs");
      bool worked = false;
      for (std::size_t i = 0; i < 2; ++i) {
        worked = sides_[i].engine->progress() > 0 || worked;
        poll(i);
      }
      if (asks_.size() > complete_ && draw(50) == 0) {
        const Ask& one = asks_[draw(asks_.size())];
        if (one.disturbed && !one.complete) (void)sides_[one.side].engine->cancel(one.id);
      }
      if (worked && draw(4) > 0) continue;
      if (world_.next_event() > world_.now() + from_ms(10)) {
        world_.run_until(world_.now() + from_ms(10));
      } else {
        world_.run_next();
      }
    }
  }

  void check(Ask& one) {
    const std::string what = (one.writes ? "write " : "read ") + std::to_string(one.area) + ": ";
    const StatusCode code = one.status.code();
    const bool early = code == StatusCode::kCancelled || code == StatusCode::kTimedOut;
    if (!one.complete || (!one.status.ok() && !(one.disturbed && early))) {
      return wrong(what + one.status.to_string());
    }
    const auto into = area_of(one, false);
    // The initiator's memory is its own again, whatever became of its transfer.
    if (!one.writes || one.status.ok()) {
      if (!std::ranges::equal(one.into, into)) wrong(what + "written after it was complete");
    }
    if (!one.status.ok()) return;
    const auto from = area_of(one, true);
    for (std::size_t i = 0; i < one.order.size(); ++i) {
      if (!std::ranges::equal(from.subspan(i * one.block, one.block),
                              into.subspan(one.order[i] * one.block, one.block))) {
        return wrong(what + "wrong bytes in block " + std::to_string(i));
      }
    }
  }

  std::mt19937_64 random_;
  SimWorld world_;
  std::array<Side, 2> sides_;
  std::vector<Ask> asks_;
  std::size_t complete_ = 0;
  bool rebuilt_ = false;
  std::string wrong_;
};

TEST(RebuildSim, OneSidedTransfersSurviveTheirChannels) {
  constexpr std::uint64_t kSeeds = 50;
  std::uint64_t rebuilt = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    RebuildSim sim(seed);
    ASSERT_EQ(sim.run(), "") << "seed " << seed;
    if (sim.rebuilt()) ++rebuilt;
  }
  EXPECT_GT(rebuilt, kSeeds / 2) << "the seeds must have channels rebuilt";
}

}  // namespace
}  // namespace sluice::sim
