// Charts that the server drew, each with its figures as a table.

/** A table with a heading a column and a row header; `caption` names it. */
export function dataTable(app, caption, columns, rows) {
  const make = app.element;
  const cell = (value, i) => make(i ? "td" : "th", i ? {} : { scope: "row" }, String(value));
  return make("table", {}, make("caption", { class: "unseen" }, caption),
    make("thead", {}, make("tr", {}, columns.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, rows.map((row) => make("tr", {}, row.map(cell)))));
}

export function chartFigure(app, chart) {
  const make = app.element;
  const picture = make("div", { class: "chart" });
  app.setHtml(picture, chart.svg);
  return make("figure", { data: { chart: chart.name } }, picture,
    make("details", {}, make("summary", { t: "data_table", "aria-label": `${app.word("data_table")}: ${chart.title}` }),
      make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": chart.title }, dataTable(app, chart.title, chart.columns, chart.rows))));
}

export const chartGrid = (app, charts) => app.element("div", { class: "charts" }, charts.map((chart) => chartFigure(app, chart)));
