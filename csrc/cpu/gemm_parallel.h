// How matmul and convolutions share work: C is cut into a grid of tiles, one or more for each
// thread. A thread packs what it needs itself, so there is no barrier; elements of C do not depend
// on the cut (gemm_block.h).
#pragma once

#include <omp.h>

#include <cstdint>

namespace NEEDLE_NS {

// Into how many parts this many multiply-adds are worth cutting: 1 where waking the threads (about
// a microsecond) costs more than it saves, or inside somebody else's parallel region.
static inline std::int64_t parts_for(double work) {
  if (work < 64.0 * 1024 || omp_in_parallel()) return 1;
  const double useful = work / (32.0 * 1024);
  const int most = omp_get_max_threads();
  return useful < most ? static_cast<std::int64_t>(useful) : most;
}

// Calls task(0) ... task(tasks - 1), on all threads if there is more than one part. The team is
// always the whole one: OpenMP ends threads that a smaller team leaves over.
template <class Task>
static void run_tasks(std::int64_t tasks, std::int64_t parts, const Task& task) {
  if (parts == 1) {
    for (std::int64_t i = 0; i < tasks; ++i) task(i);
    return;
  }
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < tasks; ++i) task(i);
}

struct Grid {
  std::int64_t down, across;
};

// A grid of at least `parts` tiles (fewer only if there are not that many row and column units), as
// square as possible, since a tile packs its share of A and of B.
static inline Grid cut_grid(std::int64_t rows, std::int64_t columns, std::int64_t row_unit,
                            std::int64_t column_unit, std::int64_t parts) {
  const std::int64_t most_down = (rows + row_unit - 1) / row_unit;
  const std::int64_t most_across = (columns + column_unit - 1) / column_unit;
  Grid best{1, 1};
  double best_cost = -1;
  for (std::int64_t across = 1; across <= parts && across <= most_across; ++across) {
    std::int64_t down = (parts + across - 1) / across;
    if (down > most_down) down = most_down;
    const double height = static_cast<double>((most_down + down - 1) / down * row_unit);
    const double width = static_cast<double>((most_across + across - 1) / across * column_unit);
    const double cost =
        height * width * 64 + (height + width) * 256;  // work of the largest tile, and its packing
    if (best_cost < 0 || cost < best_cost) {
      best = Grid{down, across};
      best_cost = cost;
    }
  }
  return best;
}

// First element of part i of n elements cut into parts at multiples of unit.
static inline std::int64_t cut_at(std::int64_t n, std::int64_t unit, std::int64_t parts,
                                  std::int64_t i) {
  const std::int64_t units = (n + unit - 1) / unit;
  const std::int64_t at = (units / parts * i + (i < units % parts ? i : units % parts)) * unit;
  return at < n ? at : n;
}

}  // namespace NEEDLE_NS
