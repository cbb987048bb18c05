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

constexpr std::size_t kNoiseBytes = 8 << 20;
constexpr std::size_t kNodeBytes = 12 << 20;
constexpr std::size_t kGuardBytes = 32;
constexpr std::byte kGuard{0xa5};   // Around slices, and in receives before they are written.
constexpr std::byte kReused{0x77};  // What a sender writes over a message that is complete.
constexpr Nanoseconds kQuietStep = from_ms(20);
// Shorter than the time between two pings: they must not be what keeps transfers going.
constexpr Nanoseconds kCleanLimit = from_ms(2400);
constexpr Nanoseconds kFaultLimit = from_ms(90'000);
constexpr std::uint64_t kMostTurns = 2'000'000;

bool holds_only(std::span<const std::byte> bytes, std::byte value) {
  return std::all_of(bytes.begin(), bytes.end(), [value](std::byte b) { return b == value; });
}

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
      fault_(draw(5) < 2 ? Fault::kNone : static_cast<Fault>(draw(kFaults))) {
  SimOptions options = draw_options(random_());
  if (fault_ == Fault::kChannels) {
    options.fail_percent = static_cast<std::uint32_t>(10 + draw(60));
    options.fail_to = draw(30);
    few_failures_ = draw(2) == 0;
    if (few_failures_) options.most_failures = 1 + static_cast<std::uint32_t>(draw(3));
  }
  if (fault_ == Fault::kRefusal) options.refuse_percent = 30;
  world_ = std::make_unique<SimWorld>(options);
  started_ = world_->now();
  make_nodes();
  plan_messages();
  world_->set_background([this](SimHost sleeper) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].host != sleeper && running(i)) {
        nodes_[i].engine->progress();
        poll(i);
      }
    }
  });
}

EngineSim::~EngineSim() { nodes_.clear(); }

Options EngineSim::engine_options(std::size_t index) {
  Options options;
  options.name = fmt::format("e{}", index);
  options.chunk_bytes = draw(2) == 0 ? 512 << 10 : (4 << 10) + draw(1 << 20);
  options.window = draw(2) == 0 ? 16 : 1 + static_cast<std::uint32_t>(draw(16));
  options.small_bytes = draw(3) == 0 ? 0 : draw(40 << 10);
  options.gpu_staging_bytes = draw(2) == 0 ? 4 << 20 : 64 << 10;
  options.spin_us = 0;  // The clock stands still meanwhile.
  return options;
}

void EngineSim::make_nodes() {
  nodes_.resize(2 + (draw(3) == 0 ? draw(3) : 0));
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = nodes_[i];
    node.host = world_->add_host();
    node.memory = arena_.nodes[i];
    node.pairs.resize(nodes_.size());
    EngineParts parts;
    parts.options = engine_options(i);
    parts.clock = {std::shared_ptr<const Clock>(), &world_->clock()};
    parts.net = std::make_unique<SimNet>(*world_, node.host);
    parts.control = std::make_unique<SimControlNet>(*world_, node.host);
    parts.gpu = std::make_unique<SimGpu>(*world_, node.host);
    parts.advertise_host = SimWorld::address(node.host);
    parts.channels = 1 + static_cast<std::uint32_t>(draw(4));
    node.engine = make_engine(std::move(parts)).take();
    node.address = node.engine->address();
    node.region = *node.engine->register_memory(node.memory.data(), node.memory.size(),
                                                draw(2) == 0 ? Memory::kHost : Memory::kCuda);
  }
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    for (std::size_t j = i + 1; j < nodes_.size(); ++j) {
      nodes_[i].pairs[j].peer = *nodes_[i].engine->connect(nodes_[j].address);
      nodes_[i].pairs[j].known = true;
    }
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
      return draw(600 << 10);
    default:
      return draw(3 << 20);
  }
}

void EngineSim::plan_messages() {
  std::size_t planned = 0;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (i == j) continue;
      std::size_t count = draw(24 / nodes_.size());
      while (count-- > 0) {
        Message message;
        message.bytes = draw_size();
        if (message.bytes > kNodeBytes / 64 && planned > kNodeBytes / 2) message.bytes /= 64;
        planned += message.bytes;
        message.capacity = message.bytes + (draw(2) == 0 ? 0 : draw(1000));
        if (draw(25) == 0) message.capacity = message.bytes / 2;
        message.source = draw(kNoiseBytes - message.bytes);
        nodes_[i].pairs[j].messages.push_back(message);
      }
    }
  }
  fault_after_ = draw(30);
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
  const std::size_t peer = (index + 1 + draw(nodes_.size() - 1)) % nodes_.size();
  const Pair& pair = nodes_[index].pairs[peer];
  if (!pair.known || pair.lost) return;
  if (draw(2) == 0) {
    ask_send(index, peer);
  } else {
    ask_recv(index, peer);
  }
}

void EngineSim::ask_the_rest() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      const Pair& pair = nodes_[i].pairs[j];
      if (i == j || !running(i) || !pair.known || pair.lost) continue;
      ask_send(i, j);
      ask_recv(i, j);
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
  if (event.kind == PeerEventKind::kConnected) {
    const std::size_t peer = static_cast<std::size_t>(event.name.at(1) - '0');
    if (event.name.at(0) != 'e' || peer >= nodes_.size()) {
      violation("unknown name " + event.name);
      return;
    }
    node.pairs[peer].peer = event.peer;
    node.pairs[peer].known = true;
    return;
  }
  for (std::size_t peer = 0; peer < nodes_.size(); ++peer) {
    Pair& pair = node.pairs[peer];
    if (!pair.known || pair.peer != event.peer) continue;
    pair.lost = true;
    if (!may_fail(index, peer) && !closing_) {
      violation(fmt::format("e{} lost e{} to which nothing was done: {}", index, peer,
                            event.status.to_string()));
    }
    // Few channels die and are rebuilt, unless that would lose what a send has completed.
    if (few_failures_ && !closing_ &&
        event.status.message().find("messages were lost with channels") == std::string::npos) {
      violation(fmt::format("e{} lost e{}: {}", index, peer, event.status.to_string()));
    }
  }
}

void EngineSim::take_completion(std::size_t index, const Completion& completion) {
  Node& node = nodes_[index];
  const auto ask = std::find_if(node.asks.begin(), node.asks.end(),
                                [&](const Ask& other) { return other.id == completion.id; });
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

void EngineSim::check_receive(Node& node, Ask& ask, const Completion& completion) {
  const std::size_t index = static_cast<std::size_t>(&node - nodes_.data());
  const std::string what = fmt::format("e{}: message {} from e{} ({} bytes, room for {}): ", index,
                                       ask.message, ask.peer, completion.bytes, ask.length);
  const std::byte* slice = node.memory.data() + ask.offset;
  if (!holds_only({slice - kGuardBytes, kGuardBytes}, kGuard) ||
      !holds_only({slice + ask.length, kGuardBytes}, kGuard)) {
    violation(what + "written outside of its slice");
  }
  const Message& message = nodes_[ask.peer].pairs[index].messages[ask.message];
  if (completion.status.ok()) {
    if (completion.bytes != message.bytes || message.bytes > ask.length) {
      violation(what + fmt::format("but {} were sent", message.bytes));
    } else if (std::memcmp(slice, arena_.noise.data() + message.source, message.bytes) != 0) {
      violation(what + "wrong bytes");
    } else if (!holds_only({slice + message.bytes, ask.length - message.bytes}, kGuard)) {
      violation(what + "written behind the message");
    }
  }
  ask.digest = digest(node, ask);
}

std::uint64_t EngineSim::digest(const Node& node, const Ask& ask) const {
  const auto bytes = node.memory.subspan(ask.offset - kGuardBytes, ask.length + 2 * kGuardBytes);
  std::uint64_t sum = bytes.size();
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    sum = (sum ^ word) * 0x9e3779b97f4a7c15;
    sum ^= sum >> 29;
  }
  for (; i < bytes.size(); ++i) sum = (sum ^ static_cast<std::uint64_t>(bytes[i])) * 0x100000001b3;
  return sum;
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
    worked = drive(index) || worked;
    poll(index);
  }
  // Time may pass in large steps only when nothing is left to ask for.
  if (!worked && draw(4) == 0) ask_the_rest();
  if (!worked || draw(4) == 0) advance_time();
  maybe_do_fault();
  maybe_undo_fault();
}

bool EngineSim::finished() const {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    if (node.gone) continue;
    if (node.incomplete > 0) return false;
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      const Pair& pair = node.pairs[j];
      if (i == j || pair.lost) continue;
      // An accepting end that has not heard of the other yet may never do so.
      if (!pair.known && (nodes_[j].gone || nodes_[j].pairs[i].lost)) continue;
      if (pair.sends_asked < pair.messages.size()) return false;
      if (pair.recvs_asked < nodes_[j].pairs[i].messages.size()) return false;
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
    }
  }
  check_end();
  return violations_;
}

void EngineSim::check_end() {
  closing_ = true;
  for (std::size_t i = 0; i < nodes_.size() && violations_.empty(); ++i) {
    if (nodes_[i].gone) continue;
    const Status status = nodes_[i].engine->deregister(nodes_[i].region);
    if (!status.ok()) violation("deregister: " + status.to_string());
  }
  for (std::size_t i = 0; i < nodes_.size() && violations_.empty(); ++i) {
    for (std::size_t j = 0; j < nodes_.size(); ++j) check_pair(i, j);
  }
  check_rebuilds();
  const std::size_t first = draw(nodes_.size());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = nodes_[(first + i) % nodes_.size()];
    node.engine.reset();
  }
  while (world_->run_next()) {
  }
  for (const Node& node : nodes_) {
    if (!world_->alive(node.host)) continue;
    for (const Ask& ask : node.asks) {
      if (!ask.sending && ask.complete && ask.digest != digest(node, ask)) {
        violation(fmt::format("receive {} was written after it completed",
                              static_cast<std::uint64_t>(ask.id)));
      }
    }
  }
}

// Both ends of a message have the same story.
void EngineSim::check_pair(std::size_t from, std::size_t to) {
  for (const Ask& send : nodes_[from].asks) {
    if (!send.sending || send.peer != to) continue;
    const auto recv =
        std::find_if(nodes_[to].asks.begin(), nodes_[to].asks.end(), [&](const Ask& ask) {
          return !ask.sending && ask.peer == from && ask.message == send.message;
        });
    if (recv == nodes_[to].asks.end() || !recv->complete || !send.complete) continue;
    const bool must_agree = !may_fail(from, to) || (few_failures_ && !lost(from, to)) ||
                            (fault_ == Fault::kClose && from == victim_ && send.status.ok());
    if (must_agree && send.status.code() != recv->status.code()) {
      violation(fmt::format("message {} from e{} to e{}: sent {}, received {}", send.message, from,
                            to, send.status.to_string(), recv->status.to_string()));
    }
    const Message& message = nodes_[from].pairs[to].messages[send.message];
    const bool too_long = message.bytes > message.capacity;
    if (!may_fail(from, to) && (send.status.code() == StatusCode::kTooLong) != too_long) {
      violation(fmt::format("message {} from e{} to e{}: {}", send.message, from, to,
                            send.status.to_string()));
    }
  }
}

void EngineSim::violation(const std::string& what) { violations_ += what + "\n"; }

}  // namespace sluice::sim
