// The forms of the tabs Edit, Compare, Two people, Keep and Stimuli. A form is built once, so that what a user has
// entered stays; what Python says goes into parts of it.
(() => {
  const { shows, el, act, picture, signed, send, sendFolder } = ganvert;
  const built = new WeakMap();

  const labelled = (text, help, control) =>
    el("label", { className: "g-field", title: help }, el("span", {}, text), control, help ? el("small", {}, help) : null);
  // Amounts of a direction go as far as its slider does.
  const within = (name, ...inputs) => {
    const [low, high] = ganvert.view.ranges?.[name] ?? [-4, 4];
    for (const input of inputs) {
      [input.min, input.max] = [low, high];
      input.value = Math.min(high, Math.max(low, +input.value));
    }
  };
  const number = (value, min, max, step) => el("input", { type: "number", value, min, max, step, className: "g-input" });
  const choice = (options, value) => {
    const select = el("select", { className: "g-input" });
    fill(select, options, value);
    return select;
  };
  const fill = (select, options, value) => {
    const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
    const now = value ?? select.value, key = JSON.stringify(pairs);
    if (select.dataset.key !== key) {
      select.dataset.key = key;
      select.replaceChildren(...pairs.map(([name, text]) => el("option", { value: name }, text)));
    }
    if (pairs.some(([name]) => name === now)) select.value = now;
  };
  const press = (text, help, work, kind = "") =>
    el("button", { type: "button", className: "g-button " + kind, title: help, onclick: work }, text);
  // Writing videos is an extra of the package.
  const film = (text, help, work) => {
    const made = press(text, help, work);
    made.disabled = !ganvert.view.video;
    return ganvert.view.video ? [made] : [made, el("small", {}, "MP4 needs an extra: pip install 'ganvert[video]'")];
  };
  const row = (...children) => el("div", { className: "g-row" }, ...children);
  const note = (text) => el("p", { className: "g-help" }, text);
  const title = (text) => el("h3", { className: "g-title" }, text);
  let files = 0;
  const upload = (text, help, take, more = {}) => {
    const id = `g-upload-${files++}`;
    const input = el("input", { type: "file", accept: "image/*", id, className: "g-hidden", ...more,
                                onchange: () => { take([...input.files]); input.value = ""; } });
    if (more.folder) input.webkitdirectory = true;
    return [el("label", { className: "g-button", htmlFor: id, title: help, tabIndex: 0,
                          onkeydown: (event) => { if (event.key === "Enter") input.click(); } }, text), input];
  };
  const panel = (name, build) => {
    shows[name] = (root) => {
      const view = ganvert.view;
      if (!view.before) { root.replaceChildren(note("Choose a photograph first.")); built.delete(root); return; }
      if (!built.has(root)) { root.replaceChildren(); built.set(root, build(root)); }
      built.get(root)(view);
    };
  };
  const photographs = () => [
    row(...upload("Choose a folder", "All photographs of a folder", sendFolder, { folder: true, multiple: true }),
        ...upload("Choose photographs", "Several photographs", sendFolder, { multiple: true }),
        press("Forget them", "Delete the photographs that were sent", ganvert.forgetFolder)),
    el("p", { className: "g-help g-count" }),
  ];
  const count = (root, view) => {
    root.querySelector(".g-count").textContent = (view.folder
      ? `${view.folder} photographs are here, in a temporary folder of this machine that is deleted with the session. `
      : "No photographs yet. ") + ganvert.leftOut();
  };

  panel("amounts", (root) => {
    const region = choice([["", "everything"], "face", "hair", "eyes", "brows", "nose", "mouth", "lips", "skin"], "");
    region.addEventListener("change", () => act({ what: "region", region: region.value }));
    const direction = choice([]), amount = el("input", { type: "text", value: "p90", className: "g-input" });
    const target = number(1, -100, 200, "any"), usual = note("");
    const scores = () => {
      const range = ganvert.view.scores[direction.value];
      usual.textContent = range ? `Most of the generator's faces measure ${range[0].toPrecision(3)} to ${range[1].toPrecision(3)}.` : "No score has the name of this direction.";
    };
    direction.addEventListener("change", scores);
    root.append(labelled("Region", "The part of the face that edits change; everything else stays.", region),
      el("details", { className: "g-fold" }, el("summary", {}, "Exact amounts: percentiles and measured scores"), labelled("Direction", "", direction),
      labelled("Amount", "A number as on the slider, or a percentile of the generator's faces: p90 is more than 90 of 100 have.", amount),
      row(press("Set the amount", "Move there", () => act({ what: "amount", direction: direction.value, amount: amount.value }))),
      labelled("Measured score", "The amount is sought at which the picture measures this.", target), usual,
      row(press("Seek the amount", "Try amounts until the score is met", () => act({ what: "match", direction: direction.value, target: target.value })))));
    return (view) => { fill(direction, view.directions); region.value = view.region; scores(); };
  });

  panel("compare", (root) => {
    const left = choice([]), right = choice([]), result = el("div");
    root.append(
      title("Two pictures"), note("Two methods, or two edits, of this photograph: the divider goes between them."),
      labelled("Left", "", left), labelled("Right", "", right),
      row(press("Compare", "Draw and measure both", () => act({ what: "compare", left: left.value, right: right.value }), "g-primary")),
      result);
    return (view) => {
      const { choices, done } = view.compare;
      fill(left, choices); fill(right, choices);
      if (left.value === right.value) right.value = choices[choices.length - 1];
      const cell = (text, better) => el("td", { className: "g-number" + (better ? " g-better" : "") }, text);
      result.replaceChildren(...(!done ? [] : [
        el("table", { className: "g-effects" },
          el("tr", {}, ...["", done.sides[0], done.sides[1]].map((text) => el("th", {}, text))),
          ...done.rows.map(([name, a, b, better]) => el("tr", {}, el("th", {}, name.replaceAll("_", " ")), cell(a, better < 0), cell(b, better > 0)))),
        note("Between both: " + done.between.map(([name, value]) => `${name} ${value}`).join(", ") + "."),
        el("img", { className: "g-wide", src: picture(done.difference), alt: "where both differ" }),
        note("Where both differ: black is equal, white 64 grey levels or more.")]));
    };
  });

  panel("people", (root) => {
    const faces = el("div", { className: "g-row" });
    const edit = choice([["interpolate", "Interpolate: on the way to the second person"], ["mix", "Mix: some rows of the second person"],
      ["blend", "Blend: own pose and contour, details of the second person"], ["transfer", "Transfer: what changed on the second person"]]);
    const amount = el("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0.5, className: "g-slide", ariaLabel: "Amount" });
    const shown = el("output", {}, "0.5"), part = choice([["all", "everything"], ["own", "shapes (feature map or padding)"], ["detail", "details (rows of ws)"]]);
    const first = number(12, 0, 30, 1), last = number("", 1, 30, 1);
    const fields = { part: labelled("Part", "What moves; the other part stays the first person's.", part),
                     first: labelled("First row", "Early rows draw pose and shape, late ones colours and light.", first),
                     last: labelled("End", "One past the last row; empty for all that follow.", last) };
    const combine = () => act({ what: "combine", edit: edit.value, amount: +amount.value, part: part.value,
                                first_row: +first.value, last_row: last.value === "" ? null : +last.value });
    amount.addEventListener("input", () => { shown.textContent = amount.value; });
    const onto = choice([["second", "this face onto the second photograph"], ["first", "the second face onto this photograph"]]);
    const crop = number(110, 32, 200, 2), around = number(0, 0, 1, 0.1);
    const steps = () => {
      fields.part.hidden = !["interpolate", "transfer"].includes(edit.value);
      fields.first.hidden = fields.last.hidden = edit.value !== "mix";
    };
    edit.addEventListener("change", steps);
    root.append(faces,
      row(...upload("Choose the second photograph", "The other person", ([file]) => send(file, "second")),
          ...upload("The same, changed", "For a transfer: the second photograph again, with something changed on it", ([file]) => send(file, "after"))),
      title("Mix both faces"), labelled("How", "", edit), labelled("Amount", "0 is this person, 1 the whole of the second.", el("div", { className: "g-row" }, amount, shown)),
      fields.part, fields.first, fields.last,
      row(press("Combine", "Draw it", combine, "g-primary"),
          press("Animate as GIF", "From this person to the second and back", () => act({ what: "animate", kind: ".gif", part: part.value })),
          ...film("Animate as MP4", "The same as a video", () => act({ what: "animate", kind: ".mp4", part: part.value }))),
      title("One face in the other photograph"), note("The face of one in the hair, light and background of the other (semantic diffusion). It takes minutes."),
      labelled("Who", "", onto), labelled("Side of the face's square", "In pixels of 256: larger ones keep more of the person.", crop), labelled("How much the surroundings count", "0 leaves them to the generator, 1 keeps them.", around),
      row(press("Diffuse", "Invert both together", () => act({ what: "diffuse", onto: onto.value, crop: +crop.value, around: +around.value }))),
      row(press("Download the picture", "PNG that says how it was made", () => act({ what: "save people" }))));
    steps();
    return (view) => {
      const { roles, known } = view.people;
      faces.replaceChildren(...Object.entries(known).map(([role, person]) =>
        el("figure", { className: "g-person" }, el("img", { src: picture(person.picture), alt: person.name }),
          el("figcaption", {}, person.name, el("small", {}, roles[role])))));
    };
  });

  panel("keep", (root) => {
    const direction = choice([]), first = number(-2, -4, 4, 0.5), last = number(2, -4, 4, 0.5), frames = number(9, 2, 60, 1);
    const sweep = (kind) => act({ what: "sweep", kind, direction: direction.value, first: +first.value, last: +last.value, count: +frames.value });
    const video = film("MP4", "A video", () => sweep(".mp4"));
    root.append(
      title("The code"), note("What the method found of this face, for ganvert edit --codes codes.parquet."), row(press("Download codes.parquet", "For ganvert edit --codes codes.parquet", () => act({ what: "codes" }))),
      title("An animation"), note("One direction from an amount to another; the other edits stay as they are."),
      labelled("Direction", "", direction), row(labelled("From", "", first), labelled("To", "", last), labelled("Pictures", "", frames)),
      row(press("GIF", "An animation", () => sweep(".gif")), ...video),
      title("A folder"), note("This edit of all photographs of a folder: each is inverted by the method in use and gets its face back. You download an archive."),
      ...photographs(),
      row(press("Apply to the folder", "Invert, edit, paste", () => act({
        what: "apply", region: document.querySelector("#g-region input:checked")?.value ?? "square" }), "g-primary")));
    direction.addEventListener("change", () => within(direction.value, first, last));
    return (view) => {
      if (!direction.value) {
        fill(direction, view.directions, view.changes[0]?.direction);
        within(direction.value, first, last);
      }
      count(root, view);
    };
  });

  panel("stimuli", (root) => {
    const names = el("div", { className: "g-ticks" }), first = number(-2, -4, 4, 0.5), last = number(2, -4, 4, 0.5), levels = number(5, 2, 21, 1);
    const by = choice([["amounts", "equal amounts: the face moves by the same each time"], ["scores", "equal measured steps: the score of that name grows by the same each time"]]);
    const folder = el("input", { type: "checkbox" }), oval = el("input", { type: "checkbox" });
    const size = el("p", { className: "g-help" }), unit = el("p", { className: "g-help" }), grid = el("div");
    const boxes = () => [...names.querySelectorAll("input")], solved = () => by.value === "scores";
    const chosen = () => boxes().filter((box) => box.checked && !box.disabled).map((box) => box.value);
    const measure = () => {
      const people = folder.checked ? ganvert.view.folder : 1, total = people * chosen().length * Math.max(0, +levels.value);
      size.textContent = `${people} ${people === 1 ? "person" : "people"} x ${chosen().length} ${chosen().length === 1 ? "direction" : "directions"} x ${levels.value} levels: ${total} pictures, about ${Math.ceil(total * (solved() ? 5 : 1.5))} s to draw and measure${folder.checked ? ", after the inversions" : ""}.`;
    };
    const steps = () => {
      const { scored } = ganvert.view.stimuli;
      for (const box of boxes()) box.disabled = solved() && !scored.includes(box.value);
      unit.textContent = solved()
        ? "From and to are percentiles of the scores of the generator's faces: 10 is a low score, 90 a high one. The amount is sought for every person."
        : "From and to are steps of the direction, as on its slider.";
      [first.min, first.max, last.min, last.max] = solved() ? [0, 100, 0, 100] : ["", "", "", ""];
      measure();
    };
    by.addEventListener("change", () => { [first.value, last.value] = solved() ? [10, 90] : [-2, 2]; steps(); });
    for (const control of [levels, folder, names]) control.addEventListener("input", measure);
    const make = () => act({ what: "stimuli", directions: chosen(), by: by.value, first: +first.value, last: +last.value, count: +levels.value, folder: folder.checked, oval: oval.checked });
    root.append(
      note("Pictures for an experiment: every person, direction and level, each measured, as ganvert stimuli makes them."),
      names, labelled("Levels by", "", by), row(labelled("From", "", first), labelled("To", "", last), labelled("Levels", "", levels)), unit,
      el("label", { className: "g-tick" }, oval, "cover all but the inner face"),
      el("label", { className: "g-tick" }, folder, "of the photographs of a folder, not of this one"), ...photographs(), size,
      row(press("Make the set", "Draw and measure", make, "g-primary"),
          press("Export", "An archive of the ticked pictures, stimuli.csv, methods.txt, codes", () => act({ what: "export" }))),
      grid);
    return (view) => {
      count(root, view);
      const { directions, scored, done } = view.stimuli;
      if (names.dataset.key !== directions.join()) {
        names.dataset.key = directions.join();
        names.replaceChildren(...directions.map((name, i) =>
          el("label", { className: "g-tick" }, el("input", { type: "checkbox", value: name, checked: i === 0 }), name.replaceAll("_", " "))));
      }
      by.options[1].disabled = !scored.length;
      steps();
      if (!done) { grid.replaceChildren(); return; }
      const line = el("details", { open: true }, el("summary", {}, "The same on the command line"), el("code", {}, done.command));
      const called = (cell) => `${cell.direction.replaceAll("_", " ")} ${cell.target === "" ? signed(cell.amount) : "to " + cell.target.toPrecision(3)}`;
      const why = (cell) => [cell.reached === 0 ? "the score is out of reach for this face; this is the nearest" : "", cell.check].filter(Boolean).map((text) => "; " + text).join("");
      grid.replaceChildren(note(`${done.cells.length} of ${done.total} pictures; an export holds ${done.kept}. A click takes one out, or in again.`), line,
        el("div", { className: "g-cells" }, ...done.cells.map((cell, i) =>
          el("button", { type: "button", className: "g-cell" + (cell.kept ? "" : " g-out"), ariaPressed: String(cell.kept),
                         title: `${cell.person}: ${called(cell)}${why(cell)}`, onclick: () => act({ what: "tick", cell: i }) },
            cell.thumb ? el("img", { src: picture(cell.thumb), alt: "" }) : null, el("span", {}, called(cell))))));
    };
  });
})();
