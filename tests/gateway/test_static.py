"""The page's files: small, of their right types, and under a policy that lets them run nothing else."""

from __future__ import annotations

import re

import pytest

from swarm_node.gateway import Keys, plain_keys
from swarm_node.gateway.static import page_files
from tests.gateway.test_doors import ask

WEIGHT_BYTES = 120_000


def test_the_page_weighs_little() -> None:
    assert sum(map(len, page_files().values())) < WEIGHT_BYTES


def test_the_page_needs_no_key_but_what_it_shows_does() -> None:
    keys = Keys(plain_keys(["alices-key"], "here"))
    assert ask("/", keys=keys).status == 200
    for path in ("/swarm", "/swarm/events"):
        assert ask(path, keys=keys).status == 401


@pytest.mark.parametrize(("path", "kind"), [("/", "text/html"), ("/page/style.css", "text/css"),
                                            ("/page/main.js", "text/javascript"),
                                            ("/page/icon.svg", "image/svg+xml")])  # fmt: skip
def test_a_file_comes_with_its_type_and_a_strict_policy(path: str, kind: str) -> None:
    reply = ask(path)
    assert reply.status == 200
    assert reply.headers["content-type"] == f"{kind}; charset=utf-8"
    assert reply.headers["x-content-type-options"] == "nosniff"
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy


def test_a_file_that_the_browser_has_is_not_sent_again() -> None:
    first = ask("/page/main.js")
    again = ask("/page/main.js", headers={"if-none-match": first.headers["etag"]})
    assert again.status == 304 and not again.text


@pytest.mark.parametrize("path", ["/page/", "/page/../app.py", "/page/..%2fapp.py", "/page/missing.js"])
def test_nothing_else_is_given_out(path: str) -> None:
    assert ask(path).status == 404


def test_the_page_names_no_other_host_and_holds_no_script_or_style_of_its_own() -> None:
    files = {name: content.decode() for name, content in page_files().items()}
    for name, text in files.items():
        found = set(re.findall(r"https?://[\w.-]+", text))
        assert found <= {"http://www.w3.org"}, name
    page = files["index.html"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page)
    scripts = "".join(text for name, text in files.items() if name.endswith(".js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", scripts)


def test_every_file_that_the_page_names_is_there() -> None:
    files = {name: content.decode() for name, content in page_files().items()}
    named = set(re.findall(r'/page/([\w.]+)"', files["index.html"]))
    for name, text in files.items():
        if name.endswith(".js"):
            named |= set(re.findall(r'from "\./([\w.]+)"', text))
    assert named == files.keys() - {"index.html"}
