"""Counters of limits: many processes at once, edges of the window, forged addresses."""

import os
import signal
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from json import dumps, loads

import pytest
from django.conf import settings as django_settings
from django.test import Client, RequestFactory
from pytest_django import Settings
from redis import Redis

from guests.models import GuestRequest
from snap.addresses import client_address
from snap.limits import counters as limits
from snap.limits.counters import acquire, join_line
from snap.limits.layers import WINDOW, Layer
from snap.limits.local_counters import MAX_KEYS, SLICE, LocalCounters
from snap.local.processes import BASE_DIR
from tests.factories import make_account, make_event
from tests.helpers import servers
from tests.helpers.challenges import challenge_for, solution_of, solve
from tests.helpers.stack import Stack, http
from tests.helpers.visitors import Visitor

_numbers = count()

HITTER = """
import sys
from concurrent.futures import ThreadPoolExecutor
import django
django.setup()
from snap.limits.counters import acquire
from snap.limits.layers import Layer
layers = [Layer(n, sys.argv[1], 10**6) for n in ("ip", "phone", "event")]
layers.append(Layer("system", sys.argv[1], 300))
acquire([Layer("warm", "up", 10)])
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(8) as threads:
    decisions = list(threads.map(lambda _: acquire(layers), range(200)))
assert not any(decision.is_local for decision in decisions)
print(sum(decision.allowed for decision in decisions))
"""


def fresh(name: str = "test", limit: int = 10) -> Layer:
    """Return a layer whose count is zero."""
    return Layer(name, f"{os.getpid()} {next(_numbers)}", limit)


# Counting ----------------------------------------------------------------------------------------


def test_exactly_the_limit_passes_of_800_hits_from_four_processes() -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "snap.settings", "PYTHONPATH": "."}
    environment.pop("PYTEST_VERSION", None)
    command = [sys.executable, "-c", HITTER, str(time.time())]
    processes = [
        subprocess.Popen(
            command,
            cwd=BASE_DIR,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda process: process.communicate("go\n")[0], processes))
    assert sum(int(response) for response in answers) == 300


def test_a_hit_refused_by_one_layer_is_not_counted_in_the_others() -> None:
    wide, narrow = fresh("wide", 5), fresh("narrow", 1)
    assert acquire([wide, narrow]).allowed
    refused = acquire([wide, narrow])
    assert refused.refused_by == ["narrow"]
    assert acquire([wide]).statuses[0].remaining == 3


def redis_time() -> float:
    with Redis.from_url(django_settings.LIMITS_URL) as store:
        seconds, micro = store.time()
    return float(seconds) + float(micro) / 1e6


def put(layer: Layer, slice_: int, hits: int) -> None:
    """Store hits of an earlier slice, as if time had passed since then."""
    with Redis.from_url(django_settings.LIMITS_URL) as store:
        store.hset(layer.key, str(slice_), hits)


@pytest.mark.parametrize("ago", range(1, WINDOW // SLICE + 1))
def test_no_more_than_the_limit_passes_around_the_edge_of_a_slice(ago: int) -> None:
    """A limit that is used up in any slice of the last minute leaves nothing."""
    layer = fresh(limit=10)
    # The current slice is part of the minute. The moment after its edge is the worst case.
    put(layer, int(redis_time() // SLICE) - ago, 10)
    decision = acquire([layer])
    assert not decision.allowed
    assert 0 < decision.retry_after <= WINDOW + SLICE


def test_hits_of_more_than_a_minute_ago_do_not_count() -> None:
    layer = fresh(limit=10)
    put(layer, int(redis_time() // SLICE) - WINDOW // SLICE - 1, 10)
    assert acquire([layer]).statuses[0].remaining == 9
    with Redis.from_url(django_settings.LIMITS_URL) as store:
        assert store.hlen(layer.key) == 1
        assert 0 < store.ttl(layer.key) <= WINDOW + SLICE + 1


def test_the_line_moves_at_its_rate() -> None:
    line = fresh("event", 60)
    waits = [join_line([line]) for _ in range(70)]
    assert set(waits[:60]) == {0}
    # The line moves while we ask: later ones are at most their number away, and never earlier.
    assert waits[60:] == sorted(waits[60:])
    assert 5 < waits[69] <= 10


@pytest.mark.django_db
def test_the_store_has_no_phone_and_no_address(settings: Settings) -> None:
    settings.LIMIT_PHONE = 5
    visitor = Visitor(make_event(), htmx=True)
    visitor.give_phone("961 234 567")
    visitor.give_phone("12")
    with Redis.from_url(django_settings.LIMITS_URL) as store:
        keys = [key.decode() for key in store.scan_iter()]
        assert keys
        assert all(store.ttl(key) > 0 for key in keys)
    assert not any("234567" in key or "127.0.0.1" in key for key in keys)


# Addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proxies", "forwarded", "peer", "address"),
    [
        (0, "203.0.113.9", "192.0.2.1", "192.0.2.1"),
        (1, "203.0.113.9", "192.0.2.1", "203.0.113.9"),
        (1, "6.6.6.6, 203.0.113.9", "192.0.2.1", "203.0.113.9"),
        (2, "6.6.6.6, 203.0.113.9, 192.0.2.2", "192.0.2.1", "203.0.113.9"),
        (2, "203.0.113.9", "192.0.2.1", "203.0.113.9"),
        (1, "6.6.6.6, nonsense", "192.0.2.1", "192.0.2.1"),
        (1, "", "192.0.2.1", "192.0.2.1"),
        (1, "203.0.113.9:4711", "192.0.2.1", "203.0.113.9"),
        (1, "[2001:db8:1:2:3:4:5:6]:443", "192.0.2.1", "2001:db8:1:2::"),
        (0, "", "2001:db8:1:2:ffff:ffff:ffff:1", "2001:db8:1:2::"),
        (0, "", "fe80::1%eth0", "fe80::"),
        (0, "", "::ffff:192.0.2.7", "192.0.2.7"),
        (0, "", "", "0.0.0.0"),
    ],
)
def test_only_addresses_from_trusted_proxies_count(
    settings: Settings, proxies: int, forwarded: str, peer: str, address: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    headers = {"x-forwarded-for": forwarded} if forwarded else {}
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR=peer)
    assert client_address(request) == address


@pytest.mark.django_db
def test_a_forged_header_does_not_pass_a_limit(settings: Settings) -> None:
    settings.LIMIT_IP = 2
    forged = [{"x-forwarded-for": f"203.0.113.{number}"} for number in range(5)]
    statuses = [Client(headers=each).get("/promo/").status_code for each in forged]
    assert statuses == [200, 200, 429, 429, 429]


@pytest.mark.django_db
def test_harvesting_from_many_addresses_ends_with_the_block(settings: Settings) -> None:
    """The protection is the layer for the block of numbers: each address is new."""
    settings.LIMIT_PHONES_BLOCK, settings.TRUSTED_PROXIES = 20, 1
    make_account(phone="+351961000019")

    def check(number: int, phone: str) -> int:
        robot = Client(headers={"x-forwarded-for": f"203.0.113.{number}"})
        url = "/api/client-auth-v2/check-phone"
        return robot.post(url, {"phone": phone}, content_type="application/json").status_code

    found = [check(number, f"+351961000{number:03}") for number in range(60)]
    assert found == [200] * 20 + [429] * 40
    assert check(60, "+351962000001") == 200


# Challenges --------------------------------------------------------------------------------------


@pytest.mark.django_db
class TestChallenge:
    @pytest.fixture(autouse=True)
    def _cheap(self, settings: Settings) -> None:
        settings.CHALLENGE_COST = 1

    def send(self, browser: Client, solution: str, purpose: str = "address") -> int:
        data = {"altcha": solution, "for": purpose, "next": "/promo/"}
        return browser.post("/challenge/", data).status_code

    def test_a_solution_counts_once(self) -> None:
        browser = Client()
        solution = solution_of(challenge_for(browser))
        assert self.send(browser, solution) == 303
        assert self.send(browser, solution) == 422

    def test_a_solution_is_valid_for_its_browser_only(self) -> None:
        browser, other = Client(), Client()
        challenge_for(other)
        solution = solution_of(challenge_for(browser))
        assert self.send(other, solution) == 422
        assert self.send(browser, solution) == 303

    def test_a_solution_is_valid_for_its_purpose_only(self) -> None:
        browser = Client()
        assert self.send(browser, solution_of(challenge_for(browser, "phone"))) == 422

    def test_a_solution_expires(self, settings: Settings) -> None:
        settings.CHALLENGE_AGE = -1
        browser = Client()
        assert self.send(browser, solution_of(challenge_for(browser))) == 422

    @pytest.mark.parametrize("what", ["nonce", "keyPrefix", "expiresAt", "cost"])
    def test_a_changed_challenge_is_refused(self, what: str) -> None:
        browser = Client()
        challenge = challenge_for(browser)
        changed = {"nonce": "00" * 16, "keyPrefix": "", "expiresAt": 9_999_999_999, "cost": 2}
        challenge["parameters"][what] = changed[what]
        assert self.send(browser, solution_of(challenge)) == 422

    def test_a_wrong_key_is_refused(self) -> None:
        browser = Client()
        whole = loads(b64decode(solution_of(challenge_for(browser))))
        whole["solution"]["counter"] += 1
        assert self.send(browser, b64encode(dumps(whole).encode()).decode()) == 422

    @pytest.mark.parametrize(
        "malformed",
        [
            "",
            "x",
            "AAAA",
            b64encode(b"null").decode(),
            b64encode(b"[]").decode(),
            b64encode(b'{"challenge": 3}').decode(),
            b64encode(b'{"challenge": {"parameters": {"data": null}, "signature": null}}').decode(),
            b64encode(b"[" * 2000).decode(),
            "A" * 100_000,
        ],
    )
    def test_a_malformed_solution_is_refused(self, malformed: str) -> None:
        assert self.send(Client(), malformed) == 422

    def test_challenges_themselves_are_limited(self, settings: Settings) -> None:
        settings.LIMIT_CHALLENGES, settings.LIMIT_CHALLENGES_BROWSER = 3, 2
        browser = Client()
        # The first request has no browser id yet.
        assert [browser.get("/challenge/new").status_code for _ in range(4)] == [200] * 3 + [429]
        without_cookies = [Client().get("/challenge/new").status_code for _ in range(3)]
        assert without_cookies == [200, 200, 429]

    def test_one_client_does_not_block_pages_for_its_neighbours(self, settings: Settings) -> None:
        settings.LIMIT_IP, settings.LIMIT_CHALLENGES = 3, 5
        settings.LIMIT_CHALLENGES_BROWSER = 5
        attacker, neighbour = Client(), Client()
        for _ in range(12):
            attacker.get("/challenge/new?for=address")
            Client().get("/challenge/new?for=address")
            attacker.get("/promo/")
        assert Client().get("/challenge/new").status_code == 429
        page = neighbour.get("/promo/")
        assert page.status_code == 429
        assert solve(neighbour).status_code == 303
        assert neighbour.get("/promo/").status_code == 200

    def test_one_browser_does_not_keep_its_neighbours_from_waiting(
        self, settings: Settings
    ) -> None:
        settings.LIMIT_IP, settings.LIMIT_WAITING = 1, 5
        attacker, neighbour = Client(), Client()
        for browser in (attacker, neighbour):
            for _ in range(2):
                browser.get("/promo/")
        waits = [attacker.post("/challenge/wait/").status_code for _ in range(9)]
        assert waits == [200] * 2 + [429] * 7
        assert neighbour.post("/challenge/wait/").status_code == 200

    def test_a_shared_session_shares_its_budget(self, settings: Settings) -> None:
        settings.LIMIT_IP, settings.LIMIT_SOLVED = 1, 4
        browser = Client()
        browser.get("/promo/")
        solve(browser)
        copies = [Client(REMOTE_ADDR=f"192.0.2.{number}") for number in range(4)]
        statuses = []
        for copy in copies:
            copy.cookies["session"] = browser.cookies["session"].value
            statuses += [copy.get("/promo/").status_code for _ in range(3)]
        # The first page of each address, and then the budget that all share.
        assert statuses.count(200) == 4 + 4


# Without Valkey ----------------------------------------------------------------------------------


def test_counters_of_a_process_are_bounded() -> None:
    own = LocalCounters()
    one, two = Layer("one", "", 3), Layer("two", "", 9)
    passed = [own.acquire([one])[0][0] for _ in range(5)]
    assert passed == [2, 1, 0, -1, -1]
    assert own.acquire([two, one])[1][0] == -1
    assert own.acquire([two])[0][0] == 8, "a hit that one layer refuses is counted in none"
    for number in range(MAX_KEYS + 500):
        own.acquire([Layer("many", str(number), 1)])
        own.join_lines([str(number)], [1])
    assert len(own) == MAX_KEYS


@pytest.mark.django_db
def test_with_valkey_stopped_pages_are_still_served_and_limited(settings: Settings) -> None:
    if servers.valkey is None:
        pytest.skip("only a server that the tests started may be stopped")
    settings.LIMIT_IP = 3
    servers.valkey.stop()
    address = f"192.0.2.{os.getpid() % 250}"
    browser = Client(REMOTE_ADDR=address)
    assert [browser.get("/promo/").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert Client(REMOTE_ADDR="203.0.113.77").get("/promo/none/").status_code == 404
    assert not limits.use_once("anything", 5), "a solution that cannot be checked is refused"


@pytest.mark.processes
def test_a_frozen_valkey_delays_no_page(stack: Stack) -> None:
    if servers.valkey is None:
        pytest.skip("only a server that the tests started may be stopped")
    pid = servers.valkey.pid
    make_event(slug="frozen")
    http.get(f"{stack.url}/promo/frozen/", timeout=20)
    os.kill(pid, signal.SIGSTOP)
    try:
        durations = []
        for _ in range(20):
            begun = time.monotonic()
            response = http.get(f"{stack.url}/promo/frozen/", timeout=20)
            durations.append(time.monotonic() - begun)
            assert response.status_code == 200
    finally:
        os.kill(pid, signal.SIGCONT)
    # Each process waits once for 0.5 s. The rest is the load of this machine.
    assert sorted(durations)[10] < 0.5
    assert max(durations) < 5


@pytest.mark.processes
def test_the_real_processes_count_together(stack: Stack) -> None:
    make_event(slug="together")
    with (
        stack.another_web(LIMIT_IP="20", WEB_WORKERS="4") as web,
        ThreadPoolExecutor(8) as threads,
    ):
        url = f"{web}/promo/together/"
        seen = list(threads.map(lambda _: http.get(url, timeout=30).status_code, range(100)))
    assert (seen.count(200), seen.count(429)) == (20, 80)
    assert not GuestRequest.objects.exists()
