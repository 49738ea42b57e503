// The state of the launch that is running, shared by the scheduler (scheduler.cc), the rendezvous
// of warps (warp.cc) and the reports (report.cc). One launch runs at a time.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "fiber.h"

namespace needle_sim {

constexpr unsigned kWarp = 32;
constexpr unsigned kMaxThreads = 1024;

enum class State : std::uint8_t { fresh, ready, at_barrier, at_exchange, exited };

struct Thread {
  uint3 index;
  State state;
  Exchange kind;
  unsigned mask;
  int source;           // the lane whose value it asks for
  std::uint64_t value;  // what it gives, then what it gets
  const char* file;     // where it waits
  int line;
  Fiber* fiber;
};

struct Launch {
  void (*run)(const void*);
  const void* call;
  const void* kernel;
  std::uint64_t blocks, started_blocks, block, block_step;
  unsigned threads;  // of a block
  unsigned current, waiting, exited;
  unsigned head, queued;
  std::uint16_t queue[kMaxThreads];  // a ring; a thread is in it at most once
  std::uint8_t in_exchange[kMaxThreads / kWarp];
  Thread thread[kMaxThreads];
  std::uint64_t random;
  std::string report;
};

extern Launch g;

std::uint64_t draw();       // a random number of this launch
void enqueue(unsigned id);  // the thread may run again
void wait();                // the current thread waits; returns when its turn has come again
// Completes exchanges that wait only for lanes that have exited; false if there are none.
bool complete_exchanges_past_exits();

std::string text(uint3 v);
uint3 block_index(std::uint64_t block);  // from its place in the grid
std::string site(const char* file, int line);
std::string site(const Thread& t);          // where it waits
std::string told(const std::string& what);  // with the kernel and the block
[[noreturn]] void fail_divergent();         // reports who waits where

}  // namespace needle_sim
