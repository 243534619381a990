#!/usr/bin/env python3
"""Every error code in the source has a message in every language: slugs from rows like
{ { "room/what", 404 } }, field codes from ar_fail_field(path, "code", ...)."""
import json, pathlib, re, sys

root = pathlib.Path(sys.argv[1])
wanted = {}
for path in sorted(p for top in ("runtime", "modules") for p in (root / top).rglob("*.c") if "tests" not in p.parts):
    text = path.read_text(encoding="utf-8")
    for slug in re.findall(r'\[1?\]\s*=\s*\{\s*\{\s*"([a-z0-9/-]+)",\s*\d{3}', text):
        wanted[slug] = path
    for code in re.findall(r'ar_fail_field\([^;]*?,\s*"([a-z0-9-]+)"', text):
        wanted["field/" + code] = path
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
print("%d codes, %d missing" % (len(wanted), missing))
sys.exit(missing > 0)
