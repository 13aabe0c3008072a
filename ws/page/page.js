// Follows a lot: server time, countdown, records, progress. The layout is the server's; what the script adds is text put
// into nodes that are there, and parts of a newly fetched page of the same address.
(function () {
  "use strict";
  var root = document.documentElement;
  var $ = function (id) { return document.getElementById(id); };

  theme();
  if (!root.dataset.anchor) return;

  var words = JSON.parse($("words").textContent);
  var fill = function (text, values) {
    return text.replace(/\{(\w+)\}/g, function (all, name) { return name in values ? values[name] : all; });
  };
  var put = function (node, text) { if (node && node.textContent !== text) node.textContent = text; };

  // --- theme: the system's, or the one chosen here

  function theme() {
    var button = $("theme");
    var chosen = null;
    try { chosen = localStorage.getItem("theme"); } catch (e) { /* storage is forbidden: the system's theme */ }
    if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
    if (!button) return;
    button.hidden = false;
    button.addEventListener("click", function () {
      var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.theme); } catch (e) { /* it holds for this page */ }
    });
  }

  // --- server time: the best of the measured round trips. The error grows by 100 ppm, so that an old one is given up.

  var DRIFT = 1e-4;
  var best = null; // {offset: server minus performance.now(), error, at}, ms
  var asked = {}, question = 0;

  function error(sample) { return sample.error + (performance.now() - sample.at) * DRIFT; }
  function serverNow() { return best && performance.now() + best.offset; }

  function ask() {
    if (!socket || socket.readyState !== 1) return;
    asked[++question] = performance.now();
    socket.send(JSON.stringify({ type: "time", id: question }));
  }

  function answered(message) {
    var sent = asked[message.id];
    asked = {};
    if (sent === undefined) return;
    var now = performance.now(), trip = now - sent;
    var sample = { offset: Date.parse(message.now) + trip / 2 - now, error: trip / 2 + 1, at: now };
    if (!best || sample.error <= error(best)) best = sample;
  }

  var clockText = new Intl.DateTimeFormat("zh-CN", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZone: "Asia/Shanghai" });
  var warned = {};

  function left(ms) {
    var s = Math.max(0, Math.ceil(ms / 1000)), d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
    var two = function (n) { return (n < 10 ? "0" : "") + n; };
    if (d > 0) return [d, words.days, h, words.hours, m, words.minutes, s % 60, words.seconds].join(" ");
    return h > 0 ? h + ":" + two(m) + ":" + two(s % 60) : two(m) + ":" + two(s % 60);
  }

  function paint() {
    var now = serverNow();
    if (now === null) return;
    var err = error(best), sure = err <= 5000;
    put($("now"), clockText.format(now));
    $("now").dateTime = new Date(now).toISOString();
    put($("error"), fill(words.error, { ms: Math.ceil(err) }));
    document.querySelectorAll("[data-until]").forEach(function (node) {
      var rest = Date.parse(node.dataset.until) - now;
      put(node, sure ? left(rest) : words.unknown);
      node.classList.toggle("long", node.textContent.length > 9);
      if (sure) warn(node.dataset.until, rest);
    });
    if (lost) strip();
  }

  // warn says at ten, five and one minute what is left, once each.
  function warn(until, rest) {
    [10, 5, 1].forEach(function (n) {
      var key = until + n;
      if (rest > 0 && rest <= n * 60000 && rest > n * 60000 - 3000 && !warned[key]) {
        warned[key] = true;
        put($(n === 10 ? "say-status" : "say-alert"), fill(words.left, { n: n }));
      }
    });
  }

  // --- connection

  var socket = null, attempt = 0, retryAt = 0, timer = 0, over = "";
  var lost = 0;                       // performance.now() of the loss
  var heard = performance.now();      // of the last frame
  var seen = "";                      // server time of the last frame
  var records = Number(root.dataset.seq), epoch = root.dataset.epoch, gap = 0;

  function connect() {
    clearTimeout(timer);
    retryAt = 0;
    var url = location.origin.replace(/^http/, "ws") + "/ws/lots/" + root.dataset.anchor + "?epoch=" + encodeURIComponent(epoch) + "&seq=" + records;
    var mine = socket = new WebSocket(url);
    mine.onmessage = function (event) { if (mine === socket) take(JSON.parse(event.data)); };
    mine.onclose = function (event) { if (mine === socket) ended(event.code, event.reason); };
  }

  function ended(code, reason) {
    socket = null;
    asked = {};
    if (!lost) lost = performance.now();
    root.classList.add("stale");
    var fact = $("conn");
    fact.hidden = false;
    fact.classList.add("lost");
    put(fact.querySelector(".k"), words.lost);
    if (code >= 4500 && code < 5000) {
      over = reason || String(code);
    } else {
      attempt++;
      var wait = Math.min(30000, 1000 * Math.pow(2, Math.min(attempt, 6) - 1)) * (0.5 + Math.random());
      if (code === 4003 || code === 4004) wait += 10000;
      retryAt = performance.now() + wait;
      timer = setTimeout(connect, wait);
    }
    strip();
  }

  function strip() {
    var since = performance.now() - lost;
    if (since < 2000 && !over) return;
    $("strip").hidden = false;
    $("again").hidden = over !== "";
    if (over) return put($("strip-say"), fill(words.final, { reason: over }));
    put($("strip-say"), fill(words.retry, { t: left(since), n: attempt, s: Math.max(0, Math.ceil((retryAt - performance.now()) / 1000)),
      at: seen ? clockText.format(Date.parse(seen)) : $("now").textContent }) + " " + (best && error(best) <= 5000 ? words.still : ""));
  }

  $("again").addEventListener("click", function () { if (!socket) connect(); });

  function take(message) {
    heard = performance.now();
    if (message.now) seen = message.now;
    switch (message.type) {
      case "hello": return hello(message);
      case "record": return record(message);
      case "state": return state(message);
      case "time": return answered(message);
    }
  }

  function hello(message) {
    attempt = 0;
    over = "";
    gap = lost && message.recovered ? records : -1;
    lost = 0;
    if (!message.recovered) {
      epoch = message.epoch;
      $("records").replaceChildren();
    }
    records = message.seq;
    root.classList.remove("stale");
    $("strip").hidden = true;
    var fact = $("conn");
    fact.hidden = false;
    fact.classList.remove("lost");
    put(fact.querySelector(".k"), words.live);
    for (var i = 0; i < 4; i++) setTimeout(ask, 300 * i);
  }

  // A dead connection does not always end by itself: clocks come every five seconds.
  setInterval(function () {
    if (socket && socket.readyState === 1 && performance.now() - heard > 15000) {
      var dead = socket;
      ended(1006, "");
      dead.close();
    }
  }, 5000);
  setInterval(ask, 30000);
  setInterval(paint, 250);
  document.addEventListener("visibilitychange", function () {
    if (document.hidden) return;
    paint();
    if (socket) ask(); else if (!over) connect();
  });

  // --- records

  var said = { timer: 0, count: 0, text: "" };

  function record(message) {
    if (message.seq !== records) return; // held already
    records++;
    var text = words.lang === "en" ? message.text.en : message.text.zh;
    var list = $("records");
    if (!list.querySelector('[data-key="' + message.seq + '"]')) list.prepend(entry(message, text));
    said.count++;
    said.text = text;
    if (!said.timer) said.timer = setTimeout(announce, 3000);
  }

  function entry(message, text) {
    var li = make("li", "say new"), at = make("p", "at"), no = make("span"), time = make("time"), what = make("p", "what");
    li.dataset.key = message.seq;
    no.textContent = fill(words.no, { n: message.seq + 1 });
    time.dateTime = message.time;
    time.textContent = clockText.format(Date.parse(message.time));
    what.textContent = text;
    at.append(no, time);
    var mark = document.querySelector(".mk-say svg").cloneNode(true);
    li.append(mark, at, what);
    return li;
  }

  function make(name, className) {
    var node = document.createElement(name);
    if (className) node.className = className;
    return node;
  }

  // announce tells a screen reader of new records, in one sentence.
  function announce() {
    var text = gap >= 0 ? fill(words.filled, { n: said.count }) : fill(words["new"], { n: said.count, text: said.text });
    put($("say-log"), text);
    gap = -1;
    said = { timer: 0, count: 0, text: "" };
  }

  // --- state: progress and checkpoint go into the page that is there; for all else the page is fetched again

  var quarters = 0;
  var CLASSES = { unlock: "run", form: "run", "form-done": "done", files: "run", "files-done": "done" };

  function state(message) {
    checkpoint(message.state);
    progress(message.state);
    want(message.shape);
  }

  function checkpoint(s) {
    var line = $("cp-line");
    if (!line || !s.checkpoint) return;
    put(line, fill(words.checkpoint, { n: s.size.toLocaleString("en"), k: s.cosigned.length, w: s.custodians }));
    var bytes = atob(s.checkpoint.split("\n")[2]), hex = "";
    for (var i = 0; i < 8; i++) hex += ("0" + bytes.charCodeAt(i).toString(16)).slice(-2) + (i % 2 ? " " : "");
    put($("cp-root"), hex + "…");
  }

  function progress(s) {
    var done = 0, total = 0;
    s.bids.forEach(function (bid) {
      done += bid.done;
      total += bid.total;
      if (!bid.step || bid.verdict && bid.verdict !== "VALID") return;
      var cell = document.querySelector('tr[data-bid="' + bid.id + '"] .status');
      if (!cell) return;
      var share = bid.total ? Math.floor(bid.done * 100 / bid.total) : 0;
      var word = cell.querySelector(".st"), shape = CLASSES[bid.step] || "todo";
      word.className = "st st-" + shape;
      word.querySelector("use").setAttribute("href", "#p-" + shape);
      put(word.querySelector("span"), fill(bid.step === "files" && !bid.total ? words.unlock : words[bid.step === "files-done" ? "form-done" : bid.step] || "", { p: share }));
      bar(cell, bid);
    });
    var whole = $("whole");
    if (!whole || !total) return;
    var percent = Math.floor(done * 100 / total);
    whole.value = percent;
    put($("percent"), percent + "%");
    if (Math.floor(percent / 25) > quarters) {
      quarters = Math.floor(percent / 25);
      put($("say-status"), fill(words.percent, { p: quarters * 25 }));
    }
  }

  function bar(cell, bid) {
    var node = cell.querySelector("progress");
    if (bid.step !== "files" || !bid.total) return node && node.remove();
    if (!node) {
      node = make("progress");
      node.setAttribute("aria-label", bid.name);
      cell.append(node);
    }
    node.max = bid.total;
    node.value = bid.done;
  }

  var wanted = root.dataset.shape, fetching = false;

  function want(shape) {
    if (shape === wanted) return;
    wanted = shape;
    if (!fetching) {
      fetching = true;
      setTimeout(refetch, Math.random() * 1000);
    }
  }

  function refetch() {
    var target = wanted;
    fetch(location.href, { cache: "no-store", credentials: "same-origin" }).then(function (answer) {
      if (!answer.ok) throw new Error(answer.status);
      return answer.text();
    }).then(function (text) {
      layout(new DOMParser().parseFromString(text, "text/html"));
    }).catch(function () {
      wanted = ""; // the next state asks again
    }).then(function () {
      fetching = false;
      if (wanted && wanted !== target) {
        fetching = true;
        setTimeout(refetch, 500 + Math.random() * 1000);
      }
    });
  }

  // layout takes over a newer page of this address. Nodes that are the same stay; focus and scroll with them.
  function layout(fresh) {
    if (fresh.documentElement.dataset.anchor !== root.dataset.anchor) return;
    var title = document.title;
    document.title = fresh.title;
    if (title !== fresh.title) put($("say-status"), fresh.title);
    morph($("main"), fresh.getElementById("main"));
    paint();
  }

  function keyOf(node) { return node.nodeType === 1 && (node.dataset.key || node.dataset.bid || node.dataset.part || node.id) || ""; }

  function morph(a, b) {
    if (a.isEqualNode(b) || a.id === "say-log") return;
    if (a.nodeType !== 1) { a.data = b.data; return; }
    if (a.id === "records" && Number(fresher(a)) > Number(fresher(b))) return; // the socket was faster than the page
    Array.from(a.attributes).forEach(function (at) { if (!b.hasAttribute(at.name)) a.removeAttribute(at.name); });
    Array.from(b.attributes).forEach(function (at) { if (a.getAttribute(at.name) !== at.value) a.setAttribute(at.name, at.value); });
    var old = Array.from(a.childNodes), keyed = {};
    old.forEach(function (node) { var key = keyOf(node); if (key) keyed[key] = node; });
    var used = new Set(), place = a.firstChild;
    Array.from(b.childNodes).forEach(function (want) {
      var key = keyOf(want);
      var node = key ? keyed[key] : old.find(function (o) { return !used.has(o) && !keyOf(o) && o.nodeName === want.nodeName && o.nodeType === want.nodeType; });
      if (!node || used.has(node) || node.nodeName !== want.nodeName) {
        node = document.importNode(want, true);
        a.insertBefore(node, place);
      } else {
        if (node === place) place = place.nextSibling; else a.insertBefore(node, place);
        morph(node, want);
      }
      used.add(node);
    });
    old.forEach(function (node) { if (!used.has(node)) node.remove(); });
  }

  function fresher(list) { var first = list.querySelector("[data-key]"); return first ? first.dataset.key : -1; }

  connect();
})();
