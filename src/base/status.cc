#include "sluice/status.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace sluice {

const char* to_string(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return "OK";
    case StatusCode::kInvalidArgument:
      return "InvalidArgument";
    case StatusCode::kNotFound:
      return "NotFound";
    case StatusCode::kWouldBlock:
      return "WouldBlock";
    case StatusCode::kUnavailable:
      return "Unavailable";
    case StatusCode::kDenied:
      return "Denied";
    case StatusCode::kProtocol:
      return "Protocol";
    case StatusCode::kTooLong:
      return "TooLong";
    case StatusCode::kTimedOut:
      return "TimedOut";
    case StatusCode::kPeerLost:
      return "PeerLost";
    case StatusCode::kClosed:
      return "Closed";
    case StatusCode::kSystem:
      return "System";
    case StatusCode::kCancelled:
      return "Cancelled";
    case StatusCode::kCorrupted:
      return "Corrupted";
  }
  return "Unknown";  // A number from the wire or from a foreign caller.
}

Status::Status(StatusCode code, std::string message) {
  if (code == StatusCode::kOk) return;
  rep_ = std::make_shared<const Rep>(Rep{code, std::move(message)});
}

namespace {

StatusCode code_of_errno(int error) {
  switch (error) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case EADDRINUSE:
    case EADDRNOTAVAIL:
      return StatusCode::kUnavailable;
    case ETIMEDOUT:
      return StatusCode::kTimedOut;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
      return StatusCode::kPeerLost;
    case EAGAIN:
      return StatusCode::kWouldBlock;
    default:
      return StatusCode::kSystem;
  }
}

}  // namespace

Status Status::from_errno(int error, std::string_view context) {
  char buffer[128];
  const char* text = strerror_r(error, buffer, sizeof(buffer));
  return {code_of_errno(error), fmt::format("{}: {} (errno {})", context, text, error)};
}

std::string Status::to_string() const {
  if (ok()) return "OK";
  return fmt::format("{}: {}", sluice::to_string(code()), message());
}

Status Status::with_context(std::string_view context) const {
  if (ok()) return {};
  return {code(), fmt::format("{}: {}", context, message())};
}

}  // namespace sluice
