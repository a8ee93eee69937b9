// Follows a ticket until it has ended. The websocket only brings the news sooner: the page asks as
// well, often while it has no socket and seldom while it has one.

const WITHOUT_SOCKET = 1000;
const WITH_SOCKET = 12000;
// The first time, soon: with Redis away the socket stays open and brings nothing.
const FIRST_WITH_SOCKET = 5000;
const SLOW = { queued: 2000, waitlisted: 30000 };
// After an answer that says nothing of the ticket: something is away, and may be back any time.
const AFTER_FAILURE = 3000;
// What the socket says when there is something to see that it may not carry itself.
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
  const slow = hasFailed ? AFTER_FAILURE : SLOW[shownState().split("-")[0]];
  return slow ?? (!socketIsOpen ? WITHOUT_SOCKET : hasAsked ? WITH_SOCKET : FIRST_WITH_SOCKET);
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
  // Spread out, so that a thousand phones do not ask in step.
  timer = setTimeout(ask, asksAgain ? 0 : delay() * (0.8 + 0.4 * Math.random()));
}

function ask() {
  if (document.hidden) {
    asksAgain = false;
    plan();
  } else if (watch() && asking === watch()) {
    // What is on its way may be older than the reason to ask, and htmx would drop a second request.
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

// A socket that did not even open changes nothing, and puts nothing off: it is tried again and again.
document.body.addEventListener("htmx:wsClose", () => {
  if (socketIsOpen) {
    socketIsOpen = false;
    plan();
  }
});

// The same state again is no news; swapping it in would restart what moves and be read out twice.
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
    // Asked too often, or nobody can say: what is shown stays, and the next time comes.
    event.detail.shouldSwap = false;
    return;
  }
  if (!state) {
    // Signed out meanwhile, most likely: the page itself knows what to show.
    location.reload();
  }
  event.detail.shouldSwap = event.detail.shouldSwap && state !== "" && state !== shownState();
});

// A socket that dropped is opened again after 1, 2, 4 and then 8 seconds, spread out.
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
