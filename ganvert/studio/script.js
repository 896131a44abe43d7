// The parts of the page that Gradio has no component for: they show one object, the view, which Python sends as a whole.
// Texts are set as text, never as HTML: names of photographs are written by strangers.
window.ganvert = (() => {
  let view = {}, ask = () => {}, overdue, split = 50, side;
  const slots = new Map(), saved = [];
  let known;  // resolves once Python has said whose page this is
  const ready = new Promise((resolve) => { known = resolve; });

  // Gradio's stream can lose an answer. What was done is done: the page looks again until it has heard.
  const expect = (again = () => act({ what: "look" })) => {
    clearTimeout(overdue);
    overdue = setTimeout(again, 10000);
  };
  const act = (data) => {  // `what` names the action, the rest is what it needs
    expect();
    ask(data);
  };
  // Gradio's own controls. Its buttons bring more than a view, and what they do can be done twice.
  document.addEventListener("click", ({ target }) => {
    const asked = target.closest?.("button.g-asks");
    if (asked) expect(() => asked.click());
  }, true);
  for (const event of ["pointerup", "change"])
    document.addEventListener(event, ({ target }) => { if (target.closest?.(".g-asks input[type=range]")) expect(); }, true);

  // Previews while a slider moves: one is on its way, and the newest amount waits for it.
  const drafts = { busy: false, next: null };
  async function draft() {
    if (drafts.busy || !drafts.next) return;
    const asked = drafts.next;
    [drafts.busy, drafts.next] = [true, null];
    try {
      const answer = await fetch("studio/preview?" + new URLSearchParams(asked), {
        headers: { "X-Studio": view.token || "" }, signal: AbortSignal.timeout(20000) });
      if (answer.ok && drafts.moving) show(await answer.json());
    } catch (error) { /* a preview that is lost: the full picture follows */ }
    drafts.busy = false;
    draft();
  }
  document.addEventListener("input", ({ target }) => {
    const slider = target.closest?.("[id^=g-move-]");
    if (!slider) return;
    const direction = slider.id.slice(7) || document.querySelector("#g-other input")?.value;
    [drafts.next, drafts.moving] = [{ direction, amount: target.value }, true];
    draft();
  }, true);
  // What is let go is drawn in full; a preview would come too late.
  document.addEventListener("pointerup", ({ target }) => {
    if (target.closest?.("[id^=g-move-]")) [drafts.next, drafts.moving] = [null, false];
  }, true);

  const el = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name in node && name !== "list" && name !== "style") node[name] = value;
      else if (value !== undefined && value !== false) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  };
  const picture = (name) => "studio/picture/" + encodeURIComponent(name);
  const button = (text, help, what, more = {}) =>
    el("button", { type: "button", title: help, disabled: !!more.off, className: "g-button " + (more.kind || ""),
                   onclick: () => act({ what, ...more }) }, text);
  const placeOf = (name) => {
    const place = view.places?.[name];
    if (place === undefined) return null;
    const far = Math.abs(place) > 3;
    return el("small", { className: far ? "g-far" : "",
      title: "How far the edited face is from the average of the generator's faces; beyond 3 there are hardly any." },
      ` at ${signed(place)} standard deviations${far ? ", beyond nearly all faces" : ""}`);
  };
  // What of the code an edit moves.
  const moves = ({ direction, rows, ranges, conditions, held, can_be_free }) => {
    const select = el("select", { className: "g-input", ariaLabel: `rows of ${direction}`,
      title: "The part of the code that this edit moves: pose and contour, the features of the face, or colours and fine detail",
      onchange: () => act({ what: "rows", direction, rows: select.value }) },
      ...ranges.map(([value, text]) => el("option", { value, selected: value === rows }, text)));
    const box = el("input", { type: "checkbox", checked: held, disabled: !can_be_free,
                              onchange: () => act({ what: "free", direction, held: box.checked }) });
    return el("div", { className: "g-row" }, ranges.length > 1 ? el("label", {}, "moves ", select) : null,
      !conditions.length ? null : el("label", { title: can_be_free
        ? "Unticked, the edit also changes what usually goes along with it."
        : "This table of directions has no version that changes what goes along with it." },
        box, ` leaves ${conditions.join(", ").replaceAll("_", " ")} alone`));
  };
  const signed = (number) => (number > 0 ? "+" : "") + Math.round(number * 100) / 100;

  // ---- the photograph on its way in ----
  const MOST_MB = 64;  // of a file; the server takes no more
  let tooLarge = [];  // names of photographs that were not sent with the last folder
  async function post(file, place) {
    try {
      await ready;
      const answer = await fetch("studio/photo", {
        method: "POST", body: file,
        headers: { "X-Studio": view.token || "", "X-Studio-Place": place, "X-Studio-Name": encodeURIComponent(file.name),
                   "Content-Type": "application/octet-stream" },
      });
      if (answer.ok) return true;
      say(`${file.name}: ${await answer.text()}`, true);
    } catch (error) {
      say(`${file.name}: it could not be sent; is the studio still running?`, true);
    }
    return false;
  }
  async function send(file, place = "photo") {
    if (!file) return;
    say(`Reading ${file.name} ...`);
    if (!await post(file, place)) return;
    act(place === "photo" ? { what: "open", name: file.name } : { what: "meet", role: place, name: file.name });
  }
  async function sendFolder(files) {
    const photographs = files.filter((file) => /\.(jpe?g|png|tiff?|webp|bmp|gif|avif|heic|heif)$/i.test(file.name));
    const fitting = photographs.filter((file) => file.size <= MOST_MB << 20);
    tooLarge = photographs.filter((file) => !fitting.includes(file)).map((file) => file.name);
    let sent = 0;
    for (const file of fitting) {
      say(`Sending ${file.name} (${++sent} of ${fitting.length}) ...`);
      if (!await post(file, "folder")) return;
    }
    say(sent ? `${sent} photographs are ready.` : leftOut() || "There is no photograph among these files.", !sent);
    act({ what: "look" });
  }
  // A message above the picture goes with the next answer; this stays beside the number of photographs.
  function leftOut() {
    if (!tooLarge.length) return "";
    const more = tooLarge.length > 5 ? ` and ${tooLarge.length - 5} more` : "";
    return `Left out, because they are larger than ${MOST_MB} MB: ${tooLarge.slice(0, 5).join(", ")}${more}. Save smaller copies of them.`;
  }
  function forgetFolder() {
    tooLarge = [];
    act({ what: "forget" });
  }
  async function camera() {
    if (!navigator.mediaDevices) return say("This browser shows no camera to pages; choose a file instead.", true);
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1920 } } });
      const video = el("video", { autoplay: true, playsInline: true, muted: true });
      video.srcObject = stream;
      const end = () => { stream.getTracks().forEach((track) => track.stop()); box.remove(); };
      const take = () => {
        const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
        canvas.getContext("2d").drawImage(video, 0, 0);
        canvas.toBlob((blob) => { end(); send(new File([blob], "camera.png", { type: "image/png" })); }, "image/png");
      };
      const box = el("div", { className: "g-camera" }, video,
        el("div", { className: "g-row" },
          el("button", { className: "g-button g-primary", onclick: take }, "Take the photograph"),
          el("button", { className: "g-button", onclick: end }, "Close")));
      document.body.append(box);
    } catch (error) {
      say("The camera cannot be used: " + error.message, true);
    }
  }
  function chooser() {
    const input = el("input", { type: "file", accept: "image/*", id: "g-file", className: "g-hidden",
                                onchange: () => { send(input.files[0]); input.value = ""; } });
    return el("div", { className: "g-row" },
      el("label", { className: "g-button g-primary", htmlFor: "g-file", tabIndex: 0,
                    onkeydown: (event) => { if (event.key === "Enter") input.click(); } }, "Choose a photograph"), input,
      el("button", { type: "button", className: "g-button", onclick: camera, title: "Use this device's camera" }, "Camera"),
      ...(view.samples || []).map((name) => button(name, "Use this sample photograph", "sample", { name })));
  }

  // ---- slots ----
  const shows = {
    stage(root) {
      if (!view.before) {
        root.replaceChildren(el("div", { className: "g-drop" },
          el("h2", {}, "Your photograph"),
          el("p", {}, "Drop it here. It stays on this machine, in memory, and nothing is sent anywhere."), chooser()));
        return;
      }
      let frame = root.querySelector(".g-frame");
      if (!frame) {
        const range = el("input", { type: "range", min: 0, max: 100, value: split, className: "g-range",
          title: "Move the divider: before on the left, after on the right", ariaLabel: "Divider between before and after",
          oninput: () => { split = +range.value; frame.style.setProperty("--at", split + "%"); } });
        frame = el("div", { className: "g-frame" },
          el("img", { className: "g-after", alt: "edited picture" }), el("img", { className: "g-before", alt: "before" }),
          el("span", { className: "g-line" }), range,
          el("span", { className: "g-tag g-left" }), el("span", { className: "g-tag g-right" }));
        frame.style.setProperty("--at", split + "%");
        root.replaceChildren(frame, el("div", { className: "g-row g-sides" }));
      }
      // What nobody has edited yet is compared with the photograph; two equal halves would say nothing.
      const left = side ?? (view.title === "unedited" ? "photograph" : "edited");
      const own = { left: left === "photograph" ? [view.crop, "photograph"] : [view.before, "before"],
                    right: [view.after, view.title + (view.preview ? " (preview)" : "")] };
      const shown = (!view.preview && view.stage) || own;
      for (const [at, kind] of [["left", "before"], ["right", "after"]]) {
        const image = frame.querySelector(".g-" + kind), [name, title] = shown[at];
        if (image.dataset.name !== name) { image.dataset.name = name; image.src = picture(name); }
        frame.querySelector(".g-" + at).textContent = title;
      }
      frame.classList.toggle("g-small", !!view.preview);
      root.querySelector(".g-sides").replaceChildren(
        view.stage ? button("Back to the edit", "Show the edited picture again", "edit", { kind: "g-primary" }) : "",
        button("Undo", "Back to the picture before (Ctrl-Z)", "undo", { off: !view.can_undo }),
        button("Redo", "Forward again (Ctrl-Y)", "redo", { off: !view.can_redo }),
        el("button", { type: "button", className: "g-button", title: "What stands on the left of the divider",
          onclick: () => { side = left === "photograph" ? "edited" : "photograph"; render(); } },
          left === "photograph" ? "Left: the photograph" : "Left: the unedited picture"),
        button("Reset", "Take all edits back", "reset", { off: !view.changes.length }),
        ...(view.methods.length < 2 ? [] : view.methods.map((method) =>
          button(method, `Edit the code that ${method} found`, "method", { method, kind: method === view.method ? "g-primary" : "" }))));
    },
    state(root) {
      const job = view.refinement, parts = [];
      if (view.badge) parts.push(el("p", { className: "g-badge" }, view.badge));
      if (job && (job.state === "running" || job.state === "waiting")) {
        const left = job.left === null ? "" : `, about ${Math.max(1, Math.round(job.left))} s left`;
        const text = job.state === "waiting" ? "waits for another inversion" : `${Math.round(job.done * 100)} %${left}`;
        parts.push(el("div", { className: "g-job" },
          job.forming ? el("img", { src: picture(job.forming), alt: "the picture so far" }) : null,
          el("div", {}, el("strong", {}, `Refining by ${job.method}: ${text}`),
            el("progress", { max: 1, value: job.done }),
            el("span", {}, "You can edit meanwhile; the better picture takes over when it is done."),
            button("Stop and keep this", "End the refinement and keep the best picture so far", "cancel"))));
      } else if (job && job.state === "failed") parts.push(el("p", { className: "g-error" }, job.reason));
      if (view.task) parts.push(...taskBox(view.task));
      root.replaceChildren(...parts);
    },
    history(root) {
      root.replaceChildren(...(view.history || []).map((state, i) =>
        el("button", { type: "button", className: "g-state" + (state.now ? " g-now" : ""), title: state.title,
                       ariaCurrent: state.now ? "step" : "false", onclick: () => act({ what: "go", place: i }) },
          state.thumb ? el("img", { src: picture(state.thumb), alt: "" }) : null, el("span", {}, state.title))));
    },
    changes(root) {
      const rows = (view.changes || []).map((change) =>
        el("li", { className: change.muted ? "g-muted" : "" },
          el("span", {}, `${change.direction.replaceAll("_", " ")} ${signed(change.amount)}`, placeOf(change.name),
            el("small", { title: "The amounts between which portraits kept their faces and stayed the persons" }, `, ${change.tested}`)),
          button("↑", "One place up", "up", { direction: change.direction }),
          button(change.muted ? "Show" : "Mute", "Leave this edit out for now, or take it in again", "mute",
                 { direction: change.direction }),
          button("Delete", "Remove this edit", "delete", { direction: change.direction }),
          moves(change)));
      root.replaceChildren(rows.length ? el("ol", {}, ...rows) : el("p", { className: "g-help" }, "No edit yet: move a slider."));
    },
    photograph(root) {
      if (!view.photograph) { root.replaceChildren(); return; }
      const [width, height] = view.size, ns = "http://www.w3.org/2000/svg";
      const svg = document.createElementNS(ns, "svg");
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      view.faces.forEach((quad, i) => {
        const shape = document.createElementNS(ns, "polygon");
        shape.setAttribute("points", quad.map((point) => point.join(",")).join(" "));
        shape.setAttribute("class", i === view.chosen ? "g-chosen" : "");
        shape.addEventListener("click", () => act({ what: "face", face: i }));
        svg.append(shape);
      });
      root.replaceChildren(el("div", { className: "g-photo" }, el("img", { src: picture(view.photograph), alt: view.name }), svg),
        view.faces.length > 1 ? el("div", { className: "g-row" }, ...view.faces.map((_, i) =>
          button(`Face ${i + 1}`, "Work with this face", "face", { face: i, kind: i === view.chosen ? "g-primary" : "" }))) : "",
        chooser());
    },
    quality(root) {
      const cards = view.cards || [], key = JSON.stringify(cards);
      if (root.dataset.key !== key) {  // built anew, a card would lose the focus of the keyboard
        root.dataset.key = key;
        root.replaceChildren(el("fieldset", { className: "g-cards" }, el("legend", {}, "Quality"),
          el("p", { className: "g-help" }, "A first picture is there in seconds and may look like somebody else. It is then refined in the background to this quality; you can edit meanwhile. The examples show a photograph and, beside it, what the method finds."),
          ...cards.map(({ name, lines, example }) => el("label", { className: "g-card" },
            el("input", { type: "radio", name: "g-quality", value: name, onchange: () => act({ what: "quality", method: name }) }),
            el("span", {}, el("strong", {}, name), ...lines.map((line) => el("small", {}, line))),
            example ? el("img", { src: "studio/examples/" + example, alt: `Example: a photograph, and the picture that ${name} finds` }) : null))));
      }
      for (const input of root.querySelectorAll("input")) input.checked = input.value === view.quality;
    },
    pasted(root) {
      root.replaceChildren(...(view.pasted ? [el("img", { className: "g-wide", src: picture(view.pasted), alt: "photograph with the edit in it" })] : []));
    },
    effects(root) {
      const rows = (view.effects || []).map((row) => el("tr", {}, el("th", {}, row.name.replaceAll("_", " ")),
        el("td", { className: "g-number" }, row.before), el("td", { className: "g-number" }, row.after),
        el("td", { className: "g-bars" }, el("i", { style: `--from:${50 + Math.min(0, row.share) * 50}%;--width:${Math.abs(row.share) * 50}%` }))));
      root.replaceChildren(rows.length ? el("table", { className: "g-effects" },
        el("tr", {}, ...["", "before", "after", "change"].map((text) => el("th", {}, text))), ...rows)
        : el("p", { className: "g-help" }, "Edit the picture, then measure it."));
    },
  };
  function taskBox(task) {
    const line = task.command ? el("details", {}, el("summary", {}, "The same on the command line"), el("code", {}, task.command)) : null;
    if (task.state === "running" || task.state === "waiting") {
      const left = task.left === null ? "" : `, about ${Math.max(1, Math.round(task.left))} s left`;
      const text = task.state === "waiting" ? "waits for other work" : `${Math.round(task.done * 100)} %${left}`;
      return [el("div", { className: "g-job" }, el("div", {}, el("strong", {}, `${task.title}: ${text}`),
        el("progress", { max: 1, value: task.done }), button("Stop", "End this work", "stop"), line))];
    }
    if (task.state === "failed") return [el("p", { className: "g-error" }, task.reason)];
    if (task.state === "cancelled") return [el("p", { className: "g-said" }, `${task.title}: stopped.`)];
    if (!task.download && !task.said) return [];
    return [el("div", { className: "g-job" }, el("div", {}, el("strong", {}, task.said || `${task.title}: done`),
      task.download ? el("a", { className: "g-button g-primary", href: picture(task.download.picture),
                                download: task.download.name }, `Download ${task.download.name}`) : null, line))];
  }
  function save(file) {
    if (saved.includes(file.picture)) return;  // an answer that is shown twice is one file
    saved.push(file.picture);
    const link = el("a", { href: picture(file.picture), download: file.name });
    document.body.append(link);
    link.click();
    link.remove();
    document.body.dataset.saved = file.name;
  }
  function say(text, wrong = false) {
    for (const root of document.querySelectorAll("[data-slot=message]"))
      root.replaceChildren(text ? el("p", { className: wrong ? "g-error" : "g-said", role: "status" }, text) : "");
  }
  function show(next) {
    if (!next) return;
    // A preview that was overtaken by its full picture comes too late, and so does an answer by a later one.
    if (next.preview && (!next.after || (!view.preview && next.title === view.title))) { if (next.message) say(next.message, next.wrong); return; }
    if (next.download) save(next.download);
    if (next.number !== undefined && next.number < view.number) { if (next.message) say(next.message, next.wrong); return; }
    if (!next.preview && !next.partial) clearTimeout(overdue);
    const kept = next.preview || next.partial ? view : {};
    view = { ...kept, ...next };
    if (view.token) known();
    if (view.message !== undefined) say(view.message, view.wrong);
    render();
  }
  function render() {
    for (const [name, root] of slots) if (shows[name]) shows[name](root);
  }

  // ---- keys, drops, pastes ----
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || /^(textarea)$/i.test(event.target.tagName)) return;
    const key = event.key.toLowerCase();
    if (key === "z" && !event.shiftKey) { event.preventDefault(); act({ what: "undo" }); }
    if (key === "y" || (key === "z" && event.shiftKey)) { event.preventDefault(); act({ what: "redo" }); }
  });
  // Gradio's sliders report a release of the pointer, but not of a key.
  document.addEventListener("keyup", (event) => {
    if (event.target.type === "range" && event.key.startsWith("Arrow") && !event.target.classList.contains("g-range"))
      event.target.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => { if (event.clipboardData?.files.length) send(event.clipboardData.files[0]); });

  return {
    shows, el, act, button, picture, signed, say, send, sendFolder, leftOut, forgetFolder,  // for panels.js
    show,
    get view() { return view; },
    mount(element) {
      for (const root of element.querySelectorAll("[data-slot]")) slots.set(root.dataset.slot, root);
      render();
    },
    start(element, trigger) { ask = trigger; this.mount(element); },
  };
})();
