#!/usr/bin/env python3
"""apprun as a program: start, stop, one server per data folder, the command line and its exit codes.

cli.py BINARY: prints `ok NAME` or `not ok NAME` lines, fails when one is not ok."""
import http.client, json, os, signal, socket, stat, subprocess, sys, tempfile, threading, time, traceback

PATIENCE_S = 120  # within which all comes on a slow machine

BINARY = sys.argv[1]
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("APPRUN_", "LC_", "LANG"))}
LUA = "return { handler = function(ctx, input) return { sum = input.a + input.b } end }\n"


class Place:
    """A data folder, and the server on it."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="apprun-cli-")
        self.data = self.folder.name + "/data"
        self.log = open(self.folder.name + "/log", "wb+")
        self.server = None

    def file(self, name):
        return os.path.join(self.data, name)

    def cli(self, *words, env=None, stdin=None):
        done = subprocess.run([BINARY, *words, "--data", self.data, "--bcrypt-cost", "4"], env={**ENV, **(env or {})},
                              capture_output=True, text=True, timeout=PATIENCE_S, input=stdin)
        return done.returncode, done.stdout, done.stderr

    def start(self, *words):
        command = [BINARY, "serve", "--port", "0", "--data", self.data, "--bcrypt-cost", "4", "--loops", "2", "--json", *words]
        self.server = subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.server.stdout.readline()
        assert line, "no start: " + self.logged()
        self.url = json.loads(line)["url"]
        self.port = int(self.url.rsplit(":", 1)[1])

    def stop(self, sig=signal.SIGTERM):
        self.server.send_signal(sig)
        code = self.server.wait(timeout=PATIENCE_S)
        self.server.stdout.close()
        self.server = None
        return code

    def logged(self):
        self.log.seek(0)
        return self.log.read().decode()

    def ask(self, method, path, body=None, token=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        headers = {"content-type": "application/json"} if body is not None else {}
        if token:
            headers["authorization"] = "Bearer " + token
        c.request(method, path, None if body is None else json.dumps(body), headers)
        reply = c.getresponse()
        text = reply.read()
        c.close()
        return reply.status, json.loads(text) if text.startswith((b"{", b"[")) else text

    def close(self):
        if self.server:
            self.server.kill()
            self.server.wait()
            self.server.stdout.close()
        text = self.logged()
        self.log.close()
        self.folder.cleanup()
        for bad in ("AddressSanitizer", "LeakSanitizer", "runtime error:"):
            assert bad not in text, text


def starts_and_stops(p):
    began = time.monotonic()
    p.start("--demo")
    assert p.ask("GET", "/readyz")[0] == 200
    assert stat.S_IMODE(os.stat(p.data).st_mode) == 0o700
    for name in ("run.json", "platform-token", "first-login.json", "platform.db"):
        assert stat.S_IMODE(os.stat(p.file(name)).st_mode) == 0o600, name
    login = json.load(open(p.file("first-login.json")))
    assert login["url"] == p.url and login["tenant"] == "demo", login
    status, session = p.ask("POST", "/t/demo/api/v1/auth/login", {"email": login["email"], "password": login["password"]})
    assert status == 200, session
    token = open(p.file("platform-token")).read().strip()
    assert p.ask("GET", "/platform/v1/tenants", token=token)[1]["items"][0]["name"] == "demo"
    assert p.stop() == 0
    assert not os.path.exists(p.file("run.json"))
    before = {n: open(p.file(n)).read() for n in ("first-login.json", "platform-token")}
    began = time.monotonic()
    p.start("--demo")
    assert time.monotonic() - began < PATIENCE_S
    assert {n: open(p.file(n)).read() for n in before} == before
    assert p.ask("POST", "/t/demo/api/v1/auth/login", {"email": login["email"], "password": login["password"]})[0] == 200
    assert p.stop(signal.SIGINT) == 0


def one_server_per_folder(p):
    p.start()
    second = subprocess.run([BINARY, "serve", "--port", "0", "--data", p.data], env=ENV, capture_output=True, text=True, timeout=PATIENCE_S)
    assert second.returncode == 3 and "another apprun" in second.stderr, second
    assert p.ask("GET", "/livez")[0] == 200
    taken = subprocess.run([BINARY, "serve", "--port", str(p.port), "--data", p.data + "2"], env=ENV, capture_output=True, text=True, timeout=PATIENCE_S)
    assert taken.returncode == 3 and str(p.port) in taken.stderr, taken
    assert p.stop() == 0


def killed_and_started_again(p):
    p.start()
    assert p.cli("tenant", "create", "acme")[0] == 0
    p.server.kill()
    p.server.wait()
    p.server.stdout.close()
    assert os.path.exists(p.file("run.json"))  # of the dead one
    code, out, err = p.cli("tenant", "list", "--json")  # nobody has the lock: brings its own server
    assert code == 0 and [t["name"] for t in json.loads(out)] == ["acme"], (code, out, err)
    p.start()
    assert p.cli("tenant", "list", "--json")[0] == 0
    assert p.stop() == 0


def half_a_request(p, path, length, start):
    """A request whose head the server has read: it asked for the body, of which it gets the start."""
    c = socket.create_connection(("127.0.0.1", p.port), timeout=PATIENCE_S)
    c.sendall(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n" % (path.encode(), length))
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        said += c.recv(1)
    assert said.startswith(b"HTTP/1.1 100"), said
    c.sendall(start)
    return c


def in_flight_requests_finish(p):
    p.start()
    assert p.cli("tenant", "create", "acme")[0] == 0
    body = b'{"email":"a@b.example","password":"long enough 1"}'
    c = half_a_request(p, "/t/acme/api/v1/auth/login", len(body), body[:10])
    p.server.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    c.sendall(body[10:])
    reply = c.makefile("rb").read()
    assert reply.startswith(b"HTTP/1.1 401"), reply[:100]
    assert p.server.wait(timeout=PATIENCE_S) == 0
    p.server.stdout.close()
    p.server = None


def second_signal_ends_at_once(p):
    p.start("--stop-ms", "60000")
    c = half_a_request(p, "/t/x/api/v1/y", 10, b"1")
    p.server.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert p.server.poll() is None
    # "at once" is when it comes: a signal that finds the first one waiting still is that one
    for _ in range(30):
        p.server.send_signal(signal.SIGTERM)
        try:
            p.server.wait(timeout=1)
            break
        except subprocess.TimeoutExpired:
            pass
    assert p.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    c.close()


def commands(p, running):
    if running:
        p.start()
    code, out, err = p.cli("tenant", "create", "acme", "--json", "--email", "li@acme.example")
    assert code == 0, err
    made = json.loads(out)
    assert made["name"] == "acme" and made["admin"]["email"] == "li@acme.example" and len(made["admin"]["password"]) >= 12
    rows = [
        # words, exit code, in stdout, in stderr
        (("tenant", "create", "acme"), 1, "", "tenant/exists"),
        (("tenant", "create", "Acme"), 1, "", "name"),
        (("tenant", "create", "acme", "--json"), 1, '"code":"tenant/exists"', ""),
        (("tenant", "create"), 2, "", "usage"),
        (("tenant", "list"), 0, "acme", ""),
        (("tenant", "delete", "acme"), 2, "", "--yes"),
        (("tenant", "delete", "nobody", "--yes"), 1, "", "tenant/unknown"),
        (("tenant", "delete", "../x", "--yes"), 2, "", "name"),
        (("call", "auth.list_users", "--tenant", "acme"), 0, "li@acme.example", ""),
        (("call", "auth.list_users", "--tenant=acme", "--input", '{"limit":0}'), 1, "", "limit"),
        (("call", "auth.list_users", "--tenant", "acme", "--input", "[1]"), 2, "", "JSON object"),
        (("call", "auth.list_users", "--tenant", "acme", "--input", "@/nowhere"), 2, "", "/nowhere"),
        (("call", "auth.list_users", "--tenant", "nobody"), 1, "", "tenant/unknown"),
        (("call", "auth.list_users"), 2, "", "--tenant"),
        (("call", "auth.nothing", "--tenant", "acme"), 1, "", "action/unknown"),
        (("call", "auth.jwks", "--tenant", "acme"), 1, "", "action/face"),
        (("call", "platform.list_tenants", "--tenant", "acme"), 1, "", "action/face"),
        (("call", "x", "--what"), 2, "", "--what"),
        (("nonsense",), 2, "", "no such command"),
        (("tenant", "list", "--port", "99999999"), 2, "", "port"),
    ]
    for words, want, stdout, stderr in rows:
        code, out, err = p.cli(*words)
        assert code == want and stdout in out and stderr in err, (words, code, out, err)
        if want == 1 and "--json" not in words:
            assert out == "", (words, out)
    source = p.folder.name + "/sum.lua"
    open(source, "w").write(LUA)
    code, out, err = p.cli("function", "deploy", "sum", source, env={"APPRUN_TENANT": "acme"})
    assert code == 0 and "version 1" in out, (code, out, err)
    code, out, err = p.cli("function", "deploy", "sum", "-", "--tenant", "acme", stdin="return {")
    assert code == 1 and "sandbox/syntax" in err, (code, out, err)
    code, out, err = p.cli("workflow", "run", "nothing", "--tenant", "acme", "--input", "-", stdin='{"a":1}')
    assert code == 1 and "not-found" in err, (code, out, err)
    code, out, err = p.cli("tenant", "create", "acme", env={"LANG": "zh_CN.UTF-8"})
    assert code == 1 and "租户" in err, err
    spoken = [
        (("tenant", "create", "beta"), 0, "已创建租户 beta\n管理员  admin@beta.example\n密码", ""),
        (("tenant", "delete", "beta"), 2, "", "apprun: 这将永久删除 beta 的全部内容"),
        (("tenant", "delete", "beta", "--yes"), 0, "已删除租户 beta", ""),
        (("nonsense",), 2, "", "apprun: 没有这个命令\n可试：apprun help\n"),
        (("tenant", "create"), 2, "", "apprun: 用法：apprun tenant create"),
        (("call", "x", "--what"), 2, "", "没有选项 --what"),
        (("workflow", "run", "nothing", "--tenant", "acme"), 1, "", "apprun: 未找到: workflow (not-found)"),
        (("help",), 0, "多租户后端", ""),
        (("help", "tenant"), 0, "首位管理员的邮箱", ""),
        (("help", "nothing"), 2, "", "没有关于 nothing 的帮助"),
    ]
    for words, want, stdout, stderr in spoken:
        code, out, err = p.cli(*words, env={"LANG": "C", "LC_ALL": "zh_CN.UTF-8"})
        assert code == want and stdout in out and stderr in err, (words, code, out, err)
    code, out, err = p.cli("nonsense", env={"LANG": "zh_CN.UTF-8", "LC_ALL": "C"})
    assert "no such command" in err, err
    code, out, err = p.cli("tenant", "delete", "acme", "--yes")
    assert code == 0, err
    assert json.loads(p.cli("tenant", "list", "--json")[1]) == []
    if running:
        assert p.stop() == 0


def commands_with_a_server(p):
    commands(p, True)


def commands_without_a_server(p):
    commands(p, False)


def commands_at_once(p):
    """Nobody serves: whoever comes first does, the others talk to it or wait for the lock."""
    results = []
    threads = [threading.Thread(target=lambda n=n: results.append(p.cli("tenant", "create", "t%d" % n))) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [r[0] for r in results] == [0] * 4, results
    assert len(json.loads(p.cli("tenant", "list", "--json")[1])) == 4


def words_without_a_folder(p):
    for words, want, text in ((("help",), 0, "apprun serve"), (("--help",), 0, "apprun serve"), (("version",), 0, "apprun "),
                              (("version", "--json"), 0, '{"version":'), (("help", "settings"), 0, "--body-max"),
                              (("help", "nothing"), 2, ""), ((), 0, "apprun serve"),
                              (("serve", "--help"), 0, "--body-max"), (("tenant", "create", "--help"), 0, "tenant delete NAME --yes"),
                              (("call", "--help"), 0, "--input JSON"), (("help", "actions"), 0, "\nauth.create_user "),
                              (("help", "auth.create_user"), 0, "route    POST /auth/users"),
                              (("call", "data-model.validate_schema", "--help"), 0, "data.validate_schema - "),
                              (("help", "auth.nothing"), 2, ""), (("call", "serve", "--help"), 2, "")):
        done = subprocess.run([BINARY, *words], env=ENV, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == want and text in done.stdout, (words, done)
    listed = json.loads(subprocess.run([BINARY, "help", "actions", "--json"], env=ENV, capture_output=True, text=True, timeout=PATIENCE_S).stdout)
    create = next(a for a in listed if a["name"] == "auth.create_user")
    assert create["allowed"] == "auth.users.write" and create["input"]["required"] == ["email"], create
    assert len(listed) == len({a["name"] for a in listed}) > 80
    done = subprocess.run([BINARY, "serve", "--nonsense"], env=ENV, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2 and "--nonsense" in done.stderr, done
    done = subprocess.run([BINARY, "serve", "--data", "/proc/nothing/here"], env=ENV, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 3, done
    assert not os.path.exists(p.data)


def secrets_are_not_logged(p):
    p.start("--demo", "--log-level", "debug")
    login = json.load(open(p.file("first-login.json")))
    run = json.load(open(p.file("run.json")))
    _, session = p.ask("POST", "/t/demo/api/v1/auth/login", {"email": login["email"], "password": login["password"]})
    p.ask("GET", "/t/demo/api/v1/auth/me?token=" + session["accessToken"], token=session["accessToken"])
    assert p.ask("GET", "/metrics")[0] == 200
    assert p.stop() == 0
    text = p.logged()
    assert '"message":"request"' in text
    for secret in (login["password"], run["token"], open(p.file("platform-token")).read().strip(), session["accessToken"],
                   session["refreshToken"]):
        assert secret not in text


def main():
    tests = [starts_and_stops, one_server_per_folder, killed_and_started_again, in_flight_requests_finish,
             second_signal_ends_at_once, commands_with_a_server, commands_without_a_server, commands_at_once,
             words_without_a_folder, secrets_are_not_logged]
    failed = 0
    for test in tests:
        if len(sys.argv) > 2 and test.__name__ not in sys.argv[2:]:
            continue
        place = Place()
        try:
            test(place)
            place.close()
            print("ok", test.__name__, flush=True)
        except Exception:
            failed += 1
            print("not ok", test.__name__, flush=True)
            traceback.print_exc()
            try:
                print(place.logged()[-3000:])
                place.close()
            except Exception:
                pass
    sys.exit(failed > 0)


main()
