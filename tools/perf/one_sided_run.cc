#include "tools/perf/one_sided_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "tools/perf/exchange.h"
#include "tools/perf/pattern.h"

namespace sluice::perf {
namespace {

constexpr std::chrono::milliseconds kPass{50};
// The longest without a pass, where nothing has to be waited for.
constexpr std::chrono::milliseconds kDue{10};
// Filling and checking is done in pieces of this size.
constexpr std::uint64_t kPiece = 16u << 20;
// Operations that are filled, moved and checked at a time.
constexpr std::uint64_t kBatch = kMostDepth;

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
                         const Blocks& blocks, std::uint64_t slots_there)
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
      slots_(slots_there == 0 ? room.layout().slots : std::min(room.layout().slots, slots_there)),
      depth_(static_cast<std::size_t>(
          run.phase == Phase::kLatency
              ? 1
              : std::min<std::uint64_t>({run.depth, slots_, hub.share()}))),
      beside_(hub, link, region_.id, writes_, run.beside),
      passed_at_(Clock::now()) {
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
  if (measuring_ && samples_.size() < samples_.capacity()) {
    samples_.push_back(microseconds(Clock::now() - found->asked));
  }
  in_flight_.erase(found);
}

Status OneSidedRun::until_idle(std::size_t most_in_flight) {
  const auto end = Clock::now() + silence_limit(run_);
  while (in_flight_.size() > most_in_flight) {
    if (Status status = pass(kPass); !status.ok()) return status;
    if (Clock::now() > end) {
      return {StatusCode::kTimedOut,
              fmt::format("no {} ended for {} ms", run_.op, silence_limit(run_).count())};
    }
  }
  return {};
}

Status OneSidedRun::pass(std::chrono::microseconds limit) {
  Status status = hub_.pass(limit);
  passed_at_ = Clock::now();
  if (!status.ok()) return status;
  if (!status_.ok()) return status_;
  return link_.failure().ok() ? beside_.failure() : link_.failure();
}

Status OneSidedRun::pass_if_due() {
  return Clock::now() - passed_at_ < kDue ? Status() : pass(std::chrono::microseconds(0));
}

Status OneSidedRun::prepare(const std::string& exported) {
  Result<RemoteRegionId> remote{RemoteRegionId{}};
  hub_.driver().run(
      [&](Engine& engine) { remote = engine.import_region(link_.peer(), from_hex(exported)); });
  if (!remote.ok()) return link_.cause_of(remote.status());
  remote_ = *remote;
  imported_ = true;
  return {};
}

Status OneSidedRun::move(std::uint64_t from, std::uint64_t end, bool writes) {
  for (std::uint64_t operation = from; operation < end; ++operation) {
    const std::vector<Slice> here{{region_.id, base_of(operation), run_.size}};
    const std::vector<RemoteSlice> there{{remote_, base_of(operation), run_.size}};
    Result<TransferId> id{TransferId{}};
    hub_.driver().run([&](Engine& engine) {
      id =
          writes ? engine.write(link_.peer(), here, there) : engine.read(link_.peer(), here, there);
    });
    if (!id.ok()) return id.status();
    in_flight_.push_back({*id, Clock::now()});
    if (Status status = until_idle(depth_ - 1); !status.ok()) return status;
  }
  return until_idle(0);
}

std::span<std::byte> OneSidedRun::image_of(std::uint64_t operation) {
  const auto bytes = static_cast<std::size_t>(run_.size);
  if (region_.buffer.kind() == Memory::kHost) {
    return region_.buffer.bytes().subspan(static_cast<std::size_t>(base_of(operation)), bytes);
  }
  image_.resize(bytes);
  return image_;
}

Status OneSidedRun::store(std::uint64_t operation) {
  for (std::uint64_t at = 0; at < image_.size(); at += kPiece) {
    const auto piece = std::span(image_).subspan(at, std::min(kPiece, image_.size() - at));
    Status status = region_.buffer.write(base_of(operation) + at, piece);
    if (status.ok()) status = pass_if_due();
    if (!status.ok()) return status;
  }
  return {};
}

Status OneSidedRun::load(std::uint64_t operation) {
  for (std::uint64_t at = 0; at < image_.size(); at += kPiece) {
    const auto piece = std::span(image_).subspan(at, std::min(kPiece, image_.size() - at));
    Status status = region_.buffer.read(base_of(operation) + at, piece);
    if (status.ok()) status = pass_if_due();
    if (!status.ok()) return status;
  }
  return {};
}

template <typename Handle>
Status OneSidedRun::for_each_piece(std::span<std::byte> image,
                                   const std::vector<std::uint64_t>& places, Handle&& handle) {
  std::uint64_t since_pass = 0;  // Blocks: a look at the clock costs more than a small one.
  for (std::uint64_t block = 0; block < places.size(); ++block) {
    for (std::uint64_t at = 0; at < blocks_.bytes; at += kPiece) {
      const std::uint64_t bytes = std::min(kPiece, blocks_.bytes - at);
      handle(image.subspan(places[block] + at, bytes), block, at);
      if (++since_pass % 256 != 0 && bytes < kPiece) continue;
      if (Status status = pass_if_due(); !status.ok()) return status;
    }
  }
  return {};
}

Status OneSidedRun::fill_one(std::uint64_t operation) {
  const auto seed = [&](std::uint64_t block) { return message_seed(run_.seed, operation, block); };
  Status status = for_each_piece(image_of(operation), writes_ ? here_ : there_,
                                 [&](std::span<std::byte> piece, std::uint64_t block,
                                     std::uint64_t at) { fill_pattern(piece, seed(block), at); });
  return status.ok() ? store(operation) : status;
}

Status OneSidedRun::clear_one(std::uint64_t operation) {
  Status status = for_each_piece(image_of(operation), here_,
                                 [](std::span<std::byte> piece, std::uint64_t, std::uint64_t) {
                                   std::ranges::fill(piece, std::byte{0});
                                 });
  return status.ok() ? store(operation) : status;
}

Status OneSidedRun::fill(std::uint64_t from, std::uint64_t end) {
  for (std::uint64_t operation = from; operation < end; ++operation) {
    if (Status status = fill_one(operation); !status.ok()) return status;
  }
  if (writes_) return {};
  if (Status status = move(from, end, true); !status.ok()) return status;
  // What is read has to come from there.
  for (std::uint64_t operation = from; operation < end; ++operation) {
    if (Status status = clear_one(operation); !status.ok()) return status;
  }
  return {};
}

Status OneSidedRun::check_one(std::uint64_t operation) {
  const std::span<std::byte> image = image_of(operation);
  if (Status status = load(operation); !status.ok()) return status;
  const auto compare = [&](std::span<std::byte> piece, std::uint64_t block, std::uint64_t at) {
    const auto wrong = find_difference(piece, message_seed(run_.seed, operation, block), at);
    if (!wrong.has_value() || !difference_.empty()) return;
    difference_ = fmt::format("{} {}, block {} of {} bytes differs from byte {} on", run_.op,
                              operation, block, blocks_.bytes, at + *wrong);
  };
  ++checked_;
  return for_each_piece(image, writes_ ? there_ : here_, compare);
}

Status OneSidedRun::check(std::uint64_t from, std::uint64_t end) {
  if (writes_) {
    if (Status status = move(from, end, false); !status.ok()) return status;
  }
  for (std::uint64_t operation = from; operation < end; ++operation) {
    if (Status status = check_one(operation); !status.ok()) return status;
  }
  return {};
}

Status OneSidedRun::post() {
  const std::uint64_t base = base_of(posted_);
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
  return link_.cause_of(status);
}

Status OneSidedRun::post_until(std::uint64_t end) {
  measuring_ = true;
  Status status;
  while (posted_ < end && status.ok()) {
    status = beside_.keep_up(remote_);
    if (status.ok()) status = post();
    // A list of many blocks takes long to be asked for.
    if (status.ok()) status = pass_if_due();
    if (status.ok()) status = until_idle(depth_ - 1);
  }
  if (status.ok()) status = until_idle(0);
  measuring_ = false;
  return status;
}

Status OneSidedRun::go() {
  while (posted_ < run_.checked) {
    const std::uint64_t from = posted_;
    const std::uint64_t end = std::min(run_.checked, from + std::min(slots_, kBatch));
    Status status = fill(from, end);
    if (status.ok()) status = post_until(end);
    if (status.ok()) status = check(from, end);
    if (!status.ok()) return status;
  }
  return post_until(run_.count);
}

Status OneSidedRun::wind_up() {
  beside_.stop();
  const auto end = Clock::now() + silence_limit(run_);
  while (beside_.under_way()) {
    if (Status status = pass(kPass); !status.ok()) return status;
    if (Clock::now() > end) return {StatusCode::kTimedOut, "what went on beside does not end"};
  }
  return {};
}

}  // namespace sluice::perf
