// Elements chosen by a mask (where) or by index along an axis (gather), over views of any strides.
#include "decls.h"
#include "loops.h"

namespace NEEDLE_NS {

using needle::View;
using std::int64_t;

template <class T, class M>
static void select(View (&views)[4]) {
  collapse_rows(views);
  int64_t step[4];
  for (int k = 0; k < 4; ++k) step[k] = inner_stride(views[k]);
  const bool straight = step[0] == 1 && step[1] == 1;
  for_rows(views, [&](char* const(&p)[4], int64_t n) {
    T* to = reinterpret_cast<T*>(p[0]);
    const M* mask = reinterpret_cast<const M*>(p[1]);
    const T* a = reinterpret_cast<const T*>(p[2]);
    const T* b = reinterpret_cast<const T*>(p[3]);
    // Both are read before one is chosen: a branch would keep the compiler from vectors.
    if (straight && step[2] == 1 && step[3] == 1) {
      for (int64_t i = 0; i < n; ++i) {
        const T x = a[i], y = b[i];
        to[i] = mask[i] != M(0) ? x : y;
      }
    } else if (straight && step[2] == 1 && step[3] == 0) {
      const T y = *b;
      for (int64_t i = 0; i < n; ++i) {
        const T x = a[i];
        to[i] = mask[i] != M(0) ? x : y;
      }
    } else if (straight && step[2] == 0 && step[3] == 1) {
      const T x = *a;
      for (int64_t i = 0; i < n; ++i) {
        const T y = b[i];
        to[i] = mask[i] != M(0) ? x : y;
      }
    } else {
      for (int64_t i = 0; i < n; ++i) {
        const T x = a[i * step[2]], y = b[i * step[3]];
        to[i * step[0]] = mask[i * step[1]] != M(0) ? x : y;
      }
    }
  });
}

void where(View dst, View mask, View a, View b) {
  View views[4] = {dst, mask, a, b};
  needle::visit_computed(dst.dtype, [&](auto zero) {
    using T = decltype(zero);
    mask.dtype == needle::DType::boolean ? select<T, std::uint8_t>(views) : select<T, T>(views);
  });
}

// Only the size of an element matters. An axis along which the index repeats is copied in rows.
template <class Word>
static void gather_words(View dst, View a, View index, int axis) {
  const int64_t along = a.strides[axis];
  a.shape[axis] = dst.shape[axis];
  a.strides[axis] = 0;
  View views[3] = {dst, index, a};
  collapse_rows(views);
  const int64_t to_step = inner_stride(views[0]), index_step = inner_stride(views[1]),
                from_step = inner_stride(views[2]);
  for_rows(views, [&](char* const(&p)[3], int64_t n) {
    Word* to = reinterpret_cast<Word*>(p[0]);
    const int64_t* place = reinterpret_cast<const int64_t*>(p[1]);
    const Word* from = reinterpret_cast<const Word*>(p[2]);
    if (index_step != 0) {
      for (int64_t i = 0; i < n; ++i) {
        to[i * to_step] = from[i * from_step + place[i * index_step] * along];
      }
      return;
    }
    from += *place * along;
    if (to_step == 1 && from_step == 1) {
      std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(Word));
    } else {
      for (int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * from_step];
    }
  });
}

void gather(View dst, View a, View index, int axis) {
  switch (needle::itemsize(dst.dtype)) {
    case 1:
      return gather_words<std::uint8_t>(dst, a, index, axis);
    case 2:
      return gather_words<std::uint16_t>(dst, a, index, axis);
    case 4:
      return gather_words<std::uint32_t>(dst, a, index, axis);
    default:
      return gather_words<std::uint64_t>(dst, a, index, axis);
  }
}

}  // namespace NEEDLE_NS
