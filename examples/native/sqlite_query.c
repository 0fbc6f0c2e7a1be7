/* sqlite_query.c: SQL as C tasks that can be stopped, for sqlite_query.py. Link with sqlite3.
 *
 * SQLite was not written for pygostop, but asks now and then whether to go on: its progress handler is
 * called every so many steps of its virtual machine, and a handler that says no ends the statement with
 * SQLITE_INTERRUPT. (sqlite3_interrupt, called by gs_on_cancel, would not do: it is lost where no statement
 * runs yet. A flag stays set.)
 *
 * Inside sqlite3_step a lock of SQLite's is held that belongs to the thread, and a task that parks may go on
 * on another one. So the handler only looks; between the steps the task may do as it likes. */
#include <pygostop.h>

#include <sqlite3.h>

enum { STEPS = 1000 }; /* of the virtual machine between two looks: some microseconds */

static void close_database(void *database)
{
    sqlite3_close_v2((sqlite3 *)database);
}

static void finalize(void *statement)
{
    sqlite3_finalize((sqlite3_stmt *)statement);
}

static int fail_as(gs_call *call, sqlite3 *database)
{
    int code = sqlite3_extended_errcode(database);
    return code == SQLITE_INTERRUPT ? GS_ECANCELED
                                    : gs_fail(call, code, "%s", sqlite3_errmsg(database));
}

static int look(void *flag)
{
    return *(const volatile int *)flag;
}

/* Opens the database of argument 0 and prepares the statement of argument 1; both end with the task. */
static int prepare(gs_call *call, sqlite3 **database, sqlite3_stmt **statement)
{
    const char *path = gs_arg_str(call, 0, NULL), *sql = gs_arg_str(call, 1, NULL);
    int code = sqlite3_open(path, database);
    if (gs_defer(call, close_database, *database) != GS_OK) {
        sqlite3_close_v2(*database);
        return GS_ENOMEM;
    }
    if (code != SQLITE_OK)
        return fail_as(call, *database);
    sqlite3_progress_handler(*database, STEPS, look, (void *)gs_stop_flag(call));
    if (sqlite3_prepare_v2(*database, sql, -1, statement, NULL) != SQLITE_OK)
        return fail_as(call, *database);
    if (gs_defer(call, finalize, *statement) != GS_OK) {
        sqlite3_finalize(*statement);
        return GS_ENOMEM;
    }
    return GS_OK;
}

/* Sends the first column of each row, as text; how many there were. */
GS_TASK(rows)
{
    sqlite3 *database;
    sqlite3_stmt *statement;
    gs_chan *out = gs_arg_chan(call, 2, GS_STR);
    int64_t n = 0;
    int code;
    GS_TRY(prepare(call, &database, &statement));
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        size_t size = (size_t)sqlite3_column_bytes(statement, 0);
        GS_TRY(gs_send_str(call, out, text ? text : "", size));
        gs_progress(call, ++n, 0);
    }
    if (code != SQLITE_DONE)
        return fail_as(call, database);
    gs_close(call, out);
    return gs_return_int(call, n);
}

/* Runs a statement to its end and gives the number of rows changed. */
GS_TASK(execute)
{
    sqlite3 *database;
    sqlite3_stmt *statement;
    int code;
    GS_TRY(prepare(call, &database, &statement));
    do
        code = sqlite3_step(statement);
    while (code == SQLITE_ROW);
    return code == SQLITE_DONE ? gs_return_int(call, sqlite3_changes(database))
                               : fail_as(call, database);
}

GS_EXPORT(GS_SIG(rows, "path: str, sql: str, out: SendChan[str]"),
          GS_SIG(execute, "path: str, sql: str"));
