// Follows a ticket while it has, or may get, a place. A websocket pushes new states. The page polls as
// well: often without an open websocket, seldom with one.

// Milliseconds between two polls.
const WITHOUT_SOCKET = 1000;
const WITH_SOCKET = 12000;
// The first poll comes sooner: while Redis is away, the socket is open but pushes nothing.
const FIRST_WITH_SOCKET = 5000;
const SLOW = { queued: 2000, waitlisted: 30000 };
// A place is given. It can still be taken back, or its event can change.
const SETTLED = /^(created|unproven|cancelled)/;
const SETTLED_WITHOUT_SOCKET = 30000;
const SETTLED_WITH_SOCKET = 120000;
// The states that nothing follows.
const LAST = /^(refused|by_email|registered_elsewhere)/;
// The longest pause before a closed socket is opened again: first, and after many attempts. Pages
// that wait for a result do not wait that long.
const FIRST_PAUSE = 15000;
const LONGEST_PAUSE = 120000;
// After a failed poll: a server is away, and may be back at any time.
const AFTER_FAILURE = 3000;
// The message of a socket that may not push the new state itself: the page has to poll.
const ASK = "ask";
// "refresh <after> <spread>", in seconds: the whole page has to load again.
const REFRESH = /^refresh ([\d.]+) ([\d.]+)$/;

let socketIsOpen = false;
let hasAsked = false;
let hasFailed = false;
let asking = null;
let asksAgain = false;
// The socket was opened before the browser was signed in, so it hears less than another one.
let isRestricted = false;
// The socket was closed for a while.
let hasMissed = false;
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
  if (SETTLED.test(shownState())) {
    if (isRestricted) {
      return FIRST_PAUSE * Math.random();
    }
    return socketIsOpen ? SETTLED_WITH_SOCKET : SETTLED_WITHOUT_SOCKET;
  }
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

// A new ticket in the dialog takes over from the page's earlier one, for example a refused one: ids
// are unique, and the page loads again when the dialog closes.
function dropEarlierTicket() {
  const flow = document.getElementById("flow");
  if (!flow?.querySelector("#ticket")) {
    return;
  }
  for (const live of document.querySelectorAll(".ticket-live")) {
    if (!flow.contains(live)) {
      htmx.swap(live, "", { swapStyle: "delete" });
    }
  }
}

function plan() {
  clearTimeout(timer);
  dropEarlierTicket();
  if (!watch()) {
    return;
  }
  if (!shownState() || LAST.test(shownState())) {
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
  } else if (watch() && SETTLED.test(shownState()) && !document.querySelector("dialog[open]")) {
    asksAgain = false;
    isRestricted = false;
    refresh();
    plan();
  } else if (watch() && asking === watch()) {
    // The response on its way may be older than the new state, and htmx would drop a second request.
    asksAgain = true;
  } else if (watch()) {
    hasAsked = true;
    htmx.trigger(watch(), "poll");
  }
}

function refreshIfSettled() {
  if (SETTLED.test(shownState())) {
    refresh();
  }
}

function refresh() {
  if (document.querySelector("dialog[open]")) {
    // The dialog shows the ticket, and the part below it has another one.
    ask();
  } else {
    document.dispatchEvent(new Event("snap:refresh"));
  }
}

// The replaced part had the element of the socket. The new one opens a socket of its own.
document.addEventListener("snap:refreshed", () => {
  socketIsOpen = false;
  isRestricted = false;
  plan();
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && watch()) {
    ask();
  }
});

document.body.addEventListener("htmx:wsOpen", () => {
  socketIsOpen = true;
  plan();
  if (hasMissed) {
    // The socket sends the present state, and the event may have changed as well.
    hasMissed = false;
    refreshIfSettled();
  }
});

// A socket that failed to open changes nothing: htmx tries it again, and the next poll is not delayed.
document.body.addEventListener("htmx:wsClose", (event) => {
  if (socketIsOpen) {
    socketIsOpen = false;
    hasMissed = true;
    plan();
    if (event.detail.event.code === 1000) {
      // The session ended, or the state is the last one.
      ask();
    }
  }
});

// Ignores a state that is shown already: a swap would restart animations and be read out again.
document.body.addEventListener("htmx:wsBeforeMessage", (event) => {
  const [, after, spread] = REFRESH.exec(event.detail.message) ?? [];
  if (after !== undefined) {
    event.preventDefault();
    setTimeout(refresh, 1000 * (Number(after) + Number(spread) * Math.random()));
  } else if (event.detail.message === ASK) {
    event.preventDefault();
    isRestricted = true;
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

// A closed socket is opened again after 1, 2, 4 and then 8 seconds, times a random factor. A page that
// has its result, and one in the waiting list, leave more time: 5,000 may have lost their sockets.
htmx.config.wsReconnectDelay = (tries) => {
  if (/^waitlisted/.test(shownState()) || SETTLED.test(shownState())) {
    return Math.min(FIRST_PAUSE * 2 ** tries, LONGEST_PAUSE) * Math.random();
  }
  return Math.min(1000 * 2 ** tries, 8000) * (0.5 + Math.random());
};

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
