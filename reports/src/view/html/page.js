(function () {
  "use strict";
  var root = document.documentElement;
  function make(name, text, act) {
    var button = document.createElement("button");
    button.type = "button";
    button.className = name;
    button.textContent = text;
    button.addEventListener("click", function () { act(button); });
    return button;
  }
  function isDark() {
    var set = root.dataset.theme;
    return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }
  function fromHash() {
    var name = location.hash.slice(1);
    if (name === "dark" || name === "light") { root.dataset.theme = name; }
  }
  fromHash();
  addEventListener("hashchange", fromHash);
  var tools = document.createElement("div");
  tools.className = "tools";
  tools.append(
    make("unfold", "Open all", function (button) {
      var folds = Array.from(document.querySelectorAll("details"));
      var open = folds.some(function (fold) { return !fold.open; });
      folds.forEach(function (fold) { fold.open = open; });
      button.textContent = open ? "Close all" : "Open all";
    }),
    make("theme", "Light / dark", function () { root.dataset.theme = isDark() ? "light" : "dark"; })
  );
  document.querySelector(".kicker").before(tools);
  function text(table) {
    return Array.from(table.rows).map(function (row) {
      return Array.from(row.cells).map(function (cell) {
        return cell.innerText.replace(/\s+/g, " ").trim();
      }).join("\t");
    }).join("\n");
  }
  function byHand(value) {
    var area = document.createElement("textarea");
    area.value = value;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  function copied(button, value) {
    var done = function () {
      button.textContent = "Copied";
      setTimeout(function () { button.textContent = "Copy"; }, 1500);
    };
    var fall = function () { byHand(value); done(); };
    if (navigator.clipboard) { navigator.clipboard.writeText(value).then(done, fall); } else { fall(); }
  }
  document.querySelectorAll("table.figures").forEach(function (table) {
    table.parentNode.before(make("copy", "Copy", function (button) { copied(button, text(table)); }));
  });
  document.querySelectorAll("pre.command").forEach(function (pre) {
    pre.before(make("copy", "Copy", function (button) { copied(button, pre.textContent); }));
  });
  var opened = [];
  addEventListener("beforeprint", function () {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    opened.forEach(function (fold) { fold.open = true; });
  });
  addEventListener("afterprint", function () {
    opened.forEach(function (fold) { fold.open = false; });
  });
})();
