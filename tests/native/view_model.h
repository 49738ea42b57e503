// An array as a list of its elements, with no strides at all, and random view operations done to an
// NDArray and to this model alike.
#pragma once

#include <algorithm>
#include <optional>
#include <utility>

#include "reference_backend.h"

namespace needle_test {

inline ReferenceBackend backend;
inline Device device("test", 0, &backend);

// An array as its shape and its elements in row-major order.
struct Model {
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> values;

  std::int64_t at(const std::int64_t* index) const {
    std::int64_t flat = 0;
    for (std::size_t i = 0; i < shape.size(); ++i) flat = flat * shape[i] + index[i];
    return values[static_cast<std::size_t>(flat)];
  }
  int ndim() const { return static_cast<int>(shape.size()); }
};

// The model whose element at an index is m's element at from(index).
template <class F>
Model rearranged(const Model& m, std::vector<std::int64_t> shape, F&& from) {
  Model out{std::move(shape), {}};
  for_each_index(out.shape.data(), out.ndim(), [&](const std::int64_t* index) {
    std::int64_t source[16] = {};
    from(index, source);
    out.values.push_back(m.at(source));
  });
  return out;
}

inline std::vector<std::int64_t> elements(const NDArray& a) {
  std::vector<std::int64_t> out;
  const View v = a.view();
  for_each_index(v.shape, v.ndim, [&](const std::int64_t* at) {
    out.push_back(*backend.address<std::int64_t>(v, at));
  });
  return out;
}

inline bool same(const NDArray& a, const Model& m) {
  return std::equal(a.shape().begin(), a.shape().end(), m.shape.begin(), m.shape.end()) &&
         elements(a) == m.values;
}

inline NDArray iota(const Dims& shape) {
  NDArray a = NDArray::empty(shape, DType::int64, device);
  for (std::int64_t i = 0; i < a.size(); ++i) static_cast<std::int64_t*>(a.data())[i] = i;
  return a;
}

inline Dims dims(const std::vector<std::int64_t>& values) { return Dims(std::span(values)); }

// Some axis of the array, sometimes counted from the end; and what it is from the start.
inline std::pair<std::int64_t, int> draw_axis(int ndim) {
  const int axis = static_cast<int>(draw(0, ndim - 1));
  return {draw(0, 1) == 1 ? axis - ndim : axis, axis};
}

// Strides under which the elements of a appear, in order, in a shape; nothing when no strides do
// it. From addresses.
inline bool view_exists(const NDArray& a, const Dims& shape) {
  const View v = a.view();
  std::vector<const std::int64_t*> places;
  for_each_index(v.shape, v.ndim, [&](const std::int64_t* at) {
    places.push_back(backend.address<std::int64_t>(v, at));
  });
  if (places.empty()) return true;
  const Dims steps = compact_strides(shape);
  std::size_t flat = 0;
  bool affine = true;
  for_each_index(shape.begin(), shape.size(), [&](const std::int64_t* at) {
    std::ptrdiff_t expected = 0;
    for (int i = 0; i < shape.size(); ++i) {
      if (shape[i] > 1)
        expected += at[i] * (places[static_cast<std::size_t>(steps[i])] - places[0]);
    }
    affine = affine && places[flat++] - places[0] == expected;
  });
  return affine;
}

inline void random_reshape(NDArray& a, Model& m) {
  std::vector<std::int64_t> shape;
  std::int64_t left = a.size();
  if (left == 0) {
    shape = m.shape;
    std::shuffle(shape.begin(), shape.end(), generator);
  }
  while (left > 1) {
    std::int64_t factor = shape.size() == 4 ? left : draw(1, left);
    while (left % factor != 0) --factor;
    shape.push_back(factor);
    left /= factor;
  }
  if (draw(0, 3) == 0)
    shape.insert(shape.begin() + draw(0, static_cast<std::int64_t>(shape.size())), 1);
  std::vector<std::int64_t> asked = shape;
  const bool zero = std::find(shape.begin(), shape.end(), 0) != shape.end();
  if (!zero && !shape.empty() && draw(0, 1) == 1)
    asked[static_cast<std::size_t>(draw(0, static_cast<std::int64_t>(shape.size()) - 1))] = -1;
  const NDArray out = a.reshape(dims(asked));
  CHECK((out.storage().get() == a.storage().get()) == view_exists(a, dims(shape)));
  a = out;
  m.shape = shape;
}

inline void random_permute(NDArray& a, Model& m) {
  std::vector<std::int64_t> order(m.shape.size()), asked, shape;
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
  std::shuffle(order.begin(), order.end(), generator);
  for (const std::int64_t axis : order) {
    asked.push_back(draw(0, 1) == 1 ? axis - m.ndim() : axis);
    shape.push_back(m.shape[static_cast<std::size_t>(axis)]);
  }
  a = a.permute(dims(asked));
  m = rearranged(m, shape, [&](const std::int64_t* index, std::int64_t* from) {
    for (std::size_t i = 0; i < order.size(); ++i) from[order[i]] = index[i];
  });
}

inline void random_transpose(NDArray& a, Model& m) {
  if (m.ndim() == 0) return;
  const auto [asked1, axis1] = draw_axis(m.ndim());
  const auto [asked2, axis2] = draw_axis(m.ndim());
  std::vector<std::int64_t> shape = m.shape;
  std::swap(shape[static_cast<std::size_t>(axis1)], shape[static_cast<std::size_t>(axis2)]);
  a = a.transpose(asked1, asked2);
  m = rearranged(m, shape,
                 [&, p = axis1, q = axis2](const std::int64_t* index, std::int64_t* from) {
                   std::copy(index, index + m.ndim(), from);
                   std::swap(from[p], from[q]);
                 });
}

inline void random_broadcast(NDArray& a, Model& m) {
  std::vector<std::int64_t> shape = m.shape;
  for (std::int64_t& n : shape) n = n == 1 ? draw(0, 3) : n;
  const auto added = static_cast<std::size_t>(m.ndim() < 5 ? draw(0, 2) : 0);
  for (std::size_t i = 0; i < added; ++i) shape.insert(shape.begin(), draw(1, 2));
  a = a.broadcast_to(dims(shape));
  m = rearranged(m, shape, [&](const std::int64_t* index, std::int64_t* from) {
    for (std::size_t i = 0; i < m.shape.size(); ++i)
      from[i] = m.shape[i] == 1 ? 0 : index[i + added];
  });
}

inline void random_flip(NDArray& a, Model& m) {
  std::vector<std::int64_t> axes, asked;
  for (int i = 0; i < m.ndim(); ++i) {
    if (draw(0, 1) == 0) continue;
    axes.push_back(i);
    asked.push_back(draw(0, 1) == 1 ? i - m.ndim() : i);
  }
  a = a.flip(dims(asked));
  m = rearranged(m, m.shape, [&](const std::int64_t* index, std::int64_t* from) {
    std::copy(index, index + m.ndim(), from);
    for (const std::int64_t axis : axes)
      from[axis] = m.shape[static_cast<std::size_t>(axis)] - 1 - index[axis];
  });
}

inline void random_squeeze(NDArray& a, Model& m) {
  std::vector<std::int64_t> axes, shape;
  for (int i = 0; i < m.ndim(); ++i) {
    const std::int64_t n = m.shape[static_cast<std::size_t>(i)];
    if (n == 1 && draw(0, 2) > 0) {
      axes.push_back(i - m.ndim());
    } else {
      shape.push_back(n);
    }
  }
  a = a.squeeze(dims(axes));
  m.shape = shape;
}

// The positions that Python's a[start:stop:step] takes, by walking them one at a time.
inline std::vector<std::int64_t> walk_slice(const IndexItem& item, std::int64_t size) {
  std::vector<std::int64_t> out;
  const __int128 step = item.step.value_or(1);
  const auto bound = [&](std::optional<std::int64_t> b, __int128 otherwise, __int128 low,
                         __int128 high) -> __int128 {
    if (!b) return otherwise;
    const __int128 at = *b < 0 ? static_cast<__int128>(*b) + size : *b;
    return at < low ? low : at > high ? high : at;
  };
  if (step > 0) {
    const __int128 stop = bound(item.stop, size, 0, size);
    for (__int128 i = bound(item.start, 0, 0, size); i < stop; i += step)
      out.push_back(static_cast<std::int64_t>(i));
  } else {
    const __int128 stop = bound(item.stop, -1, -1, size - 1);
    for (__int128 i = bound(item.start, size - 1, -1, size - 1); i > stop; i += step)
      out.push_back(static_cast<std::int64_t>(i));
  }
  return out;
}

inline std::optional<std::int64_t> draw_bound(std::int64_t size) {
  constexpr std::int64_t extremes[] = {std::numeric_limits<std::int64_t>::min(),
                                       std::numeric_limits<std::int64_t>::max(),
                                       std::numeric_limits<std::int64_t>::min() + 1, 0, -1};
  const std::int64_t kind = draw(0, 9);
  if (kind < 3) return std::nullopt;
  if (kind == 3) return extremes[draw(0, 4)];
  return draw(-size - 2, size + 2);
}

inline void random_index(NDArray& a, Model& m) {
  using Kind = IndexItem::Kind;
  std::vector<IndexItem> items;
  std::vector<std::vector<std::int64_t>>
      taken;  // for each axis of m, the positions kept; one for an integer
  std::vector<std::int64_t> shape;
  std::vector<int> source;  // for each axis of the result the axis of m, -1 for a new one
  const int named = static_cast<int>(draw(0, m.ndim()));
  const int ellipsis_before = draw(0, 2) == 0 ? static_cast<int>(draw(0, named)) : -1;
  const auto keep_whole = [&](int count) {
    for (; count > 0; --count) {
      const std::int64_t size = m.shape[taken.size()];
      source.push_back(static_cast<int>(taken.size()));
      shape.push_back(size);
      taken.emplace_back();
      for (std::int64_t i = 0; i < size; ++i) taken.back().push_back(i);
    }
  };
  for (int i = 0; i <= named; ++i) {
    if (m.ndim() < 5 && draw(0, 5) == 0) {
      items.push_back({Kind::newaxis, 0, {}, {}, {}});
      shape.push_back(1);
      source.push_back(-1);
    }
    if (i == ellipsis_before) {
      items.push_back({Kind::ellipsis, 0, {}, {}, {}});
      keep_whole(m.ndim() - named);
    }
    if (i == named) break;
    const std::int64_t size = m.shape[taken.size()];
    if (size > 0 && draw(0, 3) == 0) {
      const std::int64_t at = draw(0, size - 1);
      items.push_back({Kind::integer, draw(0, 1) == 1 ? at - size : at, {}, {}, {}});
      taken.push_back({at});
      continue;
    }
    IndexItem item{Kind::slice, 0, draw_bound(size), draw_bound(size), draw_bound(3)};
    if (item.step == 0) item.step = -1;
    source.push_back(static_cast<int>(taken.size()));
    taken.push_back(walk_slice(item, size));
    shape.push_back(static_cast<std::int64_t>(taken.back().size()));
    items.push_back(item);
  }
  keep_whole(m.ndim() - static_cast<int>(taken.size()));
  a = a.index(items);
  m = rearranged(m, shape, [&](const std::int64_t* index, std::int64_t* from) {
    for (std::size_t axis = 0; axis < taken.size(); ++axis) {
      if (!taken[axis].empty()) from[axis] = taken[axis][0];
    }
    for (std::size_t i = 0; i < source.size(); ++i) {
      const int axis = source[i];
      if (axis >= 0)
        from[axis] = taken[static_cast<std::size_t>(axis)][static_cast<std::size_t>(index[i])];
    }
  });
}

// Two indices of a that share a place, found by looking at all of them.
inline bool shares_places(const NDArray& a) {
  std::vector<const std::int64_t*> places;
  const View v = a.view();
  for_each_index(v.shape, v.ndim, [&](const std::int64_t* at) {
    places.push_back(backend.address<std::int64_t>(v, at));
  });
  std::sort(places.begin(), places.end());
  return std::adjacent_find(places.begin(), places.end()) != places.end();
}

}  // namespace needle_test
