#include "tools/perf/hub.h"

#include <array>
#include <utility>

#include "tools/perf/link.h"

namespace sluice::perf {

Hub::Hub(std::unique_ptr<Driver> driver, std::function<bool()> interrupted)
    : driver_(std::move(driver)), interrupted_(std::move(interrupted)) {}

Hub::~Hub() = default;

Status Hub::pass(std::chrono::microseconds limit) {
  if (interrupted_()) return {StatusCode::kClosed, "interrupted"};
  std::array<Completion, 64> completions;
  const std::size_t count = driver_->poll(completions, limit);
  for (std::size_t i = 0; i < count; ++i) {
    const auto found = links_.find(completions[i].peer);
    if (found != links_.end()) found->second->on_completion(completions[i]);
  }
  std::array<PeerEvent, 8> events;
  const std::size_t happened = driver_->poll_peers(events);
  for (std::size_t i = 0; i < happened; ++i) on_peer_event(events[i]);
  if (!retired_.empty()) free_retired();
  return {};
}

void Hub::on_peer_event(const PeerEvent& event) {
  const auto found = links_.find(event.peer);
  if (found != links_.end()) {
    found->second->on_peer_event(event);
  } else if (event.kind == PeerEventKind::kConnected) {
    strangers_.push_back(event);
  } else {
    std::erase_if(strangers_, [&](const PeerEvent& one) { return one.peer == event.peer; });
  }
}

std::optional<PeerEvent> Hub::take_stranger() {
  if (strangers_.empty()) return std::nullopt;
  PeerEvent stranger = std::move(strangers_.front());
  strangers_.pop_front();
  return stranger;
}

Result<Region> Hub::allocate(std::size_t bytes, Memory kind) {
  Result<Buffer> buffer = Buffer::allocate(bytes, kind);
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
