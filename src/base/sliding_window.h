// The chunks in flight on a channel: a fixed ring with one cursor a stage, so "in flight <= window"
// is the size of an array and the order of stages is the order of cursors.
//
//   released <= unpacking <= arrived <= posted      (positions, all rising for ever)
//
// A chunk is posted, arrives, is unpacked, is released, strictly in this order and in the order of
// the others: only the oldest chunk of a stage can go on. In a window of sends a chunk that is
// posted is on its way to the Net, one that has arrived is with the Net, and the next is released.
#pragma once

#include <array>
#include <cstdint>

#include "src/base/check.h"

namespace sluice {

// What try_release_oldest() answers.
enum class Release : std::uint8_t { kReleased, kNotYet, kFailed };

template <typename Chunk, std::uint32_t kCapacity>
class SlidingWindow {
 public:
  // `limit` chunks at most are in flight; 1 to kCapacity.
  explicit SlidingWindow(std::uint32_t limit) : limit_(limit) {
    SLUICE_CHECK(limit >= 1 && limit <= kCapacity, "limit {} capacity {}", limit, kCapacity);
  }

  [[nodiscard]] bool full() const { return in_flight() >= limit_; }
  [[nodiscard]] bool empty() const { return in_flight() == 0; }
  [[nodiscard]] std::uint32_t in_flight() const {
    return static_cast<std::uint32_t>(posted_ - released_);
  }
  [[nodiscard]] std::uint32_t limit() const { return limit_; }

  // How many wait at each stage.
  [[nodiscard]] std::uint32_t waiting_to_arrive() const {
    return static_cast<std::uint32_t>(posted_ - arrived_);
  }
  [[nodiscard]] std::uint32_t waiting_to_unpack() const {
    return static_cast<std::uint32_t>(arrived_ - unpacking_);
  }
  [[nodiscard]] std::uint32_t waiting_to_release() const {
    return static_cast<std::uint32_t>(unpacking_ - released_);
  }

  // The place of the next chunk, to be filled before post(). Only when not full().
  Chunk& next() {
    SLUICE_CHECK(!full(), "in flight {} limit {}", in_flight(), limit_);
    return at(posted_);
  }
  // A number below limit() that no chunk in flight has.
  [[nodiscard]] std::uint32_t next_place() const {
    return static_cast<std::uint32_t>(posted_ % limit_);
  }
  // The number that next_place() gave to oldest_posted().
  [[nodiscard]] std::uint32_t oldest_posted_place() const {
    return static_cast<std::uint32_t>(arrived_ % limit_);
  }
  void post() {
    SLUICE_CHECK(!full(), "in flight {} limit {}", in_flight(), limit_);
    ++posted_;
  }

  // The oldest that is posted and has not arrived, that has arrived and is not being unpacked, that
  // is being unpacked. Each only when the count above is not 0.
  Chunk& oldest_posted() { return stage(waiting_to_arrive(), arrived_); }
  Chunk& oldest_arrived() { return stage(waiting_to_unpack(), unpacking_); }
  const Chunk& oldest_posted() const { return stage(waiting_to_arrive(), arrived_); }
  const Chunk& oldest_arrived() const { return stage(waiting_to_unpack(), unpacking_); }
  Chunk& oldest_unpacking() { return stage(waiting_to_release(), released_); }

  // Visits what has arrived and is not being unpacked, oldest first.
  template <typename Visit>
  void for_each_arrived(Visit&& visit) {
    for (std::uint64_t position = unpacking_; position < arrived_; ++position) visit(at(position));
  }
  // Visits what is being unpacked, oldest first, each with the number that next_place() gave to it,
  // until visit(chunk, place) says false.
  template <typename Visit>
  void for_each_unpacking(Visit&& visit) {
    for (std::uint64_t position = released_; position < unpacking_; ++position) {
      if (!visit(at(position), static_cast<std::uint32_t>(position % limit_))) return;
    }
  }

  // The oldest of the stage goes on to the next.
  void arrive() {
    SLUICE_CHECK(waiting_to_arrive() > 0, "nothing posted");
    ++arrived_;
  }
  void unpack() {
    SLUICE_CHECK(waiting_to_unpack() > 0, "nothing arrived");
    ++unpacking_;
  }
  void release() {
    SLUICE_CHECK(waiting_to_release() > 0, "nothing unpacking");
    ++released_;
  }

  // For windows of sends: asks `test` (which answers a Release) about the oldest chunk that the Net
  // has, alone, and frees its place if it is released. kNotYet when the Net has none.
  template <typename Test>
  Release try_release_oldest(Test&& test) {
    if (waiting_to_unpack() == 0) return Release::kNotYet;
    const Release answer = test(at(released_));
    if (answer == Release::kReleased) {
      ++unpacking_;
      ++released_;
    }
    return answer;
  }

 private:
  Chunk& at(std::uint64_t position) { return ring_[position % kCapacity]; }
  const Chunk& stage(std::uint32_t waiting, std::uint64_t position) const {
    SLUICE_CHECK(waiting > 0, "nothing at this stage");
    return ring_[position % kCapacity];
  }
  Chunk& stage(std::uint32_t waiting, std::uint64_t position) {
    SLUICE_CHECK(waiting > 0, "nothing at this stage");
    return at(position);
  }

  std::array<Chunk, kCapacity> ring_{};
  std::uint32_t limit_;
  std::uint64_t posted_ = 0;
  std::uint64_t arrived_ = 0;
  std::uint64_t unpacking_ = 0;
  std::uint64_t released_ = 0;
};

}  // namespace sluice
