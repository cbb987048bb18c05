// How the processes of a mesh find each other: all connect to the one of rank 0, which hands out
// the rounds and gathers what was measured. An engine of its own, over tcp, carries the messages.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tools/mesh/matrix.h"
#include "tools/mesh/worker.h"

namespace sluice::mesh {

struct RendezvousOptions {
  Options engine;  // Of rank 0: where to listen. Of the others: the secret.
  std::vector<std::string> hosts;
  std::uint16_t port = 0;                          // Of rank 0.
  std::chrono::milliseconds join_limit{120'000};   // For all to come.
  std::chrono::milliseconds answer_limit{90'000};  // For a round: more than a Worker's limit.
  std::function<void(const std::string&)> say;     // A line for people.
};

struct Meshed {
  Matrix matrix;
  std::size_t rounds = 0;
};

// Rank 0. A host that does not come or is lost is left out from then on; the others go on. Not OK:
// interrupted, the port is taken, or nobody came.
Result<Meshed> lead(const RendezvousOptions& options, Worker& worker);

// The others: does as told until the end. Not OK: rank 0 was not reached, is lost, or refuses.
Status follow(const RendezvousOptions& options, std::uint32_t rank, Worker& worker);

}  // namespace sluice::mesh
