#include "tools/mesh/rendezvous.h"

#include <fmt/format.h>

#include <list>
#include <map>
#include <utility>

#include "tools/perf/hub.h"
#include "tools/perf/link.h"
#include "tools/stop.h"

namespace sluice::mesh {
namespace {

using SteadyClock = std::chrono::steady_clock;
using perf::Hub;
using perf::Link;

constexpr std::chrono::milliseconds kPass{10};
constexpr std::chrono::milliseconds kRetry{300};
constexpr std::chrono::milliseconds kFarewell{2000};
constexpr std::uint32_t kSparePeers = 64;  // Strangers besides the hosts.

// Small messages, wherever the bytes that are measured go.
Options engine_for(const RendezvousOptions& options) {
  Options engine = options.engine;
  engine.net = "tcp";
  engine.device.clear();
  engine.gpu = "none";
  engine.channels = 1;
  engine.max_peers = static_cast<std::uint32_t>(options.hosts.size()) + kSparePeers;
  return engine;
}

Result<Message> hear(Link& link) {
  const auto text = link.hear_text(std::chrono::milliseconds(0));
  return text.ok() ? decode(*text) : text.status();
}

class Leader {
 public:
  Leader(const RendezvousOptions& options, Worker& worker, Hub& hub)
      : options_(options), worker_(worker), hub_(hub), members_(options.hosts.size()) {
    members_[0].engines = worker.engines();
    members_[0].joined = true;
  }

  Status gather();
  Result<Meshed> run();

 private:
  struct Member {
    std::unique_ptr<Link> link;  // nullptr: rank 0, or nobody.
    std::vector<EngineInfo> engines;
    bool joined = false;  // And not lost since.
  };

  void admit();
  void seat(std::unique_ptr<Link> link);
  void make_matrix();
  [[nodiscard]] bool all_joined() const;
  void lose(std::uint32_t rank, const std::string& why);
  Status run_round(const std::vector<Pair>& pairs);
  void ask(const Pair& pair);
  void hear_members();
  void settle(std::uint32_t rank, const Outcome& outcome);
  void fail(const Pair& pair, const std::string& why);
  void say_farewell();

  const RendezvousOptions& options_;
  Worker& worker_;
  Hub& hub_;
  std::vector<Member> members_;              // By rank.
  std::list<std::unique_ptr<Link>> guests_;  // Connected, and have not said who they are.
  std::unique_ptr<Matrix> matrix_;
  std::map<std::uint32_t, Pair> pending_;  // By Task::id.
  std::uint32_t next_id_ = 0;
  std::uint32_t round_ = 0;
};

bool Leader::all_joined() const {
  for (const Member& member : members_) {
    if (!member.joined) return false;
  }
  return true;
}

void Leader::admit() {
  while (const auto stranger = hub_.take_stranger()) {
    guests_.push_back(std::make_unique<Link>(hub_, stranger->peer, stranger->name));
  }
  for (auto guest = guests_.begin(); guest != guests_.end();) {
    const bool speaks = (*guest)->heard();
    if (!speaks && (*guest)->failure().ok()) {
      ++guest;
      continue;
    }
    std::unique_ptr<Link> link = std::move(*guest);
    guest = guests_.erase(guest);
    if (speaks) seat(std::move(link));
  }
}

void Leader::seat(std::unique_ptr<Link> link) {
  const Result<Message> message = hear(*link);
  const Join* join = message.ok() ? std::get_if<Join>(&*message) : nullptr;
  std::string why;
  if (join == nullptr) {
    why = message.ok() ? "a mesh begins with Join" : std::string(message.status().message());
  } else if (join->hosts != options_.hosts.size()) {
    why =
        fmt::format("it has {} hosts in its file, here are {}", join->hosts, options_.hosts.size());
  } else if (matrix_ != nullptr) {
    why = "the mesh has begun";
  } else if (members_[join->rank].joined) {
    why = fmt::format("rank {} is taken", join->rank);
  }
  if (!why.empty()) {
    options_.say(fmt::format("{} turned away: {}", link->name(), why));
    link->say_last(encode(Refusal{why}));
    return;
  }
  Member& member = members_[join->rank];
  member.engines = join->engines;
  member.joined = true;
  member.link = std::move(link);
}

Status Leader::gather() {
  const auto end = SteadyClock::now() + options_.join_limit;
  while (!all_joined() && SteadyClock::now() < end) {
    if (Status status = hub_.pass(kPass); !status.ok()) return status;
    admit();
    for (Member& member : members_) {
      if (member.link == nullptr || member.link->failure().ok()) continue;
      member = Member();  // It may come again.
    }
  }
  make_matrix();
  for (std::uint32_t rank = 1; rank < members_.size(); ++rank) {
    if (members_[rank].joined) return {};
  }
  return {StatusCode::kTimedOut,
          fmt::format("none of the {} other hosts came within {} s", members_.size() - 1,
                      options_.join_limit.count() / 1000)};
}

void Leader::make_matrix() {
  std::vector<MeshHost> hosts;
  for (std::size_t rank = 0; rank < members_.size(); ++rank) {
    MeshHost& host = hosts.emplace_back();
    host.host = options_.hosts[rank];
    for (const EngineInfo& one : members_[rank].engines) host.engines.push_back(one.name);
    if (!members_[rank].joined) {
      host.lost = fmt::format("not within {} s", options_.join_limit.count() / 1000);
    }
  }
  matrix_ = std::make_unique<Matrix>(std::move(hosts));
}

Result<Meshed> Leader::run() {
  std::vector<std::vector<std::string>> nics;
  for (const Member& member : members_) {
    std::vector<std::string>& names = nics.emplace_back();
    for (const EngineInfo& one : member.engines) names.push_back(one.nic);
  }
  const auto rounds = make_schedule(nics);
  options_.say(fmt::format(
      "{} of {} hosts, {} engines, {} rounds",
      [&] {
        std::size_t joined = 0;
        for (const Member& member : members_) joined += member.joined ? 1 : 0;
        return joined;
      }(),
      members_.size(), matrix_->engines().size(), rounds.size()));
  for (const std::vector<Pair>& pairs : rounds) {
    ++round_;
    options_.say(fmt::format("round {} of {}", round_, rounds.size()));
    if (Status status = run_round(pairs); !status.ok()) return status;
  }
  say_farewell();
  return Meshed{std::move(*matrix_), rounds.size()};
}

void Leader::fail(const Pair& pair, const std::string& why) {
  Cell& cell = matrix_->at(pair);
  cell.state = Cell::State::kFailed;
  cell.why = why;
}

void Leader::lose(std::uint32_t rank, const std::string& why) {
  Member& member = members_[rank];
  if (!member.joined) return;
  member.joined = false;
  member.link.reset();
  matrix_->lose(rank, round_, why);
  options_.say(fmt::format("host {} ({}) is lost: {}", rank, options_.hosts[rank], why));
  std::erase_if(pending_, [&](const auto& one) {
    if (one.second.from.host != rank) return false;
    fail(one.second, fmt::format("host {} was lost", rank));
    return true;
  });
}

void Leader::ask(const Pair& pair) {
  for (const std::uint32_t rank : {pair.from.host, pair.to.host}) {
    if (!members_[rank].joined) return fail(pair, fmt::format("host {} was lost", rank));
  }
  const EngineInfo& target = members_[pair.to.host].engines[pair.to.engine];
  const Task task{next_id_++, pair.from.engine, pair.to.host, target.address};
  pending_[task.id] = pair;
  if (pair.from.host == 0) return worker_.start(task);
  const Status status = members_[pair.from.host].link->say_text(encode(task));
  if (!status.ok()) lose(pair.from.host, std::string(status.message()));
}

void Leader::settle(std::uint32_t rank, const Outcome& outcome) {
  const auto found = pending_.find(outcome.id);
  if (found == pending_.end() || found->second.from.host != rank) {
    return lose(rank, "it told of a measurement that it was not asked for");
  }
  const Pair pair = found->second;
  pending_.erase(found);
  if (!outcome.why.empty()) return fail(pair, outcome.why);
  matrix_->at(pair) = {Cell::State::kMeasured, outcome.gbytes_per_s, outcome.p50_us, outcome.p99_us,
                       ""};
}

void Leader::hear_members() {
  for (std::uint32_t rank = 1; rank < members_.size(); ++rank) {
    Link* link = members_[rank].link.get();
    if (link == nullptr) continue;
    if (link->heard()) {
      const Result<Message> message = hear(*link);
      const Outcome* outcome = message.ok() ? std::get_if<Outcome>(&*message) : nullptr;
      if (outcome == nullptr) {
        lose(rank, message.ok() ? "it said what has no place here"
                                : std::string(message.status().message()));
        continue;
      }
      settle(rank, *outcome);
    } else if (!link->failure().ok()) {
      lose(rank, std::string(link->failure().message()));
    }
  }
}

Status Leader::run_round(const std::vector<Pair>& pairs) {
  for (const Pair& pair : pairs) ask(pair);
  const auto end = SteadyClock::now() + options_.answer_limit;
  while (!pending_.empty()) {
    if (Status status = hub_.pass(kPass); !status.ok()) return status;
    admit();  // Who comes late is told so.
    for (const Outcome& outcome : worker_.take_outcomes()) settle(0, outcome);
    hear_members();
    if (SteadyClock::now() < end) continue;
    while (!pending_.empty()) {
      const std::uint32_t rank = pending_.begin()->second.from.host;
      if (rank == 0) {
        return {StatusCode::kTimedOut, "a measurement of this host does not end"};
      }
      lose(rank, fmt::format("no answer within {} s", options_.answer_limit.count() / 1000));
    }
  }
  return {};
}

// The others end when they have heard it; then their connections close.
void Leader::say_farewell() {
  for (Member& member : members_) {
    if (member.link != nullptr) (void)member.link->say_text(encode(End{}));
  }
  const auto end = SteadyClock::now() + kFarewell;
  for (bool any = true; any && SteadyClock::now() < end;) {
    if (!hub_.pass(kPass).ok()) return;
    any = false;
    for (const Member& member : members_) {
      any = any || (member.link != nullptr && member.link->failure().ok());
    }
  }
}

// Connects until it works or the time to join is over.
Result<std::unique_ptr<Link>> reach_leader(const RendezvousOptions& options, Hub& hub) {
  const auto end = SteadyClock::now() + options.join_limit;
  const std::string& host = options.hosts[0];
  Status status;
  while (true) {
    // The name may become known later, as that of a pod does.
    const auto address = make_address(host, options.port, options.engine.token);
    status = address.status();
    if (address.ok()) {
      Result<PeerId> peer{PeerId{}};
      hub.driver().run([&](Engine& engine) { peer = engine.connect(*address); });
      if (!peer.ok()) return peer.status();
      auto link = std::make_unique<Link>(hub, *peer, host);
      while (!link->connected() && link->failure().ok()) {
        if (Status passed = hub.pass(kPass); !passed.ok()) return passed;
      }
      status = link->failure();
      if (status.ok()) return link;
    }
    const bool over = SteadyClock::now() >= end;
    if (over || status.code() == StatusCode::kDenied) {
      return status.with_context(fmt::format("rank 0 at {}:{}", host, options.port));
    }
    const auto retry = SteadyClock::now() + kRetry;
    while (SteadyClock::now() < retry) {
      if (Status passed = hub.pass(kPass); !passed.ok()) return passed;
    }
  }
}

}  // namespace

Result<Meshed> lead(const RendezvousOptions& options, Worker& worker) {
  Options engine = engine_for(options);
  engine.listen_port = options.port;
  if (engine.token.empty()) engine.allow_anyone = 1;
  auto hub = Hub::create(engine, perf::Threading::kCaller, tools::stop_requested);
  if (!hub.ok()) return hub.status();
  Leader leader(options, worker, **hub);
  if (Status status = leader.gather(); !status.ok()) return status;
  return leader.run();
}

Status follow(const RendezvousOptions& options, std::uint32_t rank, Worker& worker) {
  Options engine = engine_for(options);
  engine.listen_port = 0;
  engine.allow_anyone = 0;
  auto hub = Hub::create(engine, perf::Threading::kCaller, tools::stop_requested);
  if (!hub.ok()) return hub.status();
  auto reached = reach_leader(options, **hub);
  if (!reached.ok()) return reached.status();
  Link& link = **reached;
  const Join join{rank, static_cast<std::uint32_t>(options.hosts.size()), worker.engines()};
  Status status = link.say_text(encode(join));
  while (status.ok()) {
    status = (*hub)->pass(kPass);
    for (const Outcome& outcome : worker.take_outcomes()) {
      if (status.ok()) status = link.say_text(encode(outcome));
    }
    if (!status.ok() || !link.heard()) {
      if (status.ok()) status = link.failure();
      continue;
    }
    const Result<Message> message = hear(link);
    if (!message.ok()) return message.status();
    if (std::holds_alternative<End>(*message)) return {};
    if (const auto* refusal = std::get_if<Refusal>(&*message)) {
      return {StatusCode::kUnavailable, fmt::format("rank 0 refuses: {}", refusal->why)};
    }
    const Task* task = std::get_if<Task>(&*message);
    if (task == nullptr) return {StatusCode::kProtocol, "rank 0 said what has no place here"};
    worker.start(*task);
  }
  return status.with_context("rank 0");
}

}  // namespace sluice::mesh
