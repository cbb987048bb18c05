#include "tools/perf/one_sided_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "tools/perf/exchange.h"
#include "tools/perf/pattern.h"

namespace sluice::perf {
namespace {

constexpr std::chrono::milliseconds kPass{50};

double microseconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

std::string to_hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

std::string from_hex(std::string_view text) {
  std::string bytes;
  if (text.size() % 2 != 0) return "";
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]);
    const int low = digit(text[i + 1]);
    if (high < 0 || low < 0) return "";
    bytes += static_cast<char>(high << 4 | low);
  }
  return bytes;
}

OneSidedRun::OneSidedRun(Hub& hub, Link& link, const Room& room, const Run& run,
                         const Blocks& blocks)
    : hub_(hub),
      link_(link),
      region_(room.region()),
      run_(run),
      blocks_(blocks),
      writes_(run.op == "write"),
      here_(blocks.places(0)),
      there_(blocks.places(1)),
      first_(room.layout().first),
      stride_(room.layout().stride),
      slots_(room.layout().slots),
      depth_(static_cast<std::size_t>(
          run.phase == Phase::kLatency
              ? 1
              : std::min<std::uint64_t>({run.depth, slots_, hub.share()}))),
      beside_(hub, link, region_.id, writes_, run.beside) {
  asked_.priority = run.urgent ? Priority::kUrgent : Priority::kNormal;
  local_slices_.resize(here_.size());
  remote_slices_.resize(there_.size());
  in_flight_.reserve(depth_);
  const auto samples = static_cast<std::size_t>(std::min(run.count, Exchange::kMostSamples));
  samples_.reserve(samples);
  post_samples_.reserve(samples);
  link_.on_data([this](const Completion& completion) { on_completion(completion); });
}

OneSidedRun::~OneSidedRun() {
  link_.on_data({});
  if (!imported_) return;
  hub_.driver().run([this](Engine& engine) {
    static_cast<void>(engine.forget_region(remote_));  // Gone with its peer already.
  });
}

void OneSidedRun::on_completion(const Completion& completion) {
  if (beside_.on_completion(completion)) return;
  const auto found = std::find_if(in_flight_.begin(), in_flight_.end(),
                                  [&](const InFlight& one) { return one.id == completion.id; });
  if (found == in_flight_.end()) return;
  if (!completion.status.ok() && status_.ok()) status_ = completion.status;
  if (samples_.size() < samples_.capacity()) {
    samples_.push_back(microseconds(Clock::now() - found->asked));
  }
  in_flight_.erase(found);
}

Status OneSidedRun::until_idle(std::size_t most_in_flight) {
  const auto end = Clock::now() + silence_limit(run_);
  while (in_flight_.size() > most_in_flight) {
    if (Status status = pass(); !status.ok()) return status;
    if (Clock::now() > end) {
      return {StatusCode::kTimedOut,
              fmt::format("no {} ended for {} ms", run_.op, silence_limit(run_).count())};
    }
  }
  return {};
}

Status OneSidedRun::pass() {
  if (Status status = hub_.pass(kPass); !status.ok()) return status;
  if (!status_.ok()) return status_;
  return link_.failure().ok() ? beside_.failure() : link_.failure();
}

Status OneSidedRun::prepare(const std::string& exported) {
  Result<RemoteRegionId> remote{RemoteRegionId{}};
  hub_.driver().run(
      [&](Engine& engine) { remote = engine.import_region(link_.peer(), from_hex(exported)); });
  if (!remote.ok()) return remote.status();
  remote_ = *remote;
  imported_ = true;
  if (run_.checked == 0) return {};
  const std::uint64_t seed = run_.seed;
  Status status =
      for_each_block(writes_ ? here_ : there_, [&](std::uint64_t index, std::uint64_t place) {
        fill_pattern(scratch_, message_seed(seed, 0, index), 0);
        return region_.buffer.write(static_cast<std::size_t>(first_ + place), scratch_);
      });
  if (!status.ok() || writes_) return status;
  if (status = move_all(true); !status.ok()) return status;
  // What is read has to come from there.
  std::ranges::fill(scratch_, std::byte{0});
  return for_each_block(here_, [&](std::uint64_t, std::uint64_t place) {
    return region_.buffer.write(static_cast<std::size_t>(first_ + place), scratch_);
  });
}

// The first slot's bytes, gaps included, in one piece.
Status OneSidedRun::move_all(bool writes) {
  const std::vector<Slice> here{{region_.id, first_, run_.size}};
  const std::vector<RemoteSlice> there{{remote_, first_, run_.size}};
  Result<TransferId> id{TransferId{}};
  hub_.driver().run([&](Engine& engine) {
    id = writes ? engine.write(link_.peer(), here, there) : engine.read(link_.peer(), here, there);
  });
  if (!id.ok()) return id.status();
  in_flight_.push_back({*id, Clock::now()});
  const Status status = until_idle(0);
  samples_.clear();
  return status;
}

template <typename Handle>
Status OneSidedRun::for_each_block(const std::vector<std::uint64_t>& places, Handle&& handle) {
  scratch_.resize(static_cast<std::size_t>(blocks_.bytes));
  for (std::uint64_t i = 0; i < places.size(); ++i) {
    if (Status status = handle(i, places[i]); !status.ok()) return status;
    if (i % 1024 == 0) {  // The peer is to hear from us.
      if (Status status = hub_.pass(std::chrono::microseconds(0)); !status.ok()) return status;
    }
  }
  return {};
}

Status OneSidedRun::post() {
  const std::uint64_t base = first_ + posted_ % slots_ * stride_;
  for (std::size_t i = 0; i < here_.size(); ++i) {
    local_slices_[i] = {region_.id, base + here_[i], blocks_.bytes};
    remote_slices_[i] = {remote_, base + there_[i], blocks_.bytes};
  }
  Status status;
  const auto ask = [&](Engine& engine) {
    const auto start = Clock::now();
    const Result<TransferId> id =
        writes_ ? engine.write(link_.peer(), local_slices_, remote_slices_, asked_)
                : engine.read(link_.peer(), local_slices_, remote_slices_, asked_);
    if (!id.ok()) {
      status = id.status();
      return;
    }
    if (post_samples_.size() < post_samples_.capacity()) {
      post_samples_.push_back(microseconds(Clock::now() - start));
    }
    in_flight_.push_back({*id, start});
    ++posted_;
  };
  hub_.driver().run(std::ref(ask));
  return status;
}

Status OneSidedRun::go() {
  while (posted_ < run_.count) {
    if (Status status = beside_.keep_up(remote_); !status.ok()) return status;
    if (Status status = post(); !status.ok()) return status;
    if (Status status = until_idle(depth_ - 1); !status.ok()) return status;
  }
  return until_idle(0);
}

Status OneSidedRun::wind_up() {
  beside_.stop();
  const auto end = Clock::now() + silence_limit(run_);
  while (beside_.under_way()) {
    if (Status status = pass(); !status.ok()) return status;
    if (Clock::now() > end) return {StatusCode::kTimedOut, "what went on beside does not end"};
  }
  return {};
}

Status OneSidedRun::check() {
  if (run_.checked == 0) return {};
  if (writes_) {
    if (Status status = move_all(false); !status.ok()) return status;
  }
  const Status status =
      for_each_block(writes_ ? there_ : here_, [&](std::uint64_t index, std::uint64_t place) {
        const Status read = region_.buffer.read(static_cast<std::size_t>(first_ + place), scratch_);
        const auto wrong = find_difference(scratch_, message_seed(run_.seed, 0, index), 0);
        if (wrong.has_value() && difference_.empty()) {
          difference_ = fmt::format("block {} of {} bytes differs from byte {} on", index,
                                    blocks_.bytes, *wrong);
        }
        return read;
      });
  ++checked_;
  return status;
}

}  // namespace sluice::perf
