// What the stand-in plugins count, for tests: dlsym(library, "sluice_standin_counters").
#pragma once

#include <stdint.h>

extern "C" {

// All of this process, since the library was loaded; the pages are of the present bounce pool,
// 0 while no receiving comm of the TCPX profile is open.
struct SluiceStandinCounters {
  uint64_t pages_total;
  uint64_t pages_free;
  uint64_t pages_lost;  // By comms that are open, until they are closed.
  uint64_t open_send_comms;
  uint64_t open_recv_comms;
  uint64_t open_listen_comms;
  uint64_t open_registrations;
  uint64_t most_in_flight_send;     // Requests of one comm.
  uint64_t most_in_flight_receive;  // The same, done and not consumed included.
  uint64_t sends_done;
  uint64_t receives_done;
  uint64_t receives_consumed;
  uint64_t tests;
  uint64_t tests_not_oldest;  // Of a request that was not the oldest one of its comm.
  uint64_t posts_when_full;   // Answered with an internal error (TCPX) or NULL (HOST).
  uint64_t violations;        // Of the contract, by the caller; see SLUICE_STANDIN_STRICT.
};

using SluiceStandinCountersFunction = void (*)(SluiceStandinCounters* counters);

}  // extern "C"
