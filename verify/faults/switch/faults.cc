// The table behind fault_on (faults.h), which is not included: there the table is read-only.
// NEEDLE_FAULT in the environment is the number of the active fault. Places that are executed
// between needle_fault_watch(1) and needle_fault_watch(0) leave marks.
#include <cstdlib>
#include <cstring>

extern "C" {
#define FAULT_HIDDEN __attribute__((visibility("hidden")))
#define FAULT_PUBLIC __attribute__((visibility("default")))
FAULT_HIDDEN extern unsigned char needle_fault_states[NEEDLE_FAULTS + 1];
FAULT_HIDDEN __attribute__((cold, noinline)) int needle_fault_state(int n);
FAULT_PUBLIC int needle_fault_active();  // its number, 0 without one
FAULT_PUBLIC void needle_fault_watch(int on);
FAULT_PUBLIC const unsigned char* needle_fault_marks();  // by number: 1 where it was executed
}

unsigned char needle_fault_states[NEEDLE_FAULTS + 1];
static unsigned char marks[NEEDLE_FAULTS + 1];
static int active = 0;
constexpr unsigned char kActive = 1, kWatched = 2;

int needle_fault_state(int n) {
  if ((needle_fault_states[n] & kWatched) != 0) __atomic_store_n(marks + n, 1, __ATOMIC_RELAXED);
  return needle_fault_states[n] & kActive;
}

int needle_fault_active() { return active; }

void needle_fault_watch(int on) {
  if (on != 0) std::memset(marks, 0, sizeof marks);
  for (unsigned char& state : needle_fault_states) {
    state = static_cast<unsigned char>((state & kActive) | (on != 0 ? kWatched : 0));
  }
}

const unsigned char* needle_fault_marks() { return marks; }

__attribute__((constructor)) static void read_environment() {
  const char* number = std::getenv("NEEDLE_FAULT");
  active = number == nullptr ? 0 : std::atoi(number);
  if (active < 0 || active > NEEDLE_FAULTS) active = 0;
  if (active != 0) needle_fault_states[active] = kActive;
}
