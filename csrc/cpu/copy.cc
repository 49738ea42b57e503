// Copies between views of one shape and any strides, dtype conversion, and fill.
//
//   - same dtype: words of its size are moved, row by row; where source and destination are
//     contiguous along different axes, by transposes (transpose.h)
//   - conversion: element by element (Convert in core/dtype.h)
#include <type_traits>

#include "decls.h"
#include "loops.h"
#include "simd.h"
#include "transpose.h"

namespace NEEDLE_NS {

using needle::View;

// Whole bytes past the caches; dst is a multiple of 4 bytes away from alignment.
static void stream_bytes(char* dst, const char* src, std::int64_t n) {
  const auto misaligned =
      static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(dst) % kVectorBytes);
  std::int64_t i = misaligned == 0 ? 0 : kVectorBytes - misaligned;
  if (i > n) i = n;
  std::memcpy(dst, src, static_cast<std::size_t>(i));
  for (; i + kVectorBytes <= n; i += kVectorBytes) {
    f32v v;
    std::memcpy(&v, src + i, sizeof v);
    stream(reinterpret_cast<float*>(dst + i), v);
  }
  std::memcpy(dst + i, src + i, static_cast<std::size_t>(n - i));
}

template <class T, class U>
static void move_rows(View (&views)[2]) {
  const std::int64_t to_step = inner_stride(views[0]), from_step = inner_stride(views[1]);
  const bool streamed = streams(views[0]);
  for_rows(views, [&](char* const(&p)[2], std::int64_t n) {
    T* to = reinterpret_cast<T*>(p[0]);
    const U* from = reinterpret_cast<const U*>(p[1]);
    if constexpr (std::is_same_v<T, U>) {
      if (to_step == 1 && from_step == 1) {
        const auto bytes = n * static_cast<std::int64_t>(sizeof(T));
        if (streamed) return stream_bytes(p[0], p[1], bytes);
        std::memcpy(to, from, static_cast<std::size_t>(bytes));
        return;
      }
      if (to_step == 1) {  // constant address arithmetic for the common case
        for (std::int64_t i = 0; i < n; ++i) to[i] = from[i * from_step];
        return;
      }
      for (std::int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * from_step];
    } else {
      using needle::Convert;
      if (to_step == 1 && from_step == 1) {
        for (std::int64_t i = 0; i < n; ++i) to[i] = Convert<T>::from(from[i]);
        return;
      }
      for (std::int64_t i = 0; i < n; ++i) to[i * to_step] = Convert<T>::from(from[i * from_step]);
    }
  });
}

// Same dtype: what matters is the size of an element. Floats stand for words that have vectors.
template <class Word>
static void move(View (&views)[2]) {
  if (!transpose<Word>(views)) move_rows<Word, Word>(views);
}

void copy(View dst, View src) {
  View views[2] = {dst, src};
  collapse_rows(views);
  if (dst.dtype == src.dtype) {
    switch (needle::itemsize(dst.dtype)) {
      case 1:
        return move<std::uint8_t>(views);
      case 2:
        return move<std::uint16_t>(views);
      case 4:
        return move<float>(views);
      default:
        return move<double>(views);
    }
  }
  needle::visit_dtype(dst.dtype, [&](auto to) {
    needle::visit_dtype(src.dtype,
                        [&](auto from) { move_rows<decltype(to), decltype(from)>(views); });
  });
}

template <class T>
static void fill_rows(View (&views)[1], T value) {
  const std::int64_t step = inner_stride(views[0]);
  for_rows(views, [&](char* const(&p)[1], std::int64_t n) {
    T* to = reinterpret_cast<T*>(p[0]);
    if (step == 1) {
      for (std::int64_t i = 0; i < n; ++i) to[i] = value;
    } else {
      for (std::int64_t i = 0; i < n; ++i) to[i * step] = value;
    }
  });
}

void fill(View dst, needle::Scalar value) {
  View views[1] = {dst};
  collapse_rows(views);
  needle::visit_dtype(dst.dtype, [&](auto zero) {
    using To = needle::Convert<decltype(zero)>;
    fill_rows(views, value.integral ? To::from(value.integer) : To::from(value.real));
  });
}

}  // namespace NEEDLE_NS
