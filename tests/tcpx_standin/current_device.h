// The CUDA device that is current in the calling thread: TCPX samples it where it makes comms and
// registers memory, and takes what it is given for memory of that device.
#pragma once

namespace sluice::standin {

// SLUICE_STANDIN_CURRENT_DEVICE if it is set, else what the driver says, if the process has one
// loaded and a context current; else 0.
int current_device();

}  // namespace sluice::standin
