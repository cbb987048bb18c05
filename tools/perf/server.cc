#include "tools/perf/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tools/perf/one_sided_run.h"
#include "tools/perf/statistics.h"

namespace sluice::perf {
namespace {

constexpr std::chrono::milliseconds kPass{50};
constexpr std::chrono::milliseconds kIdle{60'000};  // Between the runs of a client.
// For all writes or reads of a run, of which this end sees nothing.
constexpr std::chrono::milliseconds kLongestRun{600'000};

}  // namespace

Result<std::unique_ptr<Server>> Server::create(ServerOptions options) {
  Result<std::unique_ptr<Hub>> hub =
      Hub::create(options.engine, options.threading, options.interrupted, options.present);
  if (!hub.ok()) return hub.status();
  std::unique_ptr<Server> server(new Server(std::move(options)));
  server->hub_ = hub.take();
  server->room_ =
      std::make_unique<Room>(*server->hub_, server->options_.memory, server->options_.most_memory);
  return server;
}

std::string Server::address() {
  std::string result;
  hub_->driver().run([&](Engine& engine) { result = engine.address(); });
  return result;
}

Status Server::serve() {
  while (const std::unique_ptr<Link> client = next_client()) {
    // How it ended has been said; the next client is another matter.
    static_cast<void>(session(*client));
  }
  return {};
}

Status Server::serve_one() {
  const std::unique_ptr<Link> client = next_client();
  if (client == nullptr) return {StatusCode::kClosed, "interrupted"};
  return session(*client);
}

std::unique_ptr<Link> Server::next_client() {
  while (true) {
    admit_strangers();
    for (auto guest = guests_.begin(); guest != guests_.end();) {
      look_after(*guest);
      if (guest->asked) {
        std::unique_ptr<Link> client = std::move(guest->link);
        guests_.erase(guest);
        return client;
      }
      guest = guest->link == nullptr ? guests_.erase(guest) : std::next(guest);
    }
    if (!hub_->pass(kPass).ok()) return nullptr;
  }
}

void Server::admit_strangers() {
  while (guests_.size() < hub_->share()) {
    const auto stranger = hub_->take_stranger();
    if (!stranger.has_value()) return;
    guests_.push_back({std::make_unique<Link>(*hub_, stranger->peer, stranger->name),
                       Clock::now() + options_.patience, false});
  }
}

// Hears what a guest asks; takes the link of one that is not welcome.
void Server::look_after(Guest& guest) {
  Link& link = *guest.link;
  std::string why;
  if (link.heard()) {
    const Result<Message> message = link.hear(std::chrono::milliseconds(0));
    guest.asked = message.ok() && std::holds_alternative<Start>(*message);
    if (guest.asked) return;
    why = message.ok() ? "it did not start with a start" : std::string(message.status().message());
    link.refuse(why);
  } else if (!link.failure().ok()) {
    why = link.failure().message();
  } else if (Clock::now() > guest.deadline) {
    why = fmt::format("it asked for nothing within {} ms", options_.patience.count());
  } else {
    return;
  }
  options_.say(fmt::format("client {}: {}", link.name(), why));
  guest.link.reset();
}

Status Server::session(Link& link) {
  Tally tally;
  Status status = link.say(Welcome{options_.engine.channels, to_string(options_.memory)});
  if (status.ok()) status = serve_runs(link, tally);
  options_.say(fmt::format("client {}: {} runs, {:.3g} GB received, {}", link.name(), tally.runs,
                           tally.bytes / 1e9, status.ok() ? "done" : status.message()));
  room_->empty();
  return status;
}

Status Server::serve_runs(Link& link, Tally& tally) {
  Status status;
  while (status.ok()) {
    const Result<Message> message = link.hear(kIdle);
    // Between two runs, a client may leave.
    if (link.failure().code() == StatusCode::kClosed) return {};
    if (!message.ok()) return message.status();
    const auto* run = std::get_if<Run>(&*message);
    if (run == nullptr) return {StatusCode::kProtocol, "it asked for no run"};
    status = room_->fit(run->size, run->both_directions ? 2 : 1, run->beside);
    if (!status.ok()) {
      link.refuse(status.message());
      return status;
    }
    status = run->op == "send" ? serve_run(link, *run) : serve_one_sided(link);
    ++tally.runs;
    if (status.ok())
      tally.bytes += static_cast<double>(run->size) * static_cast<double>(run->count);
  }
  return status;
}

Status Server::serve_run(Link& link, const Run& run) {
  Exchange exchange(*hub_, link, *room_, run, End::kServer);
  Status status = exchange.prepare();
  if (!status.ok()) return status;
  const double cpu_before = cpu_seconds();
  status = link.say(Ready{});
  if (status.ok()) status = exchange.go();
  if (!status.ok()) return status;
  return link.say(Done{options_.cpu_share * (cpu_seconds() - cpu_before), exchange.checked(),
                       exchange.difference()});
}

// The client reads and writes the region by itself.
Status Server::serve_one_sided(Link& link) {
  Result<std::string> exported{std::string()};
  hub_->driver().run([&](Engine& engine) {
    exported = engine.export_region(room_->region().id, Access::kReadWrite);
  });
  if (!exported.ok()) return exported.status();
  const double cpu_before = cpu_seconds();
  Status status = link.say(Ready{to_hex(*exported), room_->layout().slots});
  if (!status.ok()) return status;
  const Result<Message> message = link.hear(kLongestRun);
  if (!message.ok()) return message.status();
  if (!std::holds_alternative<Finish>(*message)) {
    return {StatusCode::kProtocol, "it asked for something else before it had finished"};
  }
  return link.say(Done{options_.cpu_share * (cpu_seconds() - cpu_before), 0, ""});
}

}  // namespace sluice::perf
