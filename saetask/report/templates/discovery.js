// Shows each discovery of the page by its view, once it is opened.
(() => {
  "use strict";
  const rows = JSON.parse(document.getElementById("rows").textContent);
  for (const view of document.querySelectorAll("sae-discovery")) {
    const details = view.closest("details");
    const show = () => {
      if (details.open && !view.hasChildNodes()) view.data = rows[Number(view.dataset.row)];
    };
    details.addEventListener("toggle", show);
    show();
  }
})();
