#include "tools/perf/exchange.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "src/base/log.h"
#include "tools/perf/pattern.h"

namespace sluice::perf {
namespace {

constexpr std::uint64_t kNoLimit = UINT64_MAX;
constexpr std::chrono::milliseconds kPass{50};
// Filling and checking is done in pieces of this size, so that the engine is driven in between.
constexpr std::size_t kPiece = 16u << 20;

// The two streams of content: what the client sends, what the server sends.
std::uint64_t stream_from(End end) { return end == End::kClient ? 0 : 1; }
End other(End end) { return end == End::kClient ? End::kServer : End::kClient; }

bool sends(const Run& run, End end) {
  return end == End::kClient || run.both_directions || run.phase == Phase::kLatency;
}
bool receives(const Run& run, End end) { return sends(run, other(end)); }

LaneFlow make_flow(const Run& run, const Layout& layout, const Lane& lane, bool used, bool both,
                   std::uint32_t most) {
  // In a latency run the receive of the next message is posted before this one is answered.
  const std::uint32_t depth = std::min(run.phase == Phase::kLatency ? 2 : run.depth, most);
  return {both ? lane : layout.only_lane(), run.size, used ? run.count : 0, depth};
}

LaneFlow make_sends(const Run& run, const Layout& layout, End end, std::uint32_t most) {
  return make_flow(run, layout, layout.send_lane(), sends(run, end), receives(run, end), most);
}
LaneFlow make_recvs(const Run& run, const Layout& layout, End end, std::uint32_t most) {
  return make_flow(run, layout, layout.recv_lane(), receives(run, end), sends(run, end), most);
}

double microseconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}

}  // namespace

std::chrono::milliseconds silence_limit(const Run& run) {
  constexpr std::uint64_t kSlowest = 10'000;  // bytes per ms
  return std::chrono::milliseconds(60'000 + run.size / kSlowest);
}

Exchange::Exchange(Hub& hub, Link& link, const Room& room, const Run& run, End end)
    : hub_(hub),
      link_(link),
      region_(room.region()),
      run_(run),
      ping_pong_(run.phase == Phase::kLatency),
      end_(end),
      sends_(make_sends(run, room.layout(), end, hub.share())),
      recvs_(make_recvs(run, room.layout(), end, hub.share())) {
  arrived_.reserve(kMostDepth);
  if (ping_pong_ && end_ == End::kClient) {
    samples_.reserve(static_cast<std::size_t>(std::min(run.count, kMostSamples)));
  }
  link_.on_data([this](const Completion& completion) { on_completion(completion); });
}

Exchange::~Exchange() { link_.on_data({}); }

template <typename Handle>
Status Exchange::for_each_piece(const Slice& slice, Handle&& handle) {
  const auto length = static_cast<std::size_t>(slice.length);
  const auto start = static_cast<std::size_t>(slice.offset);
  const bool on_host = region_.buffer.kind() == Memory::kHost;
  for (std::size_t at = 0; at < length; at += kPiece) {
    const std::size_t bytes = std::min(kPiece, length - at);
    if (!on_host) scratch_.resize(bytes);
    const std::span<std::byte> piece =
        on_host ? region_.buffer.bytes().subspan(start + at, bytes) : std::span(scratch_);
    Status status = handle(piece, at, start + at);
    if (!status.ok()) return status;
    if (length <= kPiece) break;
    if (status = hub_.pass(std::chrono::microseconds(0)); !status.ok()) return status;
  }
  return {};
}

std::uint64_t Exchange::sends_allowed() const {
  if (!ping_pong_) return kNoLimit;
  return end_ == End::kClient ? recvs_.through() + 1 : recvs_.through();
}

Status Exchange::prepare() {
  started_ = moved_at_ = Clock::now();
  return post(0);
}

Status Exchange::go() {
  started_ = Clock::now();
  while (!sends_.all_through() || !recvs_.all_through()) {
    Status status = post(sends_allowed());
    if (!status.ok()) return status;
    if (sends_.all_through() && recvs_.all_through()) continue;

    const std::uint64_t before = completions_;
    status = hub_.pass(kPass);
    if (status.ok() && !arrived_.empty()) status = check_arrived();
    if (!status.ok()) return status;
    if (!status_.ok()) return status_;
    if (!link_.failure().ok()) return link_.failure();
    if (completions_ != before) {
      moved_at_ = Clock::now();
    } else if (Clock::now() - moved_at_ > silence_limit(run_)) {
      return {StatusCode::kTimedOut, fmt::format("{}: no message moved for {} ms", link_.name(),
                                                 silence_limit(run_).count())};
    }
  }
  return {};
}

// Posts as many receives as there is room for, and at most `sends_allowed` sends in all. One call
// on the engine for both: behind a progress thread a call costs more than what it does.
Status Exchange::post(std::uint64_t sends_allowed) {
  Status status;
  const bool sends = sends_.may_post(sends_allowed);
  if (sends && sends_.posted() < run_.checked) {  // Those are filled one by one.
    status = fill(sends_.posted());
    if (!status.ok()) return status;
    sends_allowed = sends_.posted() + 1;
  }
  if (!sends && !recvs_.may_post(kNoLimit)) return {};
  if (sends && ping_pong_) sent_at_ = Clock::now();
  const auto post_both = [&](Engine& engine) {
    status = post_all(engine, recvs_, false, kNoLimit);
    const Status sent = sends ? post_all(engine, sends_, true, sends_allowed) : Status();
    if (status.ok()) status = sent;
  };
  hub_.driver().run(std::ref(post_both));
  return link_.cause_of(status);
}

Status Exchange::post_all(Engine& engine, LaneFlow& flow, bool sending, std::uint64_t allowed) {
  while (flow.may_post(allowed)) {
    const Slice slice = flow.slice(region_.id, flow.posted());
    const Result<TransferId> id =
        sending ? engine.send(link_.peer(), slice) : engine.recv(link_.peer(), slice);
    // Full queues are emptied by the passes to come.
    if (!id.ok()) return id.status().code() == StatusCode::kWouldBlock ? Status() : id.status();
    flow.post(*id);
  }
  return {};
}

Status Exchange::fill(std::uint64_t index) {
  const std::uint64_t seed = message_seed(run_.seed, stream_from(end_), index);
  return for_each_piece(sends_.slice(region_.id, index),
                        [&](std::span<std::byte> piece, std::size_t at, std::size_t place) {
                          fill_pattern(piece, seed, at);
                          return scratch_.empty() ? Status() : region_.buffer.write(place, piece);
                        });
}

Status Exchange::check(std::uint64_t index) {
  const std::uint64_t seed = message_seed(run_.seed, stream_from(other(end_)), index);
  ++checked_;
  return for_each_piece(recvs_.slice(region_.id, index), [&](std::span<std::byte> piece,
                                                             std::size_t at, std::size_t place) {
    const Status status =
        scratch_.empty() ? Status() : region_.buffer.read(place, std::span(scratch_));
    const auto wrong = find_difference(piece, seed, at);
    if (wrong.has_value() && difference_.empty()) {
      difference_ = fmt::format("message {} of {} bytes differs from byte {} on", index, run_.size,
                                at + *wrong);
    }
    return status;
  });
}

Status Exchange::check_arrived() {
  // Passes in between may append.
  for (std::size_t i = 0; i < arrived_.size(); ++i) {
    const std::uint64_t index = arrived_[i];
    if (Status status = check(index); !status.ok()) return status;
    received(index);
  }
  arrived_.clear();
  return {};
}

void Exchange::on_completion(const Completion& completion) {
  ++completions_;
  if (!completion.status.ok()) {
    if (status_.ok()) status_ = completion.status;
    return;
  }
  std::uint64_t index = 0;
  if (recvs_.find(completion.id, index)) {
    on_received(index, completion.bytes);
  } else if (sends_.find(completion.id, index)) {
    sends_.finish(index);
  }
}

void Exchange::on_received(std::uint64_t index, std::uint64_t bytes) {
  if (index == 0) {
    SLUICE_LOG(kInfo, "perf", "iteration 0 op {} phase {} bytes {} us {:.1f}", run_.op,
               ping_pong_ ? "latency" : "bandwidth", bytes, microseconds(Clock::now() - started_));
  }
  if (bytes != run_.size && difference_.empty()) {
    difference_ =
        fmt::format("message {} has {} bytes, not the {} of this run", index, bytes, run_.size);
  }
  if (ping_pong_ && end_ == End::kClient && samples_.size() < kMostSamples) {
    samples_.push_back(microseconds(Clock::now() - sent_at_) / 2);
  }
  if (index < run_.checked) {
    arrived_.push_back(index);
  } else {
    received(index);
  }
}

void Exchange::received(std::uint64_t index) { recvs_.finish(index); }

}  // namespace sluice::perf
