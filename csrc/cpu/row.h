// Rows of compact arrays, folded and mapped in vectors: a kernel over rows is written once, with
// statistics of a row in vectors, for rows that lie along memory and for rows side by side.
//
//   - along: a row's elements are neighbours; a statistic is one vector with the same in each lane
//   - beside: up to N vectors of rows are walked at once; a statistic is N vectors, a row to a
//   lane.
//     Short rows are transposed to be such
//
// A fold has one Cascade (cascade.h). A few long rows are cut into parts, by the shape alone, which
// threads share; else threads share the rows.
#pragma once

#include <type_traits>

#include "row_place.h"

namespace NEEDLE_NS {

// A row or some side by side, and what is computed of it.
template <class T, int N, bool Along>
class Row : public RowPlace<T, N, Along> {
  using Place = RowPlace<T, N, Along>;
  using Place::at_, Place::rows_, Place::columns_, Place::parts_;
  using Place::first_of, Place::lanes_of, Place::run, Place::stretches;

 public:
  using V = vec<T>;
  using Place::Place;

  // result = of(k, elements of in...) folded by F, where k is a statistic's vector; the values are
  // kept in `keep` unless that is null.
  template <class F, class Of, class... In>
  void fold(V (&result)[N], T* keep, const Of& of, const In*... in) const {
    if (parts_ == 1) {
      fold_part<F>(result, 0, run().size, keep, of, in...);
    } else {
      V part[kMaxRowParts][N];
      parallel(parts_, kParallelElements, [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
          fold_part<F>(part[p], first_of(p), first_of(p + 1), keep, of, in...);
        }
      });
      for (int64_t n = parts_, half = n / 2; n > 1; n -= half, half = n / 2) {
        for (int64_t p = 0; p < half; ++p) {
          for (int k = 0; k < N; ++k) part[p][k] = F::combine(part[p][k], part[n - half + p][k]);
        }
      }
      for (int k = 0; k < N; ++k) result[k] = part[0][k];
    }
    if constexpr (Along) result[0] = fold_lanes<F, lanes<T> / 2>(result[0]);
  }

  // M sums in one pass: result[m] = of(m, k, elements of in...), summed.
  template <int M, class Of, class... In>
  void sums(V (&result)[M][N], const Of& of, const In*... in) const {
    if (parts_ == 1) {
      sums_part<M>(result, 0, run().size, of, in...);
    } else {
      V part[kMaxRowParts][M][N];
      parallel(parts_, kParallelElements, [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
          sums_part<M>(part[p], first_of(p), first_of(p + 1), of, in...);
        }
      });
      add_halves(part, parts_, result);
    }
    if constexpr (Along) {
      for (V(&sum)[N] : result) sum[0] = fold_lanes<reduce_sum, lanes<T> / 2>(sum[0]);
    }
  }

  // to = of(k, elements of in...)
  template <class Of, class... In>
  void map(T* to, const Of& of, const In*... in) const {
    if (parts_ == 1) return map_part(0, run().size, to, of, in...);
    parallel(parts_, kParallelElements, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) map_part(first_of(p), first_of(p + 1), to, of, in...);
    });
  }

 private:
  static constexpr int kWidth = Along ? 4 : N;  // vectors that are folded side by side
  static constexpr int64_t kBuffer = 32 * kWidth * lanes<T>, kShort = 31 * kWidth * lanes<T>;

  // n elements, or rows of columns_ that are `to_step` and run().stride apart.
  template <class Of, class... In>
  NEEDLE_ALWAYS_INLINE void map_stretch(T* to, int64_t to_step, int64_t n, const Of& of,
                                        const In*... in) const {
    if constexpr (Along) {
      map_run(to, n, [&](const auto& load) { return of(0, load(in)...); });
    } else {
      const int64_t step = run().stride, last = lanes_of(N - 1);
      for (int64_t r = 0; r < n; ++r) {
        for (int k = 0; k < N; ++k) {
          const int64_t i = r * step + k * lanes<T>;
          if (k < N - 1 || last == lanes<T>) {
            store(to + r * to_step + k * lanes<T>, of(k, load(in + i)...));
          } else {
            store_partial(to + r * to_step + k * lanes<T>, of(k, load_partial(in + i, last)...),
                          last);
          }
        }
      }
    }
  }

  template <class Of, class... In>
  void map_part(int64_t begin, int64_t end, T* to, const Of& of, const In*... in) const {
    stretches(begin, end, end - begin, [&](int64_t from, int64_t n) {
      map_stretch(to + from, run().stride, n, of, (in + from)...);
    });
  }

  template <class F, class Of, class... In>
  void fold_part(V (&result)[N], int64_t begin, int64_t end, T* keep, const Of& of,
                 const In*... in) const {
    if constexpr (Along) {
      if (rows_.n_reduced == 1 && end - begin < kShort) {
        return fold_short<F>(result, begin, end - begin, keep, of, in...);
      }
    }
    Cascade<F, T, kWidth> sum;
    if constexpr (std::is_same_v<Of, Itself>) {
      stretches(begin, end, end - begin,
                [&](int64_t from, int64_t n) { push(sum, (in + from)..., run().stride, n); });
    } else {
      constexpr int64_t most = Along ? kBuffer : 32;
      alignas(kVectorBytes) T buffer[kBuffer];
      stretches(begin, end, most, [&](int64_t from, int64_t n) {
        T* to = keep == nullptr ? buffer : keep + from;
        const int64_t step = keep == nullptr ? kWidth * lanes<T> : run().stride;
        map_stretch(to, step, n, of, (in + from)...);
        push(sum, to, step, n);
      });
    }
    if constexpr (Along) {
      V sums[kWidth];
      sum.finish(sums);
      result[0] = fold_vectors<F>(sums);
    } else {
      sum.finish(result);
    }
  }

  // A stretch along memory that fills no block of a cascade.
  template <class F, class Of, class... In>
  void fold_short(V (&result)[N], int64_t begin, int64_t n, T* keep, const Of& of,
                  const In*... in) const {
    constexpr int64_t columns = kWidth * lanes<T>;
    const int64_t from = at_ + begin;
    V sums[kWidth];
    const auto fold_all = [&](const T* p) {
      Cascade<F, T, kWidth>::fold_short(p, n / columns, columns, columns, n % columns, sums);
    };
    if constexpr (std::is_same_v<Of, Itself>) {
      (fold_all(in + from), ...);
    } else {
      alignas(kVectorBytes) T buffer[kBuffer];
      T* to = keep == nullptr ? buffer : keep + from;
      map_stretch(to, columns, n, of, (in + from)...);
      fold_all(to);
    }
    result[0] = fold_vectors<F>(sums);
  }

  template <int M, class Of, class... In>
  void sums_part(V (&result)[M][N], int64_t begin, int64_t end, const Of& of,
                 const In*... in) const {
    Cascade<reduce_sum, T, M * kWidth> sum;
    constexpr int64_t across = kWidth * lanes<T>;
    const int64_t last = lanes_of(N - 1);
    stretches(begin, end, end - begin, [&](int64_t from, int64_t n) {
      const int64_t step = Along ? across : run().stride, rows = Along ? n / across : n;
      const auto place = [&](int64_t r, int j) { return from + r * step + j % kWidth * lanes<T>; };
      const auto whole = [&](int64_t r, int j) __attribute__((always_inline)) {
        return of(j / kWidth, Along ? 0 : j % kWidth, load(in + place(r, j))...);
      };
      // The first lanes of what is no whole vector.
      const auto edge = [&](int64_t r, int j, int64_t left) {
        if (left <= 0) return V{};
        const V v = of(j / kWidth, Along ? 0 : j % kWidth, load_partial(in + place(r, j), left)...);
        return first_lanes<T>(v, left);
      };
      if (Along || last == lanes<T>) {
        sum.push_made(rows, whole);
      } else {
        sum.push_made(rows, [&](int64_t r, int j) {
          return j % kWidth < N - 1 ? whole(r, j) : edge(r, j, last);
        });
      }
      if (Along && n > rows * across) {
        sum.push_made(1, [&](int64_t, int j) {
          const int64_t left = n - rows * across - j % kWidth * lanes<T>;
          return left >= lanes<T> ? whole(rows, j) : edge(rows, j, left);
        });
      }
    });
    V all[M * kWidth];
    sum.finish(all);
    for (int m = 0; m < M; ++m) {
      if constexpr (Along) {
        V wide[kWidth];
        for (int k = 0; k < kWidth; ++k) wide[k] = all[m * kWidth + k];
        result[m][0] = fold_vectors<reduce_sum>(wide);
      } else {
        for (int k = 0; k < N; ++k) result[m][k] = all[m * kWidth + k];
      }
    }
  }

  template <class Sum>
  void push(Sum& sum, const T* p, int64_t step, int64_t n) const {
    if constexpr (Along) {
      constexpr int64_t columns = kWidth * lanes<T>;
      if (n >= columns) sum.push(p, n / columns, columns, columns);
      if (n % columns > 0) sum.push_short(p + n / columns * columns, n % columns);
    } else {
      sum.push(p, n, step, columns_);
    }
  }
};

}  // namespace NEEDLE_NS
