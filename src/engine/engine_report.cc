// What an engine tells of itself when asked, or when something stands still.
#include <algorithm>
#include <string_view>

#include "src/base/log.h"
#include "src/engine/engine_impl.h"
#include "src/engine/report.h"

namespace sluice {

PeerFacts EngineImpl::facts_of(const Peer& peer, Nanoseconds now) {
  PeerFacts facts = peer.facts(now);
  transfers_.for_each([&](std::uint64_t /*id*/, const Transfer& transfer) {
    if (transfer.peer != PeerId(peer.id()) || transfer.complete) return;
    if (transfer.direction == Direction::kSend) {
      ++facts.sends;
    } else {
      ++facts.recvs;
      if (transfer.chunk_bytes == 0) ++facts.unannounced;
    }
  });
  return facts;
}

std::string EngineImpl::report() {
  const Nanoseconds now = clock_->now();
  std::vector<PeerFacts> peers;
  for (const Peer* peer : live_) peers.push_back(facts_of(*peer, now));
  return report_text(name_, peers);
}

void EngineImpl::look_for_stalls(Nanoseconds now) {
  if (options_.stall_report_ms == 0 || live_.empty()) return;
  const Nanoseconds limit = from_ms(options_.stall_report_ms);
  next_time_ = std::min(next_time_, now + limit / 2);
  for (Peer* peer : live_) {
    if (!peer->stalls(now, limit)) continue;
    const std::string text = report_text(name_, {facts_of(*peer, now)});
    for (std::string_view rest = text; !rest.empty();) {
      const std::size_t end = rest.find('\n');
      SLUICE_LOG(kWarning, "stall", "{}", rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
  }
}

}  // namespace sluice
