// The chat view.

export function mount(root, app) {
  root.append(app.element("p", { t: "empty" }));
}
