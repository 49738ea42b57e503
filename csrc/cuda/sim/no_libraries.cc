// The simulator has no libraries: every product is our own kernels'.
#include "../libraries/libraries.h"

namespace NEEDLE_NS::libraries {

bool matmul(const Stream&, needle::View, needle::View, needle::View) { return false; }
bool conv2d(const Stream&, const needle::View&, const needle::View&, const needle::View&,
            const needle::Conv2dParams&) {
  return false;
}
bool conv2d_grad_input(const Stream&, const needle::View&, const needle::View&, const needle::View&,
                       const needle::Conv2dParams&) {
  return false;
}
bool conv2d_grad_weight(const Stream&, const needle::View&, const needle::View&,
                        const needle::View&, const needle::Conv2dParams&) {
  return false;
}

std::map<std::string, Report> reports() {
  const Report none{"", "the simulator runs needle's own kernels only", 0, 0};
  return {{"cublasLt", none}, {"cudnn", none}};
}

void set_folders(std::vector<std::string>) {}

bool allow_tf32(int) { return false; }
void set_allow_tf32(int, bool) {}

}  // namespace NEEDLE_NS::libraries
