// View algebra and indexing against a model that knows no strides; bounds of as_strided; refusals.
#include "view_model.h"

using namespace needle;
using namespace needle_test;

namespace {

void views_of_views() {
  void (*const steps[])(NDArray&, Model&) = {random_reshape,   random_permute, random_transpose,
                                             random_broadcast, random_flip,    random_squeeze,
                                             random_index,     random_index};
  for (int round = 0; round < 4000; ++round) {
    std::vector<std::int64_t> shape;
    for (std::int64_t n = draw(0, 4); n > 0; --n)
      shape.push_back(draw(0, 9) == 0 ? draw(0, 1) : draw(1, 5));
    NDArray a = iota(dims(shape));
    Model m{shape, elements(a)};
    for (std::int64_t step = draw(1, 5); step > 0 && a.size() < 2000; --step) {
      const std::int64_t which = draw(0, 7);
      steps[which](a, m);
      if (!CHECK(same(a, m))) return;
      CHECK(a.overlaps_itself() == shares_places(a));
      CHECK(a.offset() >= 0 && a.offset() <= static_cast<std::int64_t>(a.storage()->bytes / 8));
      const NDArray c = a.compact();
      CHECK(same(c, m) && c.is_compact() &&
            (c.storage().get() == a.storage().get()) == a.is_compact());
      const View v = a.view();
      CHECK(is_compact(v) == a.is_compact() && numel(v) == a.size() && v.data == a.data());
    }
  }
}

void as_strided() {
  const NDArray a = iota({12});
  CHECK(elements(a.as_strided({3, 2}, {4, -1}, 3)) ==
        (std::vector<std::int64_t>{3, 2, 7, 6, 11, 10}));
  CHECK(a.index({}).as_strided({}, {}, 11).size() == 1);
  CHECK(a.as_strided({0, 4}, {1ll << 62, 1ll << 62}, 12).flip({0, 1}).size() == 0);
  const std::int64_t most = std::numeric_limits<std::int64_t>::max(),
                     least = std::numeric_limits<std::int64_t>::min();
  const auto refuse = [&](const Dims& shape, const Dims& strides, std::int64_t offset) {
    CHECK_THROWS(std::invalid_argument, "[as_strided]", a.as_strided(shape, strides, offset));
  };
  refuse({12}, {1}, 1);
  refuse({2}, {-1}, 0);
  refuse({1}, {1}, 12);
  refuse({}, {}, -1);
  refuse({0}, {1}, 13);
  refuse({2, 2}, {1}, 0);
  refuse({-1}, {1}, 0);
  refuse({2}, {most}, 0);
  refuse({2}, {least}, 0);
  refuse({3}, {most}, 0);
  refuse({1}, {least}, 0);
  refuse({1}, {1}, most);
  refuse({1}, {1}, least);
  refuse({most}, {0}, 0);
  refuse({3, 3}, {most, least}, 5);
  // Every position is inside exactly when the walk says so.
  for (int round = 0; round < 3000; ++round) {
    const Dims shape{draw(0, 4), draw(1, 4)}, strides{draw(-5, 5), draw(-5, 5)};
    const std::int64_t offset = draw(0, 12);
    bool inside = true;
    for_each_index(shape.begin(), 2, [&](const std::int64_t* at) {
      const std::int64_t place = offset + at[0] * strides[0] + at[1] * strides[1];
      inside = inside && place >= 0 && place < 12;
    });
    if (inside) {
      const NDArray view = a.as_strided(shape, strides, offset);
      CHECK(view.overlaps_itself() || !shares_places(view));
    } else {
      refuse(shape, strides, offset);
    }
  }
}

void errors() {
  using Kind = IndexItem::Kind;
  const NDArray a = iota({2, 3});
  const IndexItem integer{Kind::integer, 0, {}, {}, {}}, ellipsis{Kind::ellipsis, 0, {}, {}, {}},
      new_axis{Kind::newaxis, 0, {}, {}, {}};
  const auto item = [](std::int64_t i) { return IndexItem{Kind::integer, i, {}, {}, {}}; };
  const auto index = [&](std::vector<IndexItem> items) { a.index(items); };
  CHECK_THROWS(std::out_of_range,
               "[getitem] index must lie in [-size, size), got index=2, axis=0, size=2",
               index({item(2)}));
  CHECK_THROWS(std::out_of_range, "[getitem] index", index({item(0), item(-4)}));
  CHECK_THROWS(std::out_of_range, "[getitem] no more indices", index({integer, integer, integer}));
  CHECK_THROWS(std::out_of_range, "[getitem] one ellipsis", index({ellipsis, ellipsis}));
  CHECK_THROWS(std::invalid_argument, "[getitem] a slice's step",
               index({IndexItem{Kind::slice, 0, {}, {}, 0}}));
  CHECK_THROWS(std::invalid_argument, "at most 8 dimensions",
               index(std::vector<IndexItem>(7, new_axis)));
  CHECK_THROWS(std::invalid_argument, "[reshape] the number of elements", a.reshape({4}));
  CHECK_THROWS(std::invalid_argument, "[reshape] the number of elements", a.reshape({4, -1}));
  CHECK_THROWS(std::invalid_argument, "[reshape] the number of elements", a.reshape({0, -1}));
  CHECK_THROWS(std::invalid_argument, "[reshape] the number of elements",
               iota({0, 3}).reshape({-1, 0}));
  CHECK_THROWS(std::invalid_argument, "[reshape] sizes must be", a.reshape({-1, -1}));
  CHECK_THROWS(std::invalid_argument, "[reshape] sizes must be", a.reshape({-2, -3}));
  CHECK_THROWS(std::invalid_argument, "[reshape] an array must hold", a.reshape({1ll << 62, 4}));
  CHECK(iota({0, 3}).reshape({-1, 3}).shape() == (Dims{0, 3}));
  CHECK(a.reshape({-1}).shape() == Dims{6});
  CHECK_THROWS(std::invalid_argument, "[permute] every axis", a.permute({0}));
  CHECK_THROWS(std::invalid_argument, "[permute] axes must be distinct", a.permute({0, -2}));
  CHECK_THROWS(std::out_of_range, "[permute] axis must lie", a.permute({0, 2}));
  CHECK_THROWS(std::out_of_range, "[transpose] axis must lie in [-ndim, ndim), got axis=-3, ndim=2",
               a.transpose(0, -3));
  CHECK_THROWS(std::invalid_argument, "[broadcast_to]", a.broadcast_to({2, 4}));
  CHECK_THROWS(std::invalid_argument, "[broadcast_to]", a.broadcast_to({3}));
  CHECK_THROWS(std::invalid_argument, "[broadcast_to] an array must hold",
               iota({1}).broadcast_to({1ll << 40, 1ll << 40}));
  CHECK_THROWS(std::invalid_argument, "[broadcast_to]", iota({1}).broadcast_to({-1}));
  CHECK_THROWS(std::invalid_argument, "[flip] axes must be distinct", a.flip({0, 0}));
  CHECK_THROWS(std::out_of_range, "[flip]", a.flip({2}));
  CHECK_THROWS(std::invalid_argument, "[squeeze] axes must have size 1", a.squeeze({0}));
  CHECK_THROWS(std::invalid_argument, "at most 8 dimensions", (Dims{1, 1, 1, 1, 1, 1, 1, 1, 1}));
  CHECK((Dims{2, 3}).str() == "(2, 3)" && Dims{2}.str() == "(2,)" && Dims{}.str() == "()");
}

}  // namespace

int main() {
  views_of_views();
  as_strided();
  errors();
  device.allocator.empty_cache();
  CHECK(device.allocator.stats().live_blocks == 0 && device.allocator.check_guards().empty());
  return summary("core_views_test");
}
