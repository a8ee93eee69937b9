// Moves the focus to the heading of a ticket when its state has changed, so that screen readers read
// it once. Visitors who are elsewhere on the page keep their focus, and hear the heading instead.

const INSIDE = ".ticket-live, #flow, [data-refreshed]";

function ticket() {
  return document.getElementById("ticket");
}

// The state without numbers, such as a position in line: a new number is no new state.
function stateOf(element) {
  const state = (element?.dataset.state ?? "").replace(/-\d+/, "");
  return `${state} ${"busy" in (element?.dataset ?? {})}`;
}

function say(text) {
  const news = document.getElementById("ticket-news");
  if (news && text) {
    news.textContent = text.trim();
  }
}

let shown = stateOf(ticket());
let position = positionIn(ticket());

function positionIn(element) {
  const label = element?.querySelector(".pass-label")?.textContent ?? "";
  const number = element?.querySelector(".pass-position")?.textContent ?? "";
  return number && `${label}: ${number}`;
}

function isFree() {
  const active = document.activeElement;
  return !active || active === document.body || !active.isConnected || active.matches("dialog") || active.closest(INSIDE);
}

function follow() {
  const element = ticket();
  if (!element) {
    shown = "";
    return;
  }
  const state = stateOf(element);
  const newPosition = positionIn(element);
  const heading = element.querySelector("h1, h2");
  if (state !== shown) {
    if (isFree()) {
      heading?.focus();
    } else {
      say(heading?.textContent);
    }
  } else if (newPosition !== position) {
    say(newPosition);
  }
  shown = state;
  position = newPosition;
}

for (const name of ["htmx:afterSettle", "htmx:wsAfterMessage"]) {
  document.body.addEventListener(name, follow);
}
document.addEventListener("snap:refreshed", follow);
