/* signature.c: the text of a task's signature, parsed once: see task_args.h. */
#include "task_args.h"

static const struct {
    const char *name;
    enum gs__param_kind kind;
    uint8_t halves;
} kinds[] = {
    {"int", GS__PARAM_INT, 0},       {"float", GS__PARAM_FLOAT, 0},
    {"str", GS__PARAM_STR, 0},       {"bytes", GS__PARAM_BYTES, 0},
    {"buffer", GS__PARAM_BUFFER, 0}, {"Context", GS__PARAM_CONTEXT, 0},
    {"Chan", GS__PARAM_CHAN, 3},     {"RecvChan", GS__PARAM_CHAN, 1},
    {"SendChan", GS__PARAM_CHAN, 2},
};

static const struct {
    const char *name;
    gs_type type;
} items[] = {
    {"int", GS_INT64}, {"float", GS_FLOAT64}, {"bool", GS_BOOL},
    {"str", GS_STR},   {"bytes", GS_BYTES},   {"object", GS_OBJECT},
};

static const char *skip(const char *p)
{
    while (*p == ' ' || *p == '\n' || *p == '\t')
        p++;
    return p;
}

static const char *end_of_word(const char *p)
{
    while (Py_ISALNUM(*p) || *p == '_')
        p++;
    return p;
}

static bool is_word(const char *from, const char *to, const char *word)
{
    return (size_t)(to - from) == strlen(word) && memcmp(from, word, (size_t)(to - from)) == 0;
}

static const char *wrong(const char *text, const char *at, const char *expected)
{
    PyErr_Format(PyExc_ValueError, "signature '%s': expected %s at position %zd", text, expected,
                 (Py_ssize_t)(at - text));
    return NULL;
}

static char *copy(const char *from, const char *to)
{
    char *text = PyMem_Malloc((size_t)(to - from) + 1);
    if (!text)
        return (char *)PyErr_NoMemory();
    memcpy(text, from, (size_t)(to - from));
    text[to - from] = '\0';
    return text;
}

/* The rest of an annotation behind its word: an item type in brackets. Where it ends, or NULL. */
static const char *parse_item(const char *text, const char *p, gs__param *param)
{
    if (*p != '[')
        return p;
    const char *from = ++p;
    for (int depth = 1; depth; p++) {
        if (!*p)
            return wrong(text, p, "']'");
        depth += (*p == '[') - (*p == ']');
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(items); i++)
        if (is_word(from, p - 1, items[i].name))
            param->item = items[i].type;
    return p;
}

/* One "name: kind [= None]". Where it ends, or NULL with an exception. */
static const char *parse_param(const char *text, const char *p, gs__param *param)
{
    const char *end = end_of_word(p);
    if (end == p || Py_ISDIGIT(*p))
        return wrong(text, p, "the name of an argument");
    if (!(param->name = copy(p, end)))
        return NULL;
    p = skip(end);
    if (*p != ':')
        return wrong(text, p, "':'");
    const char *annotation = p = skip(p + 1);
    end = end_of_word(p);
    size_t k = 0;
    while (k < Py_ARRAY_LENGTH(kinds) && !is_word(p, end, kinds[k].name))
        k++;
    if (k == Py_ARRAY_LENGTH(kinds))
        return wrong(text, p, "int, float, str, bytes, buffer, Context, Chan, SendChan or RecvChan");
    param->kind = (uint8_t)kinds[k].kind;
    param->halves = kinds[k].halves;
    p = param->kind == GS__PARAM_CHAN ? parse_item(text, end, param) : end;
    if (!p || !(param->annotation = copy(annotation, p)))
        return NULL;
    p = skip(p);
    if (*p != '=')
        return p;
    p = skip(p + 1);
    if (!is_word(p, end_of_word(p), "None"))
        return wrong(text, p, "None, the one default there is");
    param->optional = true;
    return skip(end_of_word(p));
}

/* Whether a parameter before the last one has the name. */
static bool is_taken(const gs__signature *s, const char *name)
{
    for (int i = 0; i < s->n - 1; i++)
        if (strcmp(s->params[i].name, name) == 0)
            return true;
    return false;
}

gs__signature *gs__signature_parse(const char *text)
{
    int most = 1;
    for (const char *p = text; *p; p++)
        most += *p == ',';
    gs__signature *s = PyMem_Calloc(1, sizeof *s + (size_t)most * sizeof s->params[0]);
    if (!s)
        return (gs__signature *)PyErr_NoMemory();
    const char *p = skip(text);
    while (*p) {
        gs__param *param = &s->params[s->n++];
        p = parse_param(text, p, param);
        if (p && is_taken(s, param->name)) {
            PyErr_Format(PyExc_ValueError, "signature '%s': the name '%s' stands twice", text,
                         param->name);
            p = NULL;
        }
        if (p && !param->optional && s->required < s->n - 1)
            p = wrong(text, p, "'= None', as the argument before has it,");
        if (p && *p && *p != ',')
            p = wrong(text, p, "','");
        if (!p) {
            gs__signature_free(s);
            return NULL;
        }
        s->required += !param->optional;
        if (*p == ',')
            p = skip(p + 1);
    }
    return s;
}

void gs__signature_free(gs__signature *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->n; i++) {
        PyMem_Free(s->params[i].name);
        PyMem_Free(s->params[i].annotation);
    }
    PyMem_Free(s);
}

PyObject *gs__signature_inspect(const gs__signature *s)
{
    PyObject *module = PyImport_ImportModule("pygostop._task");
    PyObject *params = module ? PyList_New(0) : NULL, *result = NULL;
    for (int i = 0; params && i < s->n; i++) {
        const gs__param *p = &s->params[i];
        PyObject *one =
            Py_BuildValue("(ssO)", p->name, p->annotation, p->optional ? Py_True : Py_False);
        if (!one || PyList_Append(params, one) < 0)
            Py_CLEAR(params);
        Py_XDECREF(one);
    }
    if (params)
        result = PyObject_CallMethod(module, "make_signature", "O", params);
    Py_XDECREF(params);
    Py_XDECREF(module);
    return result;
}

PyObject *gs__signature_text(const gs__signature *s, const char *name)
{
    PyObject *text = PyUnicode_FromFormat("%s(", name);
    for (int i = 0; text && i < s->n; i++) {
        const gs__param *p = &s->params[i];
        PyUnicode_AppendAndDel(&text,
                               PyUnicode_FromFormat("%s%s: %s%s", i ? ", " : "", p->name,
                                                    p->annotation, p->optional ? " = None" : ""));
    }
    if (text)
        PyUnicode_AppendAndDel(&text, PyUnicode_FromString(")"));
    return text;
}
