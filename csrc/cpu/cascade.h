// Cascade: folds rows of up to N vectors into one by a reduction of the op table. kBlockRows rows
// are folded one after another; block results meet like the carries of a binary counter, so that an
// element takes part in about kBlockRows + log2(rows / kBlockRows) roundings. The order depends on
// the number and length of the runs pushed only.
#pragma once

#include "simd.h"

namespace NEEDLE_NS {

template <class F, class T, int N>
class Cascade {
 public:
  using V = vec<T>;
  static constexpr std::int64_t kColumns = N * lanes<T>;

  static V identity() { return broadcast<V>(static_cast<T>(F::identity())); }

  Cascade() { reset(open_); }

  // Adds n rows of `columns` elements, (N - 1) * lanes < columns <= N * lanes, `stride` apart. Each
  // two vectors of a row follow each other; such pairs are `apart`.
  void push(const T* p, std::int64_t n, std::int64_t stride, std::int64_t columns,
            std::int64_t apart = 2 * lanes<T>) {
    const auto at = [&](int k) { return p + k / 2 * apart + k % 2 * lanes<T>; };
    const std::int64_t last = columns - (N - 1) * lanes<T>;
    while (n > 0) {
      const std::int64_t room = kBlockRows - open_rows_, rows = n < room ? n : room;
      V sum[N];
      for (int k = 0; k < N; ++k) sum[k] = open_[k];
      if (last == lanes<T>) {
        for (std::int64_t r = 0; r < rows; ++r, p += stride) {
          for (int k = 0; k < N; ++k) sum[k] = F::combine(sum[k], load(at(k)));
        }
      } else {
        for (std::int64_t r = 0; r < rows; ++r, p += stride) {
          for (int k = 0; k < N - 1; ++k) sum[k] = F::combine(sum[k], load(at(k)));
          sum[N - 1] = F::combine(sum[N - 1], first_of(at(N - 1), last));
        }
      }
      for (int k = 0; k < N; ++k) open_[k] = sum[k];
      close(rows);
      n -= rows;
    }
  }

  // Adds n rows that are computed on the way: vector k of row r is of(r, k).
  template <class Of>
  void push_made(std::int64_t n, const Of& of) {
    for (std::int64_t first = 0; first < n;) {
      const std::int64_t room = kBlockRows - open_rows_, rows = n - first < room ? n - first : room;
      V sum[N];
      for (int k = 0; k < N; ++k) sum[k] = open_[k];
      for (std::int64_t r = first; r < first + rows; ++r) {
#pragma GCC unroll 16
        for (int k = 0; k < N; ++k) sum[k] = F::combine(sum[k], of(r, k));
      }
      for (int k = 0; k < N; ++k) open_[k] = sum[k];
      close(rows);
      first += rows;
    }
  }

  // Adds one row of fewer than kColumns elements.
  void push_short(const T* p, std::int64_t columns) {
    for (int k = 0; k < N && columns > 0; ++k, p += lanes<T>, columns -= lanes<T>) {
      open_[k] = F::combine(open_[k], columns < lanes<T> ? first_of(p, columns) : load(p));
    }
    close(1);
  }

  // What push, push_short and finish make of n rows and of `rest` elements behind them, while these
  // are fewer than a block; the sums stay in registers.
  static bool short_enough(std::int64_t n) { return n < kBlockRows - 1; }
  static void fold_short(const T* p, std::int64_t n, std::int64_t stride, std::int64_t columns,
                         std::int64_t rest, V (&result)[N]) {
    const std::int64_t last = columns - (N - 1) * lanes<T>;
    V sum[N];
    reset(sum);
    for (std::int64_t r = 0; r < n; ++r, p += stride) {
      for (int k = 0; k < N - 1; ++k) sum[k] = F::combine(sum[k], load(p + k * lanes<T>));
      const T* end = p + (N - 1) * lanes<T>;
      sum[N - 1] = F::combine(sum[N - 1], last == lanes<T> ? load(end) : first_of(end, last));
    }
    for (int k = 0; k < N && rest > 0; ++k, p += lanes<T>, rest -= lanes<T>) {
      sum[k] = F::combine(sum[k], rest < lanes<T> ? first_of(p, rest) : load(p));
    }
    for (int k = 0; k < N; ++k) result[k] = sum[k];
  }

  void finish(V (&result)[N]) const {
    for (int k = 0; k < N; ++k) result[k] = open_[k];
    for (int level = 0; (blocks_ >> level) != 0; ++level) {
      if ((blocks_ >> level & 1) == 0) continue;
      for (int k = 0; k < N; ++k) result[k] = F::combine(level_[level][k], result[k]);
    }
  }

 private:
  static constexpr std::int64_t kBlockRows = 32;
  static constexpr int kLevels = 60;

  static void reset(V (&sum)[N]) {
    for (int k = 0; k < N; ++k) sum[k] = identity();
  }

  // The first n lanes, then identities.
  static V first_of(const T* p, std::int64_t n) {
    ivec<T> lane = {};
    for (int i = 0; i < lanes<T>; ++i) lane[i] = i;
    return lane < static_cast<int_of<T>>(n) ? load_partial(p, n) : identity();
  }

  void close(std::int64_t rows) {
    open_rows_ += rows;
    if (open_rows_ < kBlockRows) return;
    int level = 0;
    for (; (blocks_ >> level & 1) != 0; ++level) {
      for (int k = 0; k < N; ++k) open_[k] = F::combine(level_[level][k], open_[k]);
    }
    for (int k = 0; k < N; ++k) level_[level][k] = open_[k];
    reset(open_);
    ++blocks_;
    open_rows_ = 0;
  }

  V open_[N];            // the block being filled
  V level_[kLevels][N];  // [l]: result of 2^l blocks, where bit l of blocks_ is set
  std::int64_t open_rows_ = 0, blocks_ = 0;
};

}  // namespace NEEDLE_NS
