"""Downloads that a timeout stops, from a server of this process that keeps them waiting. Needs libcurl's header."""

import http.server
import pathlib
import threading

import pygostop as gs

curl = gs.compile(pathlib.Path(__file__).with_name("curl_get.c"), libraries=["curl"])
go_on = threading.Event()


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path != "/none"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", "14" if found else "0")
        self.end_headers()
        if not found:
            return
        self.wfile.write(b"half of")
        if self.path == "/slow":
            go_on.wait()  # then nobody listens any more
        else:
            self.wfile.write(b" it all")

    def log_message(self, *args: object) -> None:
        pass


with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    for get in (curl.get, curl.get_at_once):
        print(get.name, get(url + "/quick"))
        download = gs.go(get, url + "/slow")
        for progress in download.watch():
            if progress.done:
                break
        print("so far:", progress)
        download.cancel("it takes too long")
        download.wait()
        print(download.state)
        try:
            get(url + "/none")
        except gs.TaskFailed as error:
            print(error)
    go_on.set()
    server.shutdown()
