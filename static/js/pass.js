// Loads an open pass again when its websocket says that the place or the event has changed. The pass
// also loads by itself: seldom with an open websocket, more often without one.

// Milliseconds between two loads.
const WITHOUT_SOCKET = 30000;
const WITH_SOCKET = 120000;
// The longest pause before a closed socket is opened again: first, and after many attempts.
const FIRST_PAUSE = 15000;
const LONGEST_PAUSE = 120000;
// "refresh <after> <spread>", in seconds.
const REFRESH = /^refresh ([\d.]+) ([\d.]+)$/;

let socket = null;
let tries = 0;
let timer = 0;

function address() {
  const path = document.querySelector("[data-socket]")?.dataset.socket;
  return path && new URL(path, location.href.replace(/^http/, "ws")).href;
}

function isOpen() {
  return socket?.readyState === WebSocket.OPEN;
}

// The random factor spreads the loads of many phones.
function plan() {
  clearTimeout(timer);
  timer = setTimeout(load, (isOpen() ? WITH_SOCKET : WITHOUT_SOCKET) * (0.8 + 0.4 * Math.random()));
}

function load() {
  document.dispatchEvent(new Event("snap:refresh"));
  plan();
}

function receive({ data }) {
  const [, after, spread] = REFRESH.exec(data) ?? [];
  if (after !== undefined) {
    setTimeout(load, 1000 * (Number(after) + Number(spread) * Math.random()));
  }
}

function connect() {
  const url = address();
  if (!url || socket) {
    return;
  }
  socket = new WebSocket(url);
  socket.addEventListener("message", receive);
  socket.addEventListener("open", () => {
    if (tries) {
      // A push may have been missed meanwhile.
      load();
    }
    tries = 0;
    plan();
  });
  socket.addEventListener("close", ({ code }) => {
    socket = null;
    setTimeout(connect, Math.min(FIRST_PAUSE * 2 ** tries, LONGEST_PAUSE) * Math.random());
    tries += 1;
    if (code === 1000) {
      // The session ended.
      load();
    } else {
      plan();
    }
  });
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    load();
    connect();
  }
});

connect();
plan();
