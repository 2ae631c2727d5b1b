// The widget of a notebook: views of what Python holds, and what is chosen in them, which both sides share.
import { element } from "./text.js";
import "./tokens.js";
import "./card.js";
import "./finding.js";
import "./legend.js";

// `model` has the traits of saetask/widgets/view_widget.py; see anywidget for its methods.
export function render({ model, el }) {
  const place = element("div", "sv-notebook");
  let views = [];
  const choose = ({ detail }) => {
    model.set("chosen", detail);
    model.save_changes();
  };
  function mark() {
    for (const view of views) if ("chosen" in view && model.get("chosen")) view.chosen = model.get("chosen");
  }
  function show() {
    const data = model.get("documents");
    if (views.length !== data.length) {
      views = data.map(() => element(model.get("view"), ""));
      for (const view of views) {
        view.setAttribute("choosable", "");
        view.addEventListener("choose", choose);
      }
      place.replaceChildren(...model.get("about").map((line) => element("p", "sv-soft", line)), ...views, element("sae-legend", ""));
    }
    views.forEach((view, at) => { view.data = data[at]; });
    mark();
  }
  show();
  el.append(place);
  model.on("change:documents", show);
  model.on("change:chosen", mark);
  return () => {
    model.off("change:documents", show);
    model.off("change:chosen", mark);
  };
}
