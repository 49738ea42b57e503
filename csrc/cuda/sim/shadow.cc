// Shadow: see shadow.h.
#include "shadow.h"

#include <algorithm>
#include <new>

namespace needle_sim {
namespace {

Cell* zeroed(std::size_t count) {  // its pages appear when they are used
  auto* cells = static_cast<Cell*>(std::calloc(std::max<std::size_t>(count, 1), sizeof(Cell)));
  if (cells == nullptr) throw std::bad_alloc();
  return cells;
}

}  // namespace

Shadow::Shadow(std::size_t bytes) : bytes_(bytes), cells_(zeroed((bytes + 3) / 4)) {}

void Shadow::split() {
  std::unique_ptr<Cell[], Free> bytes(zeroed((bytes_ + 3) / 4 * 4));
  for (std::size_t i = 0; i < (bytes_ + 3) / 4; ++i) {
    if (cells_[i].write.epoch == 0 && cells_[i].reads[0].epoch == 0) continue;
    std::fill_n(&bytes[4 * i], 4, cells_[i]);
  }
  cells_ = std::move(bytes);
  shift_ = 0;
}

Cell* Shadow::begin(std::size_t first, std::size_t bytes) {
  const bool whole_words = first % 4 == 0 && (bytes % 4 == 0 || first + bytes == bytes_);
  if (shift_ != 0 && !whole_words) split();
  return &cells_[first >> shift_];
}

Cell* Shadow::end(std::size_t first, std::size_t bytes) {
  return &cells_[(first + bytes - 1) >> shift_] + 1;
}

bool Shadow::written(std::size_t first, std::size_t bytes, std::uint32_t since) {
  Cell* const start = begin(first, bytes);
  return std::all_of(start, end(first, bytes),
                     [&](const Cell& cell) { return cell.write.epoch >= since; });
}

Conflict Shadow::check(std::size_t first, std::size_t bytes, Access access, const Record& record,
                       std::uint32_t since) {
  const auto apart = [&](const Record& before) {
    return before.epoch >= since && !ordered(before, record);
  };
  const auto conflicts = [&](const Record& before) {
    return !(before.atomic && record.atomic) && apart(before);
  };
  const bool writes = access == Access::write || access == Access::atomic_write;
  Cell* const start = begin(first, bytes);
  for (Cell* cell = start; cell != end(first, bytes); ++cell) {
    if (conflicts(cell->write)) return {true, true, cell->write};
    if (writes) {
      for (const Record& read : cell->reads) {
        if (conflicts(read)) return {true, false, read};
      }
      *cell = {record, {}};
      continue;
    }
    // Two reads that are not ordered: whoever writes next, one of them is another thread's.
    Record* slot = cell->reads;
    if (apart(*slot)) ++slot;
    if (!apart(*slot)) *slot = record;
  }
  return {};
}

void Shadow::begins(std::size_t first, std::size_t bytes, std::uint32_t epoch) {
  Record write{};
  write.epoch = epoch;
  Cell* const start = begin(first, bytes);
  std::fill(start, end(first, bytes), Cell{write, {}});
}

}  // namespace needle_sim
