// The dialog in which the steps are shown, and what is said when no answer comes.

const dialog = document.getElementById("dialog");
const flow = document.getElementById("flow");

function copyOf(id) {
  return document.getElementById(id).content.cloneNode(true);
}

function open() {
  if (!dialog.open) {
    flow.replaceChildren(copyOf("loading"));
    dialog.showModal();
  }
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
  dialog.addEventListener("close", afterClosing);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-closes-dialog]")) {
      dialog.close();
    }
  });
}

document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.elt.closest("[data-opens-dialog]")) {
    open();
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
    for (const field of document.getElementsByName("csrfmiddlewaretoken")) {
      field.value = fresh.value;
    }
  }
});
