"""The parts of the bench, in the order in which they run, and what each measures."""

PARTS = {
    "journeys": "whole journeys at 64, 256 and 1,500 users, and at half load",
    "saturated": "1,500 users who never pause",
    "arrivals": "1,500 people within 30 seconds",
    "calls": "phone check and accept, compared with a bare hello, one Redis GET and pgbench",
    "peak": "500 calls of create at once",
    "creation": "rows that a worker ends, compared with the same upsert alone; drawing a QR code",
    "emails": "the CPU of an email beside Django's own, and emails to a provider that takes 50 ms",
    "sockets": "memory of idle websockets, and the latency of a push",
    "growth": "one and two web workers; lists of 1,000 to 1,000,000 guests",
    "attacks": "what an attacker achieves in a minute (docs/security.md)",
    "metrics": "what it costs to count a request and to show /metrics",
    "memory": "resident memory after 10,000 and 100,000 journeys",
}
