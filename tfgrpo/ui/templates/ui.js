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
  // Brackets are typed with AltGr on many keyboards, which some systems report as Ctrl and Alt.
  const held = event.metaKey || ((event.ctrlKey || event.altKey) && !event.getModifierState("AltGraph"));
  if (off() || held || at.closest("input, textarea, select")) return;
  const link = { "[": "prev", "]": "next", "{": "prev", "}": "next" }[event.key];
  // Where there is a line of versions, the pages of its lists have keys of their own.
  const line = document.querySelector(".line");
  const where = "{}".includes(event.key) ? ".pager " : line ? ".line " : "";
  const to = link && document.querySelector(`${where}a[rel="${link}"]`);
  if (event.key === "/") { event.preventDefault(); document.getElementById("find").focus(); }
  else if (event.key === "?") { keys.open = true; keys.querySelector("summary").focus(); }
  else if (to) location.assign(to.href);
});

// A link to a rollout opens what it is folded in.
const place = location.hash && document.getElementById(location.hash.slice(1));
for (let up = place; up; up = up.parentElement) if (up.tagName === "DETAILS") up.open = true;
