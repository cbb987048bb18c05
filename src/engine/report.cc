#include "src/engine/report.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice {
namespace {

// A living peer says something several times in that time, whatever its settings.
constexpr Nanoseconds kSilence = from_ms(5000);
// Longer than any pass, chunk or round trip takes where all is well.
constexpr Nanoseconds kMoving = from_ms(100);

double seconds(Nanoseconds time) { return static_cast<double>(time) / 1e9; }

bool any_in_net(const PeerFacts& peer, bool sends) {
  return std::any_of(peer.channels.begin(), peer.channels.end(),
                     [&](const ChannelFacts& one) { return one.sends == sends && one.in_net > 0; });
}

// Has arrived, and is with the Gpu; or waits for a place in the window.
bool any_held_here(const PeerFacts& peer) {
  return std::any_of(peer.channels.begin(), peer.channels.end(), [](const ChannelFacts& one) {
    return !one.sends && (one.in_flight > one.in_net || one.announced > 0);
  });
}

// What has not begun waits for somebody, however much moved a moment ago.
bool moves(const PeerFacts& peer) {
  const bool under_way = any_in_net(peer, true) || any_in_net(peer, false) || any_held_here(peer) ||
                         peer.one_sided + peer.served > 0;
  return under_way && peer.still_for < kMoving;
}

std::string since_it_moved(const PeerFacts& peer) {
  if (peer.still_for < kMoving) {
    return fmt::format("something moved {:.0f} ms ago", seconds(peer.still_for) * 1000);
  }
  return fmt::format("nothing moved for {:.1f} s", seconds(peer.still_for));
}

std::string channel_line(const ChannelFacts& one) {
  std::string line = fmt::format("    {} channel {}: window {}/{}", one.sends ? "send" : "recv",
                                 one.index, one.in_flight, one.window);
  if (one.oldest_for > 0) {
    line += fmt::format(", oldest posted {:.1f} s ago", seconds(one.oldest_for));
  }
  if (one.in_net > 0) {
    line += fmt::format(", {} with the Net, the oldest tested {} times: rc 0 done 0", one.in_net,
                        one.tests);
  }
  if (one.announced > 0) line += fmt::format(", {} more announced", one.announced);
  if (!one.connection.empty()) line += "; " + one.connection;
  return line + "\n";
}

}  // namespace

Cause likely_cause(const PeerFacts& peer) {
  if (peer.joining) {
    return {"the handshake is not over: the other end does not answer, or is no engine",
            "look whether it runs and is driven there; sluice doctor --peer HOST"};
  }
  if (peer.silent_for > kSilence) {
    return {
        "the peer says nothing, not even that it lives: its process is stopped or makes no "
        "passes, or the network is cut",
        "look at that process; ping the host"};
  }
  if (moves(peer)) {
    return {"it moves, as it should: something did within the last 100 ms",
            "nothing; if it is too slow, sluice report of both ends' recordings"};
  }
  if (peer.making_send_channels || peer.making_recv_channels) {
    return {
        "channels are still being made: a data port is not reached, or the plugin waits for "
        "rxdm",
        "let all TCP ports above 1023 through; sluice doctor --net ..."};
  }
  if (any_in_net(peer, true)) {
    return {
        "the Net does not finish what was sent: the other end does not take it. Its Net has "
        "nowhere to put it (bounce pool used up, chunk sizes differ), or has stopped",
        "the report of the other end; NCCL_DYNAMIC_CHUNK_SIZE equal at both ends"};
  }
  if (any_in_net(peer, false)) {
    return {
        "the peer has announced chunks that do not arrive: its Net has not sent them, or this "
        "end's Net has nowhere to put them (bounce pool used up)",
        "the report of the other end; the plugin's log at both ends"};
  }
  if (any_held_here(peer)) {
    return {
        "what has arrived is not unpacked, or the Net takes no more receives: the GPU or the "
        "plugin of this end holds it up",
        "the log at level debug; nvidia-smi"};
  }
  if (peer.sends > 0 && peer.credits == 0) {
    return {"the peer has posted no receive for what is to be sent", "post receives there"};
  }
  if (peer.sends > 0) {
    return {"a send has met its receive and is not started: nobody makes passes here",
            "call progress() or wait(), or take a ProgressThread"};
  }
  if (peer.one_sided > 0) {
    return {
        "a write, read or notification waits for the peer's answer: nobody makes passes there, "
        "or it has not polled the notifications that it has",
        "call progress() or wait() there, or take a ProgressThread; poll notifications"};
  }
  if (peer.unannounced > 0) {
    return {"receives wait for sends of the peer: it has announced nothing for them", "send there"};
  }
  return {"nothing is asked for", "nothing"};
}

std::string report_text(const std::string& engine, const std::vector<PeerFacts>& peers) {
  std::string text = fmt::format("engine {}: {} peers\n", engine, peers.size());
  for (const PeerFacts& peer : peers) {
    text += fmt::format(
        "  peer {} {}: {}, last heard {:.1f} s ago; {} sends, {} credits; {} receives, {} not "
        "announced\n",
        peer.id, peer.label, since_it_moved(peer), seconds(peer.silent_for), peer.sends,
        peer.credits, peer.recvs, peer.unannounced);
    if (peer.one_sided + peer.served > 0) {
      text += fmt::format("    {} one-sided transfers asked for here, {} served\n", peer.one_sided,
                          peer.served);
    }
    if (peer.send_rebuilds + peer.recv_rebuilds > 0) {
      text += fmt::format("    channels rebuilt: send {} times, recv {} times\n",
                          peer.send_rebuilds, peer.recv_rebuilds);
    }
    if (!peer.control.empty()) text += fmt::format("    control: {}\n", peer.control);
    for (const ChannelFacts& one : peer.channels) text += channel_line(one);
    const Cause cause = likely_cause(peer);
    text += fmt::format("    means: {}\n    try: {}\n", cause.means, cause.attempt);
  }
  return text;
}

}  // namespace sluice
