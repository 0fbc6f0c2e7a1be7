"""Three ways to wait for a socket in C, each stopped while it waits."""

import pathlib
import socket

import pygostop as gs

readers = gs.compile(pathlib.Path(__file__).with_name("read_socket.c"))

for name in readers:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        out = gs.Chan(0, bytes)
        task = gs.go(readers[name], theirs.fileno(), out)
        ours.sendall(b"some bytes")
        print(name, out.recv())
        task.cancel()
        task.wait()
        print(task.state)
