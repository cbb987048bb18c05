#include "tools/perf/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

#include "src/base/settings.h"
#include "src/engine/secret.h"
#include "tools/perf/one_sided_run.h"
#include "tools/perf/statistics.h"

namespace sluice::perf {
namespace {

using SteadyClock = std::chrono::steady_clock;

// How long the server may take for what it does between messages: allocate, fill, check.
constexpr std::chrono::milliseconds kAnswer{60'000};
// The first run of the bandwidth phase, whose content is checked, fills the window if that takes no
// more than this.
constexpr std::uint64_t kFirstBytes = 64ull << 20;
constexpr std::uint64_t kFirstBlocks = 1u << 18;  // Each is filled and compared by itself.

double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

// How often a client that waits for the others of its ensemble looks for them.
constexpr std::chrono::microseconds kLook{200};

EngineCounters counters_of(Driver& driver) {
  EngineCounters counters;
  const auto look = [&counters](Engine& engine) { counters = engine.counters(); };
  driver.run(std::ref(look));
  return counters;
}

EngineCounters since(const EngineCounters& before, const EngineCounters& now) {
  return {now.passes - before.passes, now.empty_passes - before.empty_passes,
          now.wake_ups - before.wake_ups, now.cpu_ns - before.cpu_ns};
}

// As the layers below name it.
std::string end_of(const Address& address) {
  const bool bracket = address.host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", bracket ? "[" : "", address.host, bracket ? "]" : "",
                     address.port);
}

std::uint64_t random_seed() {
  std::random_device device;
  return static_cast<std::uint64_t>(device()) << 32 | device();
}

}  // namespace

struct Client::RunOutcome {
  double seconds = 0;      // From the server's readiness to its word that it has everything.
  double cpu_seconds = 0;  // Of both ends, meanwhile.
  std::uint64_t checked = 0;
  EngineCounters counters;  // What driving this end's engine took.
  std::vector<double> samples;
  std::vector<double> post_samples;  // Of writes and reads.
  std::uint64_t bytes_beside = 0;
};

struct Client::PhaseOutcome {
  RunOutcome measured;
  std::uint64_t count = 0;    // Messages measured.
  std::uint64_t checked = 0;  // In all runs of the phase.
};

Result<std::unique_ptr<Client>> Client::connect(ClientOptions options) {
  std::unique_ptr<Client> client(new Client(std::move(options)));
  if (Status status = client->start(); !status.ok()) return status;
  return client;
}

Options client_engine_options(Options options) {
  options.listen_port = 0;
  options.allow_anyone = 0;
  if (options.channels == 0) options.channels = default_channels();
  return options;
}

Client::Client(ClientOptions options) : options_(std::move(options)), seed_(random_seed()) {}

Status Client::about_server(const Status& status) const {
  // What this end's user did needs no name.
  if (options_.interrupted()) return status;
  std::string_view why = status.message();
  // Who it is that could not be reached is in there as often as there are layers.
  const auto address = Address::parse(options_.address);
  if (address.ok() && (link_ == nullptr || !link_->connected())) {
    const std::string end = end_of(*address);
    if (const auto at = why.rfind(end + ": "); at != std::string_view::npos) {
      why.remove_prefix(at + end.size() + 2);
    }
  }
  const bool refused = why.find("Connection refused") != std::string_view::npos;
  return {status.code(), fmt::format("{}: {}{}", options_.server, why,
                                     refused ? ": is a server running there, at this port?" : "")};
}

Status Client::start() {
  const Options engine = client_engine_options(options_.engine);
  Result<std::unique_ptr<Hub>> hub =
      Hub::create(engine, options_.threading, options_.interrupted, options_.present);
  if (!hub.ok()) return hub.status();
  hub_ = hub.take();
  room_ = std::make_unique<Room>(*hub_, options_.memory, UINT64_MAX);

  Result<PeerId> peer{PeerId{}};
  hub_->driver().run([&](Engine& one) { peer = one.connect(options_.address); });
  if (!peer.ok()) return about_server(peer.status());
  link_ = std::make_unique<Link>(*hub_, *peer, options_.server);
  channels_ = engine.channels;
  while (!link_->connected()) {
    if (!link_->failure().ok()) return about_server(link_->failure());
    if (Status status = hub_->pass(std::chrono::milliseconds(50)); !status.ok()) return status;
  }
  const Status status = wait_for_welcome();
  return status.ok() ? status : about_server(status);
}

Status Client::wait_for_welcome() {
  Status status = link_->say(Start{});
  bool told = false;
  while (status.ok()) {
    const Result<Message> answer = link_->hear(std::chrono::milliseconds(1000));
    if (answer.status().code() == StatusCode::kTimedOut) {
      if (!told) options_.on_busy_server();
      told = true;
      continue;
    }
    if (!answer.ok()) return answer.status();
    if (const auto* refusal = std::get_if<Refusal>(&*answer)) {
      return {StatusCode::kUnavailable, refusal->why};
    }
    const auto* welcome = std::get_if<Welcome>(&*answer);
    if (welcome == nullptr) return {StatusCode::kProtocol, "its first message is no welcome"};
    if (options_.engine.channels > welcome->channels) {
      return {StatusCode::kInvalidArgument,
              fmt::format("it makes {} channels at most, {} were asked for: start it with more, or "
                          "ask for fewer",
                          welcome->channels, options_.engine.channels)};
    }
    channels_ = std::min(channels_, welcome->channels);
    return {};
  }
  return status;
}

Result<ResultRow> Client::measure(std::uint64_t size, const Plan& plan,
                                  const std::function<void(Phase)>& on_phase) {
  blocks_ = plan.blocks;
  if (blocks_.bytes == 0) blocks_ = {1, size, BlockOrder::kContiguous};
  const std::uint64_t room = plan.op == Op::kSend ? size : blocks_.span();
  const std::uint64_t least_slots = plan.both_directions ? 2 : 1;
  if (Status status = room_->fit(room, least_slots, plan.beside); !status.ok()) return status;
  on_phase(Phase::kBandwidth);
  Result<PhaseOutcome> bandwidth = measure_phase(Phase::kBandwidth, size, plan);
  if (!bandwidth.ok()) return bandwidth.status();
  on_phase(Phase::kLatency);
  Result<PhaseOutcome> latency = measure_phase(Phase::kLatency, size, plan);
  if (!latency.ok()) return latency.status();

  ResultRow row;
  row.engine = options_.name;
  row.op = to_string(plan.op);
  if (plan.op != Op::kSend) {
    row.blocks = blocks_.count;
    row.block_bytes = blocks_.bytes;
    row.layout = to_string(blocks_.order);
    row.post_us = percentile(latency->measured.post_samples, 50);
    row.urgent = plan.urgent;
    row.beside_bytes = plan.beside;
    row.beside_gbytes_per_s =
        static_cast<double>(latency->measured.bytes_beside) / 1e9 / latency->measured.seconds;
  }
  row.net = options_.engine.net;
  row.memory = to_string(options_.memory);
  row.direction = plan.both_directions ? "both" : "one";
  row.size_bytes = size;
  row.channels = channels_;
  const double bytes = static_cast<double>(size) * static_cast<double>(bandwidth->count) *
                       (plan.both_directions ? 2 : 1);
  row.seconds = bandwidth->measured.seconds;
  row.cpu_seconds = bandwidth->measured.cpu_seconds;
  row.counters = bandwidth->measured.counters;
  row.gbytes_per_s = bytes / 1e9 / bandwidth->measured.seconds;
  if (bytes > 0) row.cpu_s_per_gb = bandwidth->measured.cpu_seconds / (bytes / 1e9);
  row.p50_us = percentile(latency->measured.samples, 50);
  row.p99_us = percentile(latency->measured.samples, 99);
  row.iterations = bandwidth->count;
  row.latency_iterations = latency->count;
  row.verified_messages = bandwidth->checked + latency->checked;
  row.verified = row.verified_messages > 0;
  return row;
}

// One checked run, runs until it is warm, the measured run.
Result<Client::PhaseOutcome> Client::measure_phase(Phase phase, std::uint64_t size,
                                                   const Plan& plan) {
  Run next;
  next.op = to_string(plan.op);
  next.phase = phase;
  next.size = plan.op == Op::kSend ? size : blocks_.span();
  next.depth = plan.depth;
  next.both_directions = plan.both_directions && phase == Phase::kBandwidth;
  next.beside = plan.beside;
  next.urgent = plan.urgent;
  PhaseOutcome outcome;
  double warm_seconds = 0;
  std::uint64_t warm_messages = 0;
  double rate_took = 0;  // Of the last warm-up run.

  // Small messages take turns on the channels, whose memory is made when they carry the first.
  const std::uint64_t most = phase == Phase::kBandwidth ? plan.depth : 2 * channels_;
  next.count = std::clamp(
      std::min(kFirstBytes / std::max<std::uint64_t>(size, 1), kFirstBlocks / blocks_.count),
      std::uint64_t{1}, most);
  next.checked = checked_in_first(plan.verify, next.count);
  bool warm = false;
  for (bool first = true; !warm; first = false) {
    next.seed = seed_++;
    const Result<RunOutcome> result = run(next, false);
    if (!result.ok()) return result.status();
    outcome.checked += result->checked;
    warm_messages += next.count;
    // Checking takes longer than moving, and so does what is done once: only a run like the
    // measured one tells the rate.
    if (!first && next.checked == checked_in_later(plan.verify, next.count)) {
      warm_seconds += result->seconds;
      rate_took = result->seconds / static_cast<double>(next.count);
    }
    warm = warm_seconds >= plan.phase_seconds / 10 && warm_messages >= plan.warmup;
    if (result->seconds < plan.phase_seconds) next.count = std::min(next.count * 4, kMostMessages);
    next.checked = checked_in_later(plan.verify, next.count);
  }

  next.count =
      plan.iterations != 0 ? plan.iterations : messages_for(plan.phase_seconds, 1, rate_took);
  if (phase == Phase::kLatency) next.count = std::min(next.count, Exchange::kMostSamples);
  const Result<std::uint64_t> agreed = meet(next.count);
  if (!agreed.ok()) return agreed.status();
  next.count = *agreed;
  next.checked = checked_in_later(plan.verify, next.count);
  next.seed = seed_++;
  Result<RunOutcome> measured = run(next, true);
  if (!measured.ok()) return measured.status();
  if (const auto ended = meet(0); !ended.ok()) return ended.status();
  outcome.count = next.count;
  outcome.checked += measured->checked;
  outcome.measured = measured.take();
  return outcome;
}

// Waits until every other client of the ensemble has come as far. The mean of what they all said.
Result<std::uint64_t> Client::meet(std::uint64_t value) {
  if (options_.ensemble == nullptr) return value;
  options_.ensemble->arrive(options_.member, value);
  while (!options_.ensemble->all_here(options_.member)) {
    if (options_.ensemble->given_up()) {
      return Status(StatusCode::kClosed, "another engine of this measurement has failed");
    }
    if (!link_->failure().ok()) return about_server(link_->failure());
    if (Status status = hub_->pass(kLook); !status.ok()) return status;
  }
  return options_.ensemble->mean(options_.member);
}

Result<Client::RunOutcome> Client::run(const Run& run, bool together) {
  Result<RunOutcome> outcome = run_agreed(run, together);
  if (outcome.ok()) return outcome;
  return about_server(outcome.status());
}

Result<Client::RunOutcome> Client::run_agreed(const Run& run, bool together) {
  Status status = link_->say(run);
  if (!status.ok()) return status;
  const Result<Message> answer = link_->hear(kAnswer);
  if (!answer.ok()) return answer.status();
  if (const auto* refusal = std::get_if<Refusal>(&*answer)) {
    return Status(StatusCode::kUnavailable, refusal->why);
  }
  const auto* ready = std::get_if<Ready>(&*answer);
  if (ready == nullptr) {
    return Status(StatusCode::kProtocol, "it is not ready for a run, nor does it refuse it");
  }
  if (run.op != "send") return run_one_sided(run, *ready, together);

  Exchange exchange(*hub_, *link_, *room_, run, End::kClient);
  status = exchange.prepare();
  if (!status.ok()) return status;
  if (together) {
    if (const auto all = meet(0); !all.ok()) return all.status();
  }
  const EngineCounters counters_before = counters_of(hub_->driver());
  const double cpu_before = cpu_seconds();
  const auto start = SteadyClock::now();
  status = exchange.go();
  if (!status.ok()) return status;
  const Result<Message> last = link_->hear(silence_limit(run));
  if (!last.ok()) return last.status();
  RunOutcome outcome;
  outcome.seconds = seconds_since(start);
  outcome.cpu_seconds = options_.cpu_share * (cpu_seconds() - cpu_before);
  outcome.counters = since(counters_before, counters_of(hub_->driver()));
  const auto* done = std::get_if<Done>(&*last);
  if (done == nullptr) return Status(StatusCode::kProtocol, "a run did not end with its report");
  outcome.cpu_seconds += done->cpu_seconds;
  outcome.checked = exchange.checked() + done->checked;
  outcome.samples = std::move(exchange.samples());
  if (!done->difference.empty()) {
    return Status(StatusCode::kSystem, "wrong content arrived there: " + done->difference);
  }
  if (!exchange.difference().empty()) {
    return Status(StatusCode::kSystem, "wrong content came back: " + exchange.difference());
  }
  return outcome;
}

Result<Client::RunOutcome> Client::run_one_sided(const Run& run, const Ready& ready,
                                                 bool together) {
  OneSidedRun one_sided(*hub_, *link_, *room_, run, blocks_, ready.slots);
  Status status = one_sided.prepare(ready.region);
  if (!status.ok()) return status;
  if (together) {
    if (const auto all = meet(0); !all.ok()) return all.status();
  }
  const EngineCounters counters_before = counters_of(hub_->driver());
  const double cpu_before = cpu_seconds();
  const auto start = SteadyClock::now();
  status = one_sided.go();
  if (!status.ok()) return status;
  RunOutcome outcome;
  outcome.seconds = seconds_since(start);
  outcome.cpu_seconds = options_.cpu_share * (cpu_seconds() - cpu_before);
  outcome.counters = since(counters_before, counters_of(hub_->driver()));
  outcome.bytes_beside = one_sided.bytes_beside();
  status = one_sided.wind_up();
  if (status.ok()) status = link_->say(Finish{});
  if (!status.ok()) return status;
  const Result<Message> last = link_->hear(kAnswer);
  if (!last.ok()) return last.status();
  const auto* done = std::get_if<Done>(&*last);
  if (done == nullptr) return Status(StatusCode::kProtocol, "a run did not end with its report");
  outcome.cpu_seconds += done->cpu_seconds;
  outcome.checked = one_sided.checked();
  outcome.samples = std::move(one_sided.samples());
  outcome.post_samples = std::move(one_sided.post_samples());
  if (!one_sided.difference().empty()) {
    return Status(StatusCode::kSystem, "wrong content: " + one_sided.difference());
  }
  return outcome;
}

}  // namespace sluice::perf
