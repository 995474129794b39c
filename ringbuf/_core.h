/* Lock-free logic of ringbuf's shared-memory structures, free of Python so that a C harness can test it alone.
 *
 * Every structure has one writer. Byte diagrams stand in layout.py; the asserts below hold both to one truth.
 * Release/acquire pairs bear one name on both sides, in brackets: [published], [gate], [intent], [slot], [join],
 * [joins], [parked], [version], [index], [changes], [log], [kill], [story], [told], [magic].
 */
#ifndef RINGBUF_CORE_H
#define RINGBUF_CORE_H

#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef RINGBUF_CRASH_POINTS
void rb_crash_point(int point);
#define RB_CRASH(point) rb_crash_point(point)
#else
#define RB_CRASH(point) ((void)0)
#endif

enum { /* test-only crash points; each names the step that has just been done */
    RB_CLAIM_CHECKED = 1, RB_CLAIM_INTENT, RB_WRITE_HALF, RB_WRITE_DONE, RB_COMMIT_LENGTH, RB_COMMIT_PUBLISHED,
    RB_POLL_SEEN, RB_POLL_HANDLED, RB_POLL_ADVANCED, RB_PUT_INTENT, RB_PUT_HALF, RB_PUT_WRITTEN, RB_PUT_VERSION,
    RB_PUT_CHANGED, RB_ENTRY_FILLED, RB_ENTRY_COUNTED, RB_ENTRY_INDEXED, RB_WAIT_PARKED, RB_TRIP_LATCHED,
};

#define RB_LOAD(p, order) atomic_load_explicit(p, memory_order_##order)
#define RB_STORE(p, v, order) atomic_store_explicit(p, v, memory_order_##order)
#define RB_FENCE(order) atomic_thread_fence(memory_order_##order)
#define RB_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define RB_LINE _Alignas(128) /* two lines: the adjacent-line prefetcher couples them */

static inline void rb_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

static inline int64_t rb_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Bytes that a reader may copy while they change; a sequence check afterwards throws a torn copy away.
 * Plain memcpy is what the machine wants; ThreadSanitizer needs to be told that the race is meant. */
static inline void rb_copy(void *to, const void *from, size_t n) {
#ifdef __SANITIZE_THREAD__
    for (size_t i = 0; i < n; i++)
        __atomic_store_n((uint8_t *)to + i, __atomic_load_n((const uint8_t *)from + i, __ATOMIC_RELAXED),
                         __ATOMIC_RELAXED);
#else
    memcpy(to, from, n);
#endif
}

typedef struct {
    _Atomic uint64_t magic; /* written last [magic] */
    uint32_t layout, kind;
    uint64_t build_id, schema_hash, size, creator_pid, creator_start, created_unix_ns;
    uint8_t boot_id[16];
    uint64_t params[8];
    uint64_t checksum;
    uint8_t reserved[104];
} rb_header;
_Static_assert(sizeof(rb_header) == 256, "layout.py: header");

/* ---------------------------------------------------------------- Ring */

enum { RB_SLOT_FREE = 0, RB_SLOT_ACTIVE = 1, RB_SLOT_LIFTED = 2 };

typedef struct {
    _Atomic uint64_t cursor, lost; /* written by the subscriber */
    RB_LINE _Atomic uint32_t state;
    _Atomic uint32_t gating;
    _Atomic uint64_t pid, start;
    uint8_t label[64];
} rb_slot;
_Static_assert(sizeof(rb_slot) == 256, "layout.py: slot");

typedef struct {
    rb_header header; /* params: depth, mtu, stride, max_subscriptions, cells offset */
    RB_LINE _Atomic uint64_t published; /* records published; the next sequence */
    RB_LINE _Atomic uint64_t intent;    /* one past the newest sequence whose cell may be under the pen */
    RB_LINE _Atomic uint32_t parked;    /* one bit a sleeping subscription; also the futex word */
    _Atomic uint32_t may_park;          /* one bit a subscription that ever slept */
    _Atomic uint64_t joins;             /* subscriptions that ever joined: time to look at the gates */
    RB_LINE _Atomic uint64_t pid;       /* the publication's owner */
    _Atomic uint64_t start, takeovers, skipped, lifted;
    RB_LINE rb_slot slots[];
} rb_ring;
_Static_assert(offsetof(rb_ring, published) == 256 && offsetof(rb_ring, intent) == 384, "layout.py: ring");
_Static_assert(offsetof(rb_ring, parked) == 512 && offsetof(rb_ring, pid) == 640, "layout.py: ring");
_Static_assert(offsetof(rb_ring, slots) == 768, "layout.py: ring");

typedef struct {
    uint32_t length, reserved;
    uint8_t data[];
} rb_cell;

typedef struct { /* one publisher's private side */
    rb_ring *ring;
    uint8_t *cells;
    uint64_t mask, depth, stride, mtu, subscriptions;
    uint64_t sequence; /* next to publish */
    uint64_t limit;    /* may publish below this without looking at the gates again … */
    uint64_t joins;    /* … unless somebody joined */
} rb_publisher;

typedef struct { /* one subscriber's private side */
    rb_ring *ring;
    rb_slot *slot;
    uint8_t *cells;
    uint64_t mask, depth, stride, mtu;
    uint64_t next;    /* next to read */
    uint64_t settled; /* sequences below may be overwritten under us (all of them when observing) */
    uint64_t seen;    /* newest published sequence known */
    uint64_t lost;
    uint32_t bit;
} rb_subscriber;

static inline rb_cell *rb_cell_at(uint8_t *cells, uint64_t mask, uint64_t stride, uint64_t sequence) {
    return (rb_cell *)(cells + (sequence & mask) * stride);
}

static inline void rb_publisher_init(rb_publisher *p, void *base) {
    rb_ring *r = base;
    *p = (rb_publisher){.ring = r, .cells = (uint8_t *)base + r->header.params[4], .mask = r->header.params[0] - 1,
                        .depth = r->header.params[0], .mtu = r->header.params[1], .stride = r->header.params[2],
                        .subscriptions = r->header.params[3], .sequence = RB_LOAD(&r->published, acquire)};
    p->limit = p->sequence; /* the first claim looks at the gates */
}

/* Lowest gate + depth. The fence pairs with rb_join's: either we see the newcomer's slot, or it sees our
 * newest published sequence and starts no lower than that [join]. */
static inline void rb_look_at_gates(rb_publisher *p) {
    uint64_t lowest = p->sequence;
    p->joins = RB_LOAD(&p->ring->joins, acquire); /* [joins] */
    RB_FENCE(seq_cst); /* [join] */
    for (uint64_t i = 0; i < p->subscriptions; i++) {
        rb_slot *s = &p->ring->slots[i];
        if (RB_LOAD(&s->state, acquire) != RB_SLOT_ACTIVE || !RB_LOAD(&s->gating, relaxed)) /* [slot] */
            continue;
        uint64_t cursor = RB_LOAD(&s->cursor, acquire); /* [gate] the reader is done with the cells below */
        if (cursor < lowest)
            lowest = cursor;
    }
    p->limit = lowest + p->depth;
}

/* How many of the next `wanted` cells may be written now: 0 while a gating subscription is a full lap behind. */
static inline uint64_t rb_claim_many(rb_publisher *p, uint64_t wanted) {
    if (RB_UNLIKELY(p->sequence + wanted > p->limit || RB_LOAD(&p->ring->joins, relaxed) != p->joins)) {
        rb_look_at_gates(p);
        if (p->sequence >= p->limit)
            return 0;
        if (wanted > p->limit - p->sequence)
            wanted = p->limit - p->sequence;
    }
    RB_CRASH(RB_CLAIM_CHECKED);
    RB_STORE(&p->ring->intent, p->sequence + wanted, relaxed);
    RB_FENCE(release); /* [intent] before any byte of the cells changes */
    RB_CRASH(RB_CLAIM_INTENT);
    return wanted;
}

/* The next cell, or NULL when there is none. */
static inline rb_cell *rb_claim(rb_publisher *p) {
    return rb_claim_many(p, 1) ? rb_cell_at(p->cells, p->mask, p->stride, p->sequence) : NULL;
}

/* True when somebody sleeps and must be woken (rb_unpark). */
static inline int rb_publish(rb_publisher *p, uint64_t count) {
    p->sequence += count;
    RB_STORE(&p->ring->published, p->sequence, release); /* [published] */
    RB_CRASH(RB_COMMIT_PUBLISHED);
    if (!RB_UNLIKELY(RB_LOAD(&p->ring->may_park, relaxed)))
        return 0;
    RB_FENCE(seq_cst); /* [parked] our store before our look; the sleeper does it the other way round */
    return RB_LOAD(&p->ring->parked, relaxed) != 0;
}

static inline int rb_commit(rb_publisher *p, uint32_t length) {
    rb_cell *cell = rb_cell_at(p->cells, p->mask, p->stride, p->sequence);
    __atomic_store_n(&cell->length, length, __ATOMIC_RELAXED);
    RB_CRASH(RB_COMMIT_LENGTH);
    return rb_publish(p, 1);
}

static inline uint64_t rb_available(rb_subscriber *s) {
    if (s->next >= s->seen)
        s->seen = RB_LOAD(&s->ring->published, acquire); /* [published] */
    return s->seen > s->next ? s->seen - s->next : 0;
}

static inline void rb_advance(rb_subscriber *s, uint64_t next) {
    s->next = next;
    RB_STORE(&s->slot->cursor, next, release); /* [gate] */
}

/* Step over what was overwritten, to an eighth of a lap above the oldest whole record: room to catch up. */
static inline void rb_skip_lost(rb_subscriber *s, uint64_t intent) {
    uint64_t oldest = intent - s->depth + (s->depth >> 3), published = RB_LOAD(&s->ring->published, acquire);
    if (oldest > published)
        oldest = published;
    s->lost += oldest - s->next;
    RB_STORE(&s->slot->lost, s->lost, relaxed);
    rb_advance(s, oldest);
}

/* Join (or resume) at slot `index`: the caller holds the segment's lock and has filled label, pid, start and gating.
 * held: the gate that is resumed never opened, so its cells were kept. */
static inline void rb_join(rb_subscriber *s, void *base, uint32_t index, int gating, int resume, int held,
                           int from_start) {
    rb_ring *r = base;
    rb_slot *slot = &r->slots[index];
    *s = (rb_subscriber){.ring = r, .slot = slot, .cells = (uint8_t *)base + r->header.params[4],
                         .mask = r->header.params[0] - 1, .depth = r->header.params[0], .mtu = r->header.params[1],
                         .stride = r->header.params[2], .lost = RB_LOAD(&slot->lost, relaxed), .bit = 1u << index};
    if (!resume)
        RB_STORE(&slot->cursor, RB_LOAD(&r->published, acquire), relaxed); /* not too high, whatever follows */
    RB_STORE(&slot->state, RB_SLOT_ACTIVE, release); /* [slot] */
    RB_FENCE(seq_cst); /* [join] */
    uint64_t published = RB_LOAD(&r->published, acquire), intent = RB_LOAD(&r->intent, acquire);
    uint64_t oldest = intent > s->depth ? intent - s->depth : 0;
    uint64_t first = from_start && oldest < published ? oldest : published;
    s->next = s->seen = resume ? RB_LOAD(&slot->cursor, relaxed) : first;
    s->settled = !gating ? UINT64_MAX : held ? s->next : published;
    RB_STORE(&slot->cursor, s->next, release); /* [gate] */
    atomic_fetch_add_explicit(&r->joins, 1, memory_order_release); /* [joins] */
    if (s->next < s->settled && intent > s->next + s->depth)
        rb_skip_lost(s, intent);
}

/* Raise the flag that asks for a wake-up; the futex word to sleep on, if then nothing is there. */
static inline uint32_t rb_park(rb_subscriber *s) {
    uint32_t word = atomic_fetch_or_explicit(&s->ring->parked, s->bit, memory_order_seq_cst) | s->bit; /* [parked] */
    RB_CRASH(RB_WAIT_PARKED);
    RB_FENCE(seq_cst); /* our flag before our look; the publisher does it the other way round */
    return word;
}

/* Sleep until a wake-up, a signal or the time; other processes share the word, so it is no private futex. */
static inline void rb_sleep(rb_ring *r, uint32_t word, int64_t timeout_ns) {
    struct timespec t = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
    syscall(SYS_futex, &r->parked, FUTEX_WAIT, word, &t, NULL, 0);
}

/* Clearing the flags here, not in the sleepers, makes one that was killed in its sleep cost one wake-up. */
static inline void rb_unpark_all(rb_ring *r) {
    if (atomic_exchange_explicit(&r->parked, 0, memory_order_acq_rel)) /* [parked] */
        syscall(SYS_futex, &r->parked, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Copy record s->next to `to` (mtu bytes). Its length, or 0 when nothing is there. Never torn, never hangs:
 * each round either delivers, finds the ring empty or moves on. */
static inline uint32_t rb_copy_next(rb_subscriber *s, uint8_t *to) {
    for (;;) {
        if (!rb_available(s))
            return 0;
        uint64_t intent = RB_LOAD(&s->ring->intent, acquire);
        if (intent <= s->next + s->depth) {
            rb_cell *cell = rb_cell_at(s->cells, s->mask, s->stride, s->next);
            uint32_t length = __atomic_load_n(&cell->length, __ATOMIC_RELAXED);
            if (length > s->mtu)
                length = (uint32_t)s->mtu; /* torn: the check below throws it away */
            rb_copy(to, cell->data, length);
            RB_FENCE(acquire); /* [intent] */
            intent = RB_LOAD(&s->ring->intent, relaxed);
            if (intent <= s->next + s->depth)
                return length;
        }
        rb_skip_lost(s, intent);
    }
}

/* ---------------------------------------------------------------- Table */

typedef struct { /* two buffers: the writer fills the one that nobody is told to read */
    _Atomic uint64_t intent;  /* version being written */
    _Atomic uint64_t version; /* newest whole version, in buffer version & 1; 0: none yet */
    _Atomic uint64_t changed; /* number of its newest change */
    uint64_t offset;          /* of buffer 0 from the segment's start; buffer 1 follows at + capacity */
    uint32_t capacity, reserved;
    uint32_t length[2];
    uint8_t key[32];
    uint8_t pad[48];
} rb_entry;
_Static_assert(sizeof(rb_entry) == 128, "layout.py: entry");

typedef struct {
    rb_header header; /* params: capacity, index size, log size, data bytes, index, log, entries, data offsets */
    RB_LINE _Atomic uint64_t changes; /* puts done */
    _Atomic uint64_t entries;         /* entries in use */
    uint64_t used;                    /* bytes of the arena in use */
    uint64_t pending;                 /* entry + 1 under the pen, for a successor */
    RB_LINE _Atomic uint64_t pid;     /* the writer */
    _Atomic uint64_t start, takeovers;
} rb_table;
_Static_assert(offsetof(rb_table, changes) == 256 && offsetof(rb_table, pid) == 384, "layout.py: table");

#define RB_TABLE_PARAM(t, i) ((t)->header.params[i])

static inline _Atomic uint32_t *rb_table_index(rb_table *t) { return (void *)((uint8_t *)t + RB_TABLE_PARAM(t, 4)); }
static inline _Atomic uint32_t *rb_table_log(rb_table *t) { return (void *)((uint8_t *)t + RB_TABLE_PARAM(t, 5)); }
static inline rb_entry *rb_table_entries(rb_table *t) { return (void *)((uint8_t *)t + RB_TABLE_PARAM(t, 6)); }

static inline uint64_t rb_hash(const uint8_t *key) {
    uint64_t w[4], h = 0x9E3779B97F4A7C15u;
    memcpy(w, key, 32);
    for (int i = 0; i < 4; i++) {
        h = (h ^ w[i]) * 0xFF51AFD7ED558CCDu;
        h ^= h >> 32;
    }
    return h;
}

/* The entry of key, or NULL; *place is where in the index it would go. */
static inline rb_entry *rb_find(rb_table *t, const uint8_t *key, uint64_t *place) {
    uint64_t mask = RB_TABLE_PARAM(t, 1) - 1, i = rb_hash(key) & mask;
    for (uint64_t probes = 0; probes <= mask; probes++, i = (i + 1) & mask) {
        uint32_t at = RB_LOAD(&rb_table_index(t)[i], acquire); /* [index] */
        if (!at) {
            *place = i;
            return NULL;
        }
        rb_entry *e = &rb_table_entries(t)[at - 1];
        if (at <= RB_TABLE_PARAM(t, 0) && !memcmp(e->key, key, 32))
            return e;
    }
    *place = UINT64_MAX;
    return NULL;
}

enum { RB_TABLE_FULL = -1, RB_ARENA_FULL = -2, RB_RECORD_LONG = -3 };

/* A new entry for key, or an error code. */
static inline int rb_new_entry(rb_table *t, const uint8_t *key, uint64_t place, uint32_t capacity, rb_entry **out) {
    uint64_t n = RB_LOAD(&t->entries, relaxed), room = ((uint64_t)capacity + 63) & ~(uint64_t)63;
    if (n >= RB_TABLE_PARAM(t, 0) || place == UINT64_MAX)
        return RB_TABLE_FULL;
    if (room * 2 > RB_TABLE_PARAM(t, 3) - t->used)
        return RB_ARENA_FULL;
    rb_entry *e = &rb_table_entries(t)[n];
    *e = (rb_entry){.offset = RB_TABLE_PARAM(t, 7) + t->used, .capacity = (uint32_t)room};
    memcpy(e->key, key, 32);
    RB_CRASH(RB_ENTRY_FILLED);
    t->used += room * 2;
    RB_STORE(&t->entries, n + 1, release); /* [index] */
    RB_CRASH(RB_ENTRY_COUNTED);
    RB_STORE(&rb_table_index(t)[place], (uint32_t)n + 1, release); /* [index] */
    RB_CRASH(RB_ENTRY_INDEXED);
    *out = e;
    return 0;
}

static inline void rb_announce(rb_table *t, rb_entry *e) {
    uint64_t change = RB_LOAD(&t->changes, relaxed), mask = RB_TABLE_PARAM(t, 2) - 1;
    RB_FENCE(release); /* [log] the number that says what is overwritten now, before the overwriting */
    RB_STORE(&rb_table_log(t)[change & mask], (uint32_t)(e - rb_table_entries(t)), relaxed);
    RB_STORE(&e->changed, change + 1, relaxed);
    RB_STORE(&t->changes, change + 1, release); /* [changes] */
}

/* New version number, or an error code below 0. */
static inline int64_t rb_put(rb_table *t, const uint8_t *key, const void *record, uint32_t length, uint32_t capacity) {
    uint64_t place;
    rb_entry *e = rb_find(t, key, &place);
    if (!e) {
        if (length > capacity)
            return RB_RECORD_LONG;
        int failed = rb_new_entry(t, key, place, capacity, &e);
        if (failed)
            return failed;
    }
    if (length > e->capacity)
        return RB_RECORD_LONG;
    uint64_t version = RB_LOAD(&e->version, relaxed) + 1;
    uint8_t *to = (uint8_t *)t + e->offset + (version & 1) * e->capacity;
    t->pending = (uint64_t)(e - rb_table_entries(t)) + 1;
    RB_STORE(&e->intent, version, relaxed);
    RB_FENCE(release); /* [intent] */
    RB_CRASH(RB_PUT_INTENT);
    __atomic_store_n(&e->length[version & 1], length, __ATOMIC_RELAXED);
    rb_copy(to, record, length / 2);
    RB_CRASH(RB_PUT_HALF);
    rb_copy(to + length / 2, (const uint8_t *)record + length / 2, length - length / 2);
    RB_CRASH(RB_PUT_WRITTEN);
    RB_STORE(&e->version, version, release); /* [version] */
    RB_CRASH(RB_PUT_VERSION);
    rb_announce(t, e);
    RB_CRASH(RB_PUT_CHANGED);
    t->pending = 0;
    return (int64_t)version;
}

/* A successor finishes what a killed writer began: indexes its last entry, announces its last record. */
static inline void rb_table_recover(rb_table *t) {
    uint64_t n = RB_LOAD(&t->entries, relaxed), place, used = 0;
    for (uint64_t i = 0; i < n; i++)
        used += 2 * (uint64_t)rb_table_entries(t)[i].capacity;
    t->used = used;
    if (n && !rb_find(t, rb_table_entries(t)[n - 1].key, &place) && place != UINT64_MAX)
        RB_STORE(&rb_table_index(t)[place], (uint32_t)n, release); /* [index] */
    if (t->pending && t->pending <= n && RB_LOAD(&rb_table_entries(t)[t->pending - 1].version, relaxed))
        rb_announce(t, &rb_table_entries(t)[t->pending - 1]);
    t->pending = 0;
}

/* Where the newest whole version lies, never outside the segment; rb_read_done tells if a copy of it is whole. */
static inline uint64_t rb_read_begin(rb_table *t, rb_entry *e, const uint8_t **data, uint32_t *length) {
    uint64_t version = RB_LOAD(&e->version, acquire); /* [version] */
    *length = __atomic_load_n(&e->length[version & 1], __ATOMIC_RELAXED);
    uint64_t offset = e->offset + (version & 1) * e->capacity;
    if (*length > e->capacity || offset > t->header.size || *length > t->header.size - offset)
        *length = 0; /* a damaged entry */
    *data = (const uint8_t *)t + (*length ? offset : 0);
    return version;
}

static inline int rb_read_done(rb_entry *e, uint64_t version) {
    RB_FENCE(acquire); /* [intent] */
    return RB_LOAD(&e->intent, relaxed) < version + 2; /* the writer is at most in the other buffer */
}

/* ---------------------------------------------------------------- Counters */

#define RB_SUB_BITS 5 /* 32 buckets an octave: the middle of one is within 1/64 = 1.6 % of all its values */
#define RB_TOP_BITS 42 /* 2^42 ns = 73 minutes */
#define RB_BUCKETS ((RB_TOP_BITS - RB_SUB_BITS + 1) << RB_SUB_BITS)

typedef struct {
    _Atomic uint64_t sum, max;
    uint64_t reserved[6];
    _Atomic uint64_t buckets[RB_BUCKETS];
} rb_histogram;

typedef struct {
    rb_header header; /* params: counters, histograms, names offset, values offset, histograms offset */
    RB_LINE _Atomic uint64_t heartbeat_ns;
    _Atomic uint64_t state, pid, start;
    uint8_t label[64];
} rb_counters;
_Static_assert(offsetof(rb_counters, heartbeat_ns) == 256, "layout.py: counters");
_Static_assert(offsetof(rb_counters, label) == 288, "layout.py: counters");

static inline unsigned rb_bucket_of(uint64_t value) {
    if (value < (1u << RB_SUB_BITS))
        return (unsigned)value;
    unsigned top = 63u - (unsigned)__builtin_clzll(value);
    if (top >= RB_TOP_BITS)
        return RB_BUCKETS - 1;
    return ((top - RB_SUB_BITS + 1) << RB_SUB_BITS) + ((value >> (top - RB_SUB_BITS)) & ((1u << RB_SUB_BITS) - 1));
}

static inline uint64_t rb_bucket_middle(unsigned bucket) {
    if (bucket < (2u << RB_SUB_BITS))
        return bucket;
    unsigned shift = (bucket >> RB_SUB_BITS) - 1;
    uint64_t low = (uint64_t)((1u << RB_SUB_BITS) + (bucket & ((1u << RB_SUB_BITS) - 1))) << shift;
    return low + ((uint64_t)1 << shift) / 2;
}

/* Single writer: a relaxed load and store, no locked instruction. */
static inline void rb_add(_Atomic uint64_t *counter, uint64_t n) {
    RB_STORE(counter, RB_LOAD(counter, relaxed) + n, relaxed);
}

static inline void rb_record(rb_histogram *h, uint64_t value) {
    rb_add(&h->buckets[rb_bucket_of(value)], 1);
    rb_add(&h->sum, value);
    if (value > RB_LOAD(&h->max, relaxed))
        RB_STORE(&h->max, value, relaxed);
}

/* ---------------------------------------------------------------- Control */

#define RB_CONTROL_MAGIC UINT64_C(0x31304C5443465452) /* kept in layout.py too */
#define RB_RUNNING UINT64_C(0x474E494E4E55522B)       /* any other word in the latch reads as killed */
#define RB_KILLED UINT64_C(0x2144454C4C494B21)
#define RB_SERVICES 32

typedef struct {
    _Atomic uint64_t heartbeat_ns, pid, start;
    uint8_t name[40];
} rb_service;

typedef struct { /* why the latch stands as it does */
    uint64_t trips, resets, reason;
    int64_t monotonic_ns, unix_ns;
    uint8_t by[64], message[256];
} rb_story;

typedef struct {
    rb_header header; /* params: run id in two words */
    RB_LINE _Atomic uint64_t latch;
    RB_LINE _Atomic uint64_t written; /* bit 0: the story is under the pen, bit 1: it tells of a trip; a count */
    rb_story story;
    RB_LINE rb_service services[RB_SERVICES];
} rb_control;
_Static_assert(offsetof(rb_control, latch) == 256 && offsetof(rb_control, written) == 384, "layout.py: control");
_Static_assert(offsetof(rb_control, story.message) == 496 && sizeof(rb_service) == 64, "layout.py: control");
_Static_assert(offsetof(rb_control, services) == 768, "layout.py: control");

static inline int rb_killed(rb_control *c) {
    return RB_LOAD(&c->latch, acquire) != RB_RUNNING /* [kill] */
           || RB_LOAD(&c->header.magic, relaxed) != RB_CONTROL_MAGIC;
}

/* 1 when this call closed the latch. Never waits: the latch goes first, its story (rb_tell) after it. */
static inline int rb_trip(rb_control *c) {
    uint64_t running = RB_RUNNING;
    return atomic_compare_exchange_strong_explicit(&c->latch, &running, RB_KILLED, memory_order_acq_rel,
                                                   memory_order_relaxed); /* [kill] */
}

/* Write the story of a trip or of a reset: for the one who won the latch, or who holds the segment's lock. */
static inline void rb_tell(rb_control *c, int tripped, rb_story *story) {
    uint64_t written = RB_LOAD(&c->written, relaxed);
    story->trips = c->story.trips + (tripped != 0);
    story->resets = c->story.resets + !tripped;
    RB_STORE(&c->written, written | 1, relaxed);
    RB_FENCE(release); /* [story] the odd number before any byte */
    rb_copy(&c->story, story, sizeof *story);
    RB_STORE(&c->written, ((written | 3) + 1) | (tripped ? 2 : 0), release); /* [told] */
}

/* Copy the story: 1 when it tells of a trip, 0 of a reset (or of nothing yet), -1 while it is under the pen. */
static inline int rb_read_story(rb_control *c, rb_story *to) {
    uint64_t written = RB_LOAD(&c->written, acquire); /* [told] */
    rb_copy(to, &c->story, sizeof *to);
    RB_FENCE(acquire); /* [story] */
    return written & 1 || RB_LOAD(&c->written, relaxed) != written ? -1 : (int)(written >> 1 & 1);
}

/* Let it run again. The caller holds the segment's lock. */
static inline void rb_reset(rb_control *c, rb_story *story) {
    rb_tell(c, 0, story);
    RB_STORE(&c->latch, RB_RUNNING, release); /* [kill] */
}

#endif
