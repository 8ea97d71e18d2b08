"""A service that answers every request with what reached it: `python3 echo.py [PORT]`."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Echo(BaseHTTPRequestHandler):
    def answer(self):
        ours = sorted((name.lower(), value) for name, value in self.headers.items())
        ours = [f"{name}: {value}\n" for name, value in ours if name.startswith(("x-tenant-", "x-entitlement-"))]
        body = f"{self.command} {self.path}\n{''.join(ours)}".encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, *_):
        pass


port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
print(f"listening on 127.0.0.1:{port}", flush=True)
ThreadingHTTPServer(("127.0.0.1", port), Echo).serve_forever()
