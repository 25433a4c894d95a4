// A rule's formula: each line, and under it the same line to be filled with numbers.

function equationRows({hyperparameters, state, equations}) {
    const known = new Set(["t", "w@old", "g@new", ...Object.keys(hyperparameters)]);
    for (const name of Object.keys(state)) known.add(`${name}@old`);
    for (const {name} of equations) known.add(name);
    return equations.map(({symbol, formula}) => {
        const row = document.createElement("div");
        row.className = "equation";
        row.innerHTML = `<math displaystyle="true"><mrow>${symbol}<mo>=</mo>${formula}</mrow></math>`
            + `<div class="worked"><math displaystyle="true"><mrow><mo>=</mo>${formula}</mrow></math><span class="result"></span></div>`;
        const worked = row.querySelector(".worked math");
        for (const named of worked.querySelectorAll("[data-name]")) {
            if (!known.has(named.dataset.name)) continue;
            const place = document.createElementNS("http://www.w3.org/1998/Math/MathML", "mn");
            place.dataset.name = named.dataset.name;
            named.replaceWith(place);
        }
        for (const times of worked.querySelectorAll("mo")) if (times.textContent === "\u2062") times.textContent = "·";
        return row;
    });
}

// Put the numbers of a scope into the rows; without a scope only the formula is shown.
function fillEquations(list, {equations}, scope) {
    equations.forEach((equation, k) => {
        const row = list.children[k];
        if (!row) return;
        for (const place of row.querySelectorAll("mn[data-name]")) {
            const value = scope?.[place.dataset.name];
            const text = value === undefined ? "·" : value < 0 ? `(${shortNumber(value)})` : shortNumber(value);
            if (place.textContent !== text) place.textContent = text;
        }
        row.querySelector(".result").textContent = scope ? ` = ${shortNumber(scope[equation.name])}` : "";
        row.querySelector(".worked").style.visibility = scope ? "visible" : "hidden";
    });
}
