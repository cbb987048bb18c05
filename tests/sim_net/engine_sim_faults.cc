// What goes wrong in a run of EngineSim, and whom it may concern.
#include <algorithm>

#include "src/base/check.h"
#include "tests/sim_net/engine_sim.h"
#include "tests/sim_net/sim_control.h"
#include "tests/sim_net/sim_net.h"

namespace sluice::sim {

bool EngineSim::may_fail(std::size_t a, std::size_t b) const {
  const bool one_is_victim = a == victim_ || b == victim_;
  switch (fault_) {
    case Fault::kNone:
    case Fault::kShortStop:
    case Fault::kShortCut:
      return false;
    case Fault::kChannels:
    case Fault::kRefusal:
    case Fault::kLie:
      return true;
    case Fault::kKill:
    case Fault::kStop:
    case Fault::kClose:
      return fault_done_ && one_is_victim;
    case Fault::kRestart:
      return fault_done_ && !fault_undone_ && one_is_victim;
    case Fault::kCut:
    case Fault::kDisconnect:
      return fault_done_ && one_is_victim && (a == other_ || b == other_);
  }
  return false;
}

void EngineSim::maybe_do_fault() {
  if (fault_done_ || completed_ < fault_after_) return;
  const Node& victim = nodes_[victim_];
  if (fault_ == Fault::kClose) {
    // What is still being sent when the engine closes is not to be expected at the other end.
    const bool sending = std::any_of(victim.asks.begin(), victim.asks.end(),
                                     [](const Ask& ask) { return ask.sending && !ask.complete; });
    if (sending) return;
  }
  fault_done_ = true;
  do_fault();
}

void EngineSim::do_fault() {
  Node& victim = nodes_[victim_];
  undo_at_ = world_->now() + static_cast<Nanoseconds>(draw(3'000'000'000));
  switch (fault_) {
    case Fault::kNone:
    case Fault::kChannels:
    case Fault::kRefusal:
    case Fault::kLie:
      break;
    case Fault::kKill:
    case Fault::kRestart:
      world_->kill(victim.host);
      victim.gone = true;
      std::memset(victim.memory.data(), 0x99, victim.used);
      break;
    case Fault::kStop:
      victim.gone = true;
      world_->stop(victim.host);
      break;
    case Fault::kShortStop:
      world_->stop(victim.host);
      break;
    case Fault::kCut:
    case Fault::kShortCut:
      world_->cut(victim.host, nodes_[other_].host);
      break;
    case Fault::kDisconnect:
      if (victim.pairs[other_].known) (void)victim.engine->disconnect(victim.pairs[other_].peer);
      break;
    case Fault::kClose:
      poll(victim_);
      victim.gone = true;
      victim.engine.reset();
      break;
  }
}

void EngineSim::maybe_undo_fault() {
  if (!fault_done_ || fault_undone_ || world_->now() < undo_at_) return;
  if (fault_ == Fault::kShortStop) world_->resume(nodes_[victim_].host);
  if (fault_ == Fault::kShortCut) world_->heal(nodes_[victim_].host, nodes_[other_].host);
  fault_undone_ = true;
  if (fault_ == Fault::kRestart) restart_victim();
}

// Under its name and address, in the same memory. All others connect anew, though they may not have
// heard yet that it was killed.
void EngineSim::restart_victim() {
  Node& victim = nodes_[victim_];
  killed_.push_back(std::move(victim.engine));
  victim.exports.swap(stale_exports_);
  victim.host = world_->restart(victim.host);
  victim.asks.clear();
  victim.met.clear();
  for (Reach& reach : victim.reaches) reach.forgotten = true;
  victim.incomplete = 0;
  victim.gone = false;
  start(victim);
  victim.pairs[victim_] = {};
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (i == victim_) continue;
    Pair& to = nodes_[i].pairs[victim_];
    Pair& from = victim.pairs[i];
    for (Pair* pair : {&to, &from}) {
      pair->known = pair->lost = false;
      pair->sends_asked = pair->messages.size();
      pair->reaches_asked = 0;
      pair->reaches_left = draw(8);
      pair->handles = {};
    }
    to.recvs_asked = from.messages.size();
    from.recvs_asked = to.messages.size();
    if (!crowd_) plan_messages(i, victim_, draw(3), 20 << 10);
    if (!crowd_) plan_messages(victim_, i, draw(3), 20 << 10);
    connect(i, victim_);
  }
}

bool EngineSim::lost(std::size_t a, std::size_t b) const {
  return nodes_[a].pairs[b].lost || nodes_[b].pairs[a].lost;
}

void EngineSim::check_rebuilds() {
  if (world_->failures() == 0) return;
  bool any_lost = false;
  bool rebuilt = false;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    for (std::size_t j = 0; j < nodes_.size(); ++j) any_lost = any_lost || lost(i, j);
    if (nodes_[i].gone) continue;
    rebuilt = rebuilt || nodes_[i].engine->report().find("rebuilt") != std::string::npos;
  }
  healed_ = rebuilt && !any_lost;
}

}  // namespace sluice::sim
