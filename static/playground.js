// The playground's answer as it comes. Without script the form posts, and the page comes back with the whole of it.
"use strict";

const form = document.getElementById("question");
const answer = document.getElementById("answer");
const part = (name) => answer.querySelector(`[data-${name}]`);
const [send, stop] = [form.querySelector("button:not([type])"), form.querySelector("[data-stop]")];
let asking;

function begin() {
  for (const place of [part("speech"), part("thought")]) place.firstElementChild.textContent = "";
  part("told").replaceChildren();
  part("thoughts").hidden = true;
  answer.hidden = false;
}

// In one text node each: an answer of a hundred thousand pieces is not a hundred thousand nodes.
function add(place, text) {
  place.firstElementChild.append(text);
  place.firstElementChild.normalize();
}

function tell(text) {
  const told = document.createElement("p");
  told.className = "wrong";
  told.textContent = text;
  part("told").append(told);
}

function take(event, data) {
  if (data === "[DONE]") return;
  const said = JSON.parse(data);
  if (event === "told") {
    // The server's own fragment, escaped there.
    part("told").insertAdjacentHTML("beforeend", said.html);
    return;
  }
  if (said.error) tell(said.error.message);
  const delta = said.choices?.[0]?.delta;
  if (delta?.reasoning_content) {
    part("thoughts").hidden = false;
    add(part("thought"), delta.reasoning_content);
  }
  if (delta?.content) add(part("speech"), delta.content);
}

// Lines of server-sent events, however the bytes are cut.
async function read(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", event = "", data = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines.map((each) => each.replace(/\r$/, ""))) {
      if (line.startsWith("event:")) event = line.slice(6).trim();
      else if (line.startsWith("data:")) data.push(line.slice(5).trim());
      else if (!line) {
        if (data.length) take(event, data.join("\n"));
        event = "";
        data = [];
      }
    }
  }
}

form.addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  if (asking) return;
  asking = new AbortController();
  begin();
  send.disabled = true;
  stop.hidden = false;
  answer.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(form.dataset.stream, {
      method: "POST", body: new URLSearchParams(new FormData(form)), signal: asking.signal, headers: { "HX-Request": "true" },
    });
    const elsewhere = response.headers.get("HX-Redirect");
    if (elsewhere) location.assign(elsewhere);
    else if (response.headers.get("Content-Type")?.startsWith("text/event-stream")) await read(response.body);
    else tell(answer.dataset.broken);
  } catch {
    tell(asking.signal.aborted ? answer.dataset.cut : answer.dataset.broken);
  }
  const pressed = document.activeElement === stop || document.activeElement === document.body;
  asking = undefined;
  send.disabled = false;
  stop.hidden = true;
  answer.removeAttribute("aria-busy");
  if (pressed) send.focus({ preventScroll: true });
});

stop.addEventListener("click", () => asking?.abort());

form.elements.text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(send);
});

// Another pool has other models.
form.elements.pool.addEventListener("change", async () => {
  const page = await fetch(`${form.dataset.models}?pool=${encodeURIComponent(form.elements.pool.value)}`);
  const models = new DOMParser().parseFromString(await page.text(), "text/html").getElementById("models");
  if (models) document.getElementById("models").replaceWith(models);
});
