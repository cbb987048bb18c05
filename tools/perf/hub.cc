#include "tools/perf/hub.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <string>
#include <utility>

#include "src/base/settings.h"
#include "src/gpu/cuda_gpu.h"
#include "tools/perf/link.h"
#include "tools/stop.h"

namespace sluice::perf {

Result<std::unique_ptr<Hub>> Hub::create(const Options& options, Threading threading,
                                         std::function<bool()> interrupted,
                                         ProgressThread* present) {
  constexpr std::uint32_t kFewest = 8;
  if (options.max_transfers < kFewest) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("max_transfers: {} are too few for sluice perf, which needs {}",
                              options.max_transfers, kFewest));
  }
  std::unique_ptr<Gpu> gpu;
  if (options.gpu != "none") {
    const Result<std::uint64_t> index = parse_number(options.gpu);
    if (!index.ok()) {
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("gpu: \"{}\" is not legal, legal are none and the number of a GPU",
                                options.gpu));
    }
    // Its own: the engine's belongs to the engine's thread.
    auto opened = open_cuda_gpu({.index = static_cast<std::uint32_t>(*index),
                                 .unpack = CopyBy::kCopy,
                                 .pack = CopyBy::kCopy});
    if (!opened.ok()) return opened.status();
    gpu = opened.take();
  }
  Result<std::unique_ptr<Driver>> driver =
      present != nullptr ? make_driver(*present) : make_driver(options, threading);
  if (!driver.ok()) return driver.status();
  return std::unique_ptr<Hub>(
      new Hub(std::move(gpu), driver.take(), std::move(interrupted), options.max_transfers / 4));
}

Hub::Hub(std::unique_ptr<Gpu> gpu, std::unique_ptr<Driver> driver,
         std::function<bool()> interrupted, std::uint32_t share)
    : gpu_(std::move(gpu)),
      driver_(std::move(driver)),
      interrupted_(std::move(interrupted)),
      share_(share) {}

Hub::~Hub() = default;

Status Hub::pass(std::chrono::microseconds limit) {
  if (interrupted_()) return {StatusCode::kClosed, "interrupted"};
  if (reported_ != tools::reports_requested()) report();
  std::array<Completion, 64> completions;
  const std::size_t count = driver_->poll(completions, limit);
  for (std::size_t i = 0; i < count; ++i) {
    const auto found = links_.find(completions[i].peer);
    if (found != links_.end()) found->second->on_completion(completions[i]);
  }
  std::array<PeerEvent, 8> events;
  const std::size_t happened = driver_->poll_peers(events);
  for (std::size_t i = 0; i < happened; ++i) on_peer_event(events[i]);
  if (count == 0) hear();  // Messages can wait until no data is left.
  if (!retired_.empty()) free_retired();
  return {};
}

void Hub::attach(PeerId peer, Link& link) {
  links_[peer] = &link;
  const auto said = unheard_.find(peer);
  if (said == unheard_.end()) return;
  for (std::string& text : said->second) link.on_message(std::move(text));
  unheard_.erase(said);
}

void Hub::hear() {
  constexpr std::size_t kMostUnheard = 4;  // One may speak before it is known, not on and on.
  std::array<Notification, 8> told;
  const std::size_t count = driver_->poll_notifications(told);
  for (std::size_t i = 0; i < count; ++i) {
    const auto found = links_.find(told[i].peer);
    if (found != links_.end()) {
      found->second->on_message(std::move(told[i].bytes));
    } else if (auto& said = unheard_[told[i].peer]; said.size() < kMostUnheard) {
      said.push_back(std::move(told[i].bytes));
    }
  }
}

void Hub::report() {
  reported_ = tools::reports_requested();
  std::string text;
  driver_->run([&](Engine& engine) { text = engine.report(); });
  std::fputs(text.c_str(), stderr);
}

void Hub::on_peer_event(const PeerEvent& event) {
  const auto found = links_.find(event.peer);
  if (found != links_.end()) {
    found->second->on_peer_event(event);
  } else if (event.kind == PeerEventKind::kConnected) {
    strangers_.push_back(event);
  } else {
    std::erase_if(strangers_, [&](const PeerEvent& one) { return one.peer == event.peer; });
    unheard_.erase(event.peer);
  }
}

std::optional<PeerEvent> Hub::take_stranger() {
  if (strangers_.empty()) return std::nullopt;
  PeerEvent stranger = std::move(strangers_.front());
  strangers_.pop_front();
  return stranger;
}

Result<Region> Hub::allocate(std::size_t bytes, Memory kind) {
  // The peers must not take us for dead meanwhile.
  constexpr std::size_t kLong = 256u << 20;
  std::function<Status()> meanwhile;
  if (bytes >= kLong) meanwhile = [this] { return pass(std::chrono::microseconds(0)); };
  Result<Buffer> buffer = kind == Memory::kCuda && gpu_ != nullptr
                              ? Buffer::allocate_on(*gpu_, bytes)
                              : Buffer::allocate(bytes, kind, meanwhile);
  if (!buffer.ok()) return buffer.status();
  Result<RegionId> id{RegionId{}};
  driver_->run([&](Engine& engine) {
    id = engine.register_memory(buffer->bytes().data(), buffer->bytes().size(), kind);
  });
  if (!id.ok()) return id.status();
  return Region{*id, buffer.take()};
}

void Hub::retire(Region region) {
  if (region.buffer.bytes().empty()) return;
  retired_.push_back(std::move(region));
  free_retired();
}

void Hub::free_retired() {
  std::erase_if(retired_, [this](const Region& region) {
    Status status;
    driver_->run([&](Engine& engine) { status = engine.deregister(region.id); });
    return status.code() != StatusCode::kWouldBlock;
  });
}

}  // namespace sluice::perf
