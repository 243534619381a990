#!/usr/bin/env python3
"""Runs scripts/dev/embed on good and bad names: what it makes and what it refuses."""
import os
import subprocess
import sys
import tempfile
import unittest

EMBED = sys.argv.pop(1)


class Embed(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.out = os.path.join(self.dir.name, "out.c")

    def file(self, name, data=b"select 1;\n"):
        path = os.path.join(self.dir.name, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def run_embed(self, *args):
        return subprocess.run([EMBED, *args], capture_output=True, text=True)

    def migrations(self, *paths):
        return self.run_embed("migrations", self.out, "crm_migrations", *paths)

    def test_migrations(self):
        done = self.migrations(
            self.file("0002_b.pg.sql", b"pg"), self.file("0001_a.sql", b"both"), self.file("0002_b.sqlite.sql", b"lite"))
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.out, encoding="ascii") as f:
            text = f.read()
        self.assertIn('{ "0001_a",\n\t"both",\n\t"both" },\n\t{ "0002_b",\n\t"lite",\n\t"pg" },\n\t{ 0 },', text)
        self.assertIn("const struct ar_migration crm_migrations[] = {", text)

    def test_migrations_refused(self):
        rows = [
            (["0001_a.sqlite.sql"], "misses one"),
            (["0001_a.sql", "0001_a.pg.sql"], "twice"),
            (["0001_a.sql", "0001_b.sql"], "used twice"),
            (["1_a.sql"], "not named"),
            (["0001_A.sql"], "not named"),
        ]
        for names, why in rows:
            done = self.migrations(*[self.file(n) for n in names])
            self.assertNotEqual(done.returncode, 0, names)
            self.assertIn(why, done.stderr)
            self.assertFalse(os.path.exists(self.out))
        self.assertIn("NUL", self.migrations(self.file("0001_n.sql", b"a\0b")).stderr)

    def test_no_files(self):
        self.assertEqual(self.migrations().returncode, 0)
        self.assertEqual(self.run_embed("files", self.out, "none", self.dir.name).returncode, 0)

    def test_outside_of_the_root(self):
        inner = self.file("in/x")
        done = self.run_embed("files", self.out, "s", os.path.dirname(inner), self.file("y"))
        self.assertIn("not below", done.stderr)
        self.assertNotEqual(done.returncode, 0)

    def test_large(self):
        data = os.urandom(1 << 20)
        done = self.run_embed("files", self.out, "big", self.dir.name, self.file("big.bin", data))
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.out, encoding="ascii") as f:
            self.assertIn(", %d }" % len(data), f.read())


unittest.main()
