// Copies and fills of any dtype: dst[i] = src[i] converted as core/dtype.h says, dst[i] = value.
// Without a conversion only the element's size matters, so bits are moved and few kernels serve all
// dtypes.
#include <cstddef>

#include "kernels.h"
#include "map.cuh"
#include "storage.cuh"

namespace NEEDLE_NS {
namespace {

using needle::DType;
using needle::View;

// Reads an element of a dtype known when the kernel runs: a kernel per output dtype serves all
// inputs.
template <class To>
struct ConvertTo {
  DType from;

  template <class From>
  static NEEDLE_HD To read(const std::byte& where) {
    return needle::Convert<To>::from(*reinterpret_cast<const From*>(&where));
  }
  NEEDLE_HD To operator()(const std::byte& where) const {
    switch (from) {
      case DType::float32:
        return read<float>(where);
      case DType::float64:
        return read<double>(where);
      case DType::int32:
        return read<std::int32_t>(where);
      case DType::int64:
        return read<std::int64_t>(where);
      case DType::boolean:
        return read<bool>(where);
      case DType::float16:
        return read<needle::Half>(where);
      case DType::bfloat16:
        return read<needle::BFloat16>(where);
    }
    return To{};
  }
};

template <class To>
struct Round {
  template <class From>
  NEEDLE_HD To operator()(From v) const {
    return needle::Convert<To>::from(v);
  }
};

struct Same {
  template <class T>
  NEEDLE_HD T operator()(T v) const {
    return v;
  }
};

template <class T>
struct Constant {
  T value;
  NEEDLE_HD T operator()() const { return value; }
};

// Between floats, which training casts all the time.
template <class To, class From>
void round_floats(const Stream& stream, View (&views)[2]) {
  if constexpr (!std::is_same_v<To, From>) map<To, From>(stream, Round<To>{}, Round<To>{}, views);
}

// Between any two dtypes.
void convert(const Stream& stream, View (&views)[2]) {
  const auto item = static_cast<std::int64_t>(needle::itemsize(views[1].dtype));
  for (int d = 0; d < views[1].ndim; ++d) views[1].strides[d] *= item;  // in bytes
  needle::visit_dtype(views[0].dtype, [&](auto zero) {
    using To = decltype(zero);
    const ConvertTo<To> f{views[1].dtype};
    map_pieces<To, std::byte>(views, [&](const View(&piece)[2], To* dst, auto in) {
      launch_strided(stream, f, piece, dst, in);
    });
  });
}

}  // namespace

void copy(const Stream& stream, View dst, View src) {
  View views[] = {dst, src};
  if (dst.dtype == src.dtype) {
    visit_words(needle::itemsize(dst.dtype), [&](auto zero) {
      using T = decltype(zero);
      map<T, T>(stream, Same{}, Same{}, views);
    });
  } else if (needle::is_floating(dst.dtype) && needle::is_floating(src.dtype)) {
    needle::visit_floating(dst.dtype, [&](auto to) {
      needle::visit_floating(
          src.dtype, [&](auto from) { round_floats<decltype(to), decltype(from)>(stream, views); });
    });
  } else {
    convert(stream, views);
  }
}

void fill(const Stream& stream, View dst, needle::Scalar value) {
  std::uint64_t bits = 0;
  needle::visit_dtype(dst.dtype, [&](auto zero) {
    using Convert = needle::Convert<decltype(zero)>;
    const auto element = value.integral ? Convert::from(value.integer) : Convert::from(value.real);
    std::memcpy(&bits, &element, sizeof element);
  });
  View views[] = {dst};
  visit_words(needle::itemsize(dst.dtype), [&](auto zero) {
    using T = decltype(zero);
    const Constant<T> constant{static_cast<T>(bits)};
    map<T, T>(stream, constant, constant, views);
  });
}

}  // namespace NEEDLE_NS
