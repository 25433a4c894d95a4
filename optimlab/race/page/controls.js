// The page: its controls, its clock, and what is redrawn when.

let scene; // what the address says
let tracks = []; // {runner, path} of every optimizer, in the list's order
let view = null; // of the contour as last drawn
let axes = null; // of the loss
let spent = []; // milliseconds of script in the last frames

// --- paths

// Make the paths anew; those whose optimizer (all, if none is named) has not changed stay.
function retrace(changed) {
    const old = new Map(tracks.map(track => [track.runner, track.path]));
    tracks = scene.runners.map(runner => {
        const keep = changed && !changed.includes(runner) && old.get(runner);
        return {runner, path: keep || newPath(scene, runner)};
    });
    for (const {runner, path} of tracks) if (runner.on) extend(path, scene.t);
}

const shown = () => tracks.filter(({runner}) => runner.on);
const looked = () => tracks[scene.look];

// --- drawing

function draw() {
    const began = performance.now();
    for (const {path} of shown()) extend(path, scene.t);
    view = drawContour($("contour"), scene, shown());
    axes = drawLoss($("loss"), scene, shown());
    $("t").value = scene.t;
    $("now").value = scene.t;
    showStates();
    showNumbers();
    showCallout();
    spent.push(performance.now() - began);
    if (spent.length > 600) spent = spent.slice(-300);
}

function showStates() {
    const items = $("runners").children;
    tracks.forEach(({runner, path}, k) => {
        const gone = runner.on && path.diverged !== null && scene.t >= path.diverged;
        const rate = runner.on ? `η ${hyperOf(runner).lr}` : "off";
        const word = gone ? `${farWord(landscapeOf(scene))} at step ${path.diverged}` : rate;
        const small = items[k].querySelector("small");
        if (small.textContent !== word) small.textContent = word;
        items[k].classList.toggle("gone", gone);
    });
}

function numbersOf(axis) {
    const track = looked();
    if (!track || !track.runner.on || scene.t === 0) return null;
    const t = placeAt(track.path, scene.t);
    return t > 0 ? termsOf(track.path, t, axis) : null;
}

function showNumbers() {
    const track = looked();
    if (!track) return;
    const scope = numbersOf(scene.axis);
    const t = placeAt(track.path, scene.t);
    $("which").textContent = !track.runner.on
        ? "Switched off, along"
        : scope ? `Step ${t}, along` : "No step yet, along";
    fillEquations($("equations"), track.path.rule, scope);
}

function showRule() {
    const track = looked();
    $("rule").hidden = !track;
    if (!track) return;
    const {runner} = track;
    $("look").replaceChildren(...scene.runners.map((r, k) => new Option(nameOf(scene, r), k, false, k === scene.look)));
    const conventions = Object.keys(RULES).filter(convention => runner.rule in RULES[convention]);
    $("convention").replaceChildren(...conventions.map(c => new Option(c, c, false, c === runner.convention)));
    $("hyper").replaceChildren(...Object.entries(hyperOf(runner)).map(([name, value]) => setting(name, value)));
    $("equations").replaceChildren(...equationRows(ruleOf(runner)));
    $("axis-x").setAttribute("aria-pressed", scene.axis === 0);
    $("axis-y").setAttribute("aria-pressed", scene.axis === 1);
    makeCallout(track);
}

const callout = {place: 0, wide: 0, high: 0};

function makeCallout({runner}) {
    const rows = [{name: "g@new", symbol: GRADIENT}, ...ruleOf(runner).equations];
    $("callout").innerHTML = `<table><thead><tr><th></th><th>x</th><th>y</th></tr></thead><tbody>${rows
        .map(({symbol}) => `<tr><th><math><mrow>${symbol}</mrow></math></th><td>−0.000e−00</td><td>−0.000e−00</td></tr>`).join("")}</tbody></table>`;
    $("callout").hidden = false;
    [callout.wide, callout.high] = [$("callout").offsetWidth, $("callout").offsetHeight];
}

// The numbers beside the point: of four places around it, and the corners, that which covers least.
function showCallout() {
    const box = $("callout");
    const both = scene.callout && view ? [numbersOf(0), numbersOf(1)] : [null];
    box.hidden = !both[0];
    if (!both[0]) return;
    const {runner, path} = looked();
    const names = ["g@new", ...ruleOf(runner).equations.map(e => e.name)];
    const cells = box.querySelectorAll("td");
    names.forEach((name, k) => both.forEach((scope, axis) => (cells[2 * k + axis].textContent = shortNumber(scope[name]))));
    box.style.borderColor = styleOf(scene, runner).colour;
    const t = placeAt(path, scene.t);
    const [wide, high] = [callout.wide, callout.high];
    const {clientWidth: width, clientHeight: height} = $("contour");
    const within = (value, most) => Math.min(Math.max(value, 6), Math.max(most - 6, 6));
    const [x, y] = [within(view.px(path.x[t]), width), within(view.py(path.y[t]), height)];
    const gap = width < 500 ? 22 : 46;
    const places = [[x + gap, y + gap], [x + gap, y - gap - high], [x - gap - wide, y + gap], [x - gap - wide, y - gap - high]]
        .map(([left, top]) => [within(left, width - wide), within(top, height - high)]);
    for (const left of [6, width - wide - 6]) for (const top of [6, height - high - 6]) places.push([left, top]);
    const inside = (a, b, left, top) => a > left && a < left + wide && b > top && b < top + high;
    const hidden = shown().flatMap(({path: other}) => {
        const until = placeAt(other, scene.t);
        return Array.from({length: 25}, (_, k) => Math.round((k / 24) * until)).map(k => [view.px(other.x[k]), view.py(other.y[k])]);
    });
    const covered = ([left, top]) => view.labels.filter(one => {
        const from = one.left ? one.x - one.wide : one.at.x - 10;
        const to = one.left ? one.at.x + 10 : one.x + one.wide;
        return to > left && from < left + wide && Math.max(one.y, one.at.y) + 9 > top && Math.min(one.y, one.at.y) - 9 < top + high;
    }).length * 2 + 0.15 * hidden.filter(([a, b]) => inside(a, b, left, top)).length;
    const costs = places.map((place, k) => covered(place) + (k > 3 ? 1 : 0) - (k === callout.place ? 0.6 : 0));
    callout.place = costs.indexOf(Math.min(...costs));
    const [left, top] = places[callout.place];
    box.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
}

function setting(name, value) {
    return slider(name, value, () => hyperOf(looked().runner)[name], number => {
        const {runner} = looked();
        runner.given[name] = tidy(number);
        changed([runner]);
        return runner.given[name];
    });
}

// --- the list

function showList() {
    $("runners").replaceChildren(...scene.runners.map((runner, k) => {
        const item = document.createElement("li");
        const {colour, marker, dash} = styleOf(scene, runner);
        item.className = `${k === scene.look ? "looked" : ""} ${runner.on ? "" : "off"}`;
        item.innerHTML = '<input type="checkbox" role="switch"><canvas width="68" height="36" style="width:34px;height:18px"></canvas>'
            + '<button type="button" class="name"><span></span><small></small></button><select></select>'
            + '<button type="button" class="remove">✕</button>';
        const [onoff, swatch, name, convention, remove] = item.children;
        const pen = swatch.getContext("2d");
        pen.scale(2, 2);
        pen.strokeStyle = pen.fillStyle = colour;
        pen.lineWidth = 2;
        pen.setLineDash(dash);
        pen.beginPath();
        pen.moveTo(1, 9);
        pen.lineTo(33, 9);
        pen.stroke();
        drawMarker(pen, marker, 17, 9, 4.6);
        pen.fill();
        onoff.checked = runner.on;
        onoff.setAttribute("aria-label", `${nameOf(scene, runner)} on`);
        onoff.addEventListener("change", () => {
            runner.on = onoff.checked;
            if (runner.on) scene.look = k;
            showList();
            showRule();
            changed([]);
            $("runners").children[k].querySelector("input").focus();
        });
        name.firstChild.textContent = runner.rule.replaceAll("_", " ");
        name.title = "Show its formula, numbers and settings";
        name.setAttribute("aria-pressed", k === scene.look);
        name.addEventListener("click", () => {
            scene.look = k;
            showList();
            showRule();
            changed([]);
            $("runners").children[k].querySelector(".name").focus();
        });
        const conventions = Object.keys(RULES).filter(c => runner.rule in RULES[c]);
        convention.replaceChildren(...conventions.map(c => new Option(c, c, false, c === runner.convention)));
        convention.setAttribute("aria-label", `convention of ${runner.rule}`);
        convention.addEventListener("change", () => setConvention(k, convention.value));
        remove.setAttribute("aria-label", `remove ${nameOf(scene, runner)}`);
        remove.addEventListener("click", () => {
            scene.runners.splice(k, 1);
            scene.look = Math.max(0, Math.min(scene.look - (k < scene.look), scene.runners.length - 1));
            showList();
            showRule();
            changed([]);
        });
        return item;
    }));
}

// The learning rate stays; what else was set stays where the convention has it too.
function setConvention(k, convention) {
    const runner = scene.runners[k];
    const known = RULES[convention][runner.rule].hyperparameters;
    const given = Object.fromEntries(Object.entries(runner.given).filter(([name]) => name in known));
    scene.runners[k] = {...runner, convention, given};
    scene.look = k;
    showList();
    showRule();
    changed([scene.runners[k]]);
}

// --- the clock

let last = null; // time of the last frame
let due = 0; // steps not yet taken
let rest = 0; // milliseconds to stand at the end before beginning again

function frame(now) {
    if (!scene.playing) return;
    const passed = last === null ? 16 : Math.min(now - last, 100);
    last = now;
    if (scene.t >= scene.steps) {
        rest += passed;
        if (!scene.loop) return setPlaying(false);
        if (rest > 1500) goTo(0);
    } else {
        due += (passed / 1000) * scene.speed;
        const whole = Math.floor(due);
        due -= whole;
        rest = 0;
        if (whole > 0) {
            scene.t = Math.min(scene.t + whole, scene.steps);
            draw();
            remember(1000);
        }
    }
    requestAnimationFrame(frame);
}

function setPlaying(playing) {
    const began = playing && !scene.playing;
    scene.playing = playing;
    $("play").textContent = playing ? "Pause" : "Play";
    if (began) {
        if (scene.t >= scene.steps) scene.t = 0;
        last = null;
        due = rest = 0;
        requestAnimationFrame(frame);
    }
    draw();
    if (!playing) announce();
    remember();
}

function goTo(t) {
    scene.t = Math.min(Math.max(t, 0), scene.steps);
    rest = due = 0;
    draw();
    remember();
}

function pauseAt(t) {
    scene.t = Math.min(Math.max(t, 0), scene.steps);
    setPlaying(false);
}

function announce() {
    const text = shown().map(({runner, path}) => {
        if (path.diverged !== null && scene.t >= path.diverged) return `${nameOf(scene, runner)} ${farWord(landscapeOf(scene))} at step ${path.diverged}`;
        return `${nameOf(scene, runner)}: loss ${shortNumber(path.loss[placeAt(path, scene.t)])}`;
    });
    $("status").textContent = `Step ${scene.t}. ${text.join(", ") || "All optimizers are off"}.`;
    $("contour").setAttribute("aria-label", `Contour of ${landscapeOf(scene).title}; start ${scene.start.map(shortNumber).join(", ")}. ${$("status").textContent}`);
}

// --- the address

const presentAddress = () => addressOf(scene);

function restore(address) {
    const {scene: found, complaints} = sceneOf(address);
    scene = found;
    if (still.matches) scene.playing = false;
    complain(complaints);
    showAll();
    const playing = scene.playing;
    scene.playing = false;
    setPlaying(playing);
}

function showAll() {
    const landscape = landscapeOf(scene);
    const lesson = LESSONS.find(l => l.name === scene.lesson);
    $("lessons").value = scene.lesson;
    $("landscape").value = scene.landscape;
    $("loss-title").textContent = landscape.floor === null ? "Loss against step" : "Loss above the minimum, against step";
    $("formula").textContent = `f(x, y) = ${landscape.formula}`;
    $("sight-title").textContent = lesson ? lesson.title : landscape.title;
    $("lesson").textContent = lesson ? lesson.text : landscape.text;
    $("steps").value = $("t").max = scene.steps;
    $("loop").setAttribute("aria-pressed", scene.loop);
    $("numbers").checked = scene.callout;
    showSpeed();
    showNoise();
    retrace();
    showList();
    showRule();
}

function showSpeed() {
    $("speed").value = (Math.log(scene.speed) / Math.log(600)) * 100;
    $("pace").value = `${Math.round(scene.speed)}/s`;
}

function showNoise() {
    const scale = scaleOf("noise");
    $("noise").value = ((scale.to(scene.noise) - scale.low) / (scale.high - scale.low)) * 100;
    $("noise-number").value = scene.noise;
    $("reseed").disabled = scene.noise === 0;
}

// Something was set: these optimizers (all, if not said) have a new path.
function changed(runners) {
    retrace(runners);
    draw();
    if (!scene.playing) announce();
    remember();
}

function setStart(x, y) {
    scene.start = [tidy(x), tidy(y)];
    if (scene.t === 0) scene.t = Math.min(scene.steps, 40); // a start alone shows nothing
    changed();
}

function recoloured() {
    if (!scene) return;
    showList();
    draw();
}

// --- listening

function listen() {
    $("play").addEventListener("click", () => setPlaying(!scene.playing));
    $("step").addEventListener("click", () => pauseAt(scene.t + 1));
    $("back").addEventListener("click", () => pauseAt(scene.t - 1));
    $("reset").addEventListener("click", () => pauseAt(0));
    $("loop").addEventListener("click", toggleLoop);
    $("t").addEventListener("input", () => pauseAt(Number($("t").value)));
    $("steps").addEventListener("change", () => {
        const [low, high] = LIMITS.steps;
        scene.steps = Math.min(Math.max(Math.round($("steps").valueAsNumber) || 150, low), high);
        scene.t = Math.min(scene.t, scene.steps);
        $("steps").value = $("t").max = scene.steps;
        changed([]);
    });
    $("speed").addEventListener("input", () => {
        scene.speed = Math.max(1, Math.round(600 ** ($("speed").value / 100)));
        showSpeed();
        remember();
    });
    $("landscape").addEventListener("change", () => {
        const fresh = defaultScene($("landscape").value);
        const {landscape, start, noise} = fresh;
        Object.assign(scene, {landscape, start, noise, lesson: ""});
        scene.runners = scene.runners.map(runner => tuned(scene, runner));
        showAll();
        changed();
    });
    $("lessons").addEventListener("change", () => {
        const lesson = LESSONS.find(l => l.name === $("lessons").value);
        if (lesson) location.hash = `lesson=${lesson.name}`;
    });
    $("tune").addEventListener("click", () => {
        scene.runners = scene.runners.map(runner => tuned(scene, runner));
        showAll();
        changed();
    });
    $("same").addEventListener("click", () => {
        const lr = hyperOf(scene.runners[scene.look] ?? scene.runners[0]).lr;
        scene.runners = scene.runners.map(runner => ({...runner, given: {...runner.given, lr}}));
        showAll();
        changed();
    });
    $("add").addEventListener("change", () => {
        const [rule, convention] = $("add").value.split(",");
        $("add").value = "";
        if (!rule || scene.runners.length >= 24) return;
        scene.runners.push(tuned(scene, {rule, convention, on: true, given: {}}));
        scene.look = scene.runners.length - 1;
        showAll();
        changed([]);
    });
    $("look").addEventListener("change", () => {
        scene.look = Number($("look").value);
        showList();
        showRule();
        changed([]);
    });
    $("convention").addEventListener("change", () => setConvention(scene.look, $("convention").value));
    $("noise").addEventListener("input", () => {
        const scale = scaleOf("noise");
        scene.noise = round3(scale.from(scale.low + ($("noise").value / 100) * (scale.high - scale.low)));
        $("noise-number").value = scene.noise;
        $("reseed").disabled = scene.noise === 0;
        changed();
    });
    $("noise-number").addEventListener("change", () => {
        const [low, high] = LIMITS.noise;
        scene.noise = tidy(Math.min(Math.max($("noise-number").valueAsNumber || 0, low), high));
        showNoise();
        changed();
    });
    $("reseed").addEventListener("click", () => {
        scene.seed = (scene.seed + 1) % 1e6;
        changed();
    });
    $("numbers").addEventListener("change", () => {
        scene.callout = $("numbers").checked;
        draw();
        remember();
    });
    for (const axis of [0, 1]) {
        $(`axis-${"xy"[axis]}`).addEventListener("click", () => {
            scene.axis = axis;
            showRule();
            draw();
            remember();
        });
    }
    new ResizeObserver(() => draw()).observe($("map"));
    new ResizeObserver(() => draw()).observe($("loss"));
    listenToShell();
    listenToPointers();
    addEventListener("keydown", key);
}

function toggleLoop() {
    scene.loop = !scene.loop;
    $("loop").setAttribute("aria-pressed", scene.loop);
    remember();
}

function listenToPointers() {
    const canvas = $("contour");
    const plane = event => {
        const box = canvas.getBoundingClientRect();
        return [event.clientX - box.left, event.clientY - box.top];
    };
    const nearStart = (x, y) => Math.hypot(x - view.px(scene.start[0]), y - view.py(scene.start[1])) < 28;
    let dragging = false;
    let grabbed = true; // whether the last press took hold of the start; the click that ends it is then no tap
    // a finger that comes down on the start drags it; anywhere else it may scroll the page, or tap
    canvas.addEventListener("touchstart", event => {
        if (event.touches.length === 1 && view && nearStart(...plane(event.touches[0]))) event.preventDefault();
    }, {passive: false});
    canvas.addEventListener("pointerdown", event => {
        if (!view || event.button !== 0) return;
        const at = plane(event);
        dragging = grabbed = event.pointerType === "mouse" || nearStart(...at);
        if (grabbed) {
            canvas.setPointerCapture(event.pointerId);
            if (!nearStart(...at)) setStart(...view.plane(...at));
        }
    });
    canvas.addEventListener("pointermove", event => {
        if (dragging) setStart(...view.plane(...plane(event)));
    });
    canvas.addEventListener("click", event => {
        if (view && !grabbed) setStart(...view.plane(...plane(event)));
    });
    for (const end of ["pointerup", "pointercancel"]) {
        canvas.addEventListener(end, () => (dragging = false));
    }
    const loss = $("loss");
    const scrub = event => {
        const box = loss.getBoundingClientRect();
        if (axes) pauseAt(Math.round(((event.clientX - box.left - axes.left) / (axes.right - axes.left)) * scene.steps));
    };
    loss.addEventListener("pointerdown", event => {
        loss.setPointerCapture(event.pointerId);
        scrub(event);
    });
    loss.addEventListener("pointermove", event => {
        if (event.buttons) scrub(event);
    });
}

function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    const typing = target.matches("input[type=number], select, textarea");
    const pressing = target.matches("button, a, summary, input[type=checkbox]");
    const sliding = target.matches("input[type=range]");
    const arrow = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[event.key];
    const reading = target.id === "equations"; // where arrows scroll
    if (arrow && !typing && !sliding && !reading) {
        const stride = (widthOf(landscapeOf(scene)) / 80) * (event.shiftKey ? 5 : 1);
        setStart(scene.start[0] + arrow[0] * stride, scene.start[1] + arrow[1] * stride);
    } else if (event.key === " " && !typing && !pressing) setPlaying(!scene.playing);
    else if (event.key === "." && !typing) pauseAt(scene.t + 1);
    else if (event.key === "," && !typing) pauseAt(scene.t - 1);
    else if (event.key === "r" && !typing) pauseAt(0);
    else if (event.key === "l" && !typing) toggleLoop();
    else return;
    event.preventDefault();
}

listen();
followScheme();
restore(location.hash || OPENING);
