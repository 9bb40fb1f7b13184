// What the server cannot do: keep relative times right, keys, and following live output. Everything works without it.
"use strict";
(() => {
  const relative = (ms) => {
    const s = Math.floor(Math.abs(ms) / 1000), ahead = ms < 0;
    if (s < 10) return ahead ? "in a moment" : "just now";
    const [n, unit] = s < 60 ? [s, "s"] : s < 3600 ? [Math.floor(s / 60), "min"] : s < 86400 ? [Math.floor(s / 3600), "h"]
      : s < 172800 ? [1, "day"] : [Math.floor(s / 86400), "days"];
    return ahead ? `in ${n} ${unit}` : `${n} ${unit} ago`;
  };
  const span = (ms) => {
    const s = Math.floor(Math.max(ms, 0) / 1000);
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
    return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
  };
  const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const times = () => document.querySelectorAll("time[datetime]").forEach((t) => put(t, relative(Date.now() - Date.parse(t.dateTime))));
  const spans = () => document.querySelectorAll("[data-since]").forEach((e) => put(e, span(Date.now() - Number(e.dataset.since))));
  setInterval(spans, 1000);
  setInterval(times, 10000);
  document.addEventListener("htmx:afterSwap", () => { times(); spans(); });

  // A stream that is cut by leaving the page would be told as an error: it is closed before.
  const streams = new Set();
  if (window.htmx) htmx.createEventSource = (url) => {
    const stream = new EventSource(url);
    streams.add(stream);
    return stream;
  };
  window.addEventListener("pagehide", () => streams.forEach((stream) => stream.close()));
  window.addEventListener("pageshow", (event) => { if (event.persisted && streams.size) location.reload(); });

  // Following: the newest output stays in sight until somebody scrolls up or switches it off.
  const toggle = () => document.querySelector("[data-follow]");
  const follows = () => toggle()?.checked;
  const toEnd = () => { if (follows()) window.scrollTo({ top: document.documentElement.scrollHeight }); };
  document.addEventListener("htmx:afterSwap", (event) => {
    const step = event.target.closest?.("[data-log] > [id]");
    // A stream that was opened anew, not resumed, brings what is there already.
    const first = step?.parentElement.querySelector(`:scope > #${CSS.escape(step.id)}`);
    if (first && first !== step) first.replaceWith(step);
    if (event.target.closest?.("[data-log]")) toEnd();
  });
  document.addEventListener("change", (event) => { if (event.target.matches?.("[data-follow]")) toEnd(); });
  window.addEventListener("wheel", (event) => { if (event.deltaY < 0 && follows()) toggle().checked = false; }, { passive: true });

  // What somebody has unfolded stays so when it is replaced.
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const was = [...event.detail.target.querySelectorAll("details")], next = event.detail.fragment.querySelectorAll("details");
    next.forEach((details, at) => { if (was[at]?.open) details.open = true; });
  });

  // A form is sent once, however often its button is pressed.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    document.querySelectorAll("button").forEach((b) => { if (b.form === form) b.setAttribute("aria-busy", "true"); });
  });
  window.addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((f) => {
    delete f.dataset.sent;
    document.querySelectorAll("button[aria-busy]").forEach((b) => b.removeAttribute("aria-busy"));
  }));

  // A filter is sent as a page of its own, and whoever filters stays where they were in it.
  document.addEventListener("submit", (event) => {
    const form = event.target, at = [...form.elements].indexOf(document.activeElement);
    if (form.method === "get" && at >= 0) sessionStorage.setItem("filter", JSON.stringify([form.getAttribute("action"), at]));
  });
  const [action, field] = JSON.parse(sessionStorage.getItem("filter") ?? "[]");
  sessionStorage.removeItem("filter");
  [...document.forms].find((form) => form.method === "get" && form.getAttribute("action") === action)?.elements[field]?.focus({ preventScroll: true });

  // Copying.
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const text = document.querySelector(button.dataset.copy)?.textContent ?? "";
    navigator.clipboard?.writeText(text.trim()).then(() => { button.textContent = "Copied"; });
  });

  // Keys.
  const ways = { b: "/admin", r: "/admin/runs", u: "/admin/usage", m: "/admin/runners", h: "/admin/health" };
  const entries = () => [...document.querySelectorAll("[data-list] > * a[id], [data-list] > tr a")].filter((a, i, all) =>
    all.findIndex((b) => b.closest("[data-list] > *") === a.closest("[data-list] > *")) === i);
  let went = 0;
  document.addEventListener("keydown", (event) => {
    const at = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || at.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)) return;
    const keys = document.getElementById("keys");
    if (keys.open) return;
    const key = event.key;
    if (Date.now() - went < 1500 && ways[key]) { went = 0; location.href = ways[key]; return; }
    went = 0;
    if (key === "?") keys.showModal();
    else if (key === "g") went = Date.now();
    else if (key === "n") location.href = "/admin/new";
    else if (key === "/") document.querySelector("[data-filter]")?.focus();
    else if (key === "f" && toggle()) { toggle().checked = !toggle().checked; toEnd(); }
    else if (key === "j" || key === "k") {
      const list = entries(), now = list.indexOf(document.activeElement);
      list[key === "j" ? Math.min(now + 1, list.length - 1) : Math.max(now - 1, 0)]?.focus();
    } else return;
    event.preventDefault();
  });
})();
