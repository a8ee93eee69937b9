// The dialog in which the steps are shown, and what is said when no answer comes.

const dialog = document.getElementById("dialog");
const flow = document.getElementById("flow");

function contentOf(id) {
  return document.getElementById(id)?.content;
}

function copyOf(id) {
  return contentOf(id).cloneNode(true);
}

function open(id) {
  if (!dialog.open) {
    flow.replaceChildren(copyOf(id));
    htmx.process(flow);
    dialog.showModal();
  }
}

// The first step came with the page. Taps that are meant for a new tab are left to the browser.
function openFirstStep(event) {
  const link = event.target.closest("[data-first-step]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) {
    return;
  }
  event.preventDefault();
  open("first-step");
  // As HTMX does, which then goes back to the page by reloading it.
  history.replaceState({ htmx: true }, "", location.href);
  history.pushState({ htmx: true }, "", link.href);
}

// Whoever got a ticket in the dialog finds it on the event's page; everybody else finds the event.
function afterClosing() {
  if (flow.querySelector("#ticket")) {
    location.assign(dialog.dataset.page);
    return;
  }
  history.replaceState({ htmx: true }, "", dialog.dataset.page);
  flow.replaceChildren();
}

function tellProblem() {
  flow.querySelector(".problem")?.remove();
  const button = flow.querySelector("form .button");
  if (button) {
    button.before(copyOf("problem"));
  } else {
    flow.replaceChildren(copyOf("problem"), copyOf("retry"));
  }
}

if (dialog) {
  document.addEventListener("click", openFirstStep);
  dialog.addEventListener("close", afterClosing);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-closes-dialog]")) {
      dialog.close();
    }
  });
}

document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.elt.closest("[data-opens-dialog]")) {
    open("loading");
  }
  flow?.querySelector(".problem")?.remove();
});

// Nothing could keep the request: the form stays as it is and is sent again.
document.body.addEventListener("htmx:responseError", (event) => {
  const { xhr, elt, target } = event.detail;
  const wait = Number(xhr.getResponseHeader("Retry-After"));
  if (target === flow && xhr.status === 503 && wait && elt instanceof HTMLFormElement) {
    setTimeout(() => elt.isConnected && (!dialog || dialog.open) && elt.requestSubmit(), wait * 1000);
  }
});

for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
  document.body.addEventListener(name, (event) => {
    if (event.detail.target === flow) {
      tellProblem();
    }
  });
}

// An error page comes whole; what it says fits in here.
document.body.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target === flow && /^\s*<!doctype/i.test(event.detail.serverResponse)) {
    event.detail.selectOverride = "#message";
  }
});

// Signing in changes the token that every form of the page must carry.
document.body.addEventListener("htmx:afterSettle", (event) => {
  const fresh = event.detail.elt.querySelector("[name=csrfmiddlewaretoken]");
  if (fresh) {
    for (const place of [document, contentOf("first-step")]) {
      for (const field of place?.querySelectorAll("[name=csrfmiddlewaretoken]") ?? []) {
        field.value = fresh.value;
      }
    }
  }
});
