#include "tools/stop.h"

#include <signal.h>
#include <sys/prctl.h>

#include <cstring>

namespace sluice::tools {
namespace {

// A handler can reach nothing but a global.
volatile sig_atomic_t stop_flag = 0;

volatile sig_atomic_t report_count = 0;

void on_signal(int) { stop_flag = 1; }
void on_report_signal(int) { report_count = report_count + 1; }

}  // namespace

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

void catch_report_signal() {
  struct sigaction action {};
  action.sa_handler = on_report_signal;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGUSR1, &action, nullptr);
}

int reports_requested() { return report_count; }

void end_with_parent() { ::prctl(PR_SET_PDEATHSIG, SIGTERM); }

bool stop_requested() { return stop_flag != 0; }

}  // namespace sluice::tools
