/* Attention and its backward, one query-key pair at a time. Head h of a token is columns [h D, (h + 1) D) of its row.
 * Causal: key j is seen by query i when j <= i. */

typedef struct attention_problem {
    int64_t batches, queries, keys, width, heads, head_dim;
    double scale;
    bool causal;
    const real *q, *k, *v, *key_bias, *o, *logsumexp, *d_o;
} attention_problem;

static attention_problem attention_of(const reference_node *node, void *const *args)
{
    const dipp_shape *q = &node->view.inputs[0].shape, *k = &node->view.inputs[1].shape;
    attention_problem p = {.batches = q->dims[0], .queries = q->dims[1], .keys = k->dims[1], .width = q->dims[2]};
    p.heads = node->attributes.heads;
    p.head_dim = p.width / p.heads;
    p.scale = node->attributes.alpha;
    p.causal = node->attributes.causal;
    p.q = args[0], p.k = args[1], p.v = args[2], p.key_bias = args[3];
    return p;
}

static int64_t visible_keys(const attention_problem *p, int64_t query)
{
    return p->causal && query + 1 < p->keys ? query + 1 : p->keys;
}

static double dot(const real *a, const real *b, int64_t count)
{
    double total = 0;
    for (int64_t i = 0; i < count; i++)
        total += (double)a[i] * b[i];
    return total;
}

/* Where head h of query i (key j) of batch b starts. */
static int64_t query_at(const attention_problem *p, int64_t b, int64_t h, int64_t i)
{
    return (b * p->queries + i) * p->width + h * p->head_dim;
}

static int64_t key_at(const attention_problem *p, int64_t b, int64_t h, int64_t j)
{
    return (b * p->keys + j) * p->width + h * p->head_dim;
}

static double logit(const attention_problem *p, int64_t b, int64_t h, int64_t i, int64_t j)
{
    double bias = p->key_bias ? p->key_bias[b * p->keys + j] : 0;
    return dot(p->q + query_at(p, b, h, i), p->k + key_at(p, b, h, j), p->head_dim) * p->scale + bias;
}

/* Scratch: [keys] logits, then [head_dim] accumulators. */
static void attention(const reference_node *node, void *const *args)
{
    const attention_problem p = attention_of(node, args);
    double *logits = reference_scratch(node, args), *total = logits + p.keys;
    real *o = reference_output(node, args, 0), *logsumexp = reference_output(node, args, 1);
    for (int64_t b = 0; b < p.batches; b++)
        for (int64_t h = 0; h < p.heads; h++)
            for (int64_t i = 0; i < p.queries; i++) {
                int64_t visible = visible_keys(&p, i);
                double largest = -INFINITY, weight_sum = 0;
                for (int64_t j = 0; j < visible; j++) {
                    logits[j] = logit(&p, b, h, i, j);
                    largest = logits[j] > largest ? logits[j] : largest;
                }
                for (int64_t d = 0; d < p.head_dim; d++)
                    total[d] = 0;
                for (int64_t j = 0; j < visible; j++) {
                    double weight = exp(logits[j] - largest);
                    const real *v = p.v + key_at(&p, b, h, j);
                    weight_sum += weight;
                    for (int64_t d = 0; d < p.head_dim; d++)
                        total[d] += weight * v[d];
                }
                for (int64_t d = 0; d < p.head_dim && o; d++)
                    o[query_at(&p, b, h, i) + d] = (real)(total[d] / weight_sum);
                if (logsumexp)
                    logsumexp[(b * p.heads + h) * p.queries + i] = (real)(largest + log(weight_sum));
            }
}

/* The probability of a pair and the gradient of the loss with respect to its logit:
 * P = exp(logit - logsumexp), dlogit = P (do . v - do . o). */
static void pair_gradient(const attention_problem *p, int64_t b, int64_t h, int64_t i, int64_t j, double *probability,
                          double *d_logit)
{
    const real *d_o = p->d_o + query_at(p, b, h, i);
    *probability = exp(logit(p, b, h, i, j) - p->logsumexp[(b * p->heads + h) * p->queries + i]);
    *d_logit = *probability *
               (dot(d_o, p->v + key_at(p, b, h, j), p->head_dim) - dot(d_o, p->o + query_at(p, b, h, i), p->head_dim));
}

static void store_scaled(real *out, const double *total, int64_t count, double scale)
{
    for (int64_t d = 0; d < count && out; d++)
        out[d] = (real)(total[d] * scale);
}

/* Scratch: two rows of [head_dim] accumulators. */
static void attention_backward(const reference_node *node, void *const *args)
{
    attention_problem p = attention_of(node, args);
    p.o = args[4], p.logsumexp = args[5], p.d_o = args[6];
    double *first = reference_scratch(node, args), *second = first + p.head_dim, probability, d_logit;
    real *d_q = reference_output(node, args, 0), *d_k = reference_output(node, args, 1);
    real *d_v = reference_output(node, args, 2);
    for (int64_t b = 0; b < p.batches; b++)
        for (int64_t h = 0; h < p.heads; h++) {
            for (int64_t i = 0; i < p.queries && d_q; i++) {
                memset(first, 0, (size_t)p.head_dim * sizeof *first);
                for (int64_t j = 0; j < visible_keys(&p, i); j++) {
                    pair_gradient(&p, b, h, i, j, &probability, &d_logit);
                    for (int64_t d = 0; d < p.head_dim; d++)
                        first[d] += d_logit * p.k[key_at(&p, b, h, j) + d];
                }
                store_scaled(d_q + query_at(&p, b, h, i), first, p.head_dim, p.scale);
            }
            for (int64_t j = 0; j < p.keys && (d_k || d_v); j++) {
                memset(first, 0, 2 * (size_t)p.head_dim * sizeof *first);
                for (int64_t i = 0; i < p.queries; i++) {
                    if (j >= visible_keys(&p, i))
                        continue;
                    pair_gradient(&p, b, h, i, j, &probability, &d_logit);
                    for (int64_t d = 0; d < p.head_dim; d++) {
                        first[d] += d_logit * p.q[query_at(&p, b, h, i) + d];
                        second[d] += probability * p.d_o[query_at(&p, b, h, i) + d];
                    }
                }
                store_scaled(d_k ? d_k + key_at(&p, b, h, j) : NULL, first, p.head_dim, p.scale);
                store_scaled(d_v ? d_v + key_at(&p, b, h, j) : NULL, second, p.head_dim, 1);
            }
        }
}
