// Counts down, then hides the elements with data-before and shows those with data-after:
// <div data-countdown="seconds"> <… data-before> <… data-clock></… data-before> <… data-after hidden>
// A link with data-follow is then followed.

function inWords(seconds) {
  const days = Math.floor(seconds / 86400);
  const parts = [Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  const shown = days || parts[0] ? parts : parts.slice(1);
  const clock = shown.map((part) => String(part).padStart(2, "0")).join(":");
  return days ? `${days} d ${clock}` : clock;
}

function countDown(box) {
  const end = Date.now() + Number(box.dataset.countdown) * 1000;
  const clock = box.querySelector("[data-clock]");
  clock.dataset.running = "";

  function tick() {
    if (!box.isConnected) {
      return;
    }
    const left = Math.ceil((end - Date.now()) / 1000);
    if (left > 0) {
      clock.textContent = inWords(left);
      setTimeout(tick, ((end - Date.now()) % 1000) + 5);
      return;
    }
    for (const element of box.querySelectorAll("[data-before], [data-after]")) {
      element.hidden = "before" in element.dataset;
    }
    box.querySelector("[data-follow]")?.click();
  }

  tick();
}

function start(root) {
  const boxes = [...root.querySelectorAll("[data-countdown]")];
  if (root.matches("[data-countdown]")) {
    boxes.push(root);
  }
  for (const box of boxes.filter((each) => !("counting" in each.dataset))) {
    box.dataset.counting = "";
    countDown(box);
  }
}

start(document.body);
document.addEventListener("snap:refreshed", () => start(document.body));
document.body.addEventListener("htmx:load", (event) => start(event.detail.elt));
