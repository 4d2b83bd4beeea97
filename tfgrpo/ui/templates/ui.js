// Convenience only: every page works without it, but for the parts that follow a run.
const live = document.querySelector("[data-live]");
if (live) {
  let wanted = false, busy = false;
  const renew = async () => {
    if (busy) { wanted = true; return; }
    busy = true;
    try {
      const open = [...live.querySelectorAll("details")].map((at) => at.open);
      const answer = await fetch(live.dataset.live);
      if (answer.ok) {
        const got = new DOMParser().parseFromString(await answer.text(), "text/html");
        const part = got.querySelector("[data-live]") || got.body;
        if (!live.contains(document.activeElement) || live === document.activeElement) {
          live.replaceChildren(...part.childNodes);
          live.querySelectorAll("details").forEach((at, i) => { at.open = open[i] || false; });
        }
      }
    } finally {
      busy = false;
      if (wanted) { wanted = false; setTimeout(renew, 500); }
    }
  };
  new EventSource("/events").addEventListener("change", renew);
}

const store = (() => { try { return localStorage; } catch { return {}; } })();
const keys = document.getElementById("keys");
const turn = document.getElementById("keys-switch");
const off = () => store.keys === "off";
const told = () => {
  turn.setAttribute("aria-pressed", String(!off()));
  turn.textContent = off() ? "Single keys are off" : "Single keys are on";
};
turn.addEventListener("click", () => { store.keys = off() ? "on" : "off"; told(); });
told();
addEventListener("keydown", (event) => {
  const at = event.target;
  if (off() || event.ctrlKey || event.metaKey || event.altKey || at.closest("input, textarea, select")) return;
  const link = { "[": "prev", "]": "next" }[event.key];
  const to = link && document.querySelector(`a[rel="${link}"]`);
  if (event.key === "/") { event.preventDefault(); document.getElementById("find").focus(); }
  else if (event.key === "?") { keys.open = true; keys.querySelector("summary").focus(); }
  else if (to) location.assign(to.href);
});

// A link to a rollout opens what it is folded in.
const place = location.hash && document.getElementById(location.hash.slice(1));
for (let up = place; up; up = up.parentElement) if (up.tagName === "DETAILS") up.open = true;
