/* ringbuf._core's second half: Table, Counters, Control and Latch as Python sees them. Included by _core.c alone. */

/* ---------------------------------------------------------------- Table */

static const uint8_t *key_arg(PyObject *o) {
    if (PyBytes_CheckExact(o) && PyBytes_GET_SIZE(o) == 32)
        return (const uint8_t *)PyBytes_AS_STRING(o);
    PyErr_Format(PyExc_ValueError, "a key is 32 bytes, got %R", o);
    return NULL;
}

static PyObject *table_put(Memory *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    CHECK_OPEN(self);
    const uint8_t *key;
    Py_buffer record;
    if ((n = arguments("put", n, names, 2, 3, "record_capacity")) < 0 || !(key = key_arg(args[0])) ||
        PyObject_GetBuffer(args[1], &record, PyBUF_SIMPLE))
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
    RB_FENCE(acquire); /* [log] */
    if (!failed && RB_LOAD(&t->changes, relaxed) - cursor >= size) { /* the log came round under us */
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
    {"put", FAST(table_put), NULL},
    {"get", (PyCFunction)table_get, METH_O, NULL},
    {"get_versioned", (PyCFunction)table_get_versioned, METH_O, NULL},
    {"keys", (PyCFunction)table_keys, METH_NOARGS, NULL},
    {"changed_since", (PyCFunction)table_changed_since, METH_O, NULL},
    {"recover", (PyCFunction)table_recover, METH_NOARGS, NULL},
    {"release", (PyCFunction)memory_release, METH_NOARGS, NULL},
    {0},
};
static PyTypeObject TableType = {TYPE(Table, Memory, memory_new, memory_dealloc), .tp_methods = table_methods};

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

static PyObject *counters_add(Memory *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    uint64_t by = 1;
    if ((n = arguments("add", n, names, 1, 2, "n")) < 0 || (n == 2 && u64_arg(args[1], "n", &by)))
        return NULL;
    _Atomic uint64_t *counter = counters_at(self, args[0], 0);
    if (!counter)
        return NULL;
    rb_add(counter, by);
    Py_RETURN_NONE;
}

static PyObject *counters_set(Memory *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    uint64_t value;
    if (arguments("set", n, names, 2, 2, "value") < 0 || u64_arg(args[1], "value", &value))
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

static PyObject *counters_record(Memory *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    if (arguments("record", n, names, 2, 2, "value") < 0)
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
    {"add", FAST(counters_add), NULL},
    {"set", FAST(counters_set), NULL},
    {"value", (PyCFunction)counters_value, METH_O, NULL},
    {"record", FAST(counters_record), NULL},
    {"buckets", (PyCFunction)counters_buckets, METH_O, NULL},
    {"beat", (PyCFunction)counters_beat, METH_O, NULL},
    {"release", (PyCFunction)memory_release, METH_NOARGS, NULL},
    {0},
};
static PyTypeObject CountersType = {
    TYPE(Counters, Memory, memory_new, memory_dealloc),
    .tp_methods = counters_methods,
};

/* ---------------------------------------------------------------- Control */

/* A page that is cut off under us (somebody truncates the file) raises SIGBUS on the next look at the latch. In a
 * Control's memory it is answered with a page of zeros, which reads as killed; elsewhere as it was before. */
#define GUARDED 16
static struct {
    uint8_t *start, *end;
} guarded[GUARDED];
static struct sigaction before_guard;
static uintptr_t page_bytes;

static void on_sigbus(int number, siginfo_t *info, void *Py_UNUSED(context)) {
    uint8_t *at = info->si_addr, *page = (uint8_t *)((uintptr_t)at & ~(page_bytes - 1));
    for (int i = 0; i < GUARDED; i++)
        if (at >= guarded[i].start && at < guarded[i].end &&
            mmap(page, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page)
            return;
    sigaction(number, &before_guard, NULL); /* the access faults again, now for its old handler */
}

/* Add a memory to the guarded ones (start to end), or take it out again (start to NULL). */
static void guard(uint8_t *start, uint8_t *end) {
    for (int i = 0; i < GUARDED; i++) {
        if (guarded[i].start != (end ? NULL : start))
            continue;
        guarded[i].end = end;
        guarded[i].start = end ? start : NULL;
        return;
    }
}

static PyObject *control_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    Memory *self = (Memory *)memory_new(type, args, kwargs);
    if (!self)
        return NULL;
    if ((size_t)self->buffer.len < sizeof(rb_control)) {
        Py_DECREF(self);
        return FAIL(RingError, "a control of %zd bytes", self->buffer.len);
    }
    if (!page_bytes) {
        struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
        page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
        sigaction(SIGBUS, &action, &before_guard);
    }
    guard(self->buffer.buf, (uint8_t *)self->buffer.buf + self->buffer.len);
    return (PyObject *)self;
}

static PyObject *control_release(Memory *self, PyObject *ignored) {
    if (self->buffer.obj)
        guard(self->buffer.buf, NULL);
    return memory_release(self, ignored);
}

static void control_dealloc(Memory *self) {
    if (self->buffer.obj)
        guard(self->buffer.buf, NULL);
    memory_dealloc(self);
}

static int latch_killed(Memory *self) {
    return RB_UNLIKELY(!self->buffer.obj) || RB_UNLIKELY(rb_killed(self->buffer.buf));
}

static PyObject *control_killed(Memory *self, void *Py_UNUSED(c)) { return PyBool_FromLong(latch_killed(self)); }

/* A story's numbers and texts: (reason, by, message, monotonic_ns, unix_ns), checked; -1 with an error set. */
static int story_args(PyObject *const *args, Py_ssize_t n, rb_story *story) {
    if (n != 5 || !PyUnicode_Check(args[1]) || !PyUnicode_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError, "takes reason: int, by: str, message: str, monotonic_ns: int, unix_ns: int");
        return -1;
    }
    if (u64_arg(args[0], "reason", &story->reason))
        return -1;
    story->monotonic_ns = PyLong_AsLongLong(args[3]);
    story->unix_ns = PyLong_AsLongLong(args[4]);
    return PyErr_Occurred() ? -1 : 0;
}

/* The latch is decided by now: a text that has no UTF-8 (lone surrogates) is escaped, one that is too long cut. */
static void story_text(PyObject *text, uint8_t *to, Py_ssize_t room) {
    PyObject *raw = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    Py_ssize_t length = raw ? PyBytes_GET_SIZE(raw) : 0;
    length = length < room ? length : room;
    if (raw)
        memcpy(to, PyBytes_AS_STRING(raw), (size_t)length);
    memset(to + length, 0, (size_t)(room - length));
    Py_XDECREF(raw);
    PyErr_Clear();
}

static PyObject *control_trip(Memory *self, PyObject *const *args, Py_ssize_t n) {
    CHECK_OPEN(self);
    rb_story story;
    if (story_args(args, n, &story))
        return NULL;
    if (!rb_trip(self->buffer.buf))
        Py_RETURN_FALSE;
    RB_CRASH(RB_TRIP_LATCHED);
    story_text(args[1], story.by, sizeof story.by);
    story_text(args[2], story.message, sizeof story.message);
    rb_tell(self->buffer.buf, 1, &story);
    Py_RETURN_TRUE;
}

static PyObject *control_reset_latch(Memory *self, PyObject *const *args, Py_ssize_t n) {
    CHECK_OPEN(self);
    rb_story story;
    if (story_args(args, n, &story))
        return NULL;
    story_text(args[1], story.by, sizeof story.by);
    story_text(args[2], story.message, sizeof story.message);
    rb_reset(self->buffer.buf, &story);
    Py_RETURN_NONE;
}

static PyObject *control_story(Memory *self, PyObject *Py_UNUSED(ignored)) {
    CHECK_OPEN(self);
    rb_story story;
    int tripped = rb_read_story(self->buffer.buf, &story);
    if (tripped < 0)
        Py_RETURN_NONE;
    const char *by = (char *)story.by, *message = (char *)story.message;
    Py_ssize_t by_length = (Py_ssize_t)strnlen(by, sizeof story.by);
    Py_ssize_t message_length = (Py_ssize_t)strnlen(message, sizeof story.message);
    return Py_BuildValue("(NKNNLLK)", PyBool_FromLong(tripped), (unsigned long long)story.reason,
                         PyUnicode_DecodeUTF8(by, by_length, "replace"),
                         PyUnicode_DecodeUTF8(message, message_length, "replace"), (long long)story.monotonic_ns,
                         (long long)story.unix_ns, (unsigned long long)story.trips);
}

static PyObject *control_beat(Memory *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    CHECK_OPEN(self);
    uint64_t index, now;
    if (arguments("beat", n, names, 2, 2, "now_ns") < 0 || u64_arg(args[0], "index", &index) ||
        u64_arg(args[1], "now_ns", &now))
        return NULL;
    if (index >= RB_SERVICES)
        return FAIL(PyExc_IndexError, "service slot %R; there are %d", args[0], RB_SERVICES);
    RB_STORE(&((rb_control *)self->buffer.buf)->services[index].heartbeat_ns, now, relaxed);
    Py_RETURN_NONE;
}

static PyMethodDef control_methods[] = {
    {"trip", (PyCFunction)(void (*)(void))control_trip, METH_FASTCALL, NULL},
    {"reset_latch", (PyCFunction)(void (*)(void))control_reset_latch, METH_FASTCALL, NULL},
    {"story", (PyCFunction)control_story, METH_NOARGS, NULL},
    {"beat", FAST(control_beat), NULL},
    {"release", (PyCFunction)control_release, METH_NOARGS, NULL},
    {0},
};
static PyGetSetDef control_getset[] = {{"killed", (getter)control_killed, NULL, NULL, NULL}, {0}};
static PyTypeObject ControlType = {
    TYPE(Control, Memory, control_new, control_dealloc),
    .tp_methods = control_methods,
    .tp_getset = control_getset,
};

/* The latch as an object's truth: no attribute is computed, which halves the price of a look in a loop. */
static PyMethodDef latch_methods[] = {{"release", (PyCFunction)memory_release, METH_NOARGS, NULL}, {0}};
static PyNumberMethods latch_number = {.nb_bool = (inquiry)latch_killed};
static PyTypeObject LatchType = {
    TYPE(Latch, Memory, memory_new, memory_dealloc),
    .tp_methods = latch_methods,
    .tp_as_number = &latch_number,
};

