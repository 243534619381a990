#!/usr/bin/env python3
"""Every error code in the source has a message in every language: slugs from rows like
{ { "room/what", 404 } }, field codes from ar_fail_field(path, "code", ...). Reasons that are put into messages
are words of the source: each is there in every language, those of a function that is given one (WORDS) and those
that ar_fail() is given itself, where the message shows them."""
import json, pathlib, re, sys

root = pathlib.Path(sys.argv[1])
wanted = {}
defs = {}  # AR_E_X: its slug
for path in sorted(p for top in ("runtime", "modules") for p in (root / top).rglob("*.c") if "tests" not in p.parts):
    text = path.read_text(encoding="utf-8")
    for slug in re.findall(r'\[1?\]\s*=\s*\{\s*\{\s*"([a-z0-9/-]+)",\s*\d{3}', text):
        wanted[slug] = path
    for code in re.findall(r'ar_fail_field(?:_over)?\([^;]*?,\s*"([a-z0-9-]+)"', text):
        wanted["field/" + code] = path
LITERAL = r'((?:"(?:[^"\\\\]|\\\\.)*"\s*)+)'
WORDS = {  # folder or file: [(call, parameter)]
    "runtime/expr": [(r"lex_fail\([^;\x22]*,\s*", "reason"), (r"fail_here\([^;,]*,\s*", "reason"),
                     (r"fail_limit\(\s*", "what"), (r"check_fail_type\([^;\x22{]*,\s*", "expected")],
    "modules/workflow": [(r"workflow_bad(?:_name)?\([^,;]*,\s*", "reason"), (r"refuse\(r,\s*", "reason"),
                         (r"expect\([^;,]*,[^;,]*,\s*", "reason")],
    "modules/i18n": [(r"refuse\(r,\s*", "reason"), (r"fail_name\(c,[^,;]*,\s*", "reason")],
}
SHOWN = ("reason", "what", "expected", "found")
english = {}
for path in (root / "i18n/en").glob("*.json"):
    english.update(json.loads(path.read_text(encoding="utf-8")))
for path in (p for top in ("runtime", "modules") for p in (root / top).rglob("*.c")):
    for name, slug in re.findall(r'struct ar_err_def\s+(\w+)\[1\] = \{\s*\{\s*"([^"]+)"', path.read_text(encoding="utf-8")):
        defs[name] = slug
if len(defs) < 40:
    sys.exit("found only %d definitions of errors: has their form changed?" % len(defs))
words = {}
for path in sorted(p for top in ("runtime", "modules") for p in (root / top).rglob("*.c") if "tests" not in p.parts):
    text = path.read_text(encoding="utf-8")
    for name, rest in re.findall(r'ar_fail(?:_over)?\((\w+),([^;]*);', text):
        for parameter, literal in re.findall(r'"(\w+)",\s*"((?:[^"\\]|\\.)*)"', rest):
            if parameter in SHOWN and literal != "" and "{%s}" % parameter in english.get(defs.get(name, ""), ""):
                words[parameter + "/" + json.loads('"%s"' % literal)] = path
    for code, rest in re.findall(r'ar_fail_field(?:_over)?\([^;"]*?"[^"]*",\s*"([a-z0-9-]+)"([^;]*);', text):
        for parameter, literal in re.findall(r'"(\w+)",\s*"((?:[^"\\]|\\.)*)"', rest):
            if parameter in SHOWN and "{%s}" % parameter in english.get("field/" + code, ""):
                words[parameter + "/" + json.loads('"%s"' % literal)] = path
for folder, calls in WORDS.items():
    for path in sorted((root / folder).glob("*.c")):
        text = path.read_text(encoding="utf-8")
        for call, parameter in calls:
            for literals in re.findall(call + LITERAL + r"[,)]", text):
                word = "".join(json.loads(s) for s in re.findall(r'"(?:[^"\\]|\\.)*"', literals))
                words[parameter + "/" + word] = path
if len(words) < 60:
    sys.exit("found only %d reasons: has their form changed?" % len(words))
if len(wanted) < 20:
    sys.exit("found only %d codes: has their form changed?" % len(wanted))
missing = 0
for language in ("en", "zh-CN"):
    texts = {}
    for path in (root / "i18n" / language).glob("*.json"):
        texts.update(json.loads(path.read_text(encoding="utf-8")))
    for code, path in sorted(wanted.items()):
        if code not in texts:
            missing += 1
            print("%s: %s has no message in %s" % (path.relative_to(root), code, language))
    for word, path in sorted(words.items()):
        if word not in texts:
            missing += 1
            print("%s: %s has no words in %s" % (path.relative_to(root), word, language))
print("%d codes, %d reasons, %d missing" % (len(wanted), len(words), missing))
sys.exit(missing > 0)
