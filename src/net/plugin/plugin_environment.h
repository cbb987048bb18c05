// The environment that NCCL and its plugins are told by and that we follow too: none of it is a
// setting of ours, and nothing else of the plugin Net reads the environment.
#pragma once

#include <cstdint>
#include <string>

#include "sluice/status.h"

namespace sluice {

// NCCL_NET_PLUGIN: the plugin that NCCL would take; "" when it is not set. kInvalidArgument for
// what has no meaning here: "none", "STATIC_PLUGIN" and a list of several.
[[nodiscard]] Result<std::string> plugin_of_environment();

// NCCL_DYNAMIC_CHUNK_SIZE: into what pieces GPUDirect-TCPX cuts a message. Sets it to `when_unset`
// if it is not set, because the plugin would then take 0 and never send anything. To be called
// before the plugin is initialised, while no other thread uses the environment. Returns the value
// in force; kInvalidArgument when it is no number that the plugin would understand as we do.
[[nodiscard]] Result<std::uint64_t> require_dynamic_chunk_bytes(std::uint64_t when_unset);

// NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX: the folder in which GPUDirect-TCPX looks for rxdm's
// sockets; its default is "/tmp".
[[nodiscard]] std::string rxdm_folder_of_environment();

}  // namespace sluice
