// Counts what operator new is asked for, in a program that links allocations.cc: every operator new
// and delete of the program is replaced. They live in a file of their own so that no compiler
// inlines one half of a pair and complains about the other.
#pragma once

#include <cstddef>

namespace sluice {

// While one lives, every allocation of every thread is counted. One at a time.
class CountedAllocations {
 public:
  CountedAllocations();
  ~CountedAllocations();
  CountedAllocations(const CountedAllocations&) = delete;
  CountedAllocations& operator=(const CountedAllocations&) = delete;

  std::size_t on_this_thread() const;
  std::size_t on_all_threads() const;
};

}  // namespace sluice
