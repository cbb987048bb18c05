// A peer as one end of `sluice perf` knows it: says and hears messages, and hands the completions
// of a run to whoever runs it. Messages are notifications: they need no memory that the Net takes,
// and do not mix with the messages that are measured.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "sluice/engine.h"
#include "tools/perf/hub.h"
#include "tools/perf/messages.h"

namespace sluice::perf {

class Link {
 public:
  // For a peer that connected, or that we are connecting to. `hub` must outlive this.
  Link(Hub& hub, PeerId peer, std::string name);
  ~Link();  // Disconnects.
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  [[nodiscard]] PeerId peer() const { return peer_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool connected() const { return connected_; }
  // Why the peer is gone; OK while it is not.
  [[nodiscard]] const Status& failure() const { return failure_; }

  // Why an operation with this peer has failed: that it is gone, if it is.
  [[nodiscard]] Status cause_of(const Status& status) const {
    return status.ok() || failure_.ok() ? status : failure_;
  }

  Status say(const Message& message) { return say_text(encode(message)); }
  Status say_text(std::string_view text);  // At most Engine::kLongestNotification.
  // Says why there is nothing to be had here, to whoever still listens.
  void refuse(std::string_view why);
  // Waits a moment until the peer has it: what is on the way when a Link ends may be lost.
  void say_last(std::string_view text);
  [[nodiscard]] bool heard() const { return !heard_.empty(); }
  // The message, waiting for it up to `limit`. kTimedOut: none came; kProtocol: not a message.
  Result<Message> hear(std::chrono::milliseconds limit);
  Result<std::string> hear_text(std::chrono::milliseconds limit);

  // Receives every completion that is not a message's; empty: nobody.
  void on_data(std::function<void(const Completion&)> call) { on_data_ = std::move(call); }

  // Called by the hub.
  void on_completion(const Completion& completion);
  void on_peer_event(const PeerEvent& event);
  void on_message(std::string text);

 private:
  void fail(const Status& status);

  Hub& hub_;
  PeerId peer_;
  std::string name_;
  bool connected_ = false;
  std::optional<TransferId> saying_;
  std::deque<std::string> heard_;
  std::function<void(const Completion&)> on_data_;
  Status failure_;
};

}  // namespace sluice::perf
