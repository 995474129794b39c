/* ringbuf._core: the crossing between Python and _core.h. Signatures and contracts stand in _core.pyi.
 *
 * Speed comes from crossing rarely and cheaply: METH_FASTCALL, and memoryviews that are made once and re-aimed.
 * A view is opened for the time its bytes may be touched and closed after: closed, it and all its slices raise
 * ValueError on use. One that somebody kept is left to them, closed for ever, and replaced. The GIL guards this.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "_core.h"

#ifdef Py_GIL_DISABLED
#error "ringbuf's views are guarded by the GIL"
#endif

static PyObject *RingError, *ViewExpired, *RecordTooLong, *TableFull, *Closed;

#define FAIL(type, ...) (PyErr_Format(type, __VA_ARGS__), NULL)
#define CHECK_OPEN(self) \
    if (RB_UNLIKELY(!(self)->buffer.obj)) \
    return FAIL(Closed, "%s is closed", Py_TYPE(self)->tp_name)

#ifdef RINGBUF_CRASH_POINTS
static int crash_at, crash_after;
void rb_crash_point(int point) {
    if (point == crash_at && crash_after-- <= 0)
        kill(getpid(), SIGKILL);
}
static PyObject *core_crash_at(PyObject *Py_UNUSED(m), PyObject *args) {
    if (!PyArg_ParseTuple(args, "ii", &crash_at, &crash_after))
        return NULL;
    Py_RETURN_NONE;
}
#endif

/* ---------------------------------------------------------------- arguments */

static int u64_arg(PyObject *o, const char *name, uint64_t *out) {
    unsigned long long v = PyLong_AsUnsignedLongLong(o);
    if (v == (unsigned long long)-1 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError) || PyErr_ExceptionMatches(PyExc_ValueError)) {
            PyErr_Clear();
            PyErr_Format(PyExc_ValueError, "%s must lie in 0..2**64-1, is %R", name, o);
        }
        return -1;
    }
    *out = v;
    return 0;
}

static int arity(const char *name, Py_ssize_t n, Py_ssize_t low, Py_ssize_t high) {
    if (n >= low && n <= high)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd positional arguments, got %zd", name, low, high, n);
    return -1;
}

/* ---------------------------------------------------------------- views */

static _PyManagedBufferObject *view_master(PyObject *view) { return ((PyMemoryViewObject *)view)->mbuf; }

static int view_kept(PyObject *view) { return Py_REFCNT(view) != 1 || view_master(view)->exports != 1; }

static void view_close(PyObject *view) { view_master(view)->flags |= _Py_MANAGED_BUFFER_RELEASED; }

static void view_drop(PyObject **view) {
    if (*view && !view_kept(*view))
        view_master(*view)->flags &= ~_Py_MANAGED_BUFFER_RELEASED; /* lets its owner go; a kept one holds it for ever */
    Py_CLEAR(*view);
}

static PyObject *view_open(PyObject **view, PyObject *owner, void *data, Py_ssize_t length, int readonly) {
    if (RB_UNLIKELY(!*view || view_kept(*view))) {
        view_drop(view);
        *view = PyMemoryView_FromObject(owner);
        if (!*view)
            return NULL;
    }
    PyMemoryViewObject *v = (PyMemoryViewObject *)*view;
    v->mbuf->flags &= ~_Py_MANAGED_BUFFER_RELEASED;
    v->hash = -1;
    v->view.buf = data;
    v->view.len = v->view.shape[0] = length;
    v->view.readonly = readonly;
    return *view;
}

/* ---------------------------------------------------------------- futex */

static long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout) {
    return syscall(SYS_futex, word, op, value, timeout, NULL, 0); /* not FUTEX_PRIVATE: other processes sleep here */
}

static void unpark_all(rb_ring *r) {
    /* Clearing the bits here, not in the sleepers, makes one that was killed in its sleep cost one wake-up. */
    if (atomic_exchange_explicit(&r->parked, 0, memory_order_acq_rel)) /* [parked] */
        futex(&r->parked, FUTEX_WAKE, INT_MAX, NULL);
}

/* ---------------------------------------------------------------- Publication */

#define CLAIM_VIEWS 4 /* the caller's variable still holds the last view or two when it claims again */

typedef struct {
    PyObject_HEAD
    Py_buffer buffer;
    rb_publisher p;
    rb_cell *claimed;
    uint32_t length;
    unsigned turn;
    PyObject *views[CLAIM_VIEWS];
} Publication;

static PyObject *pub_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs)) {
    PyObject *memory;
    if (!PyArg_ParseTuple(args, "O", &memory))
        return NULL;
    Publication *self = (Publication *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    if (PyObject_GetBuffer(memory, &self->buffer, PyBUF_WRITABLE)) {
        Py_DECREF(self);
        return NULL;
    }
    rb_publisher_init(&self->p, self->buffer.buf);
    return (PyObject *)self;
}

static void pub_clear(Publication *self) {
    self->claimed = NULL;
    for (int i = 0; i < CLAIM_VIEWS; i++) {
        if (self->views[i])
            view_close(self->views[i]);
        view_drop(&self->views[i]);
    }
    PyBuffer_Release(&self->buffer);
}

static void pub_dealloc(Publication *self) {
    pub_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *pub_release(Publication *self, PyObject *Py_UNUSED(ignored)) {
    pub_clear(self);
    Py_RETURN_NONE;
}

static PyObject *pub_claim(Publication *self, PyObject *arg) {
    CHECK_OPEN(self);
    Py_ssize_t length = PyLong_AsSsize_t(arg);
    if (RB_UNLIKELY(length < 1 || (uint64_t)length > self->p.mtu)) {
        if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError))
            return NULL;
        return FAIL(RecordTooLong, "a record of %R bytes; this ring carries 1 to %llu", arg, self->p.mtu);
    }
    if (RB_UNLIKELY(self->claimed != NULL))
        return FAIL(RingError, "sequence %llu is claimed already: commit or abort it first", self->p.sequence);
    rb_cell *cell = rb_claim(&self->p);
    if (!cell)
        Py_RETURN_NONE;
    PyObject *view = view_open(&self->views[self->turn], self->buffer.obj, cell->data, length, 0);
    if (!view)
        return NULL;
    self->claimed = cell;
    self->length = (uint32_t)length;
    return Py_NewRef(view);
}

static int pub_end_claim(Publication *self) {
    if (RB_UNLIKELY(!self->claimed)) {
        PyErr_Format(RingError, "nothing is claimed at sequence %llu", self->p.sequence);
        return -1;
    }
    self->claimed = NULL;
    view_close(self->views[self->turn]);
    self->turn = (self->turn + 1) % CLAIM_VIEWS;
    return 0;
}

static PyObject *pub_commit(Publication *self, PyObject *const *args, Py_ssize_t n) {
    CHECK_OPEN(self);
    uint32_t length = self->length;
    if (n && args[0] != Py_None) {
        Py_ssize_t given = PyLong_AsSsize_t(args[0]);
        if (given < 1 || given > (Py_ssize_t)length || n > 1) {
            if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError))
                return NULL;
            return FAIL(RecordTooLong, "commit of %R bytes; 1 to %u are claimed", args[0], length);
        }
        length = (uint32_t)given;
    }
    if (pub_end_claim(self))
        return NULL;
    RB_CRASH(RB_WRITE_DONE);
    if (RB_UNLIKELY(rb_commit(&self->p, length)))
        unpark_all(self->p.ring);
    Py_RETURN_NONE;
}

static PyObject *pub_abort(Publication *self, PyObject *Py_UNUSED(ignored)) {
    CHECK_OPEN(self);
    if (pub_end_claim(self))
        return NULL;
    Py_RETURN_NONE;
}

/* 1 written into the cell at p.sequence + ahead, 0 full, -1 error */
static int pub_write(Publication *self, PyObject *record) {
    Py_buffer b = {.obj = NULL};
    if (PyBytes_CheckExact(record)) {
        b.buf = PyBytes_AS_STRING(record);
        b.len = PyBytes_GET_SIZE(record);
    } else if (PyObject_GetBuffer(record, &b, PyBUF_SIMPLE)) {
        return -1;
    }
    int done = -1;
    if (RB_UNLIKELY(b.len < 1 || (uint64_t)b.len > self->p.mtu)) {
        PyErr_Format(RecordTooLong, "a record of %zd bytes; this ring carries 1 to %llu", b.len, self->p.mtu);
    } else if (RB_UNLIKELY(self->claimed != NULL)) {
        PyErr_Format(RingError, "sequence %llu is claimed already: commit or abort it first", self->p.sequence);
    } else {
        rb_cell *cell = rb_claim(&self->p);
        done = cell != NULL;
        if (cell) {
#ifdef RINGBUF_CRASH_POINTS
            memcpy(cell->data, b.buf, (size_t)b.len / 2);
            RB_CRASH(RB_WRITE_HALF);
#endif
            rb_copy(cell->data, b.buf, (size_t)b.len);
            RB_CRASH(RB_WRITE_DONE);
            if (RB_UNLIKELY(rb_commit(&self->p, (uint32_t)b.len)))
                unpark_all(self->p.ring);
        }
    }
    if (b.obj)
        PyBuffer_Release(&b);
    return done;
}

static PyObject *pub_offer(Publication *self, PyObject *record) {
    CHECK_OPEN(self);
    int done = pub_write(self, record);
    return done < 0 ? NULL : PyBool_FromLong(done);
}

static PyObject *pub_offer_batch(Publication *self, PyObject *records) {
    CHECK_OPEN(self);
    PyObject *fast = PySequence_Fast(records, "offer_batch() takes a sequence of bytes-like records");
    if (!fast)
        return NULL;
    Py_ssize_t i = 0, n = PySequence_Fast_GET_SIZE(fast);
    int done = 1;
    for (; i < n && done == 1; i += done == 1)
        done = pub_write(self, PySequence_Fast_GET_ITEM(fast, i));
    Py_DECREF(fast);
    return done < 0 ? NULL : PyLong_FromSsize_t(i);
}

static PyObject *pub_sequence(Publication *self, void *Py_UNUSED(c)) {
    return PyLong_FromUnsignedLongLong(self->p.sequence);
}
static PyObject *pub_depth(Publication *self, void *Py_UNUSED(c)) { return PyLong_FromUnsignedLongLong(self->p.depth); }
static PyObject *pub_mtu(Publication *self, void *Py_UNUSED(c)) { return PyLong_FromUnsignedLongLong(self->p.mtu); }

static PyMethodDef pub_methods[] = {
    {"claim", (PyCFunction)pub_claim, METH_O, NULL},
    {"commit", (PyCFunction)(void (*)(void))pub_commit, METH_FASTCALL, NULL},
    {"abort", (PyCFunction)pub_abort, METH_NOARGS, NULL},
    {"offer", (PyCFunction)pub_offer, METH_O, NULL},
    {"offer_batch", (PyCFunction)pub_offer_batch, METH_O, NULL},
    {"release", (PyCFunction)pub_release, METH_NOARGS, NULL},
    {0},
};
static PyGetSetDef pub_getset[] = {
    {"sequence", (getter)pub_sequence, NULL, NULL, NULL},
    {"depth", (getter)pub_depth, NULL, NULL, NULL},
    {"mtu", (getter)pub_mtu, NULL, NULL, NULL},
    {0},
};
static PyTypeObject PublicationType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "ringbuf._core.Publication",
    .tp_basicsize = sizeof(Publication),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = pub_new,
    .tp_dealloc = (destructor)pub_dealloc,
    .tp_methods = pub_methods,
    .tp_getset = pub_getset,
};

/* ---------------------------------------------------------------- Subscription */

typedef struct {
    PyObject_HEAD
    Py_buffer buffer;
    rb_subscriber s;
    PyObject *scratch, *view, *scratch_view;
    int polling;
} Subscription;

static PyObject *sub_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs)) {
    PyObject *memory;
    unsigned index;
    int gating, resume, from_start;
    if (!PyArg_ParseTuple(args, "OIppp", &memory, &index, &gating, &resume, &from_start))
        return NULL;
    Subscription *self = (Subscription *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    if (PyObject_GetBuffer(memory, &self->buffer, PyBUF_WRITABLE))
        goto failed;
    rb_ring *r = self->buffer.buf;
    self->scratch = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)r->header.params[1]);
    if (!self->scratch)
        goto failed;
    uint64_t next, settled;
    rb_join(&r->slots[index], r, resume, from_start, &next, &settled);
    rb_subscriber_init(&self->s, r, index, next, gating ? settled : UINT64_MAX);
    return (PyObject *)self;
failed:
    Py_DECREF(self);
    return NULL;
}

static void sub_clear(Subscription *self) {
    if (self->view)
        view_close(self->view);
    if (self->scratch_view)
        view_close(self->scratch_view);
    view_drop(&self->view);
    view_drop(&self->scratch_view);
    Py_CLEAR(self->scratch);
    PyBuffer_Release(&self->buffer);
}

static void sub_dealloc(Subscription *self) {
    sub_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *sub_release(Subscription *self, PyObject *Py_UNUSED(ignored)) {
    if (self->polling)
        return FAIL(RingError, "close() inside this subscription's own handler");
    sub_clear(self);
    Py_RETURN_NONE;
}

/* The next record's bytes and length (0: none), in place or in the scratch when they might change under us. */
static uint32_t sub_next(Subscription *self, uint8_t **data) {
    rb_subscriber *s = &self->s;
    if (!rb_available(s))
        return 0;
    if (s->next < s->settled) {
        *data = (uint8_t *)PyByteArray_AS_STRING(self->scratch);
        return rb_copy_next(s, *data);
    }
    rb_cell *cell = rb_cell_at(s->cells, s->mask, s->stride, s->next);
    *data = cell->data;
    return cell->length <= s->mtu ? cell->length : (uint32_t)s->mtu;
}

static PyObject *sub_poll(Subscription *self, PyObject *const *args, Py_ssize_t n) {
    CHECK_OPEN(self);
    Py_ssize_t limit = 64, done = 0;
    if (arity("poll", n, 1, 2) || (n == 2 && (limit = PyLong_AsSsize_t(args[1])) == -1 && PyErr_Occurred()))
        return NULL;
    if (RB_UNLIKELY(self->polling))
        return FAIL(RingError, "poll() inside this subscription's own handler");
    while (done < limit) {
        uint8_t *data;
        uint32_t length = sub_next(self, &data);
        if (!length)
            break;
        RB_CRASH(RB_POLL_SEEN);
        int copied = self->s.next < self->s.settled;
        PyObject **keep = copied ? &self->scratch_view : &self->view;
        PyObject *view = view_open(keep, copied ? self->scratch : self->buffer.obj, data, length, 1);
        if (!view)
            return NULL;
        self->polling = 1;
        PyObject *result = PyObject_CallOneArg(args[0], view);
        self->polling = 0;
        view_close(view);
        uint64_t sequence = self->s.next;
        int exported = ((PyMemoryViewObject *)view)->exports || view_master(view)->exports > 1;
        RB_CRASH(RB_POLL_HANDLED);
        rb_advance(&self->s, sequence + 1);
        RB_CRASH(RB_POLL_ADVANCED);
        done++;
        if (!result)
            return NULL;
        Py_DECREF(result);
        if (RB_UNLIKELY(exported))
            return FAIL(ViewExpired, "the handler kept a slice or an export of record %llu; keep bytes(view)", sequence);
    }
    return PyLong_FromSsize_t(done);
}

static PyObject *sub_take_one(Subscription *self) {
    uint8_t *data;
    uint32_t length = sub_next(self, &data);
    if (!length)
        return NULL;
    PyObject *record = PyBytes_FromStringAndSize((char *)data, length);
    if (record)
        rb_advance(&self->s, self->s.next + 1);
    return record;
}

static PyObject *sub_take(Subscription *self, PyObject *Py_UNUSED(ignored)) {
    CHECK_OPEN(self);
    PyObject *record = sub_take_one(self);
    if (!record && !PyErr_Occurred())
        Py_RETURN_NONE;
    return record;
}

static PyObject *sub_take_batch(Subscription *self, PyObject *arg) {
    CHECK_OPEN(self);
    Py_ssize_t limit = PyLong_AsSsize_t(arg);
    if (limit == -1 && PyErr_Occurred())
        return NULL;
    PyObject *list = PyList_New(0), *record;
    while (list && PyList_GET_SIZE(list) < limit && (record = sub_take_one(self))) {
        if (PyList_Append(list, record))
            Py_CLEAR(list);
        Py_DECREF(record);
    }
    if (PyErr_Occurred())
        Py_CLEAR(list);
    return list;
}

/* Spin until a record is there or the time is up: 2 us with the GIL held, then without; signals every 1 ms. */
static PyObject *sub_spin(Subscription *self, PyObject *arg) {
    CHECK_OPEN(self);
    int64_t timeout = PyLong_AsLongLong(arg), start = rb_now_ns(), now = start, stop;
    if (timeout == -1 && PyErr_Occurred())
        return NULL;
    while (!rb_available(&self->s) && now - start < timeout && now - start < 2000) {
        for (int i = 0; i < 8 && !rb_available(&self->s); i++)
            rb_pause();
        now = rb_now_ns();
    }
    while (!rb_available(&self->s) && now - start < timeout) {
        stop = now + 1000000 < start + timeout ? now + 1000000 : start + timeout;
        Py_BEGIN_ALLOW_THREADS
        do {
            for (int i = 0; i < 32 && !rb_available(&self->s); i++)
                rb_pause();
            now = rb_now_ns();
        } while (now < stop && !rb_available(&self->s));
        Py_END_ALLOW_THREADS
        if (PyErr_CheckSignals())
            return NULL;
        CHECK_OPEN(self);
    }
    return PyBool_FromLong(rb_available(&self->s) != 0);
}

/* Sleep on the ring's futex until a record is there or the time is up. */
static PyObject *sub_wait(Subscription *self, PyObject *arg) {
    CHECK_OPEN(self);
    int64_t timeout = PyLong_AsLongLong(arg), now = rb_now_ns(), end;
    if (timeout == -1 && PyErr_Occurred())
        return NULL;
    end = timeout > INT64_MAX - now ? INT64_MAX : now + timeout;
    rb_ring *r = self->s.ring;
    uint32_t bit = self->s.bit;
    /* A commit under way may have looked at may_park before we set it: the first sleep is short. */
    int first = !(atomic_fetch_or_explicit(&r->may_park, bit, memory_order_seq_cst) & bit);
    while (!rb_available(&self->s) && now < end) {
        uint32_t word = atomic_fetch_or_explicit(&r->parked, bit, memory_order_seq_cst) | bit; /* [parked] */
        RB_CRASH(RB_WAIT_PARKED);
        RB_FENCE(seq_cst); /* our flag before our look; the publisher does it the other way round */
        if (rb_available(&self->s))
            break;
        int64_t nap = end - now;
        if (first && nap > 100000)
            nap = 100000;
        first = 0;
        struct timespec t = {.tv_sec = nap / 1000000000, .tv_nsec = nap % 1000000000};
        Py_BEGIN_ALLOW_THREADS
        futex(&r->parked, FUTEX_WAIT, word, &t);
        Py_END_ALLOW_THREADS
        if (PyErr_CheckSignals())
            return NULL;
        CHECK_OPEN(self);
        now = rb_now_ns();
    }
    atomic_fetch_and_explicit(&r->parked, ~bit, memory_order_relaxed);
    return PyBool_FromLong(rb_available(&self->s) != 0);
}

static PyObject *sub_sequence(Subscription *self, void *Py_UNUSED(c)) {
    return PyLong_FromUnsignedLongLong(self->s.next);
}
static PyObject *sub_lost(Subscription *self, void *Py_UNUSED(c)) { return PyLong_FromUnsignedLongLong(self->s.lost); }
static PyObject *sub_lag(Subscription *self, void *Py_UNUSED(c)) {
    CHECK_OPEN(self);
    uint64_t published = RB_LOAD(&self->s.ring->published, acquire);
    return PyLong_FromUnsignedLongLong(published > self->s.next ? published - self->s.next : 0);
}

static PyMethodDef sub_methods[] = {
    {"poll", (PyCFunction)(void (*)(void))sub_poll, METH_FASTCALL, NULL},
    {"take", (PyCFunction)sub_take, METH_NOARGS, NULL},
    {"take_batch", (PyCFunction)sub_take_batch, METH_O, NULL},
    {"spin", (PyCFunction)sub_spin, METH_O, NULL},
    {"wait", (PyCFunction)sub_wait, METH_O, NULL},
    {"release", (PyCFunction)sub_release, METH_NOARGS, NULL},
    {0},
};
static PyGetSetDef sub_getset[] = {
    {"sequence", (getter)sub_sequence, NULL, NULL, NULL},
    {"lost", (getter)sub_lost, NULL, NULL, NULL},
    {"lag", (getter)sub_lag, NULL, NULL, NULL},
    {0},
};
static PyTypeObject SubscriptionType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "ringbuf._core.Subscription",
    .tp_basicsize = sizeof(Subscription),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = sub_new,
    .tp_dealloc = (destructor)sub_dealloc,
    .tp_methods = sub_methods,
    .tp_getset = sub_getset,
};

/* ---------------------------------------------------------------- Memory: Table, Counters and Control hold one */

typedef struct {
    PyObject_HEAD
    Py_buffer buffer;
} Memory;

static PyObject *memory_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs)) {
    PyObject *memory;
    if (!PyArg_ParseTuple(args, "O", &memory))
        return NULL;
    Memory *self = (Memory *)type->tp_alloc(type, 0);
    if (self && PyObject_GetBuffer(memory, &self->buffer, PyBUF_WRITABLE))
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void memory_dealloc(Memory *self) {
    PyBuffer_Release(&self->buffer);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *memory_release(Memory *self, PyObject *Py_UNUSED(ignored)) {
    PyBuffer_Release(&self->buffer);
    Py_RETURN_NONE;
}

#define MEMORY_TYPE(name, methods, getset) \
    static PyTypeObject name##Type = { \
        PyVarObject_HEAD_INIT(NULL, 0).tp_name = "ringbuf._core." #name, \
        .tp_basicsize = sizeof(Memory), \
        .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, \
        .tp_new = memory_new, \
        .tp_dealloc = (destructor)memory_dealloc, \
        .tp_methods = methods, \
        .tp_getset = getset, \
    }

/* ---------------------------------------------------------------- Table */

static const uint8_t *key_arg(PyObject *o) {
    if (PyBytes_CheckExact(o) && PyBytes_GET_SIZE(o) == 32)
        return (const uint8_t *)PyBytes_AS_STRING(o);
    PyErr_Format(PyExc_ValueError, "a key is 32 bytes, got %R", o);
    return NULL;
}

static PyObject *table_put(Memory *self, PyObject *const *args, Py_ssize_t n) {
    CHECK_OPEN(self);
    const uint8_t *key;
    Py_buffer record;
    if (arity("put", n, 2, 3) || !(key = key_arg(args[0])) || PyObject_GetBuffer(args[1], &record, PyBUF_SIMPLE))
        return NULL;
    uint64_t capacity = (uint64_t)record.len;
    int64_t version = RB_RECORD_LONG;
    if (n == 3 && args[2] != Py_None && u64_arg(args[2], "record_capacity", &capacity)) {
        PyBuffer_Release(&record);
        return NULL;
    }
    Py_ssize_t length = record.len;
    if (length <= INT32_MAX && capacity <= INT32_MAX)
        version = rb_put(self->buffer.buf, key, record.buf, (uint32_t)length, (uint32_t)capacity);
    PyBuffer_Release(&record);
    if (version == RB_TABLE_FULL)
        return FAIL(TableFull, "no entry left for key %R: capacity is %llu entries", args[0],
                    RB_TABLE_PARAM((rb_table *)self->buffer.buf, 0));
    if (version == RB_ARENA_FULL)
        return FAIL(TableFull, "no room for two buffers of %llu bytes for key %R", capacity, args[0]);
    if (version == RB_RECORD_LONG)
        return FAIL(RecordTooLong, "a record of %zd bytes for key %R is over its capacity", length, args[0]);
    return PyLong_FromLongLong(version);
}

static PyObject *table_read(Memory *self, PyObject *key_object, uint64_t *version) {
    CHECK_OPEN(self);
    const uint8_t *key = key_arg(key_object), *data;
    uint64_t place;
    uint32_t length;
    if (!key)
        return NULL;
    rb_table *t = self->buffer.buf;
    rb_entry *e = rb_find(t, key, &place);
    for (int tries = 0; tries < 100000; tries++) {
        if (!e || !(*version = rb_read_begin(t, e, &data, &length)))
            Py_RETURN_NONE;
        PyObject *record = PyBytes_FromStringAndSize(NULL, length);
        if (!record)
            return NULL;
        rb_copy(PyBytes_AS_STRING(record), data, length);
        if (rb_read_done(e, *version))
            return record;
        Py_DECREF(record);
    }
    return FAIL(RingError, "record %R changed under 100000 reads in a row", key_object);
}

static PyObject *table_get(Memory *self, PyObject *key) {
    uint64_t version;
    return table_read(self, key, &version);
}

static PyObject *table_get_versioned(Memory *self, PyObject *key) {
    uint64_t version;
    PyObject *record = table_read(self, key, &version);
    if (!record || record == Py_None)
        return record;
    return Py_BuildValue("(KN)", (unsigned long long)version, record);
}

static int add_key(PyObject *list, rb_entry *e) {
    PyObject *key = PyBytes_FromStringAndSize((char *)e->key, 32);
    int failed = !key || PyList_Append(list, key);
    Py_XDECREF(key);
    return failed;
}

/* Keys whose newest change lies at or above `since`. */
static int add_changed_entries(PyObject *list, rb_table *t, uint64_t since) {
    uint64_t n = RB_LOAD(&t->entries, acquire); /* [index] */
    for (uint64_t i = 0; i < n && i < RB_TABLE_PARAM(t, 0); i++) {
        rb_entry *e = &rb_table_entries(t)[i];
        if (RB_LOAD(&e->version, acquire) && RB_LOAD(&e->changed, relaxed) >= since && add_key(list, e))
            return -1;
    }
    return 0;
}

static PyObject *table_keys(Memory *self, PyObject *Py_UNUSED(ignored)) {
    CHECK_OPEN(self);
    PyObject *list = PyList_New(0);
    if (list && add_changed_entries(list, self->buffer.buf, 0))
        Py_CLEAR(list);
    return list;
}

static PyObject *table_changed_since(Memory *self, PyObject *arg) {
    CHECK_OPEN(self);
    uint64_t cursor;
    if (u64_arg(arg, "cursor", &cursor))
        return NULL;
    rb_table *t = self->buffer.buf;
    uint64_t end = RB_LOAD(&t->changes, acquire), size = RB_TABLE_PARAM(t, 2); /* [changes] */
    PyObject *list = PyList_New(0);
    if (!list || cursor >= end)
        return list ? Py_BuildValue("(KN)", (unsigned long long)(cursor < end ? end : cursor), list) : NULL;
    int failed = 0;
    for (uint64_t i = cursor; !failed && end - cursor < size && i < end; i++) {
        uint32_t at = RB_LOAD(&rb_table_log(t)[i & (size - 1)], relaxed);
        rb_entry *e = &rb_table_entries(t)[at];
        if (at < RB_TABLE_PARAM(t, 0) && RB_LOAD(&e->changed, relaxed) == i + 1)
            failed = add_key(list, e); /* its later changes stand later in the log */
    }
    if (!failed && RB_LOAD(&t->changes, acquire) - cursor >= size) { /* the log came round under us */
        failed = PyList_SetSlice(list, 0, PyList_GET_SIZE(list), NULL) || add_changed_entries(list, t, cursor + 1);
    }
    if (failed) {
        Py_DECREF(list);
        return NULL;
    }
    return Py_BuildValue("(KN)", (unsigned long long)end, list);
}

static PyObject *table_recover(Memory *self, PyObject *Py_UNUSED(ignored)) {
    CHECK_OPEN(self);
    rb_table_recover(self->buffer.buf);
    Py_RETURN_NONE;
}

static PyMethodDef table_methods[] = {
    {"put", (PyCFunction)(void (*)(void))table_put, METH_FASTCALL, NULL},
    {"get", (PyCFunction)table_get, METH_O, NULL},
    {"get_versioned", (PyCFunction)table_get_versioned, METH_O, NULL},
    {"keys", (PyCFunction)table_keys, METH_NOARGS, NULL},
    {"changed_since", (PyCFunction)table_changed_since, METH_O, NULL},
    {"recover", (PyCFunction)table_recover, METH_NOARGS, NULL},
    {"release", (PyCFunction)memory_release, METH_NOARGS, NULL},
    {0},
};
MEMORY_TYPE(Table, table_methods, NULL);

/* ---------------------------------------------------------------- Counters */

/* The word of counter (which = 0) or the histogram (1) with this index. */
static void *counters_at(Memory *self, PyObject *index, int which) {
    CHECK_OPEN(self);
    rb_counters *c = self->buffer.buf;
    size_t i = PyLong_AsSize_t(index);
    if (RB_UNLIKELY(i >= c->header.params[which])) {
        if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError))
            return NULL;
        PyErr_Clear();
        return FAIL(PyExc_IndexError, "%s %R; there are %llu", which ? "histogram" : "counter", index,
                    c->header.params[which]);
    }
    return (uint8_t *)c + c->header.params[3 + which] + i * (which ? sizeof(rb_histogram) : 8);
}

static PyObject *counters_add(Memory *self, PyObject *const *args, Py_ssize_t n) {
    uint64_t by = 1;
    if (arity("add", n, 1, 2) || (n == 2 && u64_arg(args[1], "n", &by)))
        return NULL;
    _Atomic uint64_t *counter = counters_at(self, args[0], 0);
    if (!counter)
        return NULL;
    rb_add(counter, by);
    Py_RETURN_NONE;
}

static PyObject *counters_set(Memory *self, PyObject *const *args, Py_ssize_t n) {
    uint64_t value;
    if (arity("set", n, 2, 2) || u64_arg(args[1], "value", &value))
        return NULL;
    _Atomic uint64_t *counter = counters_at(self, args[0], 0);
    if (!counter)
        return NULL;
    RB_STORE(counter, value, relaxed);
    Py_RETURN_NONE;
}

static PyObject *counters_value(Memory *self, PyObject *index) {
    _Atomic uint64_t *counter = counters_at(self, index, 0);
    return counter ? PyLong_FromUnsignedLongLong(RB_LOAD(counter, relaxed)) : NULL;
}

static PyObject *counters_record(Memory *self, PyObject *const *args, Py_ssize_t n) {
    if (arity("record", n, 2, 2))
        return NULL;
    long long value = PyLong_AsLongLong(args[1]);
    if (value == -1 && PyErr_Occurred())
        return NULL;
    rb_histogram *h = counters_at(self, args[0], 1);
    if (!h)
        return NULL;
    rb_record(h, value < 0 ? 0 : (uint64_t)value);
    Py_RETURN_NONE;
}

static PyObject *counters_buckets(Memory *self, PyObject *index) {
    rb_histogram *h = counters_at(self, index, 1);
    PyObject *list = h ? PyList_New(0) : NULL;
    for (unsigned i = 0; list && i < RB_BUCKETS; i++) {
        unsigned long long count = RB_LOAD(&h->buckets[i], relaxed);
        PyObject *pair = count ? Py_BuildValue("(KK)", (unsigned long long)rb_bucket_middle(i), count) : NULL;
        if (count && (!pair || PyList_Append(list, pair)))
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    if (!list)
        return NULL;
    return Py_BuildValue("(KKN)", (unsigned long long)RB_LOAD(&h->sum, relaxed),
                         (unsigned long long)RB_LOAD(&h->max, relaxed), list);
}

static PyObject *counters_beat(Memory *self, PyObject *arg) {
    CHECK_OPEN(self);
    uint64_t now;
    if (u64_arg(arg, "now_ns", &now))
        return NULL;
    RB_STORE(&((rb_counters *)self->buffer.buf)->heartbeat_ns, now, relaxed);
    Py_RETURN_NONE;
}

static PyMethodDef counters_methods[] = {
    {"add", (PyCFunction)(void (*)(void))counters_add, METH_FASTCALL, NULL},
    {"set", (PyCFunction)(void (*)(void))counters_set, METH_FASTCALL, NULL},
    {"value", (PyCFunction)counters_value, METH_O, NULL},
    {"record", (PyCFunction)(void (*)(void))counters_record, METH_FASTCALL, NULL},
    {"buckets", (PyCFunction)counters_buckets, METH_O, NULL},
    {"beat", (PyCFunction)counters_beat, METH_O, NULL},
    {"release", (PyCFunction)memory_release, METH_NOARGS, NULL},
    {0},
};
MEMORY_TYPE(Counters, counters_methods, NULL);

/* ---------------------------------------------------------------- Control */

static PyObject *control_killed(Memory *self, void *Py_UNUSED(c)) {
    if (RB_UNLIKELY(!self->buffer.obj) || RB_UNLIKELY(rb_killed(self->buffer.buf)))
        Py_RETURN_TRUE;
    Py_RETURN_FALSE;
}

static PyObject *control_trip(Memory *self, PyObject *args) {
    CHECK_OPEN(self);
    unsigned long long reason;
    Py_buffer by, message;
    long long monotonic_ns, unix_ns;
    if (!PyArg_ParseTuple(args, "Ky*y*LL", &reason, &by, &message, &monotonic_ns, &unix_ns))
        return NULL;
    uint8_t who[64] = {0}, what[256] = {0};
    memcpy(who, by.buf, by.len < 64 ? (size_t)by.len : 64);
    memcpy(what, message.buf, message.len < 256 ? (size_t)message.len : 256);
    PyBuffer_Release(&by);
    PyBuffer_Release(&message);
    return PyBool_FromLong(rb_trip(self->buffer.buf, reason, who, what, monotonic_ns, unix_ns));
}

static PyObject *control_beat(Memory *self, PyObject *const *args, Py_ssize_t n) {
    CHECK_OPEN(self);
    uint64_t index, now;
    if (arity("beat", n, 2, 2) || u64_arg(args[0], "index", &index) || u64_arg(args[1], "now_ns", &now))
        return NULL;
    if (index >= RB_SERVICES)
        return FAIL(PyExc_IndexError, "service slot %R; there are %d", args[0], RB_SERVICES);
    RB_STORE(&((rb_control *)self->buffer.buf)->services[index].heartbeat_ns, now, relaxed);
    Py_RETURN_NONE;
}

static PyMethodDef control_methods[] = {
    {"trip_latch", (PyCFunction)control_trip, METH_VARARGS, NULL},
    {"beat", (PyCFunction)(void (*)(void))control_beat, METH_FASTCALL, NULL},
    {"release", (PyCFunction)memory_release, METH_NOARGS, NULL},
    {0},
};
static PyGetSetDef control_getset[] = {{"killed", (getter)control_killed, NULL, NULL, NULL}, {0}};
MEMORY_TYPE(Control, control_methods, control_getset);

/* ---------------------------------------------------------------- module */

/* The word at this offset of a segment, bounds checked. */
static _Atomic uint64_t *word_at(PyObject *memory, Py_ssize_t offset, Py_buffer *b) {
    if (PyObject_GetBuffer(memory, b, PyBUF_WRITABLE))
        return NULL;
    if (offset >= 0 && offset % 8 == 0 && offset + 8 <= b->len)
        return (void *)((uint8_t *)b->buf + offset);
    PyErr_Format(PyExc_IndexError, "offset %zd of %zd bytes", offset, b->len);
    PyBuffer_Release(b);
    return NULL;
}

static PyObject *core_load(PyObject *Py_UNUSED(m), PyObject *args) {
    PyObject *memory;
    Py_ssize_t offset;
    Py_buffer b;
    _Atomic uint64_t *word;
    if (!PyArg_ParseTuple(args, "On", &memory, &offset) || !(word = word_at(memory, offset, &b)))
        return NULL;
    uint64_t value = RB_LOAD(word, acquire); /* [magic] */
    PyBuffer_Release(&b);
    return PyLong_FromUnsignedLongLong(value);
}

static PyObject *core_store(PyObject *Py_UNUSED(m), PyObject *args) {
    PyObject *memory, *given;
    Py_ssize_t offset;
    Py_buffer b;
    uint64_t value;
    _Atomic uint64_t *word;
    if (!PyArg_ParseTuple(args, "OnO", &memory, &offset, &given) || u64_arg(given, "value", &value) ||
        !(word = word_at(memory, offset, &b)))
        return NULL;
    RB_STORE(word, value, release); /* [magic] */
    PyBuffer_Release(&b);
    Py_RETURN_NONE;
}

static PyObject *core_pause(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(ignored)) {
    rb_pause();
    Py_RETURN_NONE;
}

static PyObject *core_sched_yield(PyObject *Py_UNUSED(m), PyObject *Py_UNUSED(ignored)) {
    Py_BEGIN_ALLOW_THREADS
    sched_yield();
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *core_nap(PyObject *Py_UNUSED(m), PyObject *arg) {
    int64_t ns = PyLong_AsLongLong(arg);
    if (ns < 0)
        return PyErr_Occurred() ? NULL : FAIL(PyExc_ValueError, "a nap of %R ns", arg);
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    Py_BEGIN_ALLOW_THREADS
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL); /* a signal ends it early */
    Py_END_ALLOW_THREADS
    if (PyErr_CheckSignals())
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef core_methods[] = {
    {"load", core_load, METH_VARARGS, NULL},
    {"store", core_store, METH_VARARGS, NULL},
    {"pause", core_pause, METH_NOARGS, NULL},
    {"sched_yield", core_sched_yield, METH_NOARGS, NULL},
    {"nap", core_nap, METH_O, NULL},
#ifdef RINGBUF_CRASH_POINTS
    {"crash_at", core_crash_at, METH_VARARGS, NULL},
#endif
    {0},
};
static PyModuleDef core_module = {PyModuleDef_HEAD_INIT, .m_name = "ringbuf._core", .m_size = -1, .m_methods = core_methods};

PyMODINIT_FUNC PyInit__core(void) {
    PyObject *errors = PyImport_ImportModule("ringbuf.errors"), *m = errors ? PyModule_Create(&core_module) : NULL;
    if (!m || !(RingError = PyObject_GetAttrString(errors, "RingError")) ||
        !(ViewExpired = PyObject_GetAttrString(errors, "ViewExpired")) ||
        !(RecordTooLong = PyObject_GetAttrString(errors, "RecordTooLong")) ||
        !(TableFull = PyObject_GetAttrString(errors, "TableFull")) ||
        !(Closed = PyObject_GetAttrString(errors, "Closed")) || PyModule_AddType(m, &PublicationType) ||
        PyModule_AddType(m, &SubscriptionType) || PyModule_AddType(m, &TableType) ||
        PyModule_AddType(m, &CountersType) || PyModule_AddType(m, &ControlType) ||
        PyModule_AddIntConstant(m, "HISTOGRAM_BYTES", sizeof(rb_histogram)))
        Py_CLEAR(m);
    Py_XDECREF(errors);
    return m;
}
