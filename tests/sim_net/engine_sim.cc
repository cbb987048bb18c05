#include "tests/sim_net/engine_sim.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "src/base/check.h"
#include "src/engine/engine_impl.h"
#include "tests/sim_net/sim_control.h"
#include "tests/sim_net/sim_gpu.h"
#include "tests/sim_net/sim_net.h"

namespace sluice::sim {
namespace {

constexpr Nanoseconds kQuietStep = from_ms(20);
// Shorter than the time between two pings: they must not be what keeps transfers going.
constexpr Nanoseconds kCleanLimit = from_ms(2400);
constexpr Nanoseconds kFaultLimit = from_ms(90'000);
constexpr std::uint64_t kMostTurns = 2'000'000;

}  // namespace

EngineSimArena::EngineSimArena() : noise(kNoiseBytes), nodes(kMostNodes) {
  std::mt19937_64 random(7);
  for (std::size_t i = 0; i < noise.size(); i += 8) {
    const std::uint64_t word = random();
    std::memcpy(noise.data() + i, &word, 8);
  }
  for (auto& node : nodes) node.resize(kNodeBytes);
}

EngineSim::EngineSim(std::uint64_t seed, EngineSimArena& arena)
    : arena_(arena),
      random_(seed),
      fault_(draw(5) < 2 ? Fault::kNone : static_cast<Fault>(draw(kFaults))),
      crowd_(draw(16) == 0),
      scale_(draw(4) == 0 ? 1 : 8) {
  SimOptions options = draw_options(random_());
  if (fault_ == Fault::kChannels) {
    options.fail_percent = static_cast<std::uint32_t>(10 + draw(60));
    options.fail_to = draw(30);
    few_failures_ = draw(2) == 0;
    if (few_failures_) options.most_failures = 1 + static_cast<std::uint32_t>(draw(3));
  }
  if (fault_ == Fault::kRefusal) options.refuse_percent = 30;
  if (fault_ == Fault::kLie) {
    options.lie_percent = static_cast<std::uint32_t>(1 + draw(20));
    if (draw(3) == 0) {  // And channels fail meanwhile.
      options.fail_percent = static_cast<std::uint32_t>(10 + draw(60));
      options.fail_to = draw(30);
    }
  }
  world_ = std::make_unique<SimWorld>(options);
  started_ = world_->now();
  make_nodes();
  plan_messages();
  plan_reaches();
  fault_after_ = draw(30);
  world_->set_background([this](SimHost sleeper) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].host != sleeper && running(i)) {
        nodes_[i].engine->progress();
        poll(i);
        poll_notifications(i);
      }
    }
  });
}

EngineSim::~EngineSim() {
  killed_.clear();
  nodes_.clear();
}

Options EngineSim::engine_options(std::size_t index) {
  Options options;
  options.name = fmt::format("e{}", index);
  options.chunk_bytes = (draw(2) == 0 ? 512 << 10 : (4 << 10) + draw(1 << 20)) / scale_;
  options.window = draw(2) == 0 ? 16 : 1 + static_cast<std::uint32_t>(draw(16));
  options.small_bytes = draw(3) == 0 ? 0 : draw(40 << 10);
  options.gpu_staging_bytes = draw(2) == 0 ? 4 << 20 : 64 << 10;
  options.spin_us = 0;  // The clock stands still meanwhile.
  options.recorder_events = 256;
  options.max_transfers = crowd_ ? 4 + static_cast<std::uint32_t>(draw(12)) : 64;
  options.request_bytes = draw(3) == 0 ? 2 << 20 : 8 << 20;
  options.checksum =
      draw(3) == 0 || fault_ == Fault::kLie ? 1 : 0;  // Then between it and whoever it meets.
  // The secret of an engine that is started anew is that of its earlier start.
  if (fault_ == Fault::kRestart) options.token = "the same";
  return options;
}

void EngineSim::start(Node& node) {
  const std::size_t index = static_cast<std::size_t>(&node - nodes_.data());
  EngineParts parts;
  parts.options = engine_options(index);
  parts.clock = {std::shared_ptr<const Clock>(), &world_->clock()};
  parts.net = std::make_unique<SimNet>(*world_, node.host);
  parts.control = std::make_unique<SimControlNet>(*world_, node.host);
  parts.gpu = std::make_unique<SimGpu>(*world_, node.host);
  parts.advertise_host = world_->address(node.host);
  parts.channels = 1 + static_cast<std::uint32_t>(draw(4));
  node.engine = make_engine(std::move(parts)).take();
  node.address = node.engine->address();
  node.kind = draw(2) == 0 ? Memory::kHost : Memory::kCuda;
  for (RegionId* region : {&node.region, &node.also, &node.doomed}) {
    *region = *node.engine->register_memory(node.memory.data(), node.memory.size(), node.kind);
  }
  node.doomed_gone = false;
  export_regions(node);
}

void EngineSim::connect(std::size_t from, std::size_t to) {
  Pair& pair = nodes_[from].pairs[to];
  pair.peer = *nodes_[from].engine->connect(nodes_[to].address);
  pair.known = true;
  nodes_[from].met.push_back({pair.peer, to, life_of(from, to)});
}

void EngineSim::make_nodes() {
  nodes_.resize(2 + (draw(3) == 0 ? draw(3) : 0));
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    nodes_[i].host = world_->add_host();
    nodes_[i].memory = arena_.nodes[i];
    nodes_[i].pairs.resize(nodes_.size());
    start(nodes_[i]);
  }
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (draw(5) == 0) connect(i, i);
    for (std::size_t j = i + 1; j < nodes_.size(); ++j) connect(i, j);
  }
  victim_ = draw(nodes_.size());
  other_ = (victim_ + 1 + draw(nodes_.size() - 1)) % nodes_.size();
}

std::size_t EngineSim::draw_size() {
  switch (draw(8)) {
    case 0:
    case 1:
      return draw(100);
    case 2:
    case 3:
    case 4:
      return draw(20 << 10);
    case 5:
    case 6:
      return draw(600 << 10) / scale_;
    default:
      return draw(3 << 20) / scale_;
  }
}

void EngineSim::plan_messages() {
  if (crowd_) return;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (i != j) plan_messages(i, j, draw(16 / nodes_.size()), 3 << 20);
    }
  }
}

void EngineSim::plan_messages(std::size_t from, std::size_t to, std::size_t count,
                              std::size_t longest) {
  while (count-- > 0) {
    Message message;
    message.bytes = draw_size() % longest;
    if (message.bytes > message_budget_) message.bytes /= 64;
    message_budget_ -= std::min(message_budget_, message.bytes);
    message.capacity = message.bytes + (draw(2) == 0 ? 0 : draw(1000));
    if (draw(25) == 0) message.capacity = message.bytes / 2;
    message.source = draw(kNoiseBytes - message.bytes);
    nodes_[from].pairs[to].messages.push_back(message);
  }
}

// A place for a slice with its guards; any alignment.
std::size_t EngineSim::allocate(Node& node, std::size_t bytes) {
  const std::size_t offset = node.used + kGuardBytes + draw(70);
  SLUICE_CHECK(offset + bytes + kGuardBytes <= node.memory.size(), "memory of {} used up",
               node.memory.size());
  std::memset(node.memory.data() + node.used, static_cast<int>(kGuard),
              offset + bytes + kGuardBytes - node.used);
  node.used = offset + bytes + kGuardBytes;
  return offset;
}

// ---- What the engines are asked for.

void EngineSim::ask_something(std::size_t index) {
  const std::size_t peer = draw(nodes_.size());
  const Pair& pair = nodes_[index].pairs[peer];
  if (!pair.known || pair.lost || releasing_) return;
  switch (draw(4)) {
    case 0:
      return ask_send(index, peer);
    case 1:
      return ask_recv(index, peer);
    default:
      return ask_reach(index, peer);
  }
}

void EngineSim::ask_the_rest() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      const Pair& pair = nodes_[i].pairs[j];
      if (!running(i) || !pair.known || pair.lost || releasing_) continue;
      ask_send(i, j);
      ask_recv(i, j);
      ask_reach(i, j);
    }
  }
}

void EngineSim::ask_send(std::size_t index, std::size_t peer) {
  Node& node = nodes_[index];
  Pair& pair = node.pairs[peer];
  if (pair.sends_asked == pair.messages.size()) return;
  const Message& message = pair.messages[pair.sends_asked];
  const std::size_t used = node.used;
  Ask ask;
  ask.message = pair.sends_asked;
  ask.sending = true;
  ask.peer = peer;
  ask.life = life_of(index, peer);
  ask.length = message.bytes;
  ask.offset = allocate(node, ask.length);
  std::memcpy(node.memory.data() + ask.offset, arena_.noise.data() + message.source, ask.length);
  const auto id = node.engine->send(pair.peer, {node.region, ask.offset, ask.length});
  if (!id.ok()) {
    if (!may_fail(index, peer)) violation("send refused: " + id.status().to_string());
    node.used = used;
    return;
  }
  ask.id = *id;
  node.asks.push_back(ask);
  ++node.incomplete;
  ++pair.sends_asked;
}

void EngineSim::ask_recv(std::size_t index, std::size_t peer) {
  Node& node = nodes_[index];
  Pair& pair = node.pairs[peer];
  const std::vector<Message>& messages = nodes_[peer].pairs[index].messages;
  if (pair.recvs_asked == messages.size()) return;
  const std::size_t used = node.used;
  Ask ask;
  ask.message = pair.recvs_asked;
  ask.peer = peer;
  ask.life = life_of(index, peer);
  ask.length = messages[ask.message].capacity;
  ask.offset = allocate(node, ask.length);
  const auto id = node.engine->recv(pair.peer, {node.region, ask.offset, ask.length});
  if (!id.ok()) {
    if (!may_fail(index, peer)) violation("recv refused: " + id.status().to_string());
    node.used = used;
    return;
  }
  ask.id = *id;
  node.asks.push_back(ask);
  ++node.incomplete;
  ++pair.recvs_asked;
}

// ---- What they answer.

void EngineSim::poll(std::size_t index) {
  Node& node = nodes_[index];
  std::array<PeerEvent, 2> events;
  for (std::size_t count; (count = node.engine->poll_peers(events)) > 0;) {
    for (std::size_t i = 0; i < count; ++i) take_peer_event(index, events[i]);
  }
  std::array<Completion, 3> completions;
  for (std::size_t count; (count = node.engine->poll(completions)) > 0;) {
    for (std::size_t i = 0; i < count; ++i) take_completion(index, completions[i]);
  }
}

void EngineSim::take_peer_event(std::size_t index, const PeerEvent& event) {
  Node& node = nodes_[index];
  const auto met = std::ranges::find(node.met, event.peer, &Acquaintance::id);
  if (met == node.met.end()) {  // One that has connected to us.
    const std::size_t peer = static_cast<std::size_t>(event.name.at(1) - '0');
    if (event.kind != PeerEventKind::kConnected || event.name.at(0) != 'e' ||
        peer >= nodes_.size()) {
      violation("unknown name " + event.name);
      return;
    }
    // Whoever is started anew is connected to, and does not connect.
    const std::size_t life = index == victim_ ? life_of(index, peer) : 0;
    node.met.push_back({event.peer, peer, life});
    if (peer == index || life < life_of(index, peer)) return;
    node.pairs[peer].peer = event.peer;
    node.pairs[peer].known = true;
    return;
  }
  if (event.kind == PeerEventKind::kConnected) return;
  if (!may_fail(index, met->node, met->life) && !closing_) {
    violation(fmt::format("e{} lost e{} to which nothing was done: {}", index, met->node,
                          event.status.to_string()));
  }
  // Few channels die and are rebuilt, unless that would lose what a send has completed.
  if (few_failures_ && !closing_ &&
      event.status.message().find("messages were lost with channels") == std::string::npos) {
    violation(fmt::format("e{} lost e{}: {}", index, met->node, event.status.to_string()));
  }
  if (met->life == life_of(index, met->node)) node.pairs[met->node].lost = true;
}

void EngineSim::take_completion(std::size_t index, const Completion& completion) {
  Node& node = nodes_[index];
  const auto reach = std::ranges::find_if(node.reaches, [&](const Reach& other) {
    return other.id == completion.id && !other.forgotten;
  });
  if (reach != node.reaches.end()) return complete_reach(node, *reach, completion);
  const auto ask = std::ranges::find(node.asks, completion.id, &Ask::id);
  if (ask == node.asks.end() || ask->complete) {
    violation(fmt::format("e{} completed transfer {} that was {}", index,
                          static_cast<std::uint64_t>(completion.id),
                          ask == node.asks.end() ? "never asked for" : "complete"));
    return;
  }
  ask->complete = true;
  ask->status = completion.status;
  --node.incomplete;
  ++completed_;
  const StatusCode code = completion.status.code();
  const bool strange = code == StatusCode::kProtocol || code == StatusCode::kInvalidArgument ||
                       code == StatusCode::kNotFound || code == StatusCode::kWouldBlock ||
                       code == StatusCode::kDenied || code == StatusCode::kSystem;
  if (strange) violation(fmt::format("e{}: {}", index, completion.status.to_string()));
  if (ask->sending) {
    if (completion.status.ok() && completion.bytes != ask->length) {
      violation(
          fmt::format("e{}: send of {} completed with {}", index, ask->length, completion.bytes));
    }
    std::memset(node.memory.data() + ask->offset, static_cast<int>(kReused), ask->length);
  } else {
    check_receive(node, *ask, completion);
  }
}

// ---- What is done to them.

bool EngineSim::running(std::size_t index) const {
  return nodes_[index].engine != nullptr && !nodes_[index].gone &&
         !world_->stopped(nodes_[index].host);
}

bool EngineSim::clean() const {
  return fault_ == Fault::kNone || fault_ == Fault::kShortStop || fault_ == Fault::kShortCut;
}

bool EngineSim::drive(std::size_t index) {
  Engine& engine = *nodes_[index].engine;
  if (draw(20) == 0) {
    engine.wait(std::chrono::microseconds(draw(300)));
    return true;
  }
  return engine.progress() > 0;
}

void EngineSim::advance_time() {
  if (world_->next_event() > world_->now() + kQuietStep) {
    world_->run_until(world_->now() + kQuietStep);
  } else {
    world_->run_next();
  }
}

void EngineSim::turn() {
  ++turns_;
  bool worked = false;
  const std::size_t first = draw(nodes_.size());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const std::size_t index = (first + i) % nodes_.size();
    if (!running(index)) continue;
    if (draw(3) == 0) ask_something(index);
    maybe_cancel(index);
    maybe_deregister(index);
    worked = drive(index) || worked;
    poll(index);
    if (!worked || draw(4) == 0) poll_notifications(index);
  }
  // Time may pass in large steps only when nothing is left to ask for.
  if (!worked && draw(4) == 0) ask_the_rest();
  if (!worked || draw(4) == 0) advance_time();
  maybe_do_fault();
  maybe_undo_fault();
}

bool EngineSim::pair_finished(std::size_t index, std::size_t peer) const {
  const Pair& pair = nodes_[index].pairs[peer];
  if (pair.lost) return true;
  if (index == peer) return !pair.known || pair.reaches_left == 0;
  // An accepting end that has not heard of the other yet may never do so.
  if (!pair.known && (nodes_[peer].gone || nodes_[peer].pairs[index].lost)) return true;
  return pair.sends_asked == pair.messages.size() &&
         pair.recvs_asked == nodes_[peer].pairs[index].messages.size() && pair.reaches_left == 0;
}

bool EngineSim::finished() const {
  if (fault_ == Fault::kRestart && fault_done_ && !fault_undone_) return false;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    if (std::ranges::any_of(node.reaches,
                            [this](const Reach& reach) { return notification_owed(reach); })) {
      return false;
    }
    if (node.gone) continue;
    if (node.incomplete > 0) return false;
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (!pair_finished(i, j)) return false;
    }
  }
  return true;
}

std::string EngineSim::run() {
  while (!finished() && violations_.empty()) {
    turn();
    const Nanoseconds limit =
        !clean() ? kFaultLimit
                 : kCleanLimit + (fault_done_ && fault_ != Fault::kNone ? undo_at_ - started_ : 0);
    if (world_->now() - started_ <= limit && turns_ < kMostTurns) continue;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      violation(fmt::format("stalled after {} ms and {} turns: e{}{} has {} incomplete",
                            (world_->now() - started_) / 1'000'000, turns_, i,
                            nodes_[i].gone ? " (gone)" : "", nodes_[i].incomplete));
      for (const Reach& reach : nodes_[i].reaches) {
        if (!reach.complete || notification_owed(reach)) violation("  " + name_of(reach));
      }
    }
  }
  if (violations_.empty()) release_regions();
  check_end();
  return violations_;
}

void EngineSim::violation(const std::string& what) { violations_ += what + "\n"; }

}  // namespace sluice::sim
