// Status and Result<T>: how every cold call of sluice reports failure. No exception leaves the
// library. A Status is a value: OK is a null pointer and costs nothing; a failure carries a code
// to branch on and one sentence to print, which names the values that were wrong.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace sluice {

enum class StatusCode : std::uint8_t {
  kOk = 0,
  kInvalidArgument,  // The caller's mistake: the message has the value and the legal range.
  kNotFound,         // An id that is stale or never was; a host name that does not resolve.
  kWouldBlock,       // A queue is full: call progress() and try again. Not an error.
  kUnavailable,      // Refused, unreachable, address in use: may work later or elsewhere.
  kDenied,           // The other end did not prove the secret, or we did not.
  kProtocol,         // The peer sent bytes that the protocol does not allow.
  kTooLong,          // A send was longer than the receive that it met.
  kTimedOut,         // A limit on waiting was reached; the message names it.
  kPeerLost,         // The peer died, stopped, or its connection broke.
  kClosed,           // Closed on purpose, by this end or by the other.
  kSystem,           // A system call or a foreign library failed; the message has its errno.
  kCancelled,        // cancel() was called.
  kCorrupted,        // Bytes are not what was sent: a checksum says so.
};

// The name without its k, for logs and JSON: "PeerLost".
[[nodiscard]] const char* to_string(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;  // OK
  Status(StatusCode code, std::string message);

  // `context: strerror(error)`, with kSystem or the code that fits the errno better
  // (ECONNREFUSED and EADDRINUSE are kUnavailable, ETIMEDOUT is kTimedOut, ...).
  static Status from_errno(int error, std::string_view context);

  [[nodiscard]] bool ok() const { return rep_ == nullptr; }
  [[nodiscard]] StatusCode code() const { return rep_ == nullptr ? StatusCode::kOk : rep_->code; }
  // The sentence, or "" when OK. Lives as long as this Status or a copy of it.
  [[nodiscard]] std::string_view message() const {
    return rep_ == nullptr ? std::string_view() : std::string_view(rep_->message);
  }
  [[nodiscard]] std::string to_string() const;  // "OK" or "PeerLost: peer 3 (10.0.0.2:20000) ..."

  // The same failure, told by a caller that knows more: `context: message`. OK stays OK.
  Status with_context(std::string_view context) const;

 private:
  struct Rep {
    StatusCode code;
    std::string message;
  };
  std::shared_ptr<const Rep> rep_;  // Shared: one failed peer fails many transfers.
};

// A value, or the Status (never OK) that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT: implicit on purpose
  Result(Status status) : status_(std::move(status)) {}  // NOLINT: implicit on purpose

  [[nodiscard]] bool ok() const { return value_.has_value(); }
  [[nodiscard]] const Status& status() const { return status_; }

  [[nodiscard]] T& operator*() { return *value_; }
  [[nodiscard]] const T& operator*() const { return *value_; }
  [[nodiscard]] T* operator->() { return &*value_; }
  [[nodiscard]] const T* operator->() const { return &*value_; }
  [[nodiscard]] T take() { return std::move(*value_); }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace sluice
