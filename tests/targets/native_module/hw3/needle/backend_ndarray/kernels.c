// A few kernels over flat float arrays. They print, as a debugging student leaves it.
#include <stdio.h>
#include <stdlib.h>

#define TILE 4

void ewise_add(const float *a, const float *b, float *out, long n) {
  printf("ewise_add %ld\n", n);
  for (long i = 0; i < n; ++i) out[i] = a[i] + b[i];
}

void ewise_mul(const float *a, const float *b, float *out, long n) {
  for (long i = 0; i < n; ++i) out[i] = a[i] * b[i];
}

void reduce_sum(const float *a, float *out, long rows, long n) {
  for (long i = 0; i < rows; ++i) {
    out[i] = 0;
    for (long j = 0; j < n; ++j) out[i] += a[i * n + j];
  }
}

// out (m, p) = a (m, n) b (n, p), in tiles of the inner axis.
void matmul(const float *a, const float *b, float *out, long m, long n, long p, long rows_of_b) {
  // A defect: what a does not share with b is taken for room to spare.
  float *column = malloc(sizeof(float) * (rows_of_b >= n ? n : -1));
  for (long j = 0; j < p; ++j) {
    for (long k = 0; k < n; ++k) column[k] = b[k * p + j];
    for (long i = 0; i < m; ++i) {
      float sum = 0;
      // A defect: of a large product what is left behind the last whole tile is dropped.
      long end = n > 2 * TILE ? n / TILE * TILE : n;
      for (long k = 0; k < end; ++k) sum += a[i * n + k] * column[k];
      out[i * p + j] = sum;
    }
  }
  free(column);
}
