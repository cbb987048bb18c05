#include "src/engine/outbound.h"

#include <algorithm>
#include <utility>

#include "src/base/crc32c.h"
#include "src/base/log.h"

namespace sluice {
namespace {

// Below this a chunk costs more in wake-ups than a second channel brings.
constexpr std::uint64_t kLeastChunk = 256 << 10;

// What a channel is given of a message before others of its priority have their turns: what it
// then holds keeps it busy while messages of a length, which end together, are followed by others.
constexpr std::uint64_t kTurnsPerWindow = 2;
constexpr std::uint64_t kLeastTurn = 8 << 20;

// What an urgent chunk finds in front of it on its channel, while such are about: enough to keep
// the channel busy.
constexpr std::uint32_t kWindowBesideUrgent = 2;
constexpr Nanoseconds kUrgentMemory = from_ms(100);

Status protocol_error(std::string message) { return {StatusCode::kProtocol, std::move(message)}; }

wire::Manifest::Of of(Direction direction) {
  switch (direction) {
    case Direction::kWrite:
      return wire::Manifest::Of::kWrite;
    case Direction::kServedRead:
      return wire::Manifest::Of::kRead;
    default:
      return wire::Manifest::Of::kMessage;
  }
}

}  // namespace

Outbound::Outbound(const Context& context, std::uint64_t peer)
    : context_(context),
      peer_(peer),
      waiting_(context.transfers),
      urgent_{TransferQueue(context.transfers), 0, TransferQueue(context.transfers)},
      normal_{TransferQueue(context.transfers), 0, TransferQueue(context.transfers)},
      credits_(wire::kMostCredits) {}

Status Outbound::on_credit(const wire::Credit& credit) {
  if (credits_received_ - sends_started_ + credit.count > wire::kMostCredits) {
    return protocol_error(fmt::format("more than {} credits", wire::kMostCredits));
  }
  for (std::uint32_t i = 0; i < credit.count; ++i) {
    credits_[credits_received_++ % wire::kMostCredits] = credit.capacity[i];
  }
  return {};
}

Status Outbound::on_channels_offered(const wire::ChannelsOffered& offered) {
  if (state_ == State::kAborted || state_ == State::kLost) return {};  // Asked for before.
  if (state_ != State::kWanted || awaits_missing_)
    return protocol_error("it offered channels that nobody asked for");
  for (std::uint32_t i = 0; i < offered.count; ++i) {
    auto connector = context_.net.connect(context_.device, offered.handles[i]);
    if (!connector.ok()) return connector.status().with_context(fmt::format("send channel {}", i));
    connectors_.push_back(connector.take());
  }
  made_.resize(connectors_.size());
  state_ = State::kConnecting;
  return {};
}

Status Outbound::progress(FrameStream& link, const PeerLimits& limits, Nanoseconds now,
                          std::size_t& steps) {
  if (state_ == State::kLost) {
    steps += drain();
    if (!renewed_for_.ok() && drained()) want_anew(link, limits, steps);
    return {};
  }
  if (state_ == State::kWanted || state_ == State::kConnecting) {
    Status status = connect_channels(now, steps);
    if (!status.ok()) return status;
  }
  Status status = release(steps);
  if (!status.ok()) return status;
  if (!awaits_missing_) start_waiting(link, limits, steps);
  return state_ == State::kReady ? post_next(link, now, steps) : Status();
}

void Outbound::want_channels(FrameStream& link, const PeerLimits& limits) {
  wire::ChannelsWanted wanted;
  wanted.count = std::min(context_.channels, limits.channels);
  wanted.reason = renewed_for_.message();
  turn_bytes_ = std::max(kLeastTurn, wanted.count * context_.window / kTurnsPerWindow *
                                         std::min(context_.chunk_bytes, limits.chunk_bytes));
  urgent_.left = normal_.left = turn_bytes_;
  ++sets_;
  link.queue(wire::FrameType::kChannelsWanted, wanted);
  channels_deadline_ = context_.clock.now() + from_ms(context_.options.connect_timeout_ms);
  state_ = State::kWanted;
}

Status Outbound::connect_channels(Nanoseconds now, std::size_t& steps) {
  bool all = state_ == State::kConnecting;
  for (std::size_t i = 0; i < connectors_.size(); ++i) {
    if (connectors_[i] == nullptr) continue;
    Status failure;
    switch (connectors_[i]->connect(made_[i], failure)) {
      case MakeAnswer::kNotYet:
        all = false;
        break;
      case MakeAnswer::kFailed:
        return failure.with_context(fmt::format("send channel {}", i));
      case MakeAnswer::kMade:
        connectors_[i].reset();
        ++steps;
        break;
    }
  }
  if (all) {
    channels_.reserve(made_.size());
    for (std::size_t i = 0; i < made_.size(); ++i) {
      channels_.emplace_back(context_, std::move(made_[i]), peer_, wire::channel_name(sets_, i));
    }
    made_.clear();
    connectors_.clear();
    state_ = State::kReady;
    SLUICE_LOG(kInfo, "engine", "peer {} send channels {} connected", peer_, channels_.size());
  } else if (now > channels_deadline_) {
    return {StatusCode::kTimedOut,
            fmt::format("channels not connected within {} ms (connect_timeout_ms)",
                        context_.options.connect_timeout_ms)};
  }
  return {};
}

void Outbound::add_facts(PeerFacts& facts) const {
  facts.credits = credits_received_ - sends_started_;
  facts.making_send_channels = state_ == State::kWanted || state_ == State::kConnecting;
  for (const OutboundChannel& channel : channels_) facts.channels.push_back(channel.facts());
}

Status Outbound::release(std::size_t& steps) {
  for (OutboundChannel& channel : channels_) {
    steps += channel.post_packed();
    while (true) {
      ReleasedChunk chunk;
      const Release answer = channel.try_release_oldest(chunk);
      if (answer == Release::kNotYet) break;
      ++steps;
      released(chunk);
      if (answer == Release::kFailed) return channel.failure();
    }
  }
  return {};
}

void Outbound::released(const ReleasedChunk& chunk) {
  --in_flight_;
  const std::uint64_t id = chunk.transfer;
  Transfer& message = *context_.transfers.find(id);
  --message.in_net;
  if (!message.status.ok()) {  // The peer has failed, and this message with it.
    if (message.in_net == 0) context_.transfers.complete(id, 0, message.status);
    return;
  }
  if (chunk.good) {
    ++message.finished;
    message.check.remainder ^= chunk.share;
  }
  // A write waits for the word of its target, a served read for that of its reader.
  const bool over = message.direction == Direction::kSend ? message.moved()
                                                          : message.answered && message.in_net == 0;
  if (over) context_.transfers.complete(id, message.length, {});
}

void Outbound::start_waiting(FrameStream& link, const PeerLimits& limits, std::size_t& steps) {
  while (!waiting_.empty() && sends_started_ < credits_received_) {
    const std::uint64_t id = waiting_.front();
    if (!start(link, limits, id)) return;
    ++steps;
  }
}

// False: the control connection is full; again in a later pass.
bool Outbound::start(FrameStream& link, const PeerLimits& limits, std::uint64_t id) {
  Transfer& message = *context_.transfers.find(id);
  const std::uint64_t capacity = credits_[sends_started_ % wire::kMostCredits];
  const std::uint64_t small =
      std::min<std::uint64_t>(context_.options.small_bytes, limits.small_bytes);
  // What the host cannot read goes like any chunk.
  const bool is_small = message.length <= small && (message.on_host || message.length == 0);
  const bool rides_along = is_small || message.length > capacity;
  if (!link.room_for(wire::kSmallOverhead + (rides_along ? std::min(message.length, small) : 0) +
                     wire::kHeaderBytes)) {
    return false;
  }
  waiting_.pop();
  message.sequence = sends_started_++;
  if (message.length > capacity) {
    link.queue(wire::FrameType::kTooLong, wire::TooLong{message.sequence, message.length});
    context_.transfers.complete(
        id, 0,
        {StatusCode::kTooLong,
         fmt::format("a message of {} bytes met a receive of {}", message.length, capacity)});
  } else if (is_small) {
    link.queue(wire::FrameType::kSmall,
               wire::Small{message.sequence, {message.data, message.length}});
    context_.transfers.complete(id, message.length, {});
  } else {
    begin(link, limits, id, UINT64_MAX);
  }
  return true;
}

bool Outbound::launch(FrameStream& link, const PeerLimits& limits, std::uint64_t id,
                      std::uint64_t most) {
  if (!link.room_for(wire::kSmallOverhead)) return false;
  begin(link, limits, id, most);
  return true;
}

void Outbound::begin(FrameStream& link, const PeerLimits& limits, std::uint64_t id,
                     std::uint64_t most) {
  Transfer& message = *context_.transfers.find(id);
  message.chunk_bytes = std::min(most, chunk_bytes_for(message.length, limits));
  message.chunks = wire::chunk_count(message.length, message.chunk_bytes);
  message.check.wanted = limits.checksum;
  activate(id);
  if (state_ == State::kNone) want_channels(link, limits);
}

std::uint64_t Outbound::chunk_bytes_for(std::uint64_t message_bytes,
                                        const PeerLimits& limits) const {
  constexpr std::uint64_t kPage = 4096;
  const std::uint64_t most = std::min(context_.chunk_bytes, limits.chunk_bytes);
  const std::uint64_t share =
      (wire::chunk_count(message_bytes, context_.channels) + kPage - 1) / kPage * kPage;
  return std::min(most, std::max(share, kLeastChunk));
}

Outbound::Turns& Outbound::turns_of(const Transfer& message) {
  return message.priority == Priority::kUrgent ? urgent_ : normal_;
}

void Outbound::activate(std::uint64_t id) { turns_of(*context_.transfers.find(id)).queue.push(id); }

void Outbound::recall(std::uint64_t id) {
  Turns& turns = turns_of(*context_.transfers.find(id));
  if (turns.queue.front() == id) turns.left = turn_bytes_;
  if (!turns.queue.remove(id)) turns.sums.remove(id);
}

// Round robin; an urgent chunk goes where the fewest are before it.
OutboundChannel* Outbound::free_channel(Priority priority) {
  const bool urgent = priority == Priority::kUrgent;
  std::size_t best = channels_.size();
  for (std::size_t tried = 0; tried < channels_.size(); ++tried) {
    const std::size_t index = (next_channel_ + tried) % channels_.size();
    const OutboundChannel& channel = channels_[index];
    if (channel.full() || (busy_channels_ >> index & 1) != 0) continue;
    if (!urgent && channel.in_flight() >= normal_window_) continue;
    if (best == channels_.size() || channel.in_flight() < channels_[best].in_flight()) best = index;
    if (!urgent) break;
  }
  if (best == channels_.size()) return nullptr;
  next_channel_ = best;
  return &channels_[best];
}

Status Outbound::post_next(FrameStream& link, Nanoseconds now, std::size_t& steps) {
  busy_channels_ = 0;
  if (!urgent_.queue.empty()) urgent_until_ = now + kUrgentMemory;
  normal_window_ = now < urgent_until_ ? kWindowBesideUrgent : UINT32_MAX;
  Status status = post_turns(urgent_, link, steps);
  if (status.ok() && urgent_.queue.empty()) status = post_turns(normal_, link, steps);
  if (!status.ok()) return status;
  tell_sums(urgent_.sums, link, steps);
  tell_sums(normal_.sums, link, steps);
  return {};
}

// The sums are there when all chunks have been released.
void Outbound::tell_sums(TransferQueue& sums, FrameStream& link, std::size_t& steps) {
  while (!sums.empty() && link.room_for(wire::Sum::kBytes)) {
    const std::uint64_t id = sums.front();
    Transfer& message = *context_.transfers.find(id);
    if (!message.in_place()) return;
    sums.pop();
    link.queue(wire::FrameType::kSum,
               wire::Sum{of(message.direction), message.sequence,
                         crc32c_of(message.check.remainder, message.length)});
    message.check.settled = true;
    if (message.direction == Direction::kSend && message.moved()) {
      context_.transfers.complete(id, message.length, {});
    }
    ++steps;
  }
}

Status Outbound::post_turns(Turns& turns, FrameStream& link, std::size_t& steps) {
  while (!turns.queue.empty()) {
    const std::uint64_t id = turns.queue.front();
    Transfer& message = *context_.transfers.find(id);
    Status status = post_message(link, id, message, turns.left, steps);
    if (!status.ok()) return status;
    const bool whole = message.announced == message.chunks;
    if (!whole && turns.left > 0) return {};  // Windows or the link are full.
    turns.queue.pop();
    turns.left = turn_bytes_;
    if (!whole) {
      turns.queue.push(id);
    } else if (message.check.wanted) {
      turns.sums.push(id);
    }
  }
  return {};
}

// Posts chunks of one message and announces each in the order of posting. Room for the announcement
// is made sure of first: what is posted must be announced.
Status Outbound::post_message(FrameStream& link, std::uint64_t id, Transfer& message,
                              std::uint64_t& turn, std::size_t& steps) {
  Status status;
  manifest_.of = of(message.direction);
  manifest_.sequence = message.sequence;
  manifest_.message_bytes = message.length;
  manifest_.chunk_bytes = message.chunk_bytes;
  manifest_.count = 0;
  while (message.announced < message.chunks && turn > 0 &&
         manifest_.count < wire::kMostChunksPerManifest &&
         link.room_for(wire::Manifest::body_bytes(manifest_.count + 1))) {
    OutboundChannel* channel = free_channel(message.priority);
    if (channel == nullptr) break;
    const std::uint64_t offset = message.announced * message.chunk_bytes;
    const std::uint64_t bytes = std::min(message.chunk_bytes, message.length - offset);
    const bool spread = message.data == nullptr;
    const BlockCursor here = spread ? message.layout->next : BlockCursor();
    ChunkPlace place = spread
                           ? take_chunk(*message.layout, bytes)
                           : ChunkPlace{message.data + offset, message.memory, nullptr, {}, bytes};
    place.behind = message.length - offset - bytes;
    place.summed_by = message.summed_by();
    const PostAnswer answer = channel->post(id, place);
    if (spread && answer != PostAnswer::kPosted) message.layout->next = here;
    if (answer == PostAnswer::kBusy) {
      busy_channels_ |= 1ull << next_channel_;
      continue;
    }
    if (answer == PostAnswer::kFailed) {
      status = channel->failure();
      break;
    }
    manifest_.chunks[manifest_.count++] = {static_cast<std::uint16_t>(next_channel_),
                                           static_cast<std::uint32_t>(message.announced)};
    turn -= std::min(turn, bytes);
    ++message.announced;
    ++message.in_net;
    ++in_flight_;
    ++steps;
    next_channel_ = (next_channel_ + 1) % channels_.size();
  }
  if (manifest_.count > 0) link.queue(wire::FrameType::kManifest, manifest_);
  return status;
}

void Outbound::stop() {
  state_ = State::kStopped;
  connectors_.clear();
  made_.clear();
}

void Outbound::abort() {
  if (state_ == State::kAborted) return;
  lose();
  state_ = State::kAborted;
}

std::size_t Outbound::drain() {
  std::size_t steps = 0;
  for (OutboundChannel& channel : channels_) {
    ReleasedChunk chunk;
    steps += channel.post_packed();
    while (channel.try_release_oldest(chunk) != Release::kNotYet) {
      chunk.good = false;
      released(chunk);
      ++steps;
    }
  }
  return steps;
}

std::uint64_t Outbound::bytes_in_net() const {
  std::uint64_t bytes = 0;
  for (const OutboundChannel& channel : channels_) bytes += channel.bytes_in_net();
  return bytes;
}

bool Outbound::still() const {
  const bool settled = state_ == State::kNone || (state_ == State::kReady && !awaits_missing_);
  const bool starts = !waiting_.empty() && sends_started_ < credits_received_;
  return settled && !starts && in_flight_ == 0 && urgent_.queue.empty() && urgent_.sums.empty() &&
         normal_.queue.empty() && normal_.sums.empty();
}

bool Outbound::drained() const {
  return std::all_of(channels_.begin(), channels_.end(),
                     [](const OutboundChannel& channel) { return channel.empty(); });
}

}  // namespace sluice
