#include "tools/perf/link.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

namespace sluice::perf {
namespace {

constexpr std::chrono::milliseconds kPass{50};

}  // namespace

Result<std::unique_ptr<Link>> Link::make(Hub& hub, PeerId peer, std::string name,
                                         std::size_t message_bytes) {
  Result<Region> region = hub.allocate(2 * message_bytes, Memory::kHost);
  if (!region.ok()) return region.status();
  return std::unique_ptr<Link>(new Link(hub, peer, std::move(name), region.take(), message_bytes));
}

Link::Link(Hub& hub, PeerId peer, std::string name, Region region, std::size_t message_bytes)
    : hub_(hub),
      peer_(peer),
      name_(std::move(name)),
      region_(std::move(region)),
      message_bytes_(message_bytes) {
  hub_.attach(peer_, this);
}

Link::~Link() {
  hub_.detach(peer_);
  hub_.driver().run([this](Engine& engine) {
    // A peer that is gone already is gone.
    static_cast<void>(engine.disconnect(peer_));
  });
  hub_.retire(std::move(region_));
}

void Link::fail(const Status& status) {
  if (failure_.ok()) failure_ = status;
}

// Asks the engine until it has room.
Status Link::transfer(const std::function<Result<TransferId>(Engine&)>& ask,
                      std::optional<TransferId>& out) {
  while (failure_.ok()) {
    Result<TransferId> id{TransferId{}};
    hub_.driver().run([&](Engine& engine) { id = ask(engine); });
    if (id.ok()) {
      out = *id;
      return {};
    }
    if (id.status().code() != StatusCode::kWouldBlock) {
      fail(id.status());
      break;
    }
    if (Status status = hub_.pass(kPass); !status.ok()) return status;
  }
  return failure_;
}

Status Link::say_text(std::string_view text) {
  if (text.size() > message_bytes_) {
    return {StatusCode::kTooLong,
            fmt::format("a message of {} bytes, {} is the most", text.size(), message_bytes_)};
  }
  while (saying_.has_value() && failure_.ok()) {
    if (Status status = hub_.pass(kPass); !status.ok()) return status;
  }
  std::memcpy(region_.buffer.bytes().data(), text.data(), text.size());
  return transfer(
      [&](Engine& engine) {
        return engine.send(peer_, {region_.id, 0, text.size()});
      },
      saying_);
}

void Link::refuse(std::string_view why) {
  constexpr std::chrono::milliseconds kPatience{200};
  const auto end = std::chrono::steady_clock::now() + kPatience;
  Status status = say(Refusal{std::string(why)});
  while (status.ok() && saying_.has_value() && failure_.ok() &&
         std::chrono::steady_clock::now() < end) {
    status = hub_.pass(std::chrono::milliseconds(10));
  }
}

Status Link::listen() {
  return transfer(
      [&](Engine& engine) {
        return engine.recv(peer_, {region_.id, message_bytes_, message_bytes_});
      },
      listening_);
}

Result<Message> Link::hear(std::chrono::milliseconds limit) {
  const Result<std::string> text = hear_text(limit);
  return text.ok() ? decode(*text) : text.status();
}

Result<std::string> Link::hear_text(std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!heard_.has_value()) {
    if (!failure_.ok()) return failure_;
    if (std::chrono::steady_clock::now() >= end) {
      return Status(StatusCode::kTimedOut,
                    fmt::format("{} said nothing for {} ms", name_, limit.count()));
    }
    if (Status status = hub_.pass(kPass); !status.ok()) return status;
  }
  const std::span<std::byte> bytes =
      region_.buffer.bytes().subspan(message_bytes_, static_cast<std::size_t>(*heard_));
  heard_.reset();
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void Link::on_completion(const Completion& completion) {
  if (completion.id == saying_) {
    saying_.reset();
    if (!completion.status.ok()) fail(completion.status);
  } else if (completion.id == listening_) {
    listening_.reset();
    if (completion.status.ok()) {
      heard_ = completion.bytes;
    } else {
      fail(completion.status);
    }
  } else if (on_data_) {
    on_data_(completion);
  }
}

void Link::on_peer_event(const PeerEvent& event) {
  if (event.kind == PeerEventKind::kConnected) {
    connected_ = true;
    name_ = event.name;
  } else {
    fail(event.status);
  }
}

}  // namespace sluice::perf
