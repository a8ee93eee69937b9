// Updates a ticket until its state is final. A websocket pushes new states. The page polls as well:
// often without an open websocket, seldom with one.

// Milliseconds between two polls.
const WITHOUT_SOCKET = 1000;
const WITH_SOCKET = 12000;
// The first poll comes sooner: while Redis is away, the socket is open but pushes nothing.
const FIRST_WITH_SOCKET = 5000;
const SLOW = { queued: 2000, waitlisted: 30000 };
// After a failed poll: a server is away, and may be back at any time.
const AFTER_FAILURE = 3000;
// The message of a socket that may not push the new state itself: the page has to poll.
const ASK = "ask";

let socketIsOpen = false;
let hasAsked = false;
let hasFailed = false;
let asking = null;
let asksAgain = false;
let timer = 0;

function watch() {
  return document.getElementById("watch");
}

function shownState() {
  const ticket = document.getElementById("ticket");
  return ticket ? ticket.dataset.state + ("busy" in ticket.dataset ? "-busy" : "") : "";
}

function stateIn(html) {
  const [, state, busy] = /data-state="([^"]*)"( data-busy)?/.exec(html) ?? [];
  return state ? state + (busy ? "-busy" : "") : "";
}

function delay() {
  if (hasFailed) {
    return AFTER_FAILURE;
  }
  const [state] = shownState().split("-");
  if (state in SLOW) {
    return SLOW[state];
  }
  if (!socketIsOpen) {
    return WITHOUT_SOCKET;
  }
  return hasAsked ? WITH_SOCKET : FIRST_WITH_SOCKET;
}

function plan() {
  clearTimeout(timer);
  if (!watch()) {
    return;
  }
  if (!/^(processing|queued|failed|waitlisted)/.test(shownState())) {
    htmx.swap(watch(), "", { swapStyle: "delete" });
    return;
  }
  // The random factor spreads the polls of many phones.
  timer = setTimeout(ask, asksAgain ? 0 : delay() * (0.8 + 0.4 * Math.random()));
}

function ask() {
  if (document.hidden) {
    asksAgain = false;
    plan();
  } else if (watch() && asking === watch()) {
    // The response on its way may be older than the new state, and htmx would drop a second request.
    asksAgain = true;
  } else if (watch()) {
    hasAsked = true;
    htmx.trigger(watch(), "poll");
  }
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && watch()) {
    ask();
  }
});

document.body.addEventListener("htmx:wsOpen", () => {
  socketIsOpen = true;
  plan();
});

// A socket that failed to open changes nothing: htmx tries it again, and the next poll is not delayed.
document.body.addEventListener("htmx:wsClose", () => {
  if (socketIsOpen) {
    socketIsOpen = false;
    plan();
  }
});

// Ignores a state that is shown already: a swap would restart animations and be read out again.
document.body.addEventListener("htmx:wsBeforeMessage", (event) => {
  if (event.detail.message === ASK) {
    event.preventDefault();
    ask();
  } else if (stateIn(event.detail.message) === shownState()) {
    event.preventDefault();
  }
});

document.body.addEventListener("htmx:wsAfterMessage", plan);

document.body.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.requestConfig.elt.id !== "watch") {
    return;
  }
  const state = stateIn(event.detail.serverResponse);
  const { status } = event.detail.xhr;
  if (status === 429 || status >= 500) {
    // Too many requests, or a server error: the shown state stays until the next poll.
    event.detail.shouldSwap = false;
    return;
  }
  if (!state) {
    // The response has no ticket, probably after signing out: the whole page is loaded.
    location.reload();
  }
  event.detail.shouldSwap = event.detail.shouldSwap && state !== "" && state !== shownState();
});

// A closed socket is opened again after 1, 2, 4 and then 8 seconds, times a random factor.
htmx.config.wsReconnectDelay = (tries) => Math.min(1000 * 2 ** tries, 8000) * (0.5 + Math.random());

document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.elt.id === "watch") {
    asking = event.detail.elt;
    asksAgain = false;
  }
});

document.body.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.elt.id === "watch") {
    asking = null;
    hasFailed = !event.detail.successful;
  }
  plan();
});
document.body.addEventListener("htmx:afterSettle", plan);
plan();
