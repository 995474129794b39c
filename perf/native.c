/* The physical limit that perf's results stand beside: no Python, no system call between two pinned processes.
 *
 * line_*: one cache line bounces. ring_*: 256-byte records through a ring of the same kind as ringbuf's (one
 * writer, one gating reader, both counters on lines of their own, the writer looks at the gate once a lap), copied
 * in and out. hiccup: what the machine itself takes away. Every call runs with the GIL released (ctypes).
 */
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

enum { WORDS = 32, DEPTH = 1024 };

typedef struct {
    _Alignas(128) _Atomic uint64_t published;
    _Alignas(128) _Atomic uint64_t gate;
    _Alignas(128) struct {
        uint64_t length, words[WORDS];
    } cells[DEPTH];
} ring;

typedef struct {
    _Alignas(128) _Atomic uint64_t ball;
    ring there, back;
} court;

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

static void put(ring *r, uint64_t sequence, const uint64_t *record, uint64_t *limit) {
    while (sequence >= *limit) {
        *limit = atomic_load_explicit(&r->gate, memory_order_acquire) + DEPTH; /* [gate] */
        if (sequence >= *limit)
            relax();
    }
    r->cells[sequence % DEPTH].length = WORDS * 8;
    memcpy(r->cells[sequence % DEPTH].words, record, WORDS * 8);
    atomic_store_explicit(&r->published, sequence + 1, memory_order_release); /* [published] */
}

static void take(ring *r, uint64_t sequence, uint64_t *record) {
    while (atomic_load_explicit(&r->published, memory_order_acquire) <= sequence) /* [published] */
        ;
    memcpy(record, r->cells[sequence % DEPTH].words, r->cells[sequence % DEPTH].length);
    atomic_store_explicit(&r->gate, sequence + 1, memory_order_release); /* [gate] */
}

static void fill(uint64_t *record, uint64_t sequence) {
    for (uint64_t i = 0; i < WORDS; i++)
        record[i] = sequence * 2654435761u + i;
}

static int differs(const uint64_t *record, uint64_t sequence) {
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < WORDS; i++)
        wrong |= record[i] ^ (sequence * 2654435761u + i);
    return wrong != 0;
}

uint64_t court_bytes(void) { return sizeof(court); }

void line_ping(court *c, uint64_t from, uint64_t n, int64_t *samples) {
    for (uint64_t i = from; i < from + n; i++) {
        int64_t start = now_ns();
        atomic_store_explicit(&c->ball, 2 * i + 1, memory_order_release);
        while (atomic_load_explicit(&c->ball, memory_order_acquire) != 2 * i + 2)
            ;
        samples[i - from] = now_ns() - start;
    }
}

void line_pong(court *c, uint64_t from, uint64_t n) {
    for (uint64_t i = from; i < from + n; i++) {
        while (atomic_load_explicit(&c->ball, memory_order_acquire) != 2 * i + 1)
            ;
        atomic_store_explicit(&c->ball, 2 * i + 2, memory_order_release);
    }
}

/* Round trips from..from+n; how many came back wrong. */
uint64_t ring_ping(court *c, uint64_t from, uint64_t n, int64_t *samples) {
    uint64_t wrong = 0, limit = 0, out[WORDS], in[WORDS];
    for (uint64_t i = from; i < from + n; i++) {
        fill(out, i);
        int64_t start = now_ns();
        put(&c->there, i, out, &limit);
        take(&c->back, i, in);
        samples[i - from] = now_ns() - start;
        wrong += (uint64_t)differs(in, i);
    }
    return wrong;
}

void ring_pong(court *c, uint64_t from, uint64_t n) {
    uint64_t limit = 0, record[WORDS];
    for (uint64_t i = from; i < from + n; i++) {
        take(&c->there, i, record);
        put(&c->back, i, record, &limit);
    }
}

/* When it began, ns monotonic. */
int64_t ring_produce(court *c, uint64_t from, uint64_t n) {
    uint64_t limit = 0, record[WORDS];
    int64_t start = now_ns();
    for (uint64_t i = from; i < from + n; i++) {
        fill(record, i);
        put(&c->there, i, record, &limit);
    }
    return start;
}

/* When it ended; `wrong` counts bad records. */
int64_t ring_consume(court *c, uint64_t from, uint64_t n, uint64_t *wrong) {
    uint64_t record[WORDS];
    for (uint64_t i = from; i < from + n; i++) {
        take(&c->there, i, record);
        *wrong += (uint64_t)differs(record, i);
    }
    return now_ns();
}

/* Read the clock for duration_ns; gaps of at least threshold_ns go to gaps (room for `room`); their number. */
uint64_t hiccup(int64_t duration_ns, int64_t threshold_ns, int64_t *gaps, uint64_t room) {
    uint64_t found = 0;
    int64_t start = now_ns(), last = start;
    while (last - start < duration_ns) {
        int64_t now = now_ns();
        if (now - last >= threshold_ns) {
            if (found < room)
                gaps[found] = now - last;
            found++;
        }
        last = now;
    }
    return found;
}
