#include "src/engine/engine_impl.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "src/base/log.h"

namespace sluice {
namespace {

constexpr Nanoseconds kCloseLimit = from_ms(1000);
// Passes that read only the peer that spoke last, before all others are looked at again.
constexpr std::uint32_t kBlindPasses = 8;
// So often the time of many peers wakes an engine: those whose time is near go along.
constexpr Nanoseconds kWakesPerTimeout = 16;
// Arrivals, and chunks to send, that one pass hands to the Gpu.
constexpr std::size_t kLargestBatch = 1024;

wire::Limits limits_of(const Options& options, const Context& context, const Net& net,
                       const std::string& name, std::uint64_t generation) {
  wire::Limits limits;
  limits.generation = generation;
  limits.chunk_bytes = context.chunk_bytes;
  limits.small_bytes = static_cast<std::uint32_t>(options.small_bytes);
  limits.channels = context.channels;
  limits.peer_timeout_ms = options.peer_timeout_ms;
  limits.request_bytes = options.request_bytes;
  limits.kept_list_bytes = options.kept_list_bytes;
  limits.checksum = options.checksum != 0;
  limits.net = net.name();
  limits.name = name;
  return limits;
}

Secret secret_for(const Options& options) {
  if (options.allow_anyone != 0) return secret_of("");
  return options.token.empty() ? random_secret() : secret_of(options.token);
}

Context context_for(const Options& options, const EngineParts& parts, Net& net, Gpu& gpu,
                    const Clock& clock, TransferTable& transfers, PackBatch& packs, SumBatch& sums,
                    Recorder& recorder) {
  const Device& device = net.devices()[parts.device];
  const std::uint32_t window = std::min({options.window, device.most_in_flight, kLargestWindow});
  const std::uint64_t chunk_bytes = std::min(options.chunk_bytes, device.largest_chunk);
  const std::uint64_t slots = options.gpu_staging_bytes / chunk_bytes;
  return {options,
          net,
          gpu,
          clock,
          transfers,
          packs,
          sums,
          recorder,
          parts.device,
          parts.channels,
          window,
          chunk_bytes,
          static_cast<std::uint32_t>(std::clamp<std::uint64_t>(slots, 2, kLargestWindow)),
          device.most_pieces};
}

}  // namespace

Result<std::unique_ptr<Engine>> make_engine(EngineParts parts) {
  auto engine = std::make_unique<EngineImpl>(std::move(parts));
  Status status = engine->start();
  if (!status.ok()) return status;
  return std::unique_ptr<Engine>(std::move(engine));
}

EngineImpl::EngineImpl(EngineParts parts)
    : options_(std::move(parts.options)),
      clock_(std::move(parts.clock)),
      net_(std::move(parts.net)),
      control_(std::move(parts.control)),
      gpu_(std::move(parts.gpu)),
      advertise_host_(std::move(parts.advertise_host)),
      name_(options_.name),
      secret_(secret_for(options_)),
      recorder_(options_.recorder_events),
      transfers_(options_.max_transfers, options_.max_regions, &recorder_),
      remote_regions_(options_.max_remote_regions),
      packs_(kLargestBatch),
      sums_(kLargestBatch),
      context_(context_for(options_, parts, *net_, *gpu_, *clock_, transfers_, packs_, sums_,
                           recorder_)),
      own_limits_(limits_of(options_, context_, *net_, name_, random_generation())),
      bootstrap_(options_, secret_, own_limits_, *clock_),
      peers_(options_.max_peers),
      batch_(kLargestBatch),
      cadence_(cadence_of(options_)) {
  live_.reserve(options_.max_peers);
  awake_.reserve(options_.max_peers);
}

Status EngineImpl::start() {
  Status status = control_->listen(options_.listen_host, options_.listen_port);
  if (!status.ok()) return status;
  if (net_->wake_fd() >= 0) status = control_->watch(net_->wake_fd());
  SLUICE_LOG(kInfo, "engine", "{} listens on port {} net {} channels {} window {} chunk_bytes {}",
             name_, control_->port(), net_->name(), context_.channels, context_.window,
             context_.chunk_bytes);
  return status;
}

EngineImpl::~EngineImpl() { close(); }

Result<RegionId> EngineImpl::register_memory(void* base, std::size_t length, Memory kind) {
  if (base == nullptr && length > 0) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("region of {} bytes at address 0", length));
  }
  const Device& device = net_->devices()[context_.device];
  const std::span<std::byte> range(static_cast<std::byte*>(base), length);
  if (kind == Memory::kCuda) {
    Status status = gpu_->check_device(range);
    if (!status.ok()) return status;
    // Through staging.
    if (!device.cuda_memory) return transfers_.add_region(range, kind, nullptr);
  }
  if (kind == Memory::kHost && !device.host_memory) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("device {} of net {} does not take host memory", device.name, net_->name()));
  }
  auto memory = net_->register_memory(range, kind);
  if (!memory.ok()) return memory.status();
  return transfers_.add_region(range, kind, memory.take());
}

Status EngineImpl::deregister(RegionId region) { return transfers_.remove_region(region); }

std::string EngineImpl::address() const {
  return Address{advertise_host_, control_->port(), secret_}.to_string();
}

Result<PeerId> EngineImpl::connect(std::string_view address) {
  auto parsed = Address::parse(address);
  if (!parsed.ok()) return parsed.status();
  const std::uint64_t id = peers_.acquire();
  if (id == 0) {
    return Status(StatusCode::kWouldBlock,
                  fmt::format("{} peers are connected (max_peers)", options_.max_peers));
  }
  auto stream = control_->connect(parsed->host, parsed->port);
  if (!stream.ok()) {
    peers_.release(id);
    return stream.status();
  }
  auto& slot = *peers_.find(id);
  slot = std::make_unique<Peer>(context_, id, (*stream)->remote());
  live_.push_back({slot.get(), INT64_MAX});
  bootstrap_.add_outbound(stream.take(), parsed->secret, id);
  next_time_ = 0;
  return PeerId(id);
}

Status EngineImpl::disconnect(PeerId peer) {
  Peer* found = find_peer(peer);
  if (found == nullptr) return no_such_peer(peer);
  bootstrap_.forget(found->id());
  found->fail({StatusCode::kClosed, "disconnected"});
  rouse(*found);
  return {};
}

Status EngineImpl::no_such_peer(PeerId peer) {
  return {StatusCode::kNotFound,
          fmt::format("peer {} is gone or never was", static_cast<std::uint64_t>(peer))};
}

Peer* EngineImpl::find_peer(PeerId peer) {
  auto* slot = peers_.find(static_cast<std::uint64_t>(peer));
  return slot == nullptr ? nullptr : slot->get();
}

void EngineImpl::rouse(Peer& peer) {
  if (!std::exchange(peer.awake, true)) awake_.push_back(&peer);
}

void EngineImpl::leave_out_still() {
  std::erase_if(awake_, [](Peer* peer) {
    peer->awake = !peer->still();
    return !peer->awake;
  });
}

Result<TransferId> EngineImpl::send(PeerId peer, Slice from, Priority priority) {
  return transfer(Direction::kSend, peer, from, priority);
}

Result<TransferId> EngineImpl::recv(PeerId peer, Slice into) {
  return transfer(Direction::kRecv, peer, into, Priority::kNormal);
}

Result<TransferId> EngineImpl::transfer(Direction direction, PeerId peer, Slice slice,
                                        Priority priority) {
  Peer* found = find_peer(peer);
  if (found == nullptr) return no_such_peer(peer);
  if (found->failed()) return found->failure();
  auto id = transfers_.add(direction, peer, slice, priority);
  if (!id.ok()) return id;
  found->enqueue(static_cast<std::uint64_t>(*id), direction);
  rouse(*found);
  return id;
}

std::size_t EngineImpl::progress() {
  const Nanoseconds now = clock_->now();
  recorder_.at(now);
  // Everybody in turn is the first to find room in a batch, and the user to hear of.
  if (awake_.size() > 1) std::rotate(awake_.begin(), awake_.begin() + 1, awake_.end());
  std::size_t steps = move_chunks(now);  // First: what the caller has just asked for goes out.
  const std::size_t heard = handle_ready();
  // What was announced is posted in the same pass: wait() would take another for a reason to spin.
  if (heard > 0) steps += heard + move_chunks(now);
  if (!accepting_) steps += accept_strangers();
  steps += handle_outcomes();
  if (now >= next_time_) handle_time(now);
  steps += bury_gone();
  // Who waits, waits for these too, and some need no step: a deadline passes, cancel() is called.
  if (std::exchange(completed_, transfers_.completed()) != transfers_.completed()) ++steps;
  ++counters_.passes;
  if (steps > 0) {
    worked_at_ = now;
  } else {
    ++counters_.empty_passes;
    leave_out_still();
  }
  return steps;
}

// While one peer alone speaks, reading it costs no more than asking whether there is something to
// read: it is read at once, and all are looked at every few passes and before sleeping.
std::size_t EngineImpl::handle_ready() {
  if (blind_passes_ > 0) {
    --blind_passes_;
    Peer* peer = find_peer(speaker_);
    if (peer != nullptr && peer->listens()) return hear(*peer);
  }
  return look_at_all();
}

std::size_t EngineImpl::look_at_all() {
  std::size_t steps = 0;
  std::array<std::uint64_t, 64> tags;
  const std::size_t count = control_->ready(tags);
  if (count > 0) speaker_ = count == 1 ? PeerId(tags[0]) : PeerId(0);
  blind_passes_ = speaker_ == PeerId(0) ? 0 : kBlindPasses;
  for (std::size_t i = 0; i < count; ++i) {
    if (tags[i] == ControlNet::kAcceptTag) {
      steps += accept_strangers();
    } else if ((tags[i] & Bootstrap::kTagBit) != 0) {
      steps += bootstrap_.on_ready(tags[i]);
    } else if (Peer* peer = find_peer(PeerId(tags[i]))) {
      steps += hear(*peer);
    }
  }
  return steps;
}

std::size_t EngineImpl::hear(Peer& peer) {
  const std::size_t steps = peer.on_ready();
  if (steps > 0) rouse(peer);
  return steps;
}

std::size_t EngineImpl::accept_strangers() {
  std::size_t steps = 0;
  while ((accepting_ = bootstrap_.make_room())) {
    auto stream = control_->accept();
    if (stream == nullptr) break;
    bootstrap_.add_inbound(std::move(stream));
    next_time_ = 0;
    ++steps;
  }
  control_->set_accepting(accepting_);
  return steps;
}

std::size_t EngineImpl::handle_outcomes() {
  std::size_t steps = 0;
  while (bootstrap_.has_outcome()) {
    Bootstrap::Outcome outcome = bootstrap_.take_outcome();
    ++steps;
    if (outcome.status.ok()) {
      welcome(std::move(outcome));
    } else if (Peer* peer = find_peer(PeerId(outcome.peer))) {
      peer->fail(outcome.status);
      rouse(*peer);
    }
  }
  return steps;
}

void EngineImpl::welcome(Bootstrap::Outcome outcome) {
  std::uint64_t id = outcome.peer;
  if (id == 0) {
    id = peers_.acquire();
    if (id == 0) {
      const Status full(StatusCode::kUnavailable,
                        fmt::format("{} peers are connected (max_peers)", options_.max_peers));
      SLUICE_LOG(kWarning, "engine", "{} turned away: {}", outcome.link->stream().remote(),
                 full.message());
      outcome.link->queue(wire::FrameType::kGoodbye,
                          wire::Farewell{StatusCode::kUnavailable, full.message()});
      outcome.link->stream().tag = 0;
      outcome.link->stream().set_reading(false);
      leaving_.push_back({std::move(outcome.link), clock_->now() + kCloseLimit});
      next_time_ = 0;
      return;
    }
    auto& slot = *peers_.find(id);
    slot = std::make_unique<Peer>(context_, id, outcome.link->stream().remote());
    live_.push_back({slot.get(), 0});
  }
  Peer* peer = find_peer(PeerId(id));
  peer->join(std::move(outcome.link), outcome.limits);
  std::ranges::find(live_, peer, &Live::peer)->next_time = 0;
  rouse(*peer);
  peer_events_.push_back({PeerId(id), PeerEventKind::kConnected, {}, peer->label()});
  next_time_ = 0;
}

// The data path: one pass over every channel of every peer that is awake.
std::size_t EngineImpl::move_chunks(Nanoseconds now) {
  std::size_t steps = 0;
  bool making_channels = false;
  std::uint32_t asking = 0;
  for (Peer* peer : awake_) {
    making_channels = making_channels || peer->making_channels();
    asking += peer->asks() ? 1 : 0;
  }
  transfers_.share_places(asking);
  if (making_channels) net_->progress();
  const auto count = [&](Peer* peer, std::size_t moved) {
    if (moved > 0) peer->note_moved(now);
    steps += moved;
  };
  for (Peer* peer : awake_) count(peer, peer->reap(batch_, now));
  const std::uint64_t ticket = batch_.launch(*gpu_);
  for (Peer* peer : awake_) count(peer, peer->advance(ticket, now));
  if (packs_.launch(*gpu_)) ++steps;
  if (sums_.launch(*gpu_)) ++steps;
  return steps;
}

void EngineImpl::handle_time(Nanoseconds now) {
  next_time_ = bootstrap_.on_time(now);
  if (bootstrap_.has_outcome()) next_time_ = now;  // For the next pass.
  const Nanoseconds soon = now + from_ms(options_.peer_timeout_ms) / kWakesPerTimeout;
  for (Live& live : live_) {
    if (live.next_time <= soon) {
      if (live.peer->silent(now)) hear(*live.peer);  // It may have been us who did not listen.
      live.next_time = live.peer->on_time(now);
      if (live.peer->failed() || !live.peer->flushed()) rouse(*live.peer);
    }
    next_time_ = std::min(next_time_, live.next_time);
  }
  see_off(now);
  look_for_stalls(now);
  if (!accepting_) next_time_ = std::min(next_time_, now + from_ms(20));
  if (!leaving_.empty()) next_time_ = std::min(next_time_, now + from_ms(1));
}

// Peers that have failed and whose memory the Net has let go of.
std::size_t EngineImpl::bury_gone() {
  std::size_t steps = 0;
  for (std::size_t i = 0; i < awake_.size();) {
    Peer* peer = awake_[i];
    if (!peer->gone()) {
      ++i;
      continue;
    }
    for (Notification last{PeerId(peer->id()), {}}; peer->take_notification(last.bytes);) {
      last_notifications_.push_back(last);
    }
    remote_regions_.forget(PeerId(peer->id()));
    peer_events_.push_back(
        {PeerId(peer->id()), PeerEventKind::kLost, peer->failure(), peer->label()});
    if (auto link = peer->take_link()) {
      link->stream().tag = 0;
      leaving_.push_back({std::move(link), clock_->now() + kCloseLimit});
      next_time_ = 0;
    }
    if (peer->failure().code() != StatusCode::kClosed) keep_recording("lost");
    awake_[i] = awake_.back();
    awake_.pop_back();
    std::erase_if(live_, [peer](const Live& live) { return live.peer == peer; });
    peers_.release(peer->id());
    ++steps;
  }
  return steps;
}

// Connections whose last frames are on their way: closed when the peer's kernel has them.
std::size_t EngineImpl::see_off(Nanoseconds now) {
  const std::size_t before = leaving_.size();
  std::erase_if(leaving_, [now](Leaving& leaving) {
    if (now > leaving.deadline) return true;
    const IoAnswer flushed = leaving.link->flush();
    if (flushed == IoAnswer::kNotYet) return false;
    if (flushed == IoAnswer::kFailed) return true;
    leaving.link->stream().end_writes();
    // Reading empties the kernel's buffer: closing with unread bytes in it would reset the
    // connection and could cost the peer what we sent last. The peer's end ends the wait too.
    const IoAnswer answer = leaving.link->discard();
    return answer == IoAnswer::kEnd || answer == IoAnswer::kFailed ||
           leaving.link->stream().delivered();
  });
  return before - leaving_.size();
}

std::size_t EngineImpl::poll(std::span<Completion> out) { return transfers_.poll(out); }

std::size_t EngineImpl::poll_peers(std::span<PeerEvent> out) {
  std::size_t count = 0;
  while (count < out.size() && !peer_events_.empty()) {
    out[count++] = std::move(peer_events_.front());
    peer_events_.pop_front();
  }
  return count;
}

void EngineImpl::close() {
  for (const Live& live : live_) {
    live.peer->fail({StatusCode::kClosed, "the engine closed"});
    rouse(*live.peer);
  }
  const Nanoseconds deadline = clock_->now() + kCloseLimit;
  while (clock_->now() < deadline) {
    const Nanoseconds now = clock_->now();
    move_chunks(now);
    bury_gone();
    see_off(now);
    if (live_.empty() && leaving_.empty()) break;
    control_->sleep(std::chrono::microseconds(100));
  }
  keep_recording("closed");
  for (const Live& live : live_) live.peer->stop_lingering();
}

}  // namespace sluice
