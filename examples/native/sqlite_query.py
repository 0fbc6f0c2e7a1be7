"""A query that never ends, stopped: by a timeout, and half way through its rows. Needs SQLite's header."""

import pathlib

import pygostop as gs

sqlite = gs.compile(pathlib.Path(__file__).with_name("sqlite_query.c"), libraries=["sqlite3"])
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "

for task, arguments in ((sqlite.execute, ()), (sqlite.rows, (gs.Chan(0, str),))):
    try:
        with gs.timeout(0.2):
            task(":memory:", NUMBERS + "SELECT count(*) FROM n", *arguments)
    except gs.DeadlineExceeded:
        print(f"{task.name}: stopped", gs.all_tasks())

out = gs.Chan(0, str)
query = gs.go(sqlite.rows, ":memory:", NUMBERS + "SELECT i * i FROM n", out)
for square in out:
    if len(square) > 3:
        break
query.cancel("that is enough")
query.wait()
print("the first square of four digits:", square, query)

print("changed:", sqlite.execute(":memory:", "CREATE TABLE t AS SELECT 1"))
try:
    sqlite.execute(":memory:", "SELECT missing")
except gs.TaskFailed as error:
    print(error)
