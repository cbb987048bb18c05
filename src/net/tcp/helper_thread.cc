#include "src/net/tcp/helper_thread.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <utility>

namespace sluice {

Result<std::thread> start_helper(const std::string& name, std::function<void()> run) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // A thread inherits the mask of its maker.
  std::thread thread;
  Status status;
  try {
    thread = std::thread(std::move(run));
  } catch (const std::system_error& error) {
    status = Status::from_errno(error.code().value(), "a helper thread");
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!status.ok()) return status;
  ::pthread_setname_np(thread.native_handle(), name.c_str());
  return thread;
}

}  // namespace sluice
