"""Runs the official command line client, tccli, unchanged, against a server on plain HTTP.

Not a client of its own: it only writes the command line. Reads one JSON object a line from standard input and answers each with one
line, in order, as python_client.py does and with the same fields; `form` is one of FORMS. tccli signs with TC3 and POST only.

tccli is imported once, with its list of all products (that costs two seconds), and then forked for each call, so that each runs in a
process of its own, as from a shell, with a command line of its own and its output in files.

    {"endpoint": "127.0.0.1:8080", "secretId": "..", "secretKey": "..", "form": "json",
     "action": "PurgeUrlsCache", "params": {"Urls": ["http://www.example.test/"]}}
"""

import json
import os
import re
import sys
import tempfile

# tccli replaces sys.stdout when it is imported, and keeps settings and a log in HOME.
ANSWERS = os.fdopen(os.dup(1), "w")
HOME = tempfile.TemporaryDirectory()
os.environ["HOME"] = HOME.name

import tccli.services.cdn  # noqa: E402, F401
from tccli import main as tccli  # noqa: E402

COMMAND = tccli.CLICommand()
COMMAND._get_command_map()
tccli.CLICommand = lambda: COMMAND


def word(value):
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_json(params):
    """Lists and structures are JSON."""
    for name, value in params.items():
        yield from (f"--{name}", word(value))


def unfolded(params):
    """Members of structures are options of their own (--Origin.OriginType TEXT), and a list of texts is its words."""
    yield "--cli-unfold-argument"

    def leaves(path, value):
        if isinstance(value, dict):
            for name, member in value.items():
                yield from leaves(f"{path}.{name}", member)
        elif isinstance(value, list) and any(isinstance(member, dict) for member in value):
            for n, member in enumerate(value):
                yield from leaves(f"{path}.{n}", member)
        else:
            yield f"--{path}"
            yield from map(word, value if isinstance(value, list) else [value])

    for name, value in params.items():
        yield from leaves(name, value)


FORMS = {"json": as_json, "unfolded": unfolded}


def run(arguments, out, err):
    """A forked copy of this process becomes tccli; returns its exit status."""
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = ["tccli", *arguments]
            status = tccli.main()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def answer(call):
    os.environ["TENCENTCLOUD_SECRET_ID"] = call["secretId"]
    os.environ["TENCENTCLOUD_SECRET_KEY"] = call["secretKey"]
    os.environ["TENCENTCLOUD_REGION"] = call.get("region", "ap-guangzhou")
    arguments = ["cdn", call["action"], "--endpoint", f"http://{call['endpoint']}", *FORMS[call["form"]](call["params"])]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        status = run(arguments, out, err)
        out.seek(0)
        err.seek(0)
        said, told = out.read(), err.read()
    if status == 0:
        return {"ok": json.loads(said)}
    refused = re.search(r"code:(\S+) message:(.*) requestId:(\S+)", told, re.DOTALL)
    if refused is None:
        return {"error": {"code": f"exit status {status}", "message": told or said, "requestId": None}}
    return {"error": dict(zip(("code", "message", "requestId"), refused.groups(), strict=True))}


def main():
    for line in sys.stdin:
        if line.strip():
            print(json.dumps(answer(json.loads(line))), file=ANSWERS, flush=True)


if __name__ == "__main__":
    main()
