"""A small storage account: PUT and GET of blobs, and whom it sees as the caller."""

import http.server
import sys
import time

BLOBS = {}


class Account(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-seen-as", self.client_address[0])
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        BLOBS[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201)

    def do_GET(self):
        if self.path == "/slow":
            self.send_response(200)
            self.send_header("Content-Length", "300000")
            self.end_headers()
            try:
                for _ in range(300):
                    self.wfile.write(b"x" * 1000)
                    time.sleep(0.01)
            except ConnectionResetError:
                self.close_connection = True
        elif self.path in BLOBS:
            self.answer(200, BLOBS[self.path])
        else:
            self.answer(404)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Account).serve_forever()
