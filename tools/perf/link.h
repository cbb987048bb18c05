// A peer as one end of `sluice perf` knows it: says and hears messages, and hands the completions
// of a run to whoever runs it. The order of receives is the protocol's, so every hear() is prepared
// by one listen() at the right place.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sluice/engine.h"
#include "tools/perf/hub.h"
#include "tools/perf/messages.h"

namespace sluice::perf {

class Link {
 public:
  // For a peer that connected, or that we are connecting to.
  // `message_bytes`: the longest message either way.
  static Result<std::unique_ptr<Link>> make(Hub& hub, PeerId peer, std::string name,
                                            std::size_t message_bytes = kMessageBytes);
  ~Link();  // Disconnects.
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  [[nodiscard]] PeerId peer() const { return peer_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool connected() const { return connected_; }
  // Why the peer is gone; OK while it is not.
  [[nodiscard]] const Status& failure() const { return failure_; }

  Status say(const Message& message) { return say_text(encode(message)); }
  Status say_text(std::string_view text);  // kTooLong: longer than message_bytes.
  // Says why there is nothing to be had here, to whoever still listens.
  void refuse(std::string_view why);
  // Posts the receive of the next message.
  Status listen();
  [[nodiscard]] bool heard() const { return heard_.has_value(); }
  // The message, waiting for it up to `limit`. kTimedOut: none came; kProtocol: not a message.
  Result<Message> hear(std::chrono::milliseconds limit);
  Result<std::string> hear_text(std::chrono::milliseconds limit);

  // Receives every completion that is not a message's; empty: nobody.
  void on_data(std::function<void(const Completion&)> call) { on_data_ = std::move(call); }

  // Called by the hub.
  void on_completion(const Completion& completion);
  void on_peer_event(const PeerEvent& event);

 private:
  Link(Hub& hub, PeerId peer, std::string name, Region region, std::size_t message_bytes);
  void fail(const Status& status);
  Status transfer(const std::function<Result<TransferId>(Engine&)>& ask,
                  std::optional<TransferId>& out);

  Hub& hub_;
  PeerId peer_;
  std::string name_;
  Region region_;  // The message we say, then the one we hear.
  std::size_t message_bytes_;
  bool connected_ = false;
  std::optional<TransferId> saying_;
  std::optional<TransferId> listening_;
  std::optional<std::uint64_t> heard_;  // bytes
  std::function<void(const Completion&)> on_data_;
  Status failure_;
};

}  // namespace sluice::perf
