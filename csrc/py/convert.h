/* convert.h: codecs: what a channel's item is in Python and in memory. */
#ifndef GS__PY_CONVERT_H
#define GS__PY_CONVERT_H

#include "state.h"

enum gs__codec_kind {
    GS__CODEC_OBJECT,
    GS__CODEC_INT,
    GS__CODEC_FLOAT,
    GS__CODEC_BOOL,
    GS__CODEC_STR,
    GS__CODEC_BYTES,
    GS__CODEC_SCALAR, /* a NumPy scalar that C knows: `scalar` is its class */
    GS__CODEC_RECORD  /* bytes, made and read by `description` */
};

typedef struct gs__codec {
    uint8_t kind;          /* enum gs__codec_kind */
    gs_type type;          /* in C */
    PyObject *given;       /* Chan.type */
    PyObject *description; /* of pygostop/_items.py; NULL for the built-in types */
    PyObject *scalar;      /* GS__CODEC_SCALAR */
} gs__codec;

/* From the argument `type` of Chan: 0, or -1 with TypeError, ValueError or OverflowError. */
int gs__codec_init(gs__codec *codec, PyObject *type);
void gs__codec_copy(gs__codec *to, const gs__codec *from);
void gs__codec_clear(gs__codec *codec);
int gs__codec_traverse(gs__codec *codec, visitproc visit, void *arg);

/* How the core releases an item that nobody received. */
gs__elem gs__codec_elem(const gs__codec *codec);
/* A new reference on what a repr says of the type: int, '<ih', float32. */
PyObject *gs__codec_label(const gs__codec *codec);

/* Makes an item. 0, or -1 with TypeError or OverflowError, which name `chan`, its type and the
 * value's, or with what the value's own code raised. */
int gs__codec_write_other(const gs__codec *codec, PyObject *chan, PyObject *value, void *item);
static inline int gs__codec_write(const gs__codec *codec, PyObject *chan, PyObject *value,
                                  void *item)
{
    if (gs__unlikely(codec->kind != GS__CODEC_OBJECT))
        return gs__codec_write_other(codec, chan, value, item);
    *(PyObject **)item = Py_NewRef(value);
    return 0;
}
/* Releases what an item owns that was not sent. */
void gs__codec_drop(const gs__codec *codec, void *item);
/* The value of an item. Where this fails the item is whole, so that it can be put back. The
 * reference of a GS__CODEC_OBJECT, which never fails, is moved; of the others what they own is
 * still to be released by gs__codec_done. */
PyObject *gs__codec_read_other(const gs__codec *codec, const void *item);
static inline PyObject *gs__codec_read(const gs__codec *codec, const void *item)
{
    return gs__likely(codec->kind == GS__CODEC_OBJECT) ? *(PyObject *const *)item
                                                       : gs__codec_read_other(codec, item);
}
static inline void gs__codec_done(const gs__codec *codec, void *item)
{
    if (codec->kind == GS__CODEC_STR || codec->kind == GS__CODEC_BYTES)
        gs__codec_drop(codec, item);
}

/* 1 where value is of NumPy's class `name`: "bool_", which is no int, "complexfloating", which converts
 * itself to a float and is none; 0 where not; -1 with an exception. */
int gs__is_numpy(PyObject *value, const char *name);

/* Whether the exception that is set says of an object that it gives no such buffer; another one is its own
 * code's, and passes. */
bool gs__py_no_buffer(void);
/* Whether items lie in a buffer as they do in the channel. `view` is of `buffer`, with its format.
 * -1 with an exception. False for types whose items own something. */
int gs__codec_matches(const gs__codec *codec, PyObject *buffer, const Py_buffer *view);

/* Room for one item: the caller's few words, or memory to be given back. NULL with MemoryError. */
enum { GS__ITEM_WORDS = 8 };
static inline void *gs__item_room(const gs__codec *codec, uint64_t words[GS__ITEM_WORDS])
{
    size_t size = GS_TYPE_SIZE(codec->type);
    if (gs__likely(size <= GS__ITEM_WORDS * sizeof words[0]))
        return words;
    void *room = PyMem_Malloc(size);
    return room ? room : PyErr_NoMemory();
}
static inline void gs__item_room_free(void *room, uint64_t words[GS__ITEM_WORDS])
{
    if (gs__unlikely(room != words))
        PyMem_Free(room);
}

#endif
