#include "tools/perf/link.h"

#include <fmt/format.h>

#include <span>
#include <utility>

namespace sluice::perf {
namespace {

constexpr std::chrono::milliseconds kPass{50};

}  // namespace

Link::Link(Hub& hub, PeerId peer, std::string name)
    : hub_(hub), peer_(peer), name_(std::move(name)) {
  hub_.attach(peer_, *this);
}

Link::~Link() {
  hub_.detach(peer_);
  hub_.driver().run([this](Engine& engine) {
    // A peer that is gone already is gone.
    static_cast<void>(engine.disconnect(peer_));
  });
}

void Link::fail(const Status& status) {
  if (failure_.ok()) failure_ = status;
}

// Asks the engine until it has room.
Status Link::say_text(std::string_view text) {
  while (failure_.ok()) {
    Result<TransferId> id{TransferId{}};
    const bool free = !saying_.has_value();
    if (free) {
      hub_.driver().run([&](Engine& engine) {
        id = engine.notify(peer_, std::as_bytes(std::span(text.data(), text.size())));
      });
      if (id.ok()) {
        saying_ = *id;
        return {};
      }
      if (id.status().code() != StatusCode::kWouldBlock) {
        fail(id.status());
        break;
      }
    }
    if (Status status = hub_.pass(kPass); !status.ok()) return status;
  }
  return failure_;
}

void Link::refuse(std::string_view why) { say_last(encode(Refusal{std::string(why)})); }

void Link::say_last(std::string_view text) {
  constexpr std::chrono::milliseconds kPatience{200};
  const auto end = std::chrono::steady_clock::now() + kPatience;
  Status status = say_text(text);
  while (status.ok() && saying_.has_value() && failure_.ok() &&
         std::chrono::steady_clock::now() < end) {
    status = hub_.pass(std::chrono::milliseconds(10));
  }
}

Result<Message> Link::hear(std::chrono::milliseconds limit) {
  const Result<std::string> text = hear_text(limit);
  return text.ok() ? decode(*text) : text.status();
}

Result<std::string> Link::hear_text(std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (heard_.empty()) {
    if (!failure_.ok()) return failure_;
    if (std::chrono::steady_clock::now() >= end) {
      return Status(StatusCode::kTimedOut,
                    fmt::format("{} said nothing for {} ms", name_, limit.count()));
    }
    if (Status status = hub_.pass(kPass); !status.ok()) return status;
  }
  std::string text = std::move(heard_.front());
  heard_.pop_front();
  return text;
}

void Link::on_completion(const Completion& completion) {
  if (completion.id == saying_) {
    saying_.reset();
    if (!completion.status.ok()) fail(completion.status);
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

void Link::on_message(std::string text) {
  constexpr std::size_t kMostUnheard = 1024;
  if (heard_.size() < kMostUnheard) {
    heard_.push_back(std::move(text));
  } else {
    fail({StatusCode::kProtocol, fmt::format("{} messages that nobody asked for", kMostUnheard)});
  }
}

}  // namespace sluice::perf
