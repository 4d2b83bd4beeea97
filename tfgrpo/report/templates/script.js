// Convenience only: without it, a reader opens the folded parts by hand.
const reveal = () => {
  const place = location.hash && document.getElementById(location.hash.slice(1));
  for (let at = place; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (place) place.scrollIntoView();
};
addEventListener("hashchange", reveal);
addEventListener("beforeprint", () => document.querySelectorAll("details.print").forEach((at) => { at.open = true; }));
reveal();
