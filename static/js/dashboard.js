// Keeps an open dashboard up to date. A websocket pushes the parts of the page that have changed, and
// says each time when its values were read. Without a socket the page polls. Only parts that differ are
// replaced, so nothing flickers, scrolls or is read out again.
"use strict";

// Milliseconds between two requests that keep the session while a socket pushes.
const KEEP_SESSION = 120000;
// Without a socket the page polls each time when so many pushes were missed.
const PUSHES_PER_POLL = 5;
// Longest pause before a closed socket is opened again.
const LONGEST_PAUSE = 15000;

const night = document.getElementById("night");
const shownTime = night.querySelector("[data-as-of-shown]");
const oldNote = night.querySelector("[data-old]");
let seconds = Number(night.dataset.seconds);
let socket = null;
let tries = 0;
let polling = false;
let lastHeard = performance.now();
let lastRequest = performance.now();

// A board that is silent for so long is old: several pushes were missed.
function patience() {
  return 1000 * (3 * seconds + 3);
}

function show(html) {
  const board = new DOMParser().parseFromString(html, "text/html").querySelector(".board");
  if (!board) {
    location.reload();
    return;
  }
  const parts = board.querySelectorAll("[data-part]");
  const known = night.querySelectorAll("[data-part]").length;
  for (const part of parts) {
    const target = night.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!target || ("full" in board.dataset && parts.length !== known)) {
      // The page has other parts now: an event began, or was published.
      location.reload();
      return;
    }
    if (target.innerHTML !== part.innerHTML) {
      target.replaceChildren(...part.childNodes);
    }
  }
  shownTime.textContent = board.dataset.asOf;
  seconds = Number(board.dataset.seconds) || seconds;
  lastHeard = performance.now();
  sayWhetherOld();
}

function sayWhetherOld() {
  const isOld = performance.now() - lastHeard > patience();
  const text = isOld ? oldNote.dataset.old : "";
  if (oldNote.textContent !== text) {
    oldNote.textContent = text;
  }
}

function isConnected() {
  return socket?.readyState === WebSocket.OPEN;
}

function drop() {
  if (socket) {
    const dropped = socket;
    socket = null;
    dropped.onmessage = dropped.onclose = dropped.onopen = null;
    dropped.close();
  }
}

function connect() {
  drop();
  socket = new WebSocket(new URL(night.dataset.socket, location.href.replace(/^http/, "ws")).href);
  const opened = performance.now();
  socket.onopen = () => {
    tries = 0;
  };
  socket.onmessage = ({ data }) => show(data);
  socket.onclose = ({ code }) => {
    socket = null;
    if (code === 1000) {
      // The session or a permission has ended. The page says what is left.
      poll();
    }
    const pause = Math.min(1000 * 2 ** tries, LONGEST_PAUSE) * (0.5 + Math.random() / 2);
    tries += 1;
    setTimeout(() => socket === null && connect(), Math.max(0, pause - (performance.now() - opened)));
  };
}

async function poll() {
  if (polling) {
    return;
  }
  polling = true;
  lastRequest = performance.now();
  try {
    const response = await fetch(location.href, {
      cache: "no-store",
      headers: { "HX-Request": "true" },
    });
    if (response.redirected || response.status === 403 || response.status === 404) {
      location.reload();
    } else if (response.ok) {
      show(await response.text());
    }
  } catch {
    // There is no network. The next second tries again.
  } finally {
    polling = false;
  }
}

function tick() {
  const now = performance.now();
  sayWhetherOld();
  if (isConnected() && now - lastHeard > patience()) {
    // The socket is dead, although the browser has not noticed.
    connect();
  }
  if (document.hidden) {
    return;
  }
  const pause = isConnected() ? KEEP_SESSION : 1000 * PUSHES_PER_POLL * seconds;
  if (now - lastRequest > pause) {
    poll();
  }
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    if (!isConnected()) {
      connect();
    }
    tick();
  }
});

connect();
setInterval(tick, 1000);
