/* Cyclic Jacobi (Golub and Van Loan, Matrix Computations, 8.5): rotate each off-diagonal entry to zero until all are. */
#include "eigen.h"

#include <math.h>

static void rotate(double *a, unsigned d, unsigned p, unsigned q, double *vectors)
{
    double theta = (a[q * d + q] - a[p * d + p]) / (2 * a[p * d + q]);
    double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + hypot(theta, 1));
    double c = 1 / hypot(t, 1), s = t * c;
    for (unsigned k = 0; k < d; k++) { /* columns, then rows */
        double kp = a[k * d + p], kq = a[k * d + q];
        a[k * d + p] = c * kp - s * kq;
        a[k * d + q] = s * kp + c * kq;
    }
    for (unsigned k = 0; k < d; k++) {
        double pk = a[p * d + k], qk = a[q * d + k];
        a[p * d + k] = c * pk - s * qk;
        a[q * d + k] = s * pk + c * qk;
    }
    a[p * d + q] = a[q * d + p] = 0;
    for (unsigned k = 0; k < d; k++) {
        double kp = vectors[k * d + p], kq = vectors[k * d + q];
        vectors[k * d + p] = c * kp - s * kq;
        vectors[k * d + q] = s * kp + c * kq;
    }
}

void eigen_symmetric(double *a, unsigned d, double *values, double *vectors)
{
    for (unsigned i = 0; i < d * d; i++)
        vectors[i] = i % (d + 1) == 0;
    double norm = 0;
    for (unsigned i = 0; i < d * d; i++)
        norm += a[i] * a[i];
    /* Convergence is quadratic: five to ten sweeps for d <= 8; 64 bounds it for input that is not finite. */
    for (int sweep = 0; sweep < 64; sweep++) {
        double rest = 0;
        for (unsigned p = 0; p < d; p++)
            for (unsigned q = p + 1; q < d; q++) {
                rest += a[p * d + q] * a[p * d + q];
                if (a[p * d + q] != 0)
                    rotate(a, d, p, q, vectors);
            }
        if (!(rest > 1e-36 * norm))
            break;
    }
    for (unsigned i = 0; i < d; i++)
        values[i] = a[i * d + i];
}
