/* Eigen-decomposition of a small symmetric matrix by Jacobi's rotations. */
#ifndef DIPP_MIXTURE_EIGEN_H
#define DIPP_MIXTURE_EIGEN_H

/* a [d, d] symmetric, overwritten -> values[d] (in no order) and vectors [d, d], column k for values[k], orthonormal:
 * a = vectors diag(values) vectors^T to about d * 1e-16 of its norm. */
void eigen_symmetric(double *a, unsigned d, double *values, double *vectors);

#endif
