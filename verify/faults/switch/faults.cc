// The table behind fault_on (faults.h), which is not included: there the table is read-only.
// NEEDLE_FAULT holds the number of the active fault, NEEDLE_FAULT_MARKS a file with a byte for each
// fault, which becomes 1 when its place is executed.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

extern "C" {
extern unsigned char needle_fault_states[];
__attribute__((visibility("hidden"))) unsigned char needle_fault_states[NEEDLE_FAULTS + 1];
__attribute__((visibility("hidden"), cold, noinline)) int needle_fault_state(int n);
__attribute__((visibility("default"))) int needle_fault_active();  // its number, 0 without one
}

static unsigned char* marks = nullptr;
static int active = 0;
constexpr unsigned char kActive = 1, kMarked = 2;

int needle_fault_active() { return active; }

int needle_fault_state(int n) {
  if (marks != nullptr) __atomic_store_n(marks + n, 1, __ATOMIC_RELAXED);
  return (needle_fault_states[n] & kActive) != 0 ? 1 : 0;
}

__attribute__((constructor)) static void read_environment() {
  const char* number = std::getenv("NEEDLE_FAULT");
  active = number == nullptr ? 0 : std::atoi(number);
  if (active < 0 || active > NEEDLE_FAULTS) active = 0;
  if (active != 0) needle_fault_states[active] |= kActive;
  const char* path = std::getenv("NEEDLE_FAULT_MARKS");
  if (path == nullptr || *path == '\0') return;
  const int file = open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return;
  void* const mapped =
      mmap(nullptr, NEEDLE_FAULTS + 1, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (mapped == MAP_FAILED) return;
  marks = static_cast<unsigned char*>(mapped);
  for (unsigned char& state : needle_fault_states) state |= kMarked;
}
