// The dialog that shows the steps, and the messages for requests without a response.

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

// Opens the first step, which is in the page already. The browser handles taps that open a new tab.
function openFirstStep(event) {
  const link = event.target.closest("[data-first-step]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) {
    return;
  }
  event.preventDefault();
  open("first-step");
  // HTMX sets the same state on its history entries, and reloads the page when Back leads to one.
  history.replaceState({ htmx: true }, "", location.href);
  history.pushState({ htmx: true }, "", link.href);
}

// Leaves the dialog: with a ticket the event's page is loaded again, to show the ticket.
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

// A 503 with Retry-After: the request was not stored. The form stays as it is and is sent again.
document.body.addEventListener("htmx:responseError", (event) => {
  const { xhr, elt, target } = event.detail;
  const wait = Number(xhr.getResponseHeader("Retry-After"));
  if (target === flow && xhr.status === 503 && wait && elt instanceof HTMLFormElement) {
    setTimeout(() => elt.isConnected && (!dialog || dialog.open) && elt.requestSubmit(), wait * 1000);
  }
});

// Loads the hint about mistyped email addresses once a person is about to type one.
async function loadEmailHint(event) {
  const hint = document.getElementById("email-hint");
  if (hint && event.target.matches?.("input[type=email]")) {
    document.removeEventListener("focusin", loadEmailHint);
    await import(hint.dataset.script).catch(() => document.addEventListener("focusin", loadEmailHint));
  }
}

document.addEventListener("focusin", loadEmailHint);
// The field of a whole page may have had its focus before this script ran.
loadEmailHint({ target: document.activeElement });

for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
  document.body.addEventListener(name, (event) => {
    if (event.detail.target === flow) {
      tellProblem();
    }
  });
}

// An error response is a whole page. The dialog shows only its message.
document.body.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target === flow && /^\s*<!doctype/i.test(event.detail.serverResponse)) {
    event.detail.selectOverride = "#message";
  }
});

// Signing in changes the CSRF token. Copies the new token into all forms of the page.
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
